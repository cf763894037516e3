from __future__ import annotations

import copy

import pytest
import torch
from lightning import Trainer

from mmgraph.blocks import dense, gated_cross_attention
from mmgraph.errors import UsageError
from mmgraph.heads import next_token
from mmgraph.models import EMA, Stage, StartFrom, UnifiedModel, load, save
from mmgraph.models.stages import Stages
from mmgraph.models.warm_start import start
from mmgraph.processors import single
from mmgraph.testing.stand_ins import Codes
from mmgraph.tokenizers import byte, patch, word
from tests import tiny
from tests.evaluation.world import Squares


def names(module, learning):
    return {name.split(".")[0] for name in learning}


class TestStages:
    """Which parameters learn when."""

    def test_patterns_cover_what_is_below_them(self):
        model = tiny.model()
        found = Stages([Stage(3, ["connectors"]), Stage(train=["blocks.*.down", "heads.image"])], model)
        assert found.learning[0] == {n for n, _ in model.named_parameters() if n.startswith("connectors.")}
        expected = {n for n, _ in model.named_parameters() if n.startswith("heads.image.") or ".down." in n}
        assert found.learning[1] == expected
        assert [found.at(step) for step in (0, 2, 3, 99)] == [0, 0, 1, 1]

    def test_star_leaves_alone_what_a_part_froze(self):
        model = tiny.model()
        model.vocabulary.requires_grad_(False)
        assert "vocabulary" not in names(model, Stages([Stage()], model).learning[0])
        assert names(model, Stages([Stage(train=["vocabulary"])], model).learning[0]) == {"vocabulary"}

    def test_freeze_wins(self):
        model = tiny.model()
        assert "blocks" not in names(model, Stages([Stage(freeze=["blocks"])], model).learning[0])

    @pytest.mark.parametrize(
        ("stages", "message"),
        [
            ([Stage(train=["conectors"])], "'conectors', which has no parameters.*connectors"),
            ([Stage(train=["blocks"], freeze=["blocks"])], "stage 1 trains nothing"),
            ([Stage(), Stage()], "stage 2 never starts"),
        ],
    )
    def test_refuses(self, stages, message):
        with pytest.raises(UsageError, match=message):
            Stages(stages, tiny.model())

    def test_training_moves_only_what_learns(self, tmp_path):
        model = tiny.model(
            tokenizers={"text": byte(), "image": patch(8, 4)},
            stages=[Stage(2, ["connectors", "positions"]), Stage(train=["heads"])],
        )
        before = copy.deepcopy(model.state_dict())
        seen = []

        class Watch(EMA):
            def on_train_batch_end(self, trainer, pl_module, *rest):
                super().on_train_batch_end(trainer, pl_module, *rest)
                now = pl_module.state_dict()
                seen.append({n.split(".")[0] for n in now if not torch.equal(now[n], before[n])})

        trainer = Trainer(
            max_steps=4, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=tmp_path, callbacks=[Watch(0.5)],
        )  # fmt: skip
        data = Squares()
        trainer.fit(model, datamodule=data)
        assert [s - {"heads"} for s in seen] == [{"connectors", "positions"}] * 4
        assert [("heads" in s) for s in seen] == [False, False, True, True]
        after = model.state_dict()
        assert any(not torch.equal(after[n], before[n]) for n in after if n.startswith("heads"))  # the average too
        assert all(torch.equal(after[n], before[n]) for n in after if n.startswith("blocks"))


class TestTasks:
    """A stage's own mixture of tasks is a function of the sample's number."""

    def test_stream_changes_at_the_stage(self):
        data = Squares({"draw": 1, "name": 1})
        data.schedule_tasks([(0, {"draw": 1}), (5, {"name": 1})])
        tasks = [data.training_sample(number).task for number in range(40)]
        assert tasks == ["draw"] * 20 + ["name"] * 20

    def test_unknown_task_is_refused(self):
        with pytest.raises(UsageError, match="tasks of Squares are"):
            Squares().schedule_tasks([(0, {"dance": 1})])


class TestStartFrom:
    """Weights of other runs, part by part."""

    def saved(self, tmp_path, **options):
        other = tiny.model(**options)
        save(other, tmp_path / "other")
        return other, f"run:{tmp_path / 'other'}"

    def fresh(self, *starts, **options):
        template = tiny.model(**options)
        arguments = dict(template._arguments, start_from=list(starts))
        arguments["tokenizers"] = {**arguments["tokenizers"], "text": word()}
        torch.manual_seed(1)
        return UnifiedModel(**arguments)

    def test_takes_the_fitted_vocabulary_and_every_weight(self, tmp_path):
        other, origin = self.saved(tmp_path)
        model = self.fresh(StartFrom(origin))
        model.configure_model()
        assert all(torch.equal(model.state_dict()[n], v) for n, v in other.state_dict().items())

    def test_one_part_under_another_name(self, tmp_path):
        other, origin = self.saved(tmp_path)
        model = self.fresh(
            StartFrom(origin, "tokenizers"),
            StartFrom(origin, "blocks.*.inner", "blocks.*"),
            block=gated_cross_attention(dense(4), 4),
        )
        model.configure_model()
        for n, v in other.blocks[1].state_dict().items():
            assert torch.equal(model.blocks[1].inner.state_dict()[n], v)
        assert not torch.equal(model.vocabulary.embedding.weight, other.vocabulary.embedding.weight)

    def test_is_not_written_with_the_model(self, tmp_path):
        _, origin = self.saved(tmp_path)
        model = self.fresh(StartFrom(origin))
        model.configure_model()
        save(model, tmp_path / "mine")
        assert "other" not in (tmp_path / "mine" / "config.yaml").read_text()
        assert load(tmp_path / "mine").start_from == []

    @pytest.mark.parametrize(
        ("origin_options", "options", "message"),
        [
            ({"part": "experts"}, {}, "nothing called like 'experts'"),
            ({"part": "blocks"}, {"dim": 48}, r"is \(.*48.*\) here and \(.*32.*\)"),
        ],
    )
    def test_refuses(self, tmp_path, origin_options, options, message):
        _, origin = self.saved(tmp_path)
        model = self.fresh(StartFrom(origin, "tokenizers"), StartFrom(origin, **origin_options), **options)
        with pytest.raises(UsageError, match=message):
            model.configure_model()

    def test_new_codes_come_after_the_old(self, tmp_path):
        text_only = {"processor": single(["text"], []), "heads": {"text": next_token()}, "connectors": {}}
        other, origin = self.saved(tmp_path, **text_only)
        model = tiny.model(
            processor=single(continuous=[]), tokenizers={"text": other.tokenizer("text"), "image": Codes()},
            heads={"text": next_token()}, connectors={},
        )  # fmt: skip
        start(model, [StartFrom(origin, "vocabulary")])
        known = other.vocabulary.embedding.weight
        assert torch.equal(model.vocabulary.embedding.weight[: len(known)], known)
        swapped = tiny.model(
            processor=single(continuous=[]), tokenizers={"image": Codes(), "text": other.tokenizer("text")},
            heads={"text": next_token()}, connectors={},
        )  # fmt: skip
        with pytest.raises(UsageError, match="name those tokenizers first"):
            start(swapped, [StartFrom(origin, "vocabulary")])
