"""`mmgraph plugins new`: a package of one's own, cut out of the template package.

The template holds one working plugin of each kind and a recipe that uses them all. The new package gets
the plugin of one kind under a new name; where the recipe names the others, their first-party stand-ins,
given in the recipe's comments, take their place.
"""

from __future__ import annotations

import importlib.metadata
import keyword
import re
import tomllib
from pathlib import Path

from mmgraph import registry
from mmgraph.errors import UsageError, nearest

WITHOUT_RECIPE = ("denoisers", "graph_encoders", "graph_injectors", "graph_samplers", "metrics")
"""Kinds that a recipe of the template has no place for."""

_INSTEAD = re.compile(r"^(?P<head>.*class_path: )(?P<path>[\w.]+)  # in place of (?P<other>[\w.]+)$")


def template() -> Path:
    """Return the template package's folder: of the checkout, or what the wheel installed.

    Raises:
        UsageError: If the installation has neither.
    """
    checkout = Path(__file__).resolve().parents[2] / "plugins" / "template"
    if (checkout / "pyproject.toml").is_file():
        return checkout
    for file in importlib.metadata.files("mmgraph") or ():
        if file.parts[-3:] == ("mmgraph", "template", "pyproject.toml"):
            return Path(str(file.locate())).resolve().parent
    raise UsageError("this installation has no plugin template; install mmgraph from its wheel or a checkout.")


def create(kind: str, name: str, out: Path | None = None) -> str:
    """Make a package with one plugin and return what to do next.

    Args:
        kind: Kind of the plugin.
        name: Its alias.
        out: Folder of the package; None: `mmgraph-NAME` in the current folder.

    Raises:
        UsageError: If the kind has no template, the name is taken or no Python name, or the folder exists.
    """
    root = template()
    points = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    kinds = [group.removeprefix(registry.GROUP) for group in points if group != registry.GROUP + "recipes"]
    if kind not in kinds:
        raise UsageError(f"there is no template for plugins of kind '{kind}'. {nearest(kind, kinds)}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UsageError(f"'{name}' is no name for a plugin: use small letters, digits and _, such as two_layer.")
    if name in registry.names(kind):
        owner = registry.declared(kind)[registry.names(kind).index(name)].distribution
        raise UsageError(f"mmgraph.{kind}.{name} exists already (in '{owner}'); choose another name.")
    folder = out or Path(f"mmgraph-{name.replace('_', '-')}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists already; name another folder by --out DIR.")
    ((old, target),) = points[registry.GROUP + kind].items()
    files = _Renaming(kind, old, target, name).files(root)
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    steps = [
        f"made {folder}:",
        *(f"  {path}" for path in sorted(map(str, files))),
        "next:",
        f"  pip install -e {folder}",
    ]
    steps.append(f"  mmgraph plugins check {kind}.{name}")
    if any(path.suffix == ".yaml" for path in files):
        steps.append(f"  mmgraph fit -c {name}_example --trainer.max_steps 100")
    return "\n".join(steps)


class _Renaming:
    """What the template's names become."""

    def __init__(self, kind: str, old: str, target: str, name: str) -> None:
        self.kind = kind
        self.old = old
        self.name = name
        module, _, self.old_class = target.partition(":")
        self.old_module = module.rpartition(".")[2]
        self.package = f"mmgraph_{name}"
        suffix = re.sub(r"^.*?(?=[A-Z][a-z]+$)", "", self.old_class)  # TwoLayerConnector -> Connector
        self.new_class = "".join(part.capitalize() for part in name.split("_")) + suffix

    def files(self, root: Path) -> dict[Path, str]:
        """Return the files of the new package."""
        source = root / "mmgraph_template"
        package = Path(self.package)
        module = (source / f"{self.old_module}.py").read_text(encoding="utf-8")
        test = (root / "tests" / f"test_{self.old_module}.py").read_text(encoding="utf-8")
        found = {
            Path("pyproject.toml"): self._pyproject((root / "pyproject.toml").read_text(encoding="utf-8")),
            Path("README.md"): self._text((root / "README.md").read_text(encoding="utf-8")),
            package / "__init__.py": self._text((source / "__init__.py").read_text(encoding="utf-8")),
            package / f"{self.name}.py": self._text(module),
            Path("tests", f"test_{self.name}.py"): self._text(test),
        }
        if self.kind not in WITHOUT_RECIPE:
            recipe = (source / "recipes" / "template_example.yaml").read_text(encoding="utf-8")
            found[package / "recipes" / f"{self.name}_example.yaml"] = self._recipe(recipe)
        else:
            readme = found[Path("README.md")].splitlines(keepends=True)
            found[Path("README.md")] = "".join(line for line in readme if not line.startswith("mmgraph fit"))
        return found

    def _text(self, text: str) -> str:
        text = text.replace(f"mmgraph_template.{self.old_module}", f"{self.package}.{self.name}")
        text = text.replace("template_example", f"{self.name}_example")
        text = text.replace("mmgraph_template", self.package)
        text = text.replace("mmgraph-template", self.package.replace("_", "-"))
        return text.replace(self.old_class, self.new_class).replace(f'name = "{self.old}"', f'name = "{self.name}"')

    def _pyproject(self, text: str) -> str:
        kept = []
        for section in re.split(r"(?m)^(?=\[)", text):
            group = re.match(r'\[project\.entry-points\."mmgraph\.(\w+)"\]', section)
            if group and group[1] not in (self.kind, "recipes"):
                continue
            if group and group[1] == "recipes" and self.kind in WITHOUT_RECIPE:
                continue
            if group:
                section = re.sub(rf"(?m)^({self.old}|template) = ", f"{self.name} = ", section)
            kept.append(section)
        return self._text("".join(kept))

    def _recipe(self, text: str) -> str:
        lines = []
        for line in text.splitlines():
            match = _INSTEAD.match(line)
            if match:
                own = f"mmgraph.{self.kind}.{self.old}"
                chosen = f"mmgraph.{self.kind}.{self.name}" if match["path"] == own else match["other"]
                line = match["head"] + chosen
            lines.append(line)
        title = f"# {self.new_class} in a small transformer"
        return "\n".join([title, *lines[1:]]) + "\n"
