import torch
from mmgraph_template.parallel import ParallelBlock
from torch.nn import functional as F

from mmgraph.sequence import MultimodalSequence, Piece, lay_out
from mmgraph.testing import assert_conforms


def test_keeps_the_contract():
    assert_conforms("blocks", ParallelBlock)


def test_adds_attention_and_feed_forward_of_the_same_norm():
    block = ParallelBlock(num_heads=1)
    block.build(8, 0)
    layout, _ = lay_out([[(Piece(5),)]])
    hidden = torch.randn(1, 5, 8)
    read = F.rms_norm(hidden, (8,), block.norm.weight)
    query, key, value = block.query_key_value(read).chunk(3, dim=-1)
    scores = (query @ key.transpose(1, 2) / 8**0.5).masked_fill(~torch.ones(5, 5).tril().bool(), -torch.inf)
    expected = hidden + block.attention_output(scores.softmax(-1) @ value) + block.feed_forward(read)
    torch.testing.assert_close(block(hidden, MultimodalSequence(hidden, layout))[0], expected)
