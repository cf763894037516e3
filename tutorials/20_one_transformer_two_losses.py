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
# # 20 One transformer, two losses
#
# One small transformer learns to answer questions about pictures and to draw pictures from captions, with a
# next-token loss on words and a flow-matching loss on pictures, and both abilities come out of one checkpoint.
#
# | | |
# |---|---|
# | You will learn | the mixed mask, two losses on one hidden state, switching between writing and drawing |
# | You need | tutorials 02 (next-token loss) and 10 (flow matching) |
# | Time | about two CPU-minutes on one core, no GPU |
# | Memory | 1.2 GB |
# | Seed | 0; the ranges below held for seeds 0, 1 and 2 |

# %% [markdown]
# ## The idea
#
# Text wants to be read from left to right: each word is predicted from the words before it. A picture has no
# such direction, and it is best produced as a whole: start from noise and clean up everything at once.
# The survey calls models that do both in one body *joint autoregressive-diffusion models with a single
# transformer*. Transfusion is the plainest of them. It needs three things.
#
# 1. **One sequence.** Words become embeddings, patches of the picture become embeddings through one matrix, and
#    the markers `<boi>` and `<eoi>` (begin and end of image) stand around the picture.
# 2. **One mask.** Position $i$ may attend to position $j$ if $o_j \le o_i$, where $o$ is the **order**: it counts up
#    along text, and it is one constant along a picture. So text is causal and a picture sees all of itself.
# 3. **Two losses on the same hidden states.** With $T$ the scored words, $P$ the patches of a picture that is to be
#    drawn, $x$ its clean patches and $\hat x$ the model's estimate of them at noise level $t$,
#
# $$ L = \lambda_\text{text}\,\frac{1}{|T|}\sum_{i \in T} -\log p_\theta(w_i \mid \text{before})
#      \;+\; \lambda_\text{image}\,\frac{1}{|P|}\sum_{i \in P}
#      \frac{\lVert \hat x_i - x_i\rVert^2 / d}{\max(1-t,\,0.1)^2} . $$
#
# Here $d$ is the number of values in a patch, and $t$ runs from 0 (noise) to 1 (data). The picture that the body reads
# is $x_t = (1-t)\,\epsilon + t\,x$ with noise $\epsilon$. The weight $1/(1-t)^2$ turns an error of the data into an
# error of the velocity, which is what flow matching trains.

# %%
import contextlib
import copy
import io
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import matplotlib.pyplot as plt
import torch
import yaml
from torch import Tensor
from torch.nn import functional as F

from mmgraph import cli, generation, models
from mmgraph.configured import instantiate
from mmgraph.randomness import SampleRandom
from mmgraph.sequence import Sample, Segment
from mmgraph.vocabulary import BOI, BOS, EOI, EOS, SEP

torch.set_num_threads(1)
work = Path(tempfile.mkdtemp(prefix="two-losses-"))
began = time.process_time()

# %% [markdown]
# ## The mask, from scratch
#
# A sequence is a list of pieces: how long, and whether its attention is causal or full. One line makes the order,
# one line makes the mask. The third argument is for pieces that only see themselves and are seen by nobody else
# (some models put a clean and a noised copy of a picture side by side; the noised one must stay private).

# %% alt="The mask of 16 positions: words form a staircase, each picture of four patches a full square"
def lay(pieces: list[tuple[int, str]]) -> tuple[Tensor, Tensor]:
    """[(length, 'causal' or 'full')] -> order (L,), span (L,)."""
    order, span, clock = [], [], 0
    for number, (length, kind) in enumerate(pieces):
        steps = list(range(length)) if kind == "causal" else [0] * length
        order += [clock + step for step in steps]
        span += [number] * length
        clock += steps[-1] + 1
    return torch.tensor(order), torch.tensor(span)


def mixed_mask(order: Tensor, span: Tensor, private: tuple[int, ...] = ()) -> Tensor:
    """(L,), (L,) -> (L, L): True where position i (row) may attend to position j (column)."""
    seen = order[None, :] <= order[:, None]
    alone = torch.isin(span, torch.tensor(private, dtype=torch.long))  # (L,)
    return seen & (~alone[None, :] | (span[None, :] == span[:, None]))


names = ["<bos>", "red", "fox", "<boi>", *"▒▒▒▒", "<eoi>", "and", "<boi>", *"▒▒▒▒", "<eoi>"]
order, span = lay([(4, "causal"), (4, "full"), (3, "causal"), (4, "full"), (1, "causal")])
mask = mixed_mask(order, span)
assert mask[4, 7], "a patch sees the later patches of its own picture"
assert not mask[3, 4], "the words before the picture do not see it"
assert mask[9, 4:8].all(), "the words after the picture see all of it"
assert not mask[4, 11], "the first picture does not see the second"

figure, axes = plt.subplots(figsize=(4.6, 4.4), layout="constrained")
axes.imshow(mask, cmap="Blues", vmin=0, vmax=1.4)
axes.set_xticks(range(len(names)), names, rotation=90)
axes.set_yticks(range(len(names)), [f"{name}  {int(o)}" for name, o in zip(names, order, strict=True)])
axes.set_xlabel("attended to")
axes.set_ylabel("position and its order")
_ = axes.set_title("who may look at whom")

# %% [markdown]
# ## The two losses, from scratch
#
# Now the whole forward pass, for one sample. Everything is here: the markers, the embeddings, attention under the mask
# above, the time (it shifts, scales and gates the picture's positions only), and the two losses at the end.
# The weights come from a framework model, so that the result can be compared.
#
# Two details are easy to get wrong. The word loss is **shifted by one**: the hidden state at $i$ scores the word at
# $i + 1$. The picture loss is **not shifted**: the hidden state at a patch gives the estimate of that same patch.
# And the word loss also scores `<boi>`: this is how the model learns *when* to draw.

# %%
def embed(model, sample: Sample, seed: int):
    """One sample -> embeddings (L, D), pieces, scored words {place: id}, noised pictures [(places, clean, t)]."""
    random, rows, pieces, words, pictures = SampleRandom(seed, [sample.key]), [], [], {}, []
    counted = 0  # text positions so far: text is not moved by the size of a picture

    def write(ids: list[int], scored: bool) -> None:
        nonlocal counted
        start = sum(length for length, _ in pieces)
        words.update({start + k: token for k, token in enumerate(ids) if scored})
        places = torch.arange(counted, counted + len(ids))
        rows.append(model.vocabulary.embed(torch.tensor(ids)) + model.positions["text"](places))
        pieces.append((len(ids), "causal"))
        counted += len(ids)

    write([BOS], scored=False)
    for before, segment in zip((None, *sample.segments), sample.segments, strict=False):
        if segment.modality == "text":
            if before is not None and before.modality == "text":
                write([SEP], scored=False)
            codes = model.tokenizer("text").encode([segment.content])[0]
            write(model.vocabulary.ids("text", codes).tolist(), segment.target)
        else:
            write([BOI], scored=segment.target)
            clean, t = model.tokenizer("image").encode(segment.content[None]), torch.ones(1)  # (1, n, d)
            read = clean
            if segment.target:  # noised, at a random time
                t = torch.sigmoid(random.normal())
                read = (1 - t) * random.normal(*clean.shape[1:]) + t * clean
            start = sum(length for length, _ in pieces)
            pictures.append((slice(start, start + clean.shape[1]), clean, t, segment.target))
            rows.append(model.connector("image")(read)[0] + model.positions["image"].weight)
            pieces.append((clean.shape[1], "full"))
            write([EOI], scored=False)
    write([EOS], scored=True)
    return torch.cat(rows), pieces, words, pictures


# %%
def two_losses(model, sample: Sample, seed: int) -> tuple[Tensor, Tensor | None]:
    """Return the mean word loss and the mean picture loss (None without a picture to draw) of one sample."""
    x, pieces, words, pictures = embed(model, sample, seed)
    mask = mixed_mask(*lay(pieces))
    dim, norm = x.shape[1], lambda h: F.rms_norm(h, h.shape[-1:])
    for block in model.blocks:
        tables = torch.zeros(6, len(x), dim)  # shift, scale and gate, twice: zero, zero and one for words
        tables[2] = tables[5] = 1
        for places, _, t, _ in pictures:
            tables[:, places] = block.modulation(F.silu(model.time_embedding(t))).view(6, 1, dim)
        shift, scale, gate, shift_2, scale_2, gate_2 = tables
        h = norm(x) * (1 + scale) + shift
        query, key, value = block.query_key_value(h).view(len(x), 3, block.num_heads, -1).permute(1, 2, 0, 3)
        score = (query @ key.transpose(1, 2)) / query.shape[-1] ** 0.5  # (H, L, L)
        mixed = score.masked_fill(~mask, -torch.inf).softmax(-1) @ value  # (H, L, K)
        x = x + gate * block.attention_output(mixed.transpose(0, 1).flatten(1))
        h = norm(x) * (1 + scale_2) + shift_2
        first, second = block.gate_and_up(h).chunk(2, dim=-1)
        x = x + gate_2 * block.down(F.silu(first) * second)
    hidden = norm(x)  # (L, D): one hidden state, read by two heads

    before = torch.tensor(list(words)) - 1  # shifted by one
    word_loss = F.cross_entropy(model.vocabulary.logits(hidden[before]), torch.tensor(list(words.values())))
    picture_loss = None
    for places, clean, t, drawn in pictures:
        if drawn:
            estimate = model.head("image").predict(hidden[places][None], model.time_embedding(t))
            picture_loss = ((estimate - clean) / (1 - t).clamp_min(0.1)).square().mean()
    return word_loss, picture_loss


# %% [markdown]
# Here is the configuration of the whole tutorial. It is a recipe like any other: one processor, a tokenizer and a
# head for each modality, one block that is repeated. Pictures of 16 px are cut in four patches of 8 px, and each
# patch is described by its 48 leading principal components. So a picture is *four* tokens, and a caption with its
# picture has 16 positions. Short sequences buy more than anything else on a small machine.

# %%
recipe = """
seed_everything: 0
model:
  class_path: mmgraph.models.UnifiedModel
  init_args:
    dim: 96
    depth: 2
    max_text: 24
    processor: {class_path: mmgraph.processors.single}
    tokenizers:
      text: {class_path: mmgraph.tokenizers.word}
      image:
        class_path: mmgraph.tokenizers.pca
        init_args: {image_size: 16, patch_size: 8, components: 48, whitening: 0.5}
    connectors:
      image: {class_path: mmgraph.connectors.linear}
    block: {class_path: mmgraph.blocks.dense, init_args: {num_heads: 4}}
    heads:
      text: {class_path: mmgraph.heads.next_token}
      image: {class_path: mmgraph.heads.flow}
    loss_weights: {text: 1.0, image: 1.0}
    condition_dropout: {text: 0.1}
    optimization: {learning_rate: 4.0e-3, beta2: 0.98, warmup_steps: 50}
    sampling: {guidance: 2.0, num_steps: 20}
data:
  class_path: mmgraph.datasets.shapes
  init_args:
    batch_size: 32
    tasks: {draw: 2, name: 1, ask: 1}
    image_size: 16
    num_scenes: 3000
    max_objects: 1
    num_colours: 4
    num_shapes: 3
    paraphrases: false
    questions: [colour, shape, place]
trainer:
  max_steps: 600
  accelerator: cpu
  limit_val_batches: 0
  gradient_clip_val: 1.0
  callbacks:
    - class_path: mmgraph.models.EMA
      init_args: {decay: 0.98}
"""
config = work / "two_losses.yaml"
config.write_text(recipe)
settings = yaml.safe_load(recipe)
world = instantiate(settings["data"])
for task in world.tasks:
    sample = world.evaluation("test", task, 1)[0]
    print(f"{task:5s}", *(f"[{s.modality}: {s.content if s.modality == 'text' else tuple(s.content.shape)}]"
                           for s in sample.segments))

# %% [markdown]
# Same weights, same draws: your losses and the framework's must be the same number. A fresh model starts with many
# zeros, which would hide mistakes, so we first move every weight a little.

# %%
torch.manual_seed(0)
model = instantiate(settings["model"])
model.fit_tokenizers(world)
model.eval()
with torch.no_grad():
    for weight in model.parameters():
        weight.add_(0.05 * torch.randn_like(weight))
    for task in world.tasks:
        for sample in world.evaluation("test", task, 3):
            assembly = model.assemble([sample], seed=5)
            _, pieces, _, _ = embed(model, sample, seed=5)
            assert torch.equal(mixed_mask(*lay(pieces)), assembly.layout.mask()[0, 0])
            found, _ = model.losses(assembly)
            own = dict(zip(("text", "image"), two_losses(model, sample, seed=5), strict=True))
            for head, (total, count) in found.items():
                torch.testing.assert_close(own[head], total / count, rtol=1e-4, atol=1e-5)
        print(f"{task:5s}", {head: round(float(total / count), 4) for head, (total, count) in found.items()})
several = Sample((Segment("text", "a red ring"), Segment("image", world.picture(0)), Segment("text", "small"),
                  Segment("image", world.picture(1), target=True)), "interleave")
_, pieces, _, _ = embed(model, several, seed=0)
assert torch.equal(mixed_mask(*lay(pieces)), model.assemble([several], seed=0).layout.mask()[0, 0])
print("mask and losses agree, also for text, picture, text, picture")

# %% [markdown]
# ## From YAML
#
# Train it. This is the command that you would type; it takes most of the time of this page.

# %%
def mmgraph(*arguments: str) -> str:
    """Run a command as in a terminal and return what it prints."""
    done = subprocess.run([sys.executable, "-m", "mmgraph", *arguments], cwd=work, capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return done.stdout


print("mmgraph fit -c two_losses.yaml --run both")
print(mmgraph("fit", "-c", "two_losses.yaml", "--run", "both"))
model = models.load(work / "both")
print(f"{sum(weight.numel() for weight in model.parameters()):,} parameters in one checkpoint")

# %% [markdown]
# ### What you should see: it answers
#
# **U**, understanding: 360 questions about pictures of the test split, which the model has never seen. Beside each
# accuracy stands what you get by always giving the most frequent answer.

# %%
def understanding(model) -> dict[str, tuple[float, float]]:
    """Return kind of question -> (accuracy, accuracy of the most frequent answer) on held-out pictures."""
    asked = world.evaluation("test", "ask", 360)
    said = generation.ask(model, torch.stack([s.segments[0].content for s in asked]),
                          [s.segments[1].content for s in asked])
    right, truth = defaultdict(list), defaultdict(list)
    for sample, answer in zip(asked, said, strict=True):
        right[sample.meta["kind"]].append(answer == sample.meta["answer"])
        truth[sample.meta["kind"]].append(sample.meta["answer"])
    return {kind: (sum(row) / len(row), max(Counter(truth[kind]).values()) / len(row)) for kind, row in right.items()}


U = understanding(model)
for kind, (accuracy, majority) in U.items():
    print(f"{kind:8s} {accuracy:.2f}   most frequent answer {majority:.2f}")

# %% [markdown]
# ### What you should see: it draws
#
# **G**, generation: captions of the test split, one drawing each. The shapes world has an oracle that reads the thing
# back from a drawing and says which attributes are right. Beside it stands a *random training picture* in place of
# the drawing: the score of a model that ignores its caption but draws perfectly.

# %%
def generation_score(drawn: Tensor, samples: list[Sample]) -> dict[str, float]:
    """Return attribute -> share of pictures on which the oracle finds what the caption says."""
    found = Counter()
    for picture, sample in zip(drawn, samples, strict=True):
        found.update(world.check(sample.meta["item"], picture))
    return {name: found[name] / len(samples) for name in ("colour", "shape", "size", "place", "all")}


asked = world.evaluation("test", "draw", 120)
captions = [sample.meta["caption"] for sample in asked]
drawn = generation.draw(model, captions)
G = generation_score(drawn, asked)
chance = generation_score(torch.stack([world.picture(i) for i in world.items("train")[:120]]), asked)
for name, value in G.items():
    print(f"{name:8s} {value:.2f}   random picture {chance[name]:.2f}")

# %% alt="Twelve drawings under their captions: colour and place are mostly right, some shapes are wrong"
figure, grid = plt.subplots(2, 6, figsize=(9, 3.6), layout="constrained")
for axes, picture, sample in zip(grid.flat, drawn, asked, strict=False):
    axes.imshow(picture.permute(1, 2, 0))
    words = sample.meta["caption"].split()
    right = world.check(sample.meta["item"], picture)["all"]
    axes.set_title(" ".join(words[:4]) + "\n" + " ".join(words[4:]) + (" ✓" if right else " ✗"), fontsize=7)
    axes.set_axis_off()

# %% [markdown]
# The claims, as asserts. Loss curves look different from run to run, these ranges held for every seed that was tried.

# %%
for kind, margin in (("colour", 0.35), ("shape", 0.1), ("place", 0.5)):
    accuracy, majority = U[kind]
    assert accuracy > majority + margin, f"U: {kind} is {accuracy:.2f}, majority {majority:.2f}"
for name in ("colour", "shape", "place"):
    assert G[name] > chance[name] + 0.1, f"G: {name} is {G[name]:.2f}, chance {chance[name]:.2f}"
assert G["place"] > 0.75
assert G["all"] > chance["all"] + 0.15

# %% [markdown]
# **Is my loss normal?** The curves below are from `logs/metrics.csv` of the run. The word loss falls fast, because
# most words of a name follow from grammar, and then in steps, when the model discovers that it has to look at the
# picture. The picture loss falls slowly and is noisy, because every batch has other noise levels. It does not go to
# zero: from a very noisy picture, nobody can tell where exactly the thing stands.

# %% alt="Word loss and picture loss against training steps, both on a logarithmic axis and both falling"
rows = [line.split(",") for line in (work / "both" / "logs" / "metrics.csv").read_text().splitlines()]
figure, axes = plt.subplots(figsize=(5, 3), layout="constrained")
for name, label in (("train_text", "words, nats"), ("train_image", "picture, squared velocity")):
    column, steps = rows[0].index(name), rows[0].index("step")
    curve = [(int(row[steps]), float(row[column])) for row in rows[1:] if row[column]]
    axes.semilogy(*zip(*curve, strict=True), label=label)
    print(f"{name}: {curve[0][1]:.3f} at step {curve[0][0]}, {curve[-1][1]:.3f} at step {curve[-1][0]}")
axes.set_xlabel("step")
_ = axes.legend()

# %% [markdown]
# ## How a picture comes out of noise
#
# `generation.paint` yields the model's estimate of the clean picture after each step. Look at the first one: it is
# made from nothing but noise and the caption, and place and colour are already there. The later steps decide what the
# caption leaves open: the exact offset, the shade, the edges.

# %% alt="Two rows of seven pictures: place and colour stand from the first step, later ones settle shade and edges"
two = [Sample((Segment("text", text), Segment("image", None, target=True)), "draw", key)
       for key, text in enumerate(("a large red square at the top left", "a large blue ring at the bottom"))]
strip = list(generation.paint(model, two, num_steps=20))
shown = (0, 2, 5, 8, 11, 15, 19)
figure, grid = plt.subplots(2, len(shown), figsize=(8, 2.6), layout="constrained")
for row in range(2):
    for axes, step in zip(grid[row], shown, strict=True):
        axes.imshow(strip[step][row].permute(1, 2, 0))
        axes.set_title(f"t = {(step + 1) / 20:.2f}", fontsize=8)
        axes.set_axis_off()

# %% [markdown]
# ## Who switches between writing and drawing?
#
# The model does. After a caption it *writes* one more token, and that token is `<boi>`. The decode loop sees it, puts
# four positions of noise there, runs the sampler until they are a picture, closes with `<eoi>`, and goes on
# writing until `<eos>`. `generation.interleave` is that loop. The next cell only gives it a caption, and no order
# to draw.

# %%
added = generation.interleave(model, [Segment("text", "a large green ring at the left")])
print([(segment.modality, tuple(segment.content.shape) if segment.modality == "image" else segment.content)
       for segment in added])
assert [segment.modality for segment in added] == ["image"]

# %% [markdown]
# ## What the weight trades
#
# One body, two teachers. If $\lambda_\text{image}$ is small, most of the gradient comes from words, and the other way
# round. Three short trainings show the trade, each with the same seed and the same stream of samples. They are
# narrower and a third as long as the run above, because this is a comparison and not a record. They are scored by
# both losses on the validation split, **with the same noise for all three**. That is what makes a small difference
# readable.

# %%
def fit(name: str, *flags: str, plugins: tuple[str, ...] = ()):
    """Train in this process, as the command does (it saves starting Python again); return the model."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as told:
        status = cli.main([*plugins, "fit", "-c", str(config), "--run", str(work / name),
                           "--model.init_args.dim", "64", "--trainer.max_steps", "200", *flags])
    assert status == 0, told.getvalue()
    return models.load(work / name)


def held_out(model) -> dict[str, float]:
    """Return each head's mean loss on validation samples; noise and times are the same at every call."""
    samples = [sample for task in world.tasks for sample in world.evaluation("val", task, 150)]
    with torch.no_grad():
        found, _ = model.losses(model.assemble(samples, seed=1))
    return {head: float(total / count) for head, (total, count) in found.items()}


weights = {}
for weight in (0.1, 1, 10):
    arm = fit(f"weight-{weight}", "--model.init_args.loss_weights", f"{{text: 1.0, image: {weight}}}")
    weights[weight] = held_out(arm)
    print(f"image weight {weight:4}: words {weights[weight]['text']:.3f}   picture {weights[weight]['image']:.3f}")

# %% alt="Word loss against picture loss at three weights: 0.1 is best at words, 10 is best at pictures"
figure, axes = plt.subplots(figsize=(4.4, 3.2), layout="constrained")
axes.plot([row["image"] for row in weights.values()], [row["text"] for row in weights.values()], "o-")
for weight, row in weights.items():
    axes.annotate(f"  λ = {weight}", (row["image"], row["text"]))
axes.set_xlabel("held-out picture loss")
_ = axes.set_ylabel("held-out word loss, nats")

# %% [markdown]
# **What you should see.** The curve of what cannot be improved on both sides at once, the *Pareto front*. More weight
# on pictures buys picture loss and costs word loss. Weight 1 has most of what 10 has at pictures, and pays for it in
# words. Recipes of this framework keep the weights between 0.5 and 1.

# %%
assert weights[10]["image"] < weights[0.1]["image"] - 0.02
assert weights[0.1]["text"] < weights[10]["text"] - 0.02

# %% [markdown]
# ## Full or causal inside the picture?
#
# The mixed mask is a choice, so test it. A **processor** decides which spans a sample becomes, and a span may say its
# own order. Six lines in a file of your own make one whose pictures are causal: each patch sees only the patches before
# it, like words. `--plugins FILE` lets the configuration name it. Nothing else changes: same seed, same stream,
# same size, same steps, same noise in the test.

# %%
(work / "causal_pictures.py").write_text('''
from dataclasses import replace
from mmgraph.processors import single

class CausalPictures(single):
    """The single processor, with pictures in raster order: a patch sees the patches before it."""
    def expand(self, segments, task, training):
        return [self._causal(span) for span in super().expand(segments, task, training)]
    def templates(self):
        return [self._causal(span) for span in super().templates()]
    def _causal(self, span):
        return replace(span, order="causal") if span.modality == "image" else span
''')
causal = fit("causal", "--model.init_args.processor", "causal_pictures.CausalPictures",
             plugins=("--plugins", str(work / "causal_pictures.py")))
layout = causal.assemble(world.evaluation("val", "draw", 1)).layout
assert bool((layout.mask()[0, 0] == torch.ones_like(layout.mask()[0, 0]).tril()).all()), "causal everywhere"
masks = {"full": weights[1], "causal": held_out(causal)}
for name, row in masks.items():
    print(f"{name:7s} words {row['text']:.3f}   picture {row['image']:.3f}")

# %% [markdown]
# **What you should see.** No difference that one could trust. In four such pairs (three seeds, 200 or 250 steps) the
# picture loss of 1.2 to 1.6 differed by 0.04 in favour of causal at most, and by 0.01 in favour of full. That is an
# honest result about *this* size: with four patches the raster order takes little away, and the caption says nearly
# all that there is to know. It is no reason to believe that order does not matter for pictures of a thousand patches.
# Whether it does for yours is a question for exactly this cell.

# %%
assert abs(masks["full"]["image"] - masks["causal"]["image"]) < 0.12
assert abs(masks["full"]["text"] - masks["causal"]["text"]) < 0.12

# %% [markdown]
# ## Break it: forget the shift
#
# Let the word head score the *same* position instead of the next one. It is one number, `shift`, in a head of your own.
# Predict what the training loss does before you run it.

# %%
(work / "unshifted.py").write_text('''
from mmgraph.heads import next_token

class Unshifted(next_token):
    """Next-token prediction that may look at its own answer: wrong on purpose."""
    shift = 0
''')
cheat = fit("unshifted", "--model.init_args.heads.text", "unshifted.Unshifted", "--trainer.max_steps", "80",
            plugins=("--plugins", str(work / "unshifted.py")))
cheated = held_out(cheat)["text"]
print(f"held-out word loss {cheated:.4f}; the honest model of the same size has {weights[1]['text']:.3f}")
answered = understanding(cheat)
print({kind: f"{accuracy:.2f} (most frequent {majority:.2f})" for kind, (accuracy, majority) in answered.items()})
assert all(accuracy < majority for accuracy, majority in answered.values()), "and it answers nothing"
assert cheated < 0.6 * weights[1]["text"], "a better loss in less than half of the steps, on held-out data"

# %% [markdown]
# The loss is far below the honest one after 80 steps, it goes on to zero if you let it, and no validation split warns
# you: the model copies the word that it reads. When it has to write, that word is not there. **A loss that is too
# good to be true is a leak**: compare with a floor that you can compute (tutorial 02), and always look at what the
# model produces.
#
# ## Break it: hide the time
#
# The picture head must know how noisy its input is. Tell the trained model the same time at every step of the sampler.

# %% alt="Drawings of the model when it is told a constant time: noise or blurs in place of shapes"
blind = copy.deepcopy(model)
blind.time_embedding.register_forward_pre_hook(lambda module, given: (torch.full_like(given[0], 0.9),))
lost_pictures = generation.draw(blind, captions)
lost = generation_score(lost_pictures, asked)
print({name: f"{value:.2f} (was {G[name]:.2f})" for name, value in lost.items()})
assert lost["all"] < 0.5 * G["all"]
figure, grid = plt.subplots(1, 6, figsize=(8, 1.6), layout="constrained")
for axes, picture in zip(grid, lost_pictures, strict=False):
    axes.imshow(picture.permute(1, 2, 0))
    axes.set_axis_off()

# %% [markdown]
# At the first step the input is pure noise, but the model is told that it is nearly a finished picture. So it keeps
# what it sees.
#
# ## The same, for an hour
#
# The framework ships a model of this kind that was trained on emoji for an hour on one core. Same classes, same loop,
# more of everything.

# %% alt="Five emoji drawn by the hour-long model: apple, heart, pilot, grinning face, dog face, with its answers"
long = models.load("zoo:transfusion_long")
wishes = ["green apple", "red heart", "woman pilot", "grinning face", "dog face"]
emoji = generation.draw(long, wishes)
answers = generation.ask(long, emoji, ["which group ?"] * len(wishes))
figure, grid = plt.subplots(1, len(wishes), figsize=(8, 1.9), layout="constrained")
for axes, picture, wish, answer in zip(grid, emoji, wishes, answers, strict=True):
    axes.imshow(picture.permute(1, 2, 0))
    axes.set_title(f"{wish}\n→ {answer}", fontsize=7)
    axes.set_axis_off()

# %% [markdown]
# ## Exercises
#
# 1. **Guidance.** The drawings above used a guidance scale of 2: each step moves the estimate away from what the model
#    would draw without a caption, $\hat x = \hat x_\varnothing + s\,(\hat x_c - \hat x_\varnothing)$. Measure G at
#    $s = 1$ (no guidance) and at $s = 2$. Which attribute gains most?
# 2. **Few steps.** How much of G is left with 1 and with 4 steps of the sampler in place of 20? What does the
#    result say about this world?
# 3. **Packing.** Two short samples can share one row of a batch, if neither sees the other. Extend `mixed_mask` by a
#    sample number for each position, and compare with `mmgraph.sequence.lay_out`.

# %% tags=["solution"]
print("1. guidance")
plain = generation_score(generation.draw(model, captions, guidance=1.0), asked)
for name, value in plain.items():
    print(f"   {name:8s} without {value:.2f}   with {G[name]:.2f}")
assert G["all"] > plain["all"]

# %% tags=["solution"]
print("2. few steps")
few = {steps: generation_score(generation.draw(model, captions, num_steps=steps), asked) for steps in (1, 4)}
for steps, row in {**few, 20: G}.items():
    print(f"   {steps:2d} steps: place {row['place']:.2f}   all {row['all']:.2f}")
# The caption tells almost everything about the picture, so there is little left to decide along the way.
assert few[4]["all"] > 0.5 * G["all"]

# %% tags=["solution"]
from mmgraph.sequence import Piece, lay_out


def packed_mask(order: Tensor, span: Tensor, sample: Tensor) -> Tensor:
    """(L,) each -> (L, L): the mixed mask, within samples only."""
    return mixed_mask(order, span) & (sample[None, :] == sample[:, None])


pieces = [(4, "causal"), (4, "full"), (2, "causal")]
piece = tuple(Piece(length, order=kind) for length, kind in pieces)
layout, _ = lay_out([[piece, piece]])
order, span = lay(pieces)
length = len(order)
twice = packed_mask(order.repeat(2), torch.cat((span, span + 3)), torch.arange(2).repeat_interleave(length))
assert torch.equal(twice, layout.mask()[0, 0])
print("3. packed:", tuple(twice.shape), "and nothing between the two:", not twice[:length, length:].any())

# %% [markdown]
# ## Recap
#
# - One order per position gives one mask: counting up along text, constant along a picture.
# - Two losses read the same hidden states. Words are shifted by one, pictures are not, and `<boi>` is a word.
# - One checkpoint answers and draws; the model itself decides when to switch.
# - The weight between the losses moves you along a front. Compare arms on the same noise.
# - A loss that is too good is a leak. A picture head without the time cannot tell noise from picture.
#
# | Where is ... | |
# |---|---|
# | the mask | `mmgraph.sequence.Layout.mask`, made from `lay_out` |
# | what a sample becomes | `mmgraph.processors.single` |
# | the losses | `mmgraph.heads.next_token`, `mmgraph.heads.flow` |
# | the body | `mmgraph.models.UnifiedModel`, `mmgraph.blocks.dense` |
# | writing and drawing | `mmgraph.generation`: `draw`, `name`, `ask`, `paint`, `interleave` |
#
# **Your own pictures.** Put them in a folder with a table of captions and questions, set
# `data.class_path: mmgraph.datasets.folder`, and change `image_size` in both places. Larger pictures need more patches,
# and so more time: the cost of a step grows a little faster than the number of positions.
#
# ## References
#
# - Zhou et al., *Transfusion: Predict the Next Token and Diffuse Images with One Multi-Modal Model*, 2024
#   (arXiv 2408.11039).
# - Liu et al., *Flow Straight and Fast*, 2022 (arXiv 2209.03003); Lipman et al., *Flow Matching for Generative
#   Modeling*, 2022 (arXiv 2210.02747).
# - Ho and Salimans, *Classifier-Free Diffusion Guidance*, 2022 (arXiv 2207.12598).
# - Peebles and Xie, *Scalable Diffusion Models with Transformers*, 2022 (arXiv 2212.09748), for the way the time
#   enters.
# - *Multi-modal Generative AI: Multi-modal LLMs, Diffusions, and the Unification* (arXiv 2409.14993), section IV-A.
#
# ## Next
#
# Tutorial 33 builds a part of your own and runs a whole table of such comparisons.

# %%
print(f"this page took {time.process_time() - began:.0f} CPU-seconds beside the training above")
