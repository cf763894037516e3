# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 13 U-Net, DiT, MM-DiT
#
# Write a diffusion transformer from scratch, count what each way of telling it the caption costs, and train five
# denoisers on the same pictures: a U-Net, three kinds of DiT and an MM-DiT.
#
# | | |
# |---|---|
# | You will learn | adaLN-zero, cross-attention, in-context tokens, joint attention; what each costs and draws |
# | You need | tutorial 10 (flow matching); attention |
# | Time | about 90 CPU-seconds on one busy core |
# | Memory | 1 GB |
# | Seed | 0; the ranges below held for seeds 0, 1 and 2 |

# %% [markdown]
# ## The idea
#
# Diffusion and flow matching need one network, the **denoiser**. It reads three things and answers with one:
#
# $$\hat x = g_\theta(x_t,\; t,\; m).$$
#
# $x_t = (1 - t)\,\varepsilon + t\,x$ is the noised picture, $t$ the time from 0 (noise) to 1 (data), and $m$ the
# **memory**: one vector for each word of the caption. $\hat x$ is its guess of the clean picture $x$.
#
# What is inside is free. A **U-Net** works with convolutions, at falling and then rising resolution. A **DiT**
# (diffusion transformer) cuts the picture in patches and treats them as tokens. The question that tells the kinds of
# DiT apart is where $t$ and $m$ enter:
#
# - **adaLN**: $t$ and $m$ become one vector, and each block makes of it the shift and scale of its layer norms;
# - **cross-attention**: after attention among patches, the patches attend to the words; $t$ still shifts and scales;
# - **in context**: $t$ and the words are further tokens in the same sequence;
# - **MM-DiT**: words and patches attend to each other in both directions, but each side has weights of its own. $t$
#   shifts and scales both.

# %%
import csv
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmgraph.datasets import shapes
from mmgraph.denoisers import dit, mmdit, unet
from mmgraph.tokenizers import pca

torch.set_num_threads(1)

# %% alt="Four stacks of boxes: the caption reaches the norms, an attention of its own, the sequence, or a stream"
PARTS = {
    "adaLN": [("norm", "t + words"), ("attention", ""), ("norm", "t + words"), ("feed-forward", "")],
    "cross-attention": [("norm", "t"), ("attention", ""), ("attend to", "words"), ("norm", "t"), ("feed-forward", "")],
    "in context": [("[t, words, patches]", ""), ("norm", ""), ("attention", ""), ("norm", ""), ("feed-forward", "")],
    "MM-DiT": [
        ("norms, 2 streams", "t + words"),
        ("joint attention", ""),
        ("norms", "t + words"),
        ("2 feed-forwards", ""),
    ],
}
figure, axes = plt.subplots(1, 4, figsize=(10, 2.6), layout="constrained")
for axis, (title, parts) in zip(axes, PARTS.items(), strict=True):
    for height, (name, told) in enumerate(parts):
        colour = "#cfe2f3" if "att" not in name else "#f9dcc4"
        axis.text(0, height, name, ha="center", va="center", fontsize=8, bbox={"boxstyle": "round", "fc": colour})
        if told:
            axis.annotate(
                told, (0.55, height), (1.15, height), va="center", fontsize=8, arrowprops={"arrowstyle": "->"}
            )
    axis.set(title=title, xlim=(-0.9, 2.0), ylim=(-0.6, 4.6))
    axis.set_axis_off()

# %% [markdown]
# ## From scratch
#
# A DiT with adaLN-zero in 49 lines. First the block. A layer norm without weights, then shift and scale from the
# condition $c$; attention; and a **gate** that says how much of the result is added:
#
# $$x \leftarrow x + g_1 \odot \mathrm{Attn}\big(\mathrm{LN}(x)(1 + s_1) + b_1\big), \qquad
#   x \leftarrow x + g_2 \odot \mathrm{FFN}\big(\mathrm{LN}(x)(1 + s_2) + b_2\big).$$
#
# All six vectors $b, s, g$ come from one linear layer on $c$. The *zero* of adaLN-zero: that layer starts at zero. So
# every gate is zero at first, and the block is the identity.


# %%
def zeroed(inputs, outputs):
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def modulated(x, shift, scale):
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


def attention(query, key, value, heads):  # (N, n, D), (N, m, D), (N, m, D)
    query, key, value = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (query, key, value))
    scores = query @ key.mT / query.shape[-1] ** 0.5  # (N, H, n, m)
    return (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.query_key_value, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU("tanh"), nn.Linear(4 * dim, dim))
        self.modulation = zeroed(dim, 6 * dim)

    def forward(self, x, condition):  # (N, n, D), (N, D)
        shift, scale, gate, shift_2, scale_2, gate_2 = self.modulation(condition)[:, None].chunk(6, -1)
        query, key, value = self.query_key_value(modulated(x, shift, scale)).chunk(3, -1)
        x = x + gate * self.out(attention(query, key, value, self.heads))
        return x + gate_2 * self.mlp(modulated(x, shift_2, scale_2))


# %% [markdown]
# Around the blocks: cut the grid in patches, add where each patch stands (sines and cosines of column and row), and
# put the patches back at the end. The time enters as sines and cosines too. The words are summed, over the root of
# their number. The output layer starts at zero as well, so a fresh DiT answers with zeros.


# %%
def waves(places, side, dim):  # (n,) to (n, D / 2)
    angles = places[:, None] * math.pi / 2 * side ** -(torch.arange(dim // 4) / (dim / 4))
    return torch.cat([angles.sin(), angles.cos()], -1)


class DiT(nn.Module):
    def __init__(self, channels, side, told_dim, dim, depth, heads, patch):
        super().__init__()
        self.patch, self.side = patch, side // patch
        self.input, self.output = nn.Linear(channels * patch**2, dim), zeroed(dim, channels * patch**2)
        row, column = torch.cartesian_prod(torch.arange(self.side), torch.arange(self.side)).T
        self.places = torch.cat([waves(column, self.side, dim), waves(row, self.side, dim)], -1)  # (n, D)
        self.time = nn.Sequential(nn.Linear(128, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.told = nn.Linear(told_dim, dim)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.last = zeroed(dim, 2 * dim)

    def forward(self, x, time, memory):  # (N, C, h, w), (N,), (N, m, d)
        s, p = self.side, self.patch
        cut = x.unflatten(3, (s, p)).unflatten(2, (s, p)).permute(0, 2, 4, 3, 5, 1)  # (N, s, s, p, p, C)
        hidden = self.input(cut.flatten(3).flatten(1, 2)) + self.places  # (N, n, D)
        angles = time[:, None] * torch.linspace(0, 6.9, 64).exp()
        time = self.time(torch.cat([angles.sin(), angles.cos()], -1))
        condition = F.silu(time + self.told(memory).sum(1) / memory.shape[1] ** 0.5)  # (N, D)
        for block in self.blocks:
            hidden = block(hidden, condition)
        hidden = self.output(modulated(hidden, *self.last(condition)[:, None].chunk(2, -1)))
        cut = hidden.unflatten(2, (p, p, -1)).unflatten(1, (s, s)).permute(0, 5, 1, 3, 2, 4)  # (N, C, s, p, s, p)
        return cut.flatten(4).flatten(2, 3)


# %% [markdown]
# At step 0 the block is the identity, exactly: not nearly, but bit for bit. And the network answers with zeros.

# %%
torch.manual_seed(0)
x, t, memory = torch.randn(5, 24, 4, 4), torch.rand(5), torch.randn(5, 4, 64)
ours = DiT(24, 4, 64, dim=64, depth=2, heads=4, patch=2)
tokens, condition = torch.randn(5, 4, 64), torch.randn(5, 64)
assert torch.equal(ours.blocks[0](tokens, condition), tokens)
assert not ours(x, t, memory).any()

# %% [markdown]
# ## The same through the plugin
#
# `mmgraph.denoisers.dit` is this network. Options go to the constructor; `build` is told the sizes of its neighbours:
# numbers per place, the grid, and the width of the memory. We move all its weights away from zero, copy them into
# ours, and both must answer the same.

# %%
theirs = dit(64, 2, num_heads=4, patch_size=2, conditioning="adaln")
theirs.build(24, (4, 4), 64)
assert torch.equal(theirs.layers[0](tokens, condition, None, None), tokens), "the identity, here as well"
with torch.no_grad():
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        own.copy_(other.add_(0.1 * torch.randn_like(other)))
torch.testing.assert_close(ours(x, t, memory), theirs(x, t, memory), rtol=1e-4, atol=1e-5)
print(f"the same answers, with {sum(weight.numel() for weight in ours.parameters()):,} parameters each")

# %% [markdown]
# ## What it costs to be told
#
# Count floating-point operations (FLOPs) of one block, for a picture of $n$ tokens, a memory of $m$ words and width
# $D$. A linear map of a token to $D$ numbers takes $2D^2$. Without any condition, a block has 12 such maps for each
# token, and attention: $24 n D^2 + 4 n^2 D$. On top of that come
#
# | way | what is added |
# |---|---|
# | adaLN | $12 D^2$, once for a picture, however long it is |
# | cross-attention | $4 n D^2$ for queries and outputs, $4 m D^2$ for keys and values, $4 n m D$ for the attention |
# | in context | a whole block for each of the $m + 1$ further tokens: $24 (m + 1) D^2$, and more attention |
#
# PyTorch can count what runs. The difference between a network of two layers and one of one layer is one block.


# %%
def flops(make, tokens, words, dim=64):
    """Return the FLOPs of one layer."""
    side, counts = math.isqrt(tokens), []
    for depth in (1, 2):
        network = make(depth)
        network.build(16, (side, side), dim)
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
            network(torch.zeros(1, 16, side, side), torch.zeros(1), torch.zeros(1, words, dim))
        counts.append(counter.get_total_flops())
    return counts[1] - counts[0]


WAYS = ("adaln", "in_context", "cross_attention")
counted = {}
print("patches  words   " + "   ".join(f"{way:>15}" for way in WAYS) + "   (MFLOP a layer; over one without condition)")
for n, m in ((256, 1), (256, 77), (16, 4), (4, 4)):
    row = [flops(lambda depth, way=way: dit(64, depth, patch_size=1, conditioning=way), n, m) for way in WAYS]
    counted[n, m] = dict(zip(WAYS, row, strict=True))
    base = 24 * n * 64**2 + 4 * n**2 * 64
    print(f"{n:7} {m:6}   " + "   ".join(f"{count / 1e6:6.2f} ({count / base - 1:+5.0%})" for count in row))
    assert counted[n, m]["adaln"] == base + 12 * 64**2
    assert counted[n, m]["cross_attention"] == base + 4 * n * 64**2 + 4 * m * 64**2 + 4 * n * m * 64

# %% [markdown]
# **What you should see.** The first row is the case of the DiT paper: 256 patches, and a class as the only word. There,
# adaLN < in context < cross-attention, as every survey repeats. The other rows say when this holds. adaLN is always
# cheapest. But in context costs less than cross-attention only if the picture is long and the caption short: without
# the attention terms, $24(m + 1) < 4n + 4m$, so $n > 5m + 6$. With 77 words, 256 patches are not enough, and with
# the few patches of a tutorial, further tokens are the dearest way.

# %%
assert counted[256, 1]["adaln"] < counted[256, 1]["in_context"] < counted[256, 1]["cross_attention"]
for n, m in ((256, 77), (16, 4), (4, 4)):
    assert counted[n, m]["adaln"] < counted[n, m]["cross_attention"] < counted[n, m]["in_context"]

# %% [markdown]
# ## Five denoisers, one world
#
# The data: one thing of two colours, two shapes and two sizes at one of nine places, on 16 x 16 pixels. A picture
# becomes a grid of 4 x 4 vectors: the 24 leading principal components of each square of 4 x 4 pixels
# (`mmgraph.tokenizers.pca`). The memory has four vectors: a learned one for the colour, the shape, the size and the
# place. Nothing else is told, so offset and shade are left open.

# %%
world = shapes(image_size=16, num_scenes=3000, max_objects=1, num_colours=2, num_shapes=2, world_seed=1)
tokenizer = pca(16, 4, components=24, whitening=0.5)
tokenizer.fit(torch.stack([world.picture(item) for item in world.items("train")]))
ATTRIBUTES = ("colour", "shape", "size", "place")
NUMBER = {
    word: number
    for number, word in enumerate(
        sorted({getattr(scene.things[0], name) for scene in world.scenes for name in ATTRIBUTES})
    )
}


def grids(items):
    """Return pictures of scenes as (N, 24, 4, 4)."""
    return tokenizer.encode(torch.stack([world.picture(item) for item in items])).mT.unflatten(2, (4, 4))


def words(items):
    """Return the numbers of the four words of each scene, (N, 4)."""
    return torch.tensor(
        [[NUMBER[getattr(world.scenes[item].things[0], name)] for name in ATTRIBUTES] for item in items]
    )


TRAIN, TEST = world.items("train"), world.items("test")[:200]
X, WORDS, X_TEST, WORDS_TEST = grids(TRAIN), words(TRAIN), grids(TEST), words(TEST)
print(len(TRAIN), "training pictures; grid", tuple(X.shape[1:]), "; words:", *NUMBER)

# %% [markdown]
# All five learn by flow matching with the data as target (tutorial 10): the error of $\hat x$, weighted by
# $1 / \max(1 - t, 0.1)^2$. Drawing takes 12 steps.


# %%
class Painter(nn.Module):
    """A denoiser and its words."""

    def __init__(self, denoiser):
        super().__init__()
        denoiser.build(24, (4, 4), 64)
        self.denoiser, self.words = denoiser, nn.Embedding(len(NUMBER), 64)

    def forward(self, x, time, words):
        return self.denoiser(x, time, self.words(words))


def noised(x, time):
    time = time[:, None, None, None]
    return (1 - time) * torch.randn_like(x) + time * x


def loss(painter, x, words):
    time = torch.randn(len(x)).sigmoid()
    error = (painter(noised(x, time), time, words) - x).square().mean((1, 2, 3))
    return (error / (1 - time).clamp_min(0.1) ** 2).mean()


def train(make, steps, seed, rate=2e-3):
    """Return a trained painter, its CPU-seconds and its training losses."""
    torch.manual_seed(seed)
    painter, losses = Painter(make()), []
    adam = torch.optim.Adam(painter.parameters(), rate, betas=(0.9, 0.98), fused=True)
    plan = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: min((step + 1) / 20, 1, 1.5 * (1 - step / steps)))
    start = time.process_time()
    for _ in range(steps):
        chosen = torch.randint(len(X), (64,))
        found = loss(painter, X[chosen], WORDS[chosen])
        adam.zero_grad()
        found.backward()
        nn.utils.clip_grad_norm_(painter.parameters(), 1.0)
        adam.step()
        plan.step()
        losses.append(found.item())
    return painter.eval().requires_grad_(False), time.process_time() - start, losses


def draw(painter, words, calls=12, told=lambda time: time):
    """Return pictures, uint8 (N, 3, 16, 16). `told` is for breaking it below."""
    torch.manual_seed(5)
    x = torch.randn(len(words), 24, 4, 4)
    for call in range(calls):
        now = torch.full((len(words),), call / calls)
        x = x + (painter(x, told(now), words) - x) / (calls - call)  # a step towards the estimate
    return tokenizer.decode(x.flatten(2).mT)


def marks(pictures):
    """Return attribute -> share of drawings of the first test scenes that show it, by the oracle."""
    found = [world.check(item, picture) for item, picture in zip(TEST, pictures, strict=False)]
    return {name: sum(each[name] for each in found) / len(found) for name in (*ATTRIBUTES, "all")}


def held_out(painter):
    """Return the loss on test pictures; noise and times are the same at every call."""
    torch.manual_seed(9)
    return loss(painter, X_TEST, WORDS_TEST).item()


# %% [markdown]
# The four transformers have width 64, two layers and patches of 2 x 2 places, so four tokens. They get the same number
# of steps. A step of the U-Net takes about six times as long, so it gets fewer: about the same time. `chance` is a
# random real picture in place of a drawing: it draws perfectly and does not listen.

# %%
STEPS, UNET_STEPS, JUDGED = 300, 80, 96
KINDS = {
    "U-Net": lambda: unet((32, 64), 1, num_heads=4),
    "adaLN": lambda: dit(64, 2, patch_size=2),
    "cross-attention": lambda: dit(64, 2, patch_size=2, conditioning="cross_attention"),
    "in context": lambda: dit(64, 2, patch_size=2, conditioning="in_context"),
    "MM-DiT": lambda: mmdit(64, 2, patch_size=2),
}
painters, losses, sheets, scores, held = {}, {}, {}, {}, {}
print("denoiser          steps   CPU-s   parameters   held-out loss   " + "   ".join((*ATTRIBUTES, "all")))
for name, make in KINDS.items():
    steps = UNET_STEPS if name == "U-Net" else STEPS
    painters[name], seconds, losses[name] = train(make, steps, seed=0)
    sheets[name] = draw(painters[name], WORDS_TEST[:JUDGED])
    scores[name], held[name] = marks(sheets[name]), held_out(painters[name])
    size = sum(weight.numel() for weight in painters[name].parameters())
    shown = "".join(f"{scores[name][key]:>{len(key) + 3}.2f}" for key in scores[name])
    print(f"{name:16} {steps:6} {seconds:7.1f} {size:12,} {held[name]:15.2f}{shown}")
chance = marks([world.picture(item) for item in TRAIN[:JUDGED]])
print(f"{'chance':60}" + "".join(f"{chance[key]:>{len(key) + 3}.2f}" for key in chance))

# %% alt="Drawings of eight captions by the five denoisers: MM-DiT clean things, the U-Net and in context blots"
rows = {"real": torch.stack([world.picture(item) for item in TEST[:8]])} | {
    name: sheet[:8] for name, sheet in sheets.items()
}
figure, axes = plt.subplots(len(rows), 1, figsize=(6.5, 5), layout="constrained")
for axis, (title, pictures) in zip(axes, rows.items(), strict=True):
    axis.imshow(pictures.permute(2, 0, 3, 1).reshape(16, -1, 3), interpolation="nearest")
    axis.set_ylabel(title, rotation=0, ha="right", va="center")
    axis.set(xticks=[], yticks=[])
captions = [
    " ".join(getattr(world.scenes[item].things[0], name) for name in ("size", "colour", "shape")) for item in TEST[:8]
]
places = [world.scenes[item].things[0].place for item in TEST[:8]]
axes[-1].set_xticks(
    [8 + 16 * k for k in range(8)],
    [f"{a.replace(' ', chr(10))}\n{b}" for a, b in zip(captions, places, strict=True)],
    fontsize=7,
)

# %% [markdown]
# **What you should see.** With three seeds, in about 8 CPU-seconds each (the U-Net: 12):
#
# - **MM-DiT** draws more than half with everything right. It is the largest transformer, and the only one in which the
#   words change on the way.
# - **Cross-attention** (0.29 to 0.35) and **adaLN** (0.18 to 0.30) get about half as many. Cross-attention puts things
#   in their place (0.80 to 0.98) sooner than adaLN (0.48 to 0.67), which hears a sum of all words.
# - **In context** hears the place and draws badly: below 0.1. Its time comes as a token too, and attention has to find
#   it first; shifts and gates cannot say it.
# - The **U-Net** has not heard the caption yet. 80 steps are few: a convolution on a small grid needs far more seconds
#   per FLOP than a product of matrices. In 150 steps and 20 CPU-seconds it got 0.38 (one seed).
#
# So the order depends on what you hold equal. At equal seconds, transformers win here. At equal steps (150, one seed)
# the U-Net was ahead of transformers with patches of one place, which had 0.03 to 0.18. Nothing here says which is best
# when all are trained to the end.

# %%
every = {name: scores[name]["all"] for name in KINDS}
assert every["MM-DiT"] > 0.35  # measured: 0.54 and more
assert every["MM-DiT"] > max(every["cross-attention"], every["adaLN"]) + 0.05
assert 0.18 < every["cross-attention"] < 0.5  # measured: 0.29 to 0.35
assert 0.08 < every["adaLN"] < 0.45  # measured: 0.18 to 0.30
assert max(every["in context"], every["U-Net"]) < 0.2  # measured: up to 0.09
assert scores["cross-attention"]["place"] > scores["adaLN"]["place"]
assert scores["U-Net"]["place"] < 0.35

# %% [markdown]
# **Where is the difference made?** Look at the error of the guess at single times, without a weight, on test
# pictures. At $t = 0$ there is only noise, and the guess is made from the caption alone.

# %% alt="Error against time: MM-DiT lowest at t = 0, in context and the U-Net highest, all fall as t grows"
TIMES = (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)


def errors(painter):
    """Return the mean squared error of the guess at each of `TIMES`, on test pictures."""
    found = []
    for now in TIMES:
        torch.manual_seed(9)
        t = torch.full((len(X_TEST),), now)
        found.append((painter(noised(X_TEST, t), t, WORDS_TEST) - X_TEST).square().mean().item())
    return found


figure, axis = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
by_time = {name: errors(painter) for name, painter in painters.items()}
for name, found in by_time.items():
    axis.plot(TIMES, found, marker="o", label=name)
axis.set(xlabel="time t (0 noise, 1 data)", ylabel="squared error of the guess", yscale="log")
axis.legend()
print("error at t = 0:", {name: round(found[0], 2) for name, found in by_time.items()})

# %% [markdown]
# At $t = 0$ only the caption can help, and there the denoisers differ: about 0.65 (MM-DiT), 0.87 (cross-attention),
# 0.97 (adaLN), 1.07 (in context), 1.2 (U-Net). 1 is what zeros get. At $t = 0.95$ the picture is nearly there, and
# adaLN, cross-attention and MM-DiT have the same error. The loss weighs late times most, so it nearly hides what the
# drawings show: held-out, adaLN is a little *better* than cross-attention in each of three seeds (1.16 against 1.18).
# **Look at early times when you compare how well networks listen.**

# %%
heard = {name: found[0] for name, found in by_time.items()}
assert heard["MM-DiT"] < heard["cross-attention"] < heard["adaLN"] < heard["U-Net"]
late = [by_time[name][-1] for name in ("adaLN", "cross-attention", "MM-DiT")]
assert max(late) < 1.3 * min(late)  # measured: 0.071 to 0.076

# %% [markdown]
# **Is my loss normal?** A fresh network answers with zeros, so the first loss is the data's own variance, 1, times the
# mean weight, about 9. It falls below 3 within a hundred steps, and then slowly. It cannot reach zero: offset and shade
# are not told.

# %%
for name, curve in losses.items():
    print(f"{name:16} first {sum(curve[:5]) / 5:5.2f}   last {sum(curve[-20:]) / 20:5.2f}")
    assert 6 < sum(curve[:5]) / 5 < 13
    assert sum(curve[-20:]) / 20 < 3.5

# %% [markdown]
# ## From YAML
#
# In mmgraph a denoiser stands beside the body, in the head `denoising`. The body is the text encoder: it reads the
# caption and hands its hidden states on as the memory. The recipe `mmdit` is Stable Diffusion 3 in miniature. A second
# file changes sizes, so that it fits this page. To train another denoiser, change `class_path` and its options.

# %%
SMALL = """
model:
  init_args:
    dim: 64
    tokenizers:
      text: {class_path: mmgraph.tokenizers.word}
      image:
        class_path: mmgraph.tokenizers.pca
        init_args: {image_size: "${data.init_args.image_size}", patch_size: 4, components: 24, whitening: 0.5}
    heads:
      image:
        class_path: mmgraph.heads.denoising
        init_args:
          denoiser:                             # the network
            class_path: mmgraph.denoisers.mmdit
            init_args: {width: 64, depth: 2, num_heads: 4, patch_size: 2}
          objective:                            # what it learns
            class_path: mmgraph.heads.flow
data:
  init_args: {batch_size: 64, image_size: 16, num_scenes: 3000, num_colours: 2, num_shapes: 2}
trainer: {max_steps: 100, log_every_n_steps: 10}
"""
folder = Path(tempfile.mkdtemp(prefix="denoisers-"))
(folder / "small.yaml").write_text(SMALL)


def run_mmgraph(*arguments):
    """Run a command as in a terminal and return what it prints."""
    command = [sys.executable, "-m", "mmgraph", *arguments]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


print("mmgraph fit -c mmdit -c small.yaml --run run")
print(run_mmgraph("fit", "-c", "mmdit", "-c", "small.yaml", "--run", "run"))

# %% alt="Left, the loss falls over 100 steps; right, four drawings from captions, still blots"
from mmgraph import generation, models

with (folder / "run" / "logs" / "metrics.csv").open() as file:
    log = [(int(line["step"]), float(line["train_image"])) for line in csv.DictReader(file) if line.get("train_image")]
model = models.load(folder / "run")
asked = world.evaluation("test", "draw", 4)
drawn = generation.draw(model, [sample.meta["caption"] for sample in asked])

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 2.4), width_ratios=(1, 2), layout="constrained")
left.plot(*zip(*log, strict=True))
left.set(xlabel="step", ylabel="loss", yscale="log")
right.imshow(drawn.permute(2, 0, 3, 1).reshape(16, -1, 3), interpolation="nearest")
right.set(xticks=[8, 24, 40, 56], yticks=[])
right.set_xticklabels([sample.meta["caption"].replace(" at ", "\nat ") for sample in asked], fontsize=7)

# %% [markdown]
# **What you should see.** The loss falls, and the drawings are still blots. Here the denoiser is told ten hidden states
# of a text encoder that learns along. Half of them are the same for every caption, and the word for the place is not
# always at the same position. That takes longer than four clean vectors: after 250 steps, when the MM-DiT above drew
# half of its pictures right, this model still drew none. A recipe therefore takes more steps than this page.

# %%
early, later = (sum(value for _, value in part) / len(part) for part in (log[:2], log[-2:]))
print(f"loss {early:.2f} at first, {later:.2f} at last")
assert later < 0.7 * early

# %% [markdown]
# ## Break it
#
# **Words that do not know where they stand.** Our memory had one word of each kind, so the order did not matter. A
# caption of two things is different: "red square, blue ring" and "blue square, red ring" have the same words. Ask all
# five trained denoisers.


# %%
def both_orders(painter, memory):
    """Return the answers to a memory (1, m, d) and to the same vectors in another order."""
    torch.manual_seed(3)
    x, t, other = torch.randn(1, 24, 4, 4), torch.tensor([0.5]), torch.tensor([2, 1, 0, 3])
    return painter.denoiser(x, t, memory), painter.denoiser(x, t, memory[:, other])


two_things = torch.tensor([[NUMBER[word] for word in ("red", "square", "green", "ring")]])
for name, painter in painters.items():
    one, swapped = both_orders(painter, painter.words(two_things))
    torch.testing.assert_close(one, swapped, rtol=1e-3, atol=1e-4)
    print(f"{name:16} red square, green ring = green square, red ring")

# %% [markdown]
# No training can help: a sum and an attention over the memory give the same answer in every order. The vectors
# themselves must say where their words stand, which is what a text encoder is for. In mmgraph it is the body. Here,
# adding anything that differs by place is enough to tell the two captions apart; but adaLN still sums:

# %%
PLACES = 0.5 * torch.randn(1, 4, 64, generator=torch.Generator().manual_seed(0))
for name, painter in painters.items():
    vectors = painter.words(two_things)
    torch.manual_seed(3)
    x, t, other = torch.randn(1, 24, 4, 4), torch.tensor([0.5]), torch.tensor([2, 1, 0, 3])
    one, swapped = painter.denoiser(x, t, vectors + PLACES), painter.denoiser(x, t, vectors[:, other] + PLACES)
    print(f"{name:16} with places, the answers differ by {(one - swapped).abs().max():.3f}")
    if name == "adaLN":
        torch.testing.assert_close(one, swapped, rtol=1e-3, atol=1e-4)
    else:
        assert (one - swapped).abs().max() > 0.003  # measured: 0.03 and more

# %% [markdown]
# A sum of word + place is the sum of the words plus the sum of the places, in any order. A text encoder has to *mix*
# words before they are summed, so that the vector of "square" already knows that it is red.
#
# **The wrong time.** Draw with the trained networks, but tell them a wrong time at each step.

# %%
WRONG = {
    "the right time": lambda t: t,
    "always 0.9": lambda t: t * 0 + 0.9,
    "always 0.1": lambda t: t * 0 + 0.1,
    "1 - t": lambda t: 1 - t,
}
told_wrong = {}
print("share of drawings with everything right   " + "   ".join(WRONG))
for name in ("adaLN", "cross-attention", "MM-DiT"):
    told_wrong[name] = [marks(draw(painters[name], WORDS_TEST[:JUDGED], told=told))["all"] for told in WRONG.values()]
    print(
        f"{name:41}"
        + "".join(f"{value:>{len(way) + 3}.2f}" for way, value in zip(WRONG, told_wrong[name], strict=True))
    )

# %% [markdown]
# Told 0.9 always, that the picture is nearly done, adaLN and MM-DiT fail: they keep what they see, and at first they
# see noise. Cross-attention still draws 0.21 in place of 0.35 (one seed). Told 0.1 always, or even $1 - t$, exactly
# backwards, MM-DiT draws nearly as well as with the right time. A network that guesses the *clean picture* can see for
# itself how noisy its input is; and the last steps, in which it is told that all is noise, repair what the first ones
# kept. So a test with a wrong time may well *pass* where there is a bug: try several.

# %%
for name in ("adaLN", "MM-DiT"):
    assert told_wrong[name][1] < 0.3 * told_wrong[name][0]  # measured: 0.00 to 0.02
assert told_wrong["MM-DiT"][2] > 0.6 * told_wrong["MM-DiT"][0]  # measured: 0.9 to 1.1 times
assert told_wrong["MM-DiT"][3] > 0.6 * told_wrong["MM-DiT"][0]  # measured: 0.9 to 1.0 times

# %% [markdown]
# ## Exercises
#
# **1. Joint attention by hand.** Write one layer of MM-DiT as a function of the weights of the plugin's layer, and
# check that it is equal. Its two streams are `layer.picture` and `layer.prompt`; each has `modulation`, `projection`
# (queries, keys and values), `attention_output` and `mlp`.

# %% tags=["solution"]
denoiser = mmdit(64, 3, patch_size=2)
denoiser.build(24, (4, 4), 64)
layer = denoiser.layers[0]
with torch.no_grad():
    for weight in layer.parameters():
        weight.add_(0.1 * torch.randn_like(weight))


def joint(layer, picture, prompt, condition):
    streams = ((layer.picture, picture), (layer.prompt, prompt))
    tables = [part.modulation(condition)[:, None].chunk(6, -1) for part, _ in streams]
    read = [
        part.projection(modulated(x, *table[:2])).chunk(3, -1) for (part, x), table in zip(streams, tables, strict=True)
    ]
    query, key, value = (torch.cat(both, 1) for both in zip(*read, strict=True))  # (N, n + m, D)
    mixed = attention(query, key, value, layer.num_heads).split([picture.shape[1], prompt.shape[1]], 1)
    found = []
    for (part, x), table, gathered in zip(streams, tables, mixed, strict=True):
        x = x + table[2] * part.attention_output(gathered)
        found.append(x + table[5] * part.mlp(modulated(x, *table[3:5])))
    return found


prompt = torch.randn(5, 3, 64)
for own, other in zip(joint(layer, tokens, prompt, condition), layer(tokens, prompt, condition, None), strict=True):
    torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-4)
print("1. the same picture and the same prompt after one joint layer")

# %% [markdown]
# **2. When is in context cheaper?** For 64 patches, find the longest memory for which in context costs less than
# cross-attention, with `flops`. What does $n > 5m + 6$ say? Who is right, and why not the other?

# %% tags=["solution"]
longest = 0
for m in range(1, 20):
    context, cross = (
        flops(lambda depth, way=way: dit(64, depth, patch_size=1, conditioning=way), 64, m) for way in WAYS[1:]
    )
    if context < cross:
        longest = m
print("2. cheaper up to", longest, "words; the rule says", (64 - 7) // 5)
# The rule leaves out attention. Further tokens attend and are attended to, (n + m + 1)^2 in place of n^2, which is more
# than the n m of cross-attention; so the true border lies lower.
assert longest <= (64 - 7) // 5

# %% [markdown]
# **3. Without the zero.** Train `adaLN` once more, but give all its linear layers PyTorch's usual start. Compare the
# first loss, the last loss and the marks.


# %% tags=["solution"]
class Plain(dit):
    """A DiT that starts anywhere."""

    def build(self, channels, grid, memory_dim):
        """Create the parameters, and give each linear layer its usual start."""
        super().build(channels, grid, memory_dim)
        for part in self.modules():
            if isinstance(part, nn.Linear):
                part.reset_parameters()


plain, _, curve = train(lambda: Plain(64, 2, patch_size=2), STEPS, seed=0)
plain_marks = marks(draw(plain, WORDS_TEST[:JUDGED]))
plain_errors = errors(plain)
for name, first, last, error, found in (
    ("zero", sum(losses["adaLN"][:10]) / 10, held["adaLN"], heard["adaLN"], scores["adaLN"]),
    ("plain", sum(curve[:10]) / 10, held_out(plain), plain_errors[0], plain_marks),
):
    print(
        f"3. {name:5} loss {first:5.2f} at first, {last:.2f} held out   at t = 0 {error:.2f}   all {found['all']:.2f}"
    )
# The first guesses are wrong in place of zero, and the loss does not make up for that in 300 steps. But this network
# hears its caption sooner: the error at t = 0 is lower, and it draws as well or better. With the zero, the caption has
# to open the gates before it is heard. That is a price, and at two layers it buys nothing. The zero was made for
# networks of 28 layers, where each layer that starts at random disturbs all the next.
assert sum(curve[:10]) > sum(losses["adaLN"][:10]) + 10  # measured: a mean of 12.5 to 13.9 against 8.8 to 10.1
assert held_out(plain) > held["adaLN"]
assert plain_errors[0] < heard["adaLN"]  # measured: 0.82 to 0.91 against 0.96 to 1.02

# %% [markdown]
# ## Recap
#
# - A denoiser reads the noised picture, the time and the memory. Kinds of DiT differ in where the last two enter.
# - adaLN-zero: shifts, scales and gates are made of the condition and start at zero, so a fresh block is the identity.
# - adaLN is cheapest, always. In context is cheaper than cross-attention only if $n > 5m + 6$.
# - Equal FLOPs, equal steps and equal seconds are three different comparisons. Say which one you made.
# - No denoiser knows the order of the words, unless the vectors of the memory do. adaLN sees their sum only.
#
# | Where is ... | |
# |---|---|
# | the DiT, in three kinds | `mmgraph.denoisers.dit` |
# | the MM-DiT | `mmgraph.denoisers.mmdit` |
# | the U-Net | `mmgraph.denoisers.unet`, around diffusers' `UNet2DConditionModel` |
# | what joins a denoiser to a body | `mmgraph.heads.denoising` |
# | the contract, for your own | `mmgraph.denoisers.Denoiser`; `mmgraph plugins new denoisers NAME` |
#
# **Your own data.** Use a recipe (`dit`, `pixart`, `mmdit`, `ddpm_unet`), set `image_size` and
# `data.class_path: mmgraph.datasets.folder`. [Choose a denoiser](../choose/denoiser.md) has the rest.
#
# **How long on my laptop?** The five trainings of this page are under a minute together. The recipes have twice the
# width and depth, and four colours and shapes; each says its time.
#
# ## References
#
# - Ho et al., *Denoising Diffusion Probabilistic Models*, 2020 (arXiv 2006.11239), for the U-Net.
# - Rombach et al., *High-Resolution Image Synthesis with Latent Diffusion Models*, 2022 (arXiv 2112.10752).
# - Peebles and Xie, *Scalable Diffusion Models with Transformers*, 2023 (arXiv 2212.09748).
# - Chen et al., *PixArt-alpha*, 2023 (arXiv 2310.00426).
# - Esser et al., *Scaling Rectified Flow Transformers for High-Resolution Image Synthesis*, 2024 (arXiv 2403.03206).
# - *Multi-modal Generative AI: Multi-modal LLMs, Diffusions, and the Unification* (arXiv 2409.14993), section III-B.
#
# ## Next
#
# [20 One transformer, two losses](20_one_transformer_two_losses.md) puts the denoiser into the language model itself.
