from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from mmgraph import generation
from mmgraph.errors import RunError, UsageError
from mmgraph.models import Autoencoder, Sampling, UnifiedModel, load, save
from mmgraph.models.saving import part_state, resolve
from mmgraph.tokenizers import ae, bpe, pca
from tests import tiny


@pytest.fixture
def saved(tiny_model: UnifiedModel, tmp_path: Path) -> Path:
    return save(tiny_model, tmp_path / "model")


def edit(folder: Path, change) -> None:
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    change(config)
    path.write_text(yaml.safe_dump(config))


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestRoundTrip:
    @pytest.mark.parametrize("text", [tiny.word, bpe])
    def test_the_same_tensors_and_the_same_words(self, make_model, tmp_path, text, tiny_samples):
        tokenizers = {"text": text(), "image": pca(tiny.SIZE, 4, components=8)}
        model = make_model(tokenizers=tokenizers, sampling=Sampling(num_steps=3, max_text=6))
        again = load(save(model, tmp_path / "model"))
        assert not again.training
        state = again.state_dict()
        assert list(state) == list(model.state_dict())
        for name, value in model.state_dict().items():
            assert torch.equal(state[name], value), name
        found, expected = (generation.complete(m, tiny_samples) for m in (again, model))
        for left, right in zip(found, expected, strict=True):
            assert torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right

    def test_half_precision_rounds_and_halves(self, tiny_model, tmp_path, tiny_samples):
        whole, half = (save(tiny_model, tmp_path / name, half=name == "half") for name in ("whole", "half"))
        sizes = [(folder / "model.safetensors").stat().st_size for folder in (whole, half)]
        assert sizes[1] < 0.6 * sizes[0]
        model = load(half)
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        for name, value in tiny_model.state_dict().items():
            expected = value.half().float() if value.is_floating_point() else value
            assert torch.equal(model.state_dict()[name], expected), name
        losses = [m.losses(m.assemble(tiny_samples))[0]["text"][0].item() for m in (tiny_model, model)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-2)

    def test_only_numbers_and_plain_yaml(self, saved):
        assert listing(saved) == ["config.yaml", "model.safetensors"]
        assert load_file(saved / "model.safetensors")
        assert "!!" not in (saved / "config.yaml").read_text()

    def test_options_are_kept(self, make_model, tmp_path):
        model = load(save(make_model(max_text=20, condition_dropout={"text": 0.25}), tmp_path / "m"))
        assert (model.max_text, model.condition_dropout) == (20, {"text": 0.25})

    def test_weights_of_another_run_come_along(self, make_model, tmp_path):
        """What was taken from `run:DIR` is in the model's own folder: it loads when the run is gone."""
        pictures = tiny.pictures(12, tiny.SIZE)
        tokenizer = ae(tiny.SIZE, 4, latent_dim=4, width=8)
        tokenizer.standardize(pictures)
        run = save(Autoencoder(tokenizer), tmp_path / "run" / "model").parent
        taken = ae(tiny.SIZE, 4, latent_dim=4, width=8, weights=f"run:{run}")
        model = make_model(tokenizers={"text": tiny.word(), "image": taken}, stirred=False)
        folder = save(model, tmp_path / "model")
        shutil.rmtree(run)
        again = load(folder).tokenizers["image"]
        assert torch.equal(again.encode(torch.stack(pictures)), tokenizer.encode(torch.stack(pictures)))

    def test_one_part(self, saved, tiny_model):
        state = part_state(saved, "tokenizers.text")
        assert list(state) == ["words"]
        assert torch.equal(state["words"], tiny_model.tokenizers["text"].words)
        with pytest.raises(UsageError, match=r"has no part 'tokenizers\.sound'"):
            part_state(saved, "tokenizers.sound")


class TestResolve:
    def test_a_model_folder_or_the_run_it_lies_in(self, saved):
        for reference in (saved, str(saved), saved.parent, f"run:{saved.parent}"):
            assert resolve(reference) == saved

    def test_nothing_there(self, tmp_path):
        with pytest.raises(UsageError, match=r"no trained model in .*nowhere.*zoo:NAME"):
            load(tmp_path / "nowhere")
        with pytest.raises(UsageError, match="zoo:no_such_model"):
            load("zoo:no_such_model")


class TestDamage:
    @pytest.mark.parametrize("keep", [0, 5, 200, -100])
    def test_a_truncated_file(self, saved, keep):
        path = saved / "model.safetensors"
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(RunError, match=r"model\.safetensors is damaged"):
            load(saved)

    @pytest.mark.parametrize("text", ["a: [", "", "just words", "dim: 3"])
    def test_a_configuration_that_is_none(self, saved, text):
        (saved / "config.yaml").write_text(text)
        with pytest.raises(RunError, match=r"config\.yaml"):
            load(saved)

    def test_weights_of_another_model(self, saved):
        edit(saved, lambda config: config["init_args"].update(depth=3))
        with pytest.raises(RunError, match=r"(?s)does not fit .*blocks\.2"):
            load(saved)
        edit(saved, lambda config: config["init_args"].update(depth=2, dim=64))
        with pytest.raises(RunError, match="does not fit"):
            load(saved)

    def test_weights_without_the_fitted_tokenizer(self, saved):
        state = load_file(saved / "model.safetensors")
        del state["tokenizers.text.words"]
        save_file(state, saved / "model.safetensors")
        with pytest.raises(RunError, match=r"(?s)does not fit .*words"):
            load(saved)


class TestSafety:
    @pytest.mark.parametrize("path", ["os.system", "torch.hub.load", "torch.utils.cpp_extension.load"])
    @pytest.mark.parametrize("part", ["whole", "block"])
    def test_a_configuration_that_would_run_code(self, saved, tmp_path, path, part):
        marker = tmp_path / "ran"
        attack = {"class_path": path, "init_args": {"command": f"touch {marker}"}}

        def plant(config):
            if part == "whole":
                config.clear()
                config.update(attack)
            else:
                config["init_args"]["block"] = attack

        edit(saved, plant)
        with pytest.raises(UsageError, match=path.replace(".", r"\.")):
            load(saved)
        assert not marker.exists()

    def test_yaml_tags_are_not_followed(self, saved, tmp_path):
        marker = tmp_path / "ran"
        (saved / "config.yaml").write_text(f'!!python/object/apply:os.system ["touch {marker}"]')
        with pytest.raises(RunError, match="is no YAML"):
            load(saved)
        assert not marker.exists()


class TestInterrupted:
    """Whatever goes wrong while saving, the model that was there is still whole, and nothing else is left."""

    def check(self, saved: Path, before: dict[str, torch.Tensor]) -> None:
        assert listing(saved.parent) == ["model"]
        for name, value in load(saved).state_dict().items():
            assert torch.equal(value, before[name])

    @pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("no space left on device")])
    @pytest.mark.parametrize("where", ["weights", "swap"])
    def test_the_old_model_is_whole(self, saved, tiny_model, monkeypatch, where, error):
        before = {name: value.clone() for name, value in tiny_model.state_dict().items()}
        with torch.no_grad():
            tiny_model.vocabulary.embedding.weight.zero_()
        rename, calls = os.rename, []

        def fail(*arguments, **options):
            raise error

        def fail_second(*arguments):
            calls.append(arguments)
            if len(calls) == 2:
                raise error
            rename(*arguments)

        with monkeypatch.context() as patched:
            if where == "weights":
                patched.setattr("mmgraph.models.saving.save_file", fail)
            else:
                patched.setattr("mmgraph.models.saving.os.rename", fail_second)
            expected = RunError if isinstance(error, OSError) else KeyboardInterrupt
            with pytest.raises(expected):
                save(tiny_model, saved)
        self.check(saved, before)

    def test_saving_again_replaces(self, saved, tiny_model):
        with torch.no_grad():
            tiny_model.vocabulary.embedding.weight.zero_()
        save(tiny_model, saved)
        self.check(saved, tiny_model.state_dict())

    def test_no_place(self, tiny_model, tmp_path):
        (tmp_path / "file").write_text("not a folder")
        with pytest.raises(RunError, match="could not be saved"):
            save(tiny_model, tmp_path / "file" / "model")

    def test_a_copied_folder_loads(self, saved, tmp_path):
        shutil.copytree(saved, tmp_path / "elsewhere" / "mine")
        assert load(tmp_path / "elsewhere" / "mine").dim == 32
