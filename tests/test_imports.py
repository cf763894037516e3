"""The gate for classes named in files."""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Callable

import pytest

from mmgraph import imports
from mmgraph.errors import UsageError
from mmgraph.imports import RefusedImportError, check, import_class
from mmgraph.registry import UnknownPluginError


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("torch.optim.AdamW", "AdamW"),
        ("torch.nn.GELU", "GELU"),
        ("lightning.pytorch.callbacks.EarlyStopping", "EarlyStopping"),
        ("mmgraph.models.EMA", "EMA"),
        ("mmgraph.connectors.linear", "LinearConnector"),
        ("mmgraph_connectors.linear.LinearConnector", "LinearConnector"),
        ("torchmetrics.MeanMetric", "MeanMetric"),
        ("torch.optim.lr_scheduler.StepLR", "StepLR"),
    ],
)
def test_allowed_classes_are_imported(path, name):
    assert import_class(path).__name__ == name


@pytest.mark.parametrize(
    "path",
    [
        "os.system",
        "posix.system",
        "subprocess.Popen",
        "builtins.eval",
        "builtins.object",
        "torch.load",
        "torch.hub.load",
        "torch.utils.cpp_extension.load",
        "torch.utils.data.DataLoader",
        "importlib.import_module",
        "pickle.Unpickler",
        "jsonargparse.ArgumentParser",
        "torch",
        "torch_nn.evil",
        "",
        "torch.nn..GELU",
        "torch.nn.GELU()",
        "a b.c",
    ],
)
def test_other_places_are_refused_by_their_path(path):
    with pytest.raises(RefusedImportError):
        check(path)


@pytest.mark.parametrize(
    "path",
    [
        "lightning.pytorch.cli.os.system",
        "lightning.pytorch.cli.torch.hub.load",
        "torch.nn.modules.module.torch.hub.load",
        "torch.nn.modules.module.functools.partial",
        "torch.nn.modules.module.OrderedDict",
        "mmgraph.registry.importlib.metadata.EntryPoint",
        "mmgraph.registry.Path",
        "mmgraph.datasets.random.Random",
        "lightning.pytorch.cli.ArgumentParser",
    ],
)
def test_detours_through_allowed_modules_are_refused(path):
    check(path)
    with pytest.raises(RefusedImportError, match="which may not be named"):
        import_class(path)


@pytest.mark.parametrize(
    "path", ["torch.nn.functional.relu", "torch.nn", "lightning.pytorch.cli.instantiate_class"]
)
def test_only_classes_pass(path):
    with pytest.raises(RefusedImportError, match="only classes"):
        import_class(path)


def test_unknown_names_offer_the_nearest():
    with pytest.raises(UnknownPluginError, match="'linear'"):
        import_class("mmgraph.connectors.linaer")
    with pytest.raises(RefusedImportError, match="Did you mean 'AdamW'"):
        import_class("torch.optim.AdamWW")


def test_refusal_says_why_and_what_is_allowed():
    with pytest.raises(RefusedImportError, match=r"torch\.hub downloads and runs code.*torch\.nn.*--plugins"):
        check("torch.hub.load")


def test_given_modules_are_allowed(monkeypatch):
    module = types.ModuleType("given_by_the_user")
    module.Part = type("Part", (), {"__module__": "given_by_the_user"})
    monkeypatch.setitem(sys.modules, "given_by_the_user", module)
    with pytest.raises(RefusedImportError):
        import_class("given_by_the_user.Part")
    monkeypatch.setattr(imports, "_named", {"given_by_the_user"})
    assert import_class("given_by_the_user.Part") is module.Part


def test_refusing_imports_nothing():
    code = """
import sys
from mmgraph.imports import import_class
for path in ("torch.hub.load", "antigravity.fly", "os.system", "diffusers.DiffusionPipeline"):
    try:
        import_class(path)
    except ValueError:
        pass
    else:
        raise SystemExit(f"{path} was imported")
found = {"torch", "antigravity", "diffusers", "lightning"} & set(sys.modules)
raise SystemExit(f"imported {found}" if found else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Taker:
    def __init__(
        self,
        function: Callable[[int], int] | None = None,
        kind: type | None = None,
        module: types.ModuleType | None = None,
        part: object = None,
    ) -> None:
        self.given = (function, kind, module, part)


@pytest.mark.parametrize("option", ["function", "kind", "module"])
@pytest.mark.parametrize("path", ["os.system", "os", "torch.hub.load", "lightning.pytorch.cli.os.system"])
def test_jsonargparse_imports_through_the_gate(option, path, monkeypatch):
    from jsonargparse import ArgumentParser

    imports.guard_jsonargparse()
    asked = []
    gate = imports.import_class
    monkeypatch.setattr(imports, "import_class", lambda path: asked.append(path) or gate(path))
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Taker, "taker")
    with pytest.raises(Exception):  # noqa: B017, PT011 - whichever the parser makes of the refusal
        parser.instantiate_classes(parser.parse_args([f"--taker.{option}={path}"]))
    if option != "module" and "." in path:
        assert path in asked


def test_jsonargparse_keeps_classes_as_data_where_anything_goes():
    from jsonargparse import ArgumentParser

    imports.guard_jsonargparse()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Taker, "taker")
    given = '{"class_path": "subprocess.Popen", "init_args": {"args": "touch fired"}}'
    made = parser.instantiate_classes(parser.parse_args([f"--taker.part={given}"]))
    assert not hasattr(made.taker.given[3], "pid")


def test_guard_covers_every_place_where_jsonargparse_imports():
    """Fails when jsonargparse moves the functions that the guard replaces, or adds another way to import."""
    import inspect

    import jsonargparse._common
    import jsonargparse._typehints
    import jsonargparse._util

    imports.guard_jsonargparse()
    assert jsonargparse._util.import_object.guarded
    assert jsonargparse._typehints.import_object is jsonargparse._util.import_object
    assert jsonargparse._common.check_import_path is imports.check
    assert jsonargparse._typehints.check_import_path is imports.check
    source = inspect.getsource(jsonargparse._typehints)
    assert (
        source.count("import_module(") == 2
    )  # a module-typed value, after check_import_path; a forward reference
    assert "__import__(" not in source.replace('__import__("argparse")', "")
    assert jsonargparse._common.denying_import_path_entry("os.system") is not None
    assert jsonargparse._common.denying_import_path_entry("torch.hub.load") == "*"
    assert jsonargparse._common.denying_import_path_entry("torch.optim.AdamW") is None


def test_a_parser_that_moved_is_an_error(monkeypatch):
    import jsonargparse._util

    original = jsonargparse._util.import_object
    monkeypatch.setattr(jsonargparse._util, "import_object", lambda name, check_path=True: None)
    with pytest.raises(RuntimeError, match="does not know"):
        imports.guard_jsonargparse()
    monkeypatch.undo()
    assert jsonargparse._util.import_object is original


def test_refusals_are_usage_errors():
    assert issubclass(RefusedImportError, UsageError)
