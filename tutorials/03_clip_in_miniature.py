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
# # 03 CLIP in miniature
#
# Train two small encoders, one for pictures and one for captions, until each picture finds its own caption among a
# hundred; then use them as a classifier that nobody trained, and find out what they do not understand.
#
# | | |
# |---|---|
# | You will learn | the contrastive loss, temperature, negatives, retrieval, zero-shot classes, binding |
# | You need | tutorial 01; cross-entropy; what a transformer layer takes and gives (tutorial 02) |
# | Time | about 70 CPU-seconds on one core, no GPU |
# | Memory | 1.2 GB |
# | Seed | 0; the ranges below held for seeds 0, 1 and 2 |

# %% [markdown]
# ## The idea
#
# A classifier needs labels. The web has few labels and very many pictures with a sentence beside them. CLIP
# (contrastive language-image pre-training) makes a task of that: **which sentence belongs to which picture?**
#
# Take a batch of $N$ pictures with their captions. A picture encoder gives a unit vector $u_i$ for picture $i$, a text
# encoder a unit vector $v_j$ for caption $j$. Their dot product $u_i \cdot v_j$ is the cosine of the angle between
# them, from -1 to 1. Times a scale $s$ it is a score, and there are $N \times N$ scores. Each row is a classification
# with $N$ classes, whose right answer is on the diagonal; so is each column. The loss, called InfoNCE, is the mean of
# both:
#
# $$ L = -\frac{1}{2N}\sum_{i=1}^{N}\left[
#    \log\frac{e^{s\,u_i\cdot v_i}}{\sum_j e^{s\,u_i\cdot v_j}} +
#    \log\frac{e^{s\,u_i\cdot v_i}}{\sum_j e^{s\,u_j\cdot v_i}} \right]. $$
#
# The other captions of the batch are the **negatives**. $1/s$ is the **temperature**; $s$ is learned, and starts at
# $1/0.07$. With scores that say nothing, $L = \ln N$.

# %%
import copy
import itertools
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph import models
from mmgraph.datasets import shapes
from mmgraph.evaluation.statistics import mean_interval

torch.set_num_threads(1)
SEED = 0
began = time.process_time()
work = Path(tempfile.mkdtemp(prefix="clip-"))

# %% [markdown]
# The pictures are scenes of the shapes world with one thing each. The protocol is `compositional`: seven pairs of
# colour and shape occur in test scenes only. Colours and shapes are known from training, these pairs are
# not. We keep a hundred test pictures whose captions all differ.

# %% alt="Eight pictures of one thing each with their captions beside them; none of these pairs of colour and shape is in the training pictures"
world = shapes(64, {"draw": 1}, protocol="compositional", image_size=24, num_scenes=6000, max_objects=1)
train_pictures = torch.stack([world.picture(item) for item in world.items("train")])  # (n, 3, 24, 24) uint8
train_texts = [world.identity(item) for item in world.items("train")]
held_out = {world.identity(item): world.picture(item) for item in world.items("test")}  # one picture per caption
test_texts = list(held_out)[:100]
test_pictures = torch.stack([held_out[text] for text in test_texts])
assert not set(train_texts) & set(test_texts)
print(f"{len(train_texts):,} training pictures, {len(set(train_texts))} captions; {len(test_texts)} test pictures")

figure, axes = plt.subplots(2, 4, figsize=(9, 3.6), layout="constrained")
for axis, picture, text in zip(axes.flat, test_pictures, test_texts, strict=False):
    axis.imshow(picture.permute(1, 2, 0))
    axis.set_title(text.replace(" at ", "\nat "), fontsize=8)
    axis.set_axis_off()

# %% [markdown]
# ## From scratch
#
# The loss has four lines: the labels of a row of scores are 0, 1, 2, ...; cross-entropy of the rows and of the columns.
#
# Both encoders are the same small transformer. The picture encoder (a ViT, vision transformer) cuts the picture into 16
# patches of 6 x 6 pixels, reads them all at once, and takes the mean over patches. The text encoder reads words from
# left to right, and takes what stands at a last, added word, which has read all others. A linear layer brings both
# into one space of 32 numbers.


# %%
def info_nce(pictures: Tensor, texts: Tensor, scale: Tensor | float) -> Tensor:
    scores = scale * pictures @ texts.T  # (N, N)
    own = torch.arange(len(scores))
    return (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2


def transformer(dim: int, depth: int) -> nn.Module:
    layer = nn.TransformerEncoderLayer(dim, 4, 4 * dim, 0.0, "gelu", batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, depth, nn.LayerNorm(dim), enable_nested_tensor=False)


def projection(dim: int, shared: int) -> nn.Module:
    return nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, shared, bias=False))


class PictureEncoder(nn.Module):
    def __init__(self, size: int = 24, patch: int = 6, dim: int = 64, depth: int = 2, shared: int = 32) -> None:
        super().__init__()
        self.patch = patch
        self.embedding = nn.Linear(3 * patch**2, dim)
        self.places = nn.Parameter(0.5 * torch.randn((size // patch) ** 2, dim))
        self.layers, self.projection = transformer(dim, depth), projection(dim, shared)

    def forward(self, pictures: Tensor) -> Tensor:  # (N, 3, S, S) uint8 to (N, shared)
        patches = F.unfold(pictures / 127.5 - 1, self.patch, stride=self.patch).transpose(1, 2)  # (N, n, 3 P P)
        hidden = self.layers(self.embedding(patches) + self.places)  # (N, n, dim)
        return F.normalize(self.projection(hidden.mean(1)), dim=-1)


class TextEncoder(nn.Module):
    def __init__(self, words: list[str], longest: int = 32, dim: int = 64, depth: int = 2, shared: int = 32) -> None:
        super().__init__()
        self.number = {word: number for number, word in enumerate(words)}
        self.embedding = nn.Embedding(len(words) + 1, dim)  # one more: the last word
        self.places = nn.Parameter(0.5 * torch.randn(longest, dim))
        self.layers, self.projection = transformer(dim, depth), projection(dim, shared)

    def forward(self, texts: list[str]) -> Tensor:  # N captions to (N, shared)
        rows = [[self.number[word] for word in text.split()] for text in texts]
        last = torch.tensor([len(row) for row in rows])
        ids = torch.tensor([row + [len(self.number)] * (int(last.max()) + 1 - len(row)) for row in rows])  # (N, L)
        length = ids.shape[1]
        later = torch.ones(length, length, dtype=torch.bool).triu(1)  # what a word must not read
        hidden = self.layers(self.embedding(ids) + self.places[:length], mask=later)
        return F.normalize(self.projection(hidden[torch.arange(len(rows)), last]), dim=-1)


# %% [markdown]
# Retrieval@1 is the share of pictures whose own caption has the highest score of all hundred, and the other way round.
# Chance is 0.01. Training is the usual loop; `loss` is an argument because we shall break it.

# %%
STEPS, BATCH = 150, 64
WORDS = sorted({word for text in train_texts for word in text.split()})


@torch.no_grad()
def retrieval(see, read) -> tuple[float, float]:
    """Return retrieval@1 of captions by pictures and of pictures by captions, on the hundred test pairs."""
    scores, own = see(test_pictures) @ read(test_texts).T, torch.arange(len(test_texts))
    return (scores.argmax(1) == own).float().mean().item(), (scores.argmax(0) == own).float().mean().item()


def train(loss, scale: float | None = None, seed: int = SEED):
    """Train two encoders; return them, the log of the scale, and (step, loss, retrieval) along the way."""
    torch.manual_seed(seed)
    see, read = PictureEncoder(), TextEncoder(WORDS)
    log_scale = nn.Parameter(torch.tensor(math.log(scale or 1 / 0.07)), requires_grad=scale is None)
    weights = [p for p in (*see.parameters(), *read.parameters(), log_scale) if p.requires_grad]
    adam = torch.optim.AdamW(weights, 2e-3, betas=(0.9, 0.98), fused=True)
    log = []
    for step in range(STEPS):
        if step % 15 == 0:
            found = retrieval(see, read)
        rows = torch.randint(len(train_texts), (BATCH,))
        adam.param_groups[0]["lr"] = 2e-3 * min((step + 1) / 20, 1 - step / STEPS)
        value = loss(see(train_pictures[rows]), read([train_texts[row] for row in rows]), log_scale.exp())
        adam.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        adam.step()
        log.append((step, value.item(), found))
    return see.eval(), read.eval(), log_scale.detach(), log


start = time.process_time()
see, read, log_scale, log = train(info_nce)
at_first, at_last = log[0][2], retrieval(see, read)
print(f"{sum(p.numel() for p in (*see.parameters(), *read.parameters())):,} weights, "
      f"{time.process_time() - start:.0f} CPU-seconds")
print(f"loss {log[0][1]:.2f} at first (ln {BATCH} = {math.log(BATCH):.2f}), {log[-1][1]:.2f} at last")
print(f"retrieval@1 on pairs never seen: {at_first[0]:.2f} and {at_first[1]:.2f} before, "
      f"{at_last[0]:.2f} and {at_last[1]:.2f} after; scale {log_scale.exp():.1f}")

# %% [markdown]
# ## What you should see
#
# The loss starts a little above $\ln 64 = 4.16$ and falls to about 0.4. Its floor is 0.06 and not 0: of 64 captions out
# of about 700, three pairs are alike on average, and which of the two is meant nobody can tell ($\ln 2$ for each of six
# rows, shared by 64; exercise 2). Retrieval
# climbs from chance to about 0.9 or more, on pairs of colour and shape that were never trained.

# %% alt="Left: the loss falls from above 4 to below 1 in 150 steps while retrieval rises from 0.01 to 0.9. Right: scores of 12 test pictures and captions, a dark blue diagonal"
with torch.no_grad():
    scores = see(test_pictures[:12]) @ read(test_texts[:12]).T
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
left.plot([step for step, *_ in log], [value for _, value, _ in log], color="#1b7f79", label="training loss")
left.set(xlabel="step", ylabel="loss")
twin = left.twinx()
twin.plot([step for step, *_ in log], [found[0] for *_, found in log], color="#b5482a", label="retrieval@1, test")
twin.set(ylim=(0, 1), ylabel="retrieval@1")
figure.legend(loc="upper center", bbox_to_anchor=(0.27, 0.85), fontsize=8)
right.imshow(scores, vmin=-1, vmax=1, cmap="RdBu")
_ = right.set(xlabel="caption", ylabel="picture", title="cosines of 12 test pairs")
assert max(at_first) < 0.06  # chance is 0.01
assert min(at_last) > 0.75  # measured: 0.90 to 0.98
assert math.log(BATCH) - 0.2 < log[0][1] < math.log(BATCH) + 1
assert sum(value for _, value, _ in log[-10:]) / 10 < 0.8

# %% [markdown]
# ## A classifier that nobody trained
#
# What colour is the thing? Write captions with `red`, captions with `blue`, and so on, and see which of them fit the
# picture. Each caption also says a shape and a place, so there are many with `red`, and there are two ways to use
# them. The usual one is the **prompt ensemble**: the class is the mean of their vectors. The other takes the softmax
# over all 864 captions that this world has, at the learned scale, and adds up the probabilities of those with `red`.
# Neither uses a label.
#
# We ask about two kinds of new scenes: those whose pair of colour and shape is known from training (from a world
# with another seed), and the hundred from above, whose pair is new. First of all, which of the 864 captions is
# nearest? Now the captions of training compete.

# %%
CHOICES = {"size": ("small", "large"), "colour": world.colours, "shape": world.shapes,
           "place": ("top left", "top", "top right", "left", "center", "right",
                     "bottom left", "bottom", "bottom right")}
PROMPTS = [dict(zip(CHOICES, chosen, strict=True)) for chosen in itertools.product(*CHOICES.values())]
truth = {f"a {p['size']} {p['colour']} {p['shape']} at the {p['place']}": p for p in PROMPTS}
other = shapes(64, {"draw": 1}, protocol="compositional", image_size=24, num_scenes=400, max_objects=1, world_seed=1)
familiar = list(other.items("train"))[:200]
known_pictures = torch.stack([other.picture(item) for item in familiar])
known_texts = [other.identity(item) for item in familiar]


@torch.no_grad()
def zero_shot(pictures: Tensor, texts: list[str]) -> dict[str, tuple[float, float]]:
    """Return the accuracy of each attribute, by probabilities and by mean prompts; and of whole captions."""
    vectors, seen = torch.cat([read(list(truth)[at : at + 216]) for at in range(0, len(truth), 216)]), see(pictures)
    likely = (log_scale.exp() * seen @ vectors.T).softmax(-1)  # (pictures, 864)
    nearest = [list(truth)[place] for place in likely.argmax(1)]
    whole = sum(text == own for text, own in zip(nearest, texts, strict=True)) / len(texts)
    found = {"caption": (whole, whole)}
    for name, choices in CHOICES.items():
        member = torch.tensor([[float(p[name] == choice) for p in PROMPTS] for choice in choices])  # (classes, 864)
        answers = (likely @ member.T).argmax(1), (seen @ F.normalize(member @ vectors, dim=-1).T).argmax(1)
        right = torch.tensor([choices.index(truth[text][name]) for text in texts])
        found[name] = tuple((answer == right).float().mean().item() for answer in answers)
    return found


known_pairs, new_pairs = zero_shot(known_pictures, known_texts), zero_shot(test_pictures, test_texts)
print(f"{'':10}known pairs           new pairs\n{'':10}prob.   mean prompt   prob.   mean prompt   chance")
for name, (summed, mean) in known_pairs.items():
    chance = 1 / len(CHOICES[name]) if name in CHOICES else 1 / len(truth)
    new_summed, new_mean = new_pairs[name]
    print(f"{name:10}{summed:5.2f} {mean:12.2f} {new_summed:8.2f} {new_mean:12.2f} {chance:9.3f}")
    assert summed > chance + 0.25

# %% [markdown]
# **What you should see.** Three things, alike with three seeds.
#
# - **The candidates decide what a retrieval score means.** Among a hundred captions of new pairs, the right one came
#   first in nine cases of ten. Among all 864 it does in 0.48 to 0.63 of them, because captions of trained pairs now
#   stand beside it; for scenes of trained pairs it is 0.67 to 0.69. Always report the number of candidates.
# - **Place, colour and size are there, shape is learned last.** At 24 px a shape is a matter of few pixels: 0.61 to
#   0.69 after these 150 steps.
# - **The mean prompt loses much.** It averages away what a caption says beside `red`, and with it what tells two shapes
#   apart: 0.38 to 0.54 for the shape. The sum of probabilities costs the same.

# %%
mean_of = {way: sum(known_pairs[name][place] for name in CHOICES) / 4 for place, way in enumerate(("sum", "prompt"))}
assert mean_of["sum"] > mean_of["prompt"] + 0.02  # measured: 0.84, 0.86, 0.82 against 0.72, 0.77, 0.72
assert known_pairs["caption"][0] > 0.5
assert 0.25 < new_pairs["caption"][0] < min(at_last) - 0.1
assert new_pairs["shape"][0] > 0.3  # measured: 0.42 to 0.71

# %% [markdown]
# ## The same through the plugin
#
# `mmgraph.models.Contrastive` has the same loss. Its picture encoder is the tokenizer `vit`, which is our
# `PictureEncoder` layer by layer; its text encoder stacks blocks of mmgraph, here `dense`, the block of tutorial 02.
# So we can compare twice: the picture encoder with the model's weights, and the loss on the model's own vectors.
#
# | from scratch | in mmgraph | where |
# |---|---|---|
# | `info_nce` | `Contrastive.loss` | `mmgraph/models/contrastive.py` |
# | `PictureEncoder` | tokenizer `vit`, `Contrastive.embed_pictures` | `plugins/mmgraph_tokenizers/vit.py` |
# | `TextEncoder` | tokenizer `word`, `Contrastive.embed_texts` | `plugins/mmgraph_blocks/dense.py` |
# | `retrieval`, `zero_shot` | `mmgraph evaluate` | `mmgraph/evaluation/contrasting.py` |

# %%
from mmgraph.blocks import dense
from mmgraph.tokenizers import vit, word

torch.manual_seed(1)
model = models.Contrastive({"image": vit(24, 6, width=64, depth=2), "text": word()}, block=dense(4), dim=64,
                           embedding_dim=32)
model.tokenizer("text").fit(train_texts)
model.configure_model()
state = model.tokenizer("image").state_dict() | {
    f"projection.{name}": value for name, value in model.image_projection.state_dict().items()}
own = PictureEncoder()
own.load_state_dict({name: value for name, value in state.items() if name in own.state_dict()})
with torch.no_grad():
    pictures, texts = test_pictures[:32], test_texts[:32]
    torch.testing.assert_close(own(pictures), model.embed_pictures(pictures))
    loss, _ = model.loss(pictures, texts)
    mine = info_nce(model.embed_pictures(pictures), model.embed_texts(texts), model.log_scale.exp())
    torch.testing.assert_close(mine, loss)
print(f"the same vectors, and the same loss: {mine:.6f} and {loss:.6f}")

# %% [markdown]
# ## From YAML
#
# The recipe `clip` is this model, somewhat larger, on scenes of one or two things. We make it small and short.

# %%
def mmgraph(*arguments: str) -> str:
    """Run a command as in a terminal and return what it prints."""
    done = subprocess.run([sys.executable, "-m", "mmgraph", *arguments], cwd=work, capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return done.stdout


short = """
seed_everything: SEED
model:
  init_args:
    dim: 64
    tokenizers:
      text: {class_path: mmgraph.tokenizers.word}
      image:
        class_path: mmgraph.tokenizers.vit
        init_args: {image_size: 24, patch_size: 6, width: 64, depth: 2}
    optimization: {learning_rate: 2.0e-3, beta2: 0.98, warmup_steps: 20}
data: {init_args: {batch_size: 64, num_scenes: 3000, max_objects: 1}}
trainer: {max_steps: 100}
""".replace("SEED", str(SEED))
(work / "short.yaml").write_text(short)
print(mmgraph("fit", "-c", "clip", "-c", "short.yaml", "--run", "short"))
print(mmgraph("evaluate", "--run", "short", "--limit", "100"))

# %%
measured = json.loads((work / "short" / "metrics.json").read_text())["understanding"]
at_1 = [measured[f"{way}_at_1"]["accuracy"] for way in ("picture_to_text", "text_to_picture")]
print(f"retrieval@1 after 100 steps from YAML: {at_1[0]:.2f} and {at_1[1]:.2f}")
assert min(at_1) > 0.2  # measured: 0.44 to 0.85

# %% [markdown]
# **What you should see.** The same climb, 100 steps long: 0.44 to 0.85 with three seeds, on half as
# many scenes. The whole recipe takes three CPU-minutes: `mmgraph fit -c clip`. Its weights come with mmgraph under the
# name `zoo:clip`. They come from a world of 20,000 scenes of one or two things, and find the right one of 150 captions
# of new pairs in 99 % of the cases. We now examine those.

# %% [markdown]
# ## What does it understand?
#
# The known limit of CLIP is **binding**. "A red square and a blue ring" and "a blue square and a red ring" have the
# same words. A model that only checks which words fit the picture cannot tell them apart.
#
# The test: take held-out scenes of two things that differ in everything, swap one attribute between the two in the
# caption, and count how often the true caption still has the higher cosine. 0.5 is guessing. As controls, we replace a
# word by one that does not fit at all (should be near 1), and say the same things in the other order (should be 0.5:
# both captions are true).

# %%
clip = models.load("zoo:clip")
two_world = shapes(64, {"draw": 1}, protocol="compositional", image_size=24, num_scenes=6000)
DIFFER = ("size", "colour", "shape")


def scenes(split: str) -> list:
    """Return (item, first thing, second thing) of scenes of two things that differ in everything."""
    found = [(item, *sorted(two_world.scenes[item].things, key=lambda thing: thing.cell))
             for item in two_world.items(split) if len(two_world.scenes[item].things) == 2]
    return [(item, a, b) for item, a, b in found if all(getattr(a, name) != getattr(b, name) for name in DIFFER)]


def say(a, b) -> str:
    return " and ".join(f"a {t.size} {t.colour} {t.shape} at the {t.place}" for t in (a, b))


def without_place(a, b) -> str:
    return " and ".join(f"a {t.size} {t.colour} {t.shape}" for t in (a, b))


def bare(a, b) -> str:
    return " and ".join(f"a {t.colour} {t.shape}" for t in (a, b))


def swapped(name: str, form=say):
    """Return the caption in which two things have exchanged one attribute."""
    return lambda a, b: form(replace(a, **{name: getattr(b, name)}), replace(b, **{name: getattr(a, name)}))


def replaced(name: str, choices):
    """Return the caption in which the first thing has an attribute that neither has."""
    def wrong(a, b):
        return say(replace(a, **{name: next(c for c in choices if c not in (getattr(a, name), getattr(b, name)))}), b)
    return wrong


@torch.no_grad()
def told_apart(model, chosen, wrong, true=say) -> tuple[float, tuple[float, float]]:
    """Return how often the true caption beats the wrong one, with its 95 % interval."""
    seen = model.embed_pictures(torch.stack([two_world.picture(item) for item, *_ in chosen]))
    right, other = (model.embed_texts([form(a, b) for _, a, b in chosen]) for form in (true, wrong))
    hit = ((seen * right).sum(1) > (seen * other).sum(1)).double()
    return hit.mean().item(), mean_interval(hit)


# %% alt="Bars of how often the true caption wins: swapped size 0.99, shape 0.97, colour 0.93, swapped place 0.64, bare wording 0.66, other order 0.49, each with an interval"
unseen = scenes("test")
rows = {
    "replace the colour": told_apart(clip, unseen, replaced("colour", world.colours)),
    "replace the shape": told_apart(clip, unseen, replaced("shape", world.shapes)),
    "swap the sizes": told_apart(clip, unseen, swapped("size")),
    "swap the shapes": told_apart(clip, unseen, swapped("shape")),
    "swap the colours": told_apart(clip, unseen, swapped("colour")),
    "swap the colours, no places said": told_apart(clip, unseen, swapped("colour", without_place), without_place),
    "swap the colours, 'a red square and a blue ring'": told_apart(clip, unseen, swapped("colour", bare), bare),
    "swap the places": told_apart(clip, unseen, swapped("place")),
    "the other order (both are true)": told_apart(clip, unseen, lambda a, b: say(b, a)),
}
_, a, b = unseen[0]
print(f"{len(unseen)} scenes, for example\n  true   {say(a, b)}\n  swapped {swapped('place')(a, b)}\n")
for name, (rate, (low, high)) in rows.items():
    print(f"{name:50s} {rate:.2f}   95 % {low:.2f} to {high:.2f}")

figure, axis = plt.subplots(figsize=(9, 3.2), layout="constrained")
rates = [rate for rate, _ in rows.values()]
errors = [[rate - ends[0] for rate, ends in rows.values()], [ends[1] - rate for rate, ends in rows.values()]]
axis.barh(list(rows), rates, xerr=errors, color="#1b7f79")
axis.axvline(0.5, color="black", linestyle="--")
axis.invert_yaxis()
_ = axis.set(xlim=(0.4, 1), xlabel="the true caption wins")

# %% [markdown]
# **What you should see.** Not quite the textbook's result, and that is why one measures.
#
# - Size, colour and shape **are** bound, in the wording of the training: swapped colours are noticed in 93 % of the
#   scenes. These words stand side by side in the caption, and the thing lies in few patches of the picture.
# - The binding is brittle. Say the same without the sizes, a wording that training never had, and 66 % are left.
# - The **place** is hardly bound to its thing: 64 %. The model knows both things and both places, and hardly knows
#   which stands where. Its retrieval of 99 % does not show this: of 150 captions drawn by chance, no two are like that.
#
# So "does CLIP bind?" has no one answer: ask for the attribute, and for the wording.

# %%
assert rows["replace the colour"][0] > 0.9
assert rows["replace the shape"][0] > 0.85
assert all(rows[f"swap the {name}"][1][0] > 0.85 for name in ("sizes", "shapes", "colours"))  # the interval's lower end
assert 0.5 < rows["swap the colours, 'a red square and a blue ring'"][0] < 0.8
assert rows["swap the places"][1][1] < 0.8 < rows["swap the colours"][1][0]
assert rows["the other order (both are true)"][1][0] < 0.5 < rows["the other order (both are true)"][1][1]

# %% [markdown]
# The scenes are of world 0, whose training scenes the model has seen. In the fresh worlds 1 and 2 we measured the same:
# colours 0.95 and 0.92, places 0.67 and 0.67, the bare wording 0.62 and 0.57.

# %% [markdown]
# ## Break it: one negative
#
# Same batches, same encoders, same number of steps, but each picture is compared with two captions in place of 64: its
# own, and one other. We cut the batch into groups of two and take InfoNCE in each.


# %%
def in_groups(pictures: Tensor, texts: Tensor, scale: Tensor, size: int = 2) -> Tensor:
    parts = zip(pictures.split(size), texts.split(size), strict=True)
    return torch.stack([info_nce(u, v, scale) for u, v in parts]).mean()


see_2, read_2, _, log_2 = train(in_groups)
with_two = retrieval(see_2, read_2)
print(f"training loss {log_2[-1][1]:.2f} (ln 2 = {math.log(2):.2f}); with 63 negatives {log[-1][1]:.2f}")
print(f"retrieval@1 {with_two[0]:.2f} and {with_two[1]:.2f}; with 63 negatives {at_last[0]:.2f} and {at_last[1]:.2f}")
assert sum(value for _, value, _ in log_2[-10:]) / 10 < 0.15, "the loss looks excellent"
assert max(with_two) < min(at_last) - 0.1, "and the model is worse"  # measured: 0.49 to 0.65

# %% [markdown]
# The loss is ten times lower and the model much worse. Two captions drawn by chance differ in nearly everything, so the
# colour alone, or the place alone, tells them apart. To find the one right caption of 64, all of it has to be read. The
# number of negatives sets how hard the question is. **Compare contrastive losses only at the same batch size.**

# %% [markdown]
# ## Exercises
#
# **1. A temperature that is too high.** Fix $s = 1$. Cosines lie between -1 and 1. What is the lowest loss possible
# with $N = 64$ different pairs? A hint: the $v_j$ cannot all point away from each other; the best that $N$ unit vectors
# can do is a cosine of $-1/(N-1)$ for each pair. Then train so, and compare retrieval.

# %% tags=["solution"]
floor = math.log(1 + (BATCH - 1) * math.exp(-1 - 1 / (BATCH - 1)))
see_1, read_1, _, log_1 = train(info_nce, scale=1.0)
blunt = retrieval(see_1, read_1)
print(f"no better than {floor:.2f} of {math.log(BATCH):.2f} is possible; reached {log_1[-1][1]:.2f}")
print(f"retrieval@1 {blunt[0]:.2f} and {blunt[1]:.2f}; with a learned scale {at_last[0]:.2f} and {at_last[1]:.2f}")
assert log_1[-1][1] > floor
assert max(blunt) < min(at_last) - 0.05  # measured: 0.49 to 0.75

# %% [markdown]
# Even a perfect model would have a loss of 3.17 out of 4.16. All wrong captions keep nearly the same weight in the
# softmax, the near miss as much as the absurd one, so the loss spends its gradient on pushing everything apart.
#
# **2. The same caption twice.** A batch may hold two pictures with the same caption. InfoNCE calls the second one
# wrong: a false negative. `Contrastive.loss` shares the target between them. Show, on a batch with duplicates, that
# both losses are nevertheless the same number, and say why. When do false negatives do harm?

# %% tags=["solution"]
rows_of = [row for row, text in enumerate(train_texts) if text == train_texts[0]][:3]
some = [*rows_of, *range(1, 30)]
pictures, texts = train_pictures[some], [train_texts[row] for row in some]
assert len(set(texts)) < len(texts)
with torch.no_grad():
    shared, _ = model.loss(pictures, texts)
    plain = info_nce(model.embed_pictures(pictures), model.embed_texts(texts), model.log_scale.exp())
print(f"{len(texts)} pictures, {len(set(texts))} captions: shared targets {shared:.6f}, one target {plain:.6f}")
torch.testing.assert_close(shared, plain)
# Equal captions have equal vectors, so their columns of scores are equal, and so are their rows. Whether the target
# puts 1 on one of two equal columns or 1/2 on each makes no difference; nor, summed over two equal rows, which
# picture each of them is to find. Only the floor rises, by ln 2 for such a pair. Harm comes from captions that differ
# in words and not in meaning: their vectors are pushed apart although nothing in the pictures tells them apart.

# %% [markdown]
# **3. Negatives that ask the right question.** Go on training `zoo:clip` for 20 steps on training scenes of two things.
# Give each picture one caption more: its own, with the places swapped. Does the model learn where each thing stands?
# Your control: the same 20 steps without that caption.

# %% tags=["solution"]
known = scenes("train")


def tune(hard: bool, seed: int = SEED, steps: int = 20, batch: int = 48, rate: float = 3e-4):
    """Return zoo:clip after a few more steps, with or without swapped captions among the negatives."""
    tuned, rng = copy.deepcopy(clip), random.Random(seed)
    adam = torch.optim.AdamW(tuned.requires_grad_().parameters(), rate, betas=(0.9, 0.98))
    for step in range(steps):
        adam.param_groups[0]["lr"] = rate * min((step + 1) / 5, 1 - step / steps)
        chosen = rng.sample(known, batch)
        texts = [form(a, b) for form in ((say, swapped("place")) if hard else (say,)) for _, a, b in chosen]
        seen = tuned.embed_pictures(torch.stack([two_world.picture(item) for item, *_ in chosen]))
        scores = tuned.log_scale.exp() * seen @ tuned.embed_texts(texts).T  # (N, N), or (N, 2 N)
        own = torch.arange(batch)
        loss = (F.cross_entropy(scores, own) + F.cross_entropy(scores[:, :batch].T, own)) / 2
        adam.zero_grad()
        loss.backward()
        adam.step()
    return tuned


before = rows["swap the places"][0]
places = {}
for hard in (False, True):
    tuned = tune(hard)
    places[hard], (low, high) = told_apart(tuned, unseen, swapped("place"))
    colours, _ = told_apart(tuned, unseen, swapped("colour"))
    print(f"swapped captions {hard!s:5}: places {places[hard]:.2f} ({low:.2f} to {high:.2f}), colours {colours:.2f}")
    assert colours > 0.85
assert places[True] > 0.9  # measured: 0.96 to 0.98, against 0.67 to 0.73 without
assert places[True] > max(before, places[False]) + 0.1

# %% [markdown]
# Twenty steps suffice, and what they teach holds on held-out scenes. The encoders could always have held it;
# the loss had never asked. Choosing negatives that ask for it is what NegCLIP does for large models.
#
# ## Questions that come up
#
# - **Is my loss normal?** Subtract: $\ln N$ is knowing nothing, for batches of $N$. 4.16 with 64 pairs, 4.85 with 128.
#   A loss above that at the start is normal (the scale starts at 14). A loss that stays there for 50 steps is not:
#   lower the learning rate.
# - **How long on my laptop?** Ten seconds for each training here, three CPU-minutes for the recipe `clip`.
# - **How do I use my own data?** Pictures with captions in a folder: `data.class_path: mmgraph.datasets.folder` with
#   `tasks: {draw: 1}`, and the recipe `clip`. With fewer than some thousand pairs, expect it to learn them by heart.
# - **Where does it live?** `mmgraph.models.Contrastive` in `mmgraph/models/contrastive.py`, the picture encoder in
#   `plugins/mmgraph_tokenizers/vit.py`. A trained one is a tokenizer for other models: `weights: run:DIR`.
#
# ## Recap
#
# - InfoNCE is cross-entropy over the batch, in both directions: which caption belongs to which picture?
# - The number of negatives decides how much must be read; the scale decides how much the near misses count.
# - Classes are captions, so captions make a classifier without training. How they are put together matters.
# - High retrieval does not mean that the parts are bound together. Swap them and measure; say which wording.
# - What the negatives never ask is not learned, and is soon learned once they do.
#
# ## References
#
# - Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021 (arXiv 2103.00020).
# - van den Oord et al., Representation Learning with Contrastive Predictive Coding, 2018 (arXiv 1807.03748), InfoNCE.
# - Dosovitskiy et al., An Image is Worth 16x16 Words, 2021 (arXiv 2010.11929).
# - Yuksekgonul et al., When and Why Vision-Language Models Behave like Bags-of-Words, 2022 (arXiv 2210.01936), binding
#   and NegCLIP.
# - Multi-modal Generative AI: Multi-modal LLMs, Diffusions, and the Unification (arXiv 2409.14993), section II-A2.
#
# **Next:** [04 Visual tokenizers](04_visual_tokenizers.md), encoders that can also go back: from tokens to pictures.

# %%
print(f"this page took {time.process_time() - began:.0f} CPU-seconds beside the two commands")
