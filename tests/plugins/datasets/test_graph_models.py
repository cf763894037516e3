"""Data sets of graphs through a model that reads them: fitted, trained for a step, asked and made to draw."""

from __future__ import annotations

import pytest
import torch

from mmgraph.blocks import dense
from mmgraph.connectors import linear
from mmgraph.datasets import emoji_graph, synthetic_graph
from mmgraph.errors import UsageError
from mmgraph.generation import complete
from mmgraph.graph_encoders import rgcn
from mmgraph.graph_injectors import soft_prompt
from mmgraph.graph_samplers import k_hop
from mmgraph.heads import flow, next_token
from mmgraph.models import GraphContext, UnifiedModel
from mmgraph.models.sampling import Sampling
from mmgraph.processors import single
from mmgraph.tokenizers import patch, word

DATA = {
    "synthetic_graph": lambda graph: synthetic_graph(8, num_nodes=120, graph=graph),
    "emoji_graph": lambda graph: emoji_graph(8, subgroups=["person-role"], image_size=16, graph=graph),
}


def model() -> UnifiedModel:
    torch.manual_seed(0)
    return UnifiedModel(
        single(),
        {"text": word(), "image": patch(16, 8)},
        block=dense(2),
        heads={"text": next_token(), "image": flow()},
        connectors={"image": linear()},
        graph=GraphContext(k_hop(3), soft_prompt(2), encoder=rgcn(1)),
        dim=16,
        depth=1,
        max_text=48,
        condition_dropout={"graph": 0.2, "text+graph": 0.1},
        sampling=Sampling(num_steps=2, max_text=4),
    )


@pytest.mark.parametrize("name", DATA)
def test_every_task(name):
    data, made = DATA[name](True), model()
    made.fit_tokenizers(data)
    assert made.graph.relations == list(data.graph.relations)
    batch = [data.training_sample(number) for number in range(8)]
    found, _ = made.losses(made.assemble(batch, training=True))
    sum(total for total, _ in found.values()).backward()
    assert all(p.grad.isfinite().all() for p in made.parameters() if p.grad is not None)
    samples = [data.evaluation("test", task, 1)[0] for task in ("draw", "name", "ask")]
    drawn, *said = complete(made.eval(), samples)
    assert drawn.shape == data.picture(samples[0].meta["item"]).shape
    assert all(isinstance(text, str) for text in said)


@pytest.mark.parametrize("name", DATA)
def test_without_graph_segments_a_graph_part_is_refused(name):
    with pytest.raises(UsageError, match="gives no graph segments"):
        model().fit_tokenizers(DATA[name](False))
    parts = {"heads": {"text": next_token()}, "connectors": {"image": linear()}}
    plain = UnifiedModel(single(), {"text": word(), "image": patch(16, 8)}, block=dense(2), dim=16, depth=1, **parts)
    with pytest.raises(UsageError, match="has a graph segment, but the model has no graph part"):
        plain.spans(DATA[name](True).training_sample(0), True)
