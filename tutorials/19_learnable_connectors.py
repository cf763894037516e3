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
# # 19 Learnable connectors
#
# Between a language model that understands and a network that draws, put vectors in the place of words: four connectors
# side by side, what each passes on, and how much of the prompt arrives.
#
# | | |
# |---|---|
# | You will learn | learned queries, hidden states, aligners, regressed features; measuring what a prompt is worth |
# | You need | tutorials 13 (denoisers) and 18 (a tool that is told in words) |
# | Time | about 115 CPU-seconds on one core, no GPU |
# | Memory | 1.1 GB |
# | Seed | 0; the numbers below are from seeds 0 to 2 |

# %% [markdown]
# ## The idea
#
# The tool of tutorial 18 was told words, and no gradient came back. Take the words out: the language model $f$ reads the
# prompt, a **connector** $a$ makes vectors $m$ of what it has understood, and the denoiser $g$ draws from $m$:
#
# $$ m = a\big(f(\text{prompt})\big), \qquad
#    L = \Big\lVert \frac{g(x_t, t, m) - x}{1 - t} \Big\rVert^2, \qquad x_t = (1 - t)\,\varepsilon + t\,x . $$
#
# $x$ is the picture, $\varepsilon$ noise, $t$ the time from 0 (noise) to 1. All of it can be differentiated, so the
# denoising loss teaches the connector what to pass on. The language model may stay **frozen**: what it understands
# cannot get worse. The survey names four ways to build $a$:
#
# | | what of $f$ is read | what the denoiser is told | what learns | recipe |
# |---|---|---|---|---|
# | **hidden states** (OmniGen2) | every position of the prompt | as many vectors as there are positions | connector, denoiser | `omnigen2` |
# | **learnable queries** (MetaQuery) | $k$ learned inputs after the prompt | $k$ vectors | queries, connector, denoiser | `metaquery` |
# | **aligner** (Kosmos-G) | every position of the prompt | a fixed number, in the language of a denoiser that is *frozen* | aligner | `kosmos_g` |
# | **regressed queries** (SEED-X) | learned inputs after the prompt | what an image encoder *would* say of the picture | queries, regressor, denoiser | `seed_x` |

# %% alt="Four rows of boxes: positions of the prompt, queries behind them, and the vectors that the denoiser is told"
import contextlib
import copy
import io
import shlex
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph import cli, generation, imports, models
from mmgraph.configured import instantiate
from mmgraph.sequence import Sample
from mmgraph.vocabulary import BOI, BOS

torch.set_num_threads(1)
SEED = 0
work = Path(tempfile.mkdtemp(prefix="connectors-"))
began = time.process_time()

PARTS = {"hidden states": (7, 0, 7), "queries": (7, 4, 4), "aligner": (7, 0, 4), "regressed": (7, 4, 4)}
figure, axes = plt.subplots(figsize=(7.5, 2.6), layout="constrained")
for row, (name, (prompt, queries, told)) in enumerate(PARTS.items()):
    for place in range(prompt + queries):
        colour = "#8fb8de" if place < prompt else "#f2b56b"
        axes.barh(-row, 0.9, left=place, height=0.55, color=colour)
    axes.annotate("", (14, -row), (prompt + queries + 0.3, -row), arrowprops={"arrowstyle": "->", "color": "grey"})
    axes.barh([-row] * told, 0.9, left=[14.3 + place for place in range(told)], height=0.55, color="#9ccc9c")
    axes.text(-0.4, -row, name, ha="right", va="center", fontsize=8)
axes.text(3.5, 0.55, "prompt", ha="center", fontsize=8)
axes.text(9, -0.45, "queries", ha="center", fontsize=8)
axes.text(17.8, 0.55, "told to the denoiser", ha="center", fontsize=8)
axes.set_xlim(-4.5, 22)
axes.set_ylim(-3.5, 1)
_ = axes.set_axis_off()

# %% [markdown]
# ## From scratch
#
# Learnable queries are a matrix $Q \in \mathbb R^{k \times D}$. Write its rows behind the embedded prompt, as if they
# were words, run the language model over all of it, and take what comes out at those $k$ positions. The model is causal,
# so each query sees the whole prompt and the queries before it, and no word sees a query. A small transformer turns
# the $k$ vectors into what the denoiser is told.


# %%
def layer(block, x: Tensor) -> Tensor:
    """Return what one layer of the language model makes of positions (N, L, D)."""
    split = block.query_key_value(F.rms_norm(x, x.shape[-1:])).unflatten(-1, (3, block.num_heads, -1))
    query, key, value = split.permute(2, 0, 3, 1, 4)  # 3 x (N, H, L, K)
    mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    x = x + block.attention_output(mixed.transpose(1, 2).flatten(2))
    gate, up = block.gate_and_up(F.rms_norm(x, x.shape[-1:])).chunk(2, -1)
    return x + block.down(F.silu(gate) * up)


class LearnableQueries(nn.Module):
    """Learned inputs that gather a prompt, and a connector to the denoiser."""

    def __init__(self, count: int, dim: int, width: int, depth: int = 1, num_heads: int = 4) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(count, dim))
        self.input = nn.Linear(dim, width)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, num_heads, 4 * width, dropout=0.0, activation="gelu",
                                       batch_first=True, norm_first=True) for _ in range(depth))

    def forward(self, language_model, prompt: Tensor) -> Tensor:
        """Return what the denoiser is told (N, k, W) of embedded prompts (N, n, D)."""
        x = torch.cat((prompt, self.queries.expand(len(prompt), -1, -1)), dim=1)  # (N, n + k, D)
        for block in language_model.blocks:
            x = layer(block, x)
        told = self.input(F.rms_norm(x, x.shape[-1:])[:, -len(self.queries) :])
        for part in self.layers:
            told = part(told)
        return told


def flow_loss(denoiser, told: Tensor, x: Tensor, time: Tensor, noise: Tensor) -> Tensor:
    """Return the loss of the formula, for pictures of nine vectors (N, 9, d)."""
    t = time[:, None, None]
    inputs = ((1 - t) * noise + t * x).mT.unflatten(2, (3, 3))  # (N, d, 3, 3)
    guess = denoiser(inputs, time, told).flatten(2).mT  # (N, 9, d)
    return ((guess - x) / (1 - t).clamp_min(0.1)).square().mean()


# %% [markdown]
# ## The same through the plugins
#
# Three parts do this: the processor `queries` puts the learned positions there, the head `denoising` with
# `reads: queries` has connector and denoiser, and its objective `flow` has the loss. Here is the whole model.

# %%
language_model = yaml.safe_load("""
class_path: mmgraph.models.UnifiedModel
init_args:
  dim: 64
  depth: 2
  max_text: 24
  processor: {class_path: mmgraph.processors.single}
  tokenizers:
    text: {class_path: mmgraph.tokenizers.word}
    image:
      class_path: mmgraph.tokenizers.pca
      init_args: {image_size: 24, patch_size: 8, components: 32, whitening: 0.5}
  connectors: {image: {class_path: mmgraph.connectors.linear}}
  block: {class_path: mmgraph.blocks.dense, init_args: {num_heads: 4}}
  heads:
    text: {class_path: mmgraph.heads.next_token}
  optimization: {learning_rate: 4.0e-3, beta2: 0.98, warmup_steps: 20, schedule: cosine}
""")
DENOISING = yaml.safe_load("""
class_path: mmgraph.heads.denoising
init_args:
  denoiser:
    class_path: mmgraph.denoisers.dit
    init_args: {width: 64, depth: 2, num_heads: 4, patch_size: 1, conditioning: cross_attention}
  objective: {class_path: mmgraph.heads.flow}
  connector_depth: 1
""")
shapes = yaml.safe_load("""
class_path: mmgraph.datasets.shapes
init_args:
  batch_size: 32
  tasks: {ask: 2, name: 1, write: 1}
  protocol: random
  world_seed: 1
  image_size: 24
  num_scenes: 3000
  max_objects: 1
  num_colours: 3
  num_shapes: 2
  paraphrases: false
  questions: [colour, shape, place]
""")
UNDERSTANDING = ("tokenizers.text", "tokenizers.image", "connectors", "vocabulary", "positions", "blocks")
ENCODER = yaml.safe_load("""
class_path: mmgraph.tokenizers.vit
init_args: {image_size: 24, patch_size: 6, width: 96, depth: 3, num_heads: 4, weights: "zoo:clip"}
""")


def with_connector(*, queries: int = 0, regressed: bool = False, **head) -> dict:
    """Return the language model's configuration with a denoiser and a connector of some kind."""
    model = copy.deepcopy(language_model)
    parts = model["init_args"]
    parts["heads"]["image"] = copy.deepcopy(DENOISING)
    parts["heads"]["image"]["init_args"] |= {"reads": "queries" if queries else "prompt", **head}
    if queries:
        wrapped = {"inner": parts["processor"], "num_queries": queries}
        parts["processor"] = {"class_path": "mmgraph.processors.queries", "init_args": wrapped}
    if regressed:
        parts["processor"]["init_args"]["regressed"] = "semantic"
        parts["tokenizers"]["semantic"] = ENCODER
    parts["condition_dropout"] = {"text": 0.1}
    parts["sampling"] = {"guidance": 2.0, "num_steps": 12}
    return model


world = instantiate(shapes)
drawn, asked = world.evaluation("test", "draw", 150), world.evaluation("test", "ask", 200)
torch.manual_seed(SEED)
fresh = instantiate(with_connector(queries=4))
fresh.fit_tokenizers(world)
fresh.eval()
with torch.no_grad():
    for weight in fresh.parameters():
        weight.add_(0.05 * torch.randn_like(weight))  # a fresh model has many zeros, which would hide mistakes
five = [sample for sample in drawn if len(sample.meta["caption"].split()) == 7][:5]  # one length: no padding needed
words = torch.stack([fresh.vocabulary.ids("text", code)
                     for code in fresh.tokenizer("text").encode([sample.meta["caption"] for sample in five])])
ids = torch.cat((torch.full((5, 1), BOS), words, torch.full((5, 1), BOI)), dim=1)  # (5, n)
prompt = fresh.vocabulary.embed(ids) + fresh.positions["text"](torch.arange(ids.shape[1]))
head = fresh.head("image")
own = LearnableQueries(4, 64, 64)
own.load_state_dict({"queries": fresh.queries["image_queries"].weight, **head.connector.state_dict()})
assembly = fresh.assemble(five, seed=0)
prepared = next(scored.prepared for scored in assembly.scored if scored.head == "image")
ours = flow_loss(head.denoiser, own(fresh, prompt), prepared.targets, prepared.time, prepared.noise)
total, count = fresh.losses(assembly)[0]["image"]
torch.testing.assert_close(ours, total / count)
print(f"equal: the loss of five pictures is {float(ours.detach()):.4f} both ways")

# %% [markdown]
# ## From YAML: one language model, four connectors
#
# First a small language model learns to answer questions about pictures, to name and to write captions: no drawing. Then
# each arm starts from its weights (`start_from`), and a *stage* says which parts learn: never those of the language
# model. To keep the page short, three arms are trained here: hidden states, the same after the first of the two blocks
# (`layer: 1`), and eight queries. The others are trained by the same function; their lines stand below, and their
# numbers in the table further down.


# %%
def mmgraph(command: str) -> None:
    """Run a command of mmgraph in this process, which saves starting a new one; print what it prints."""
    told = io.StringIO()
    with contextlib.chdir(work), contextlib.redirect_stdout(told), contextlib.redirect_stderr(io.StringIO()) as errors:
        status = cli.main(shlex.split(command))
    assert status == 0, errors.getvalue()
    print(f"$ mmgraph {command}\n{told.getvalue().strip()}")


def fit(name: str, model: dict, tasks: dict, steps: int, train=None, start=()):
    """Write NAME.yaml, train it with the command, and return the model."""
    model, data = copy.deepcopy(model), copy.deepcopy(shapes)
    data["init_args"]["tasks"] = tasks
    if train:
        model["init_args"]["start_from"] = [{"weights": "run:language", "part": part} for part in UNDERSTANDING]
        model["init_args"]["start_from"] += start
        model["init_args"]["stages"] = [{"train": train}]
    trainer = {"max_steps": steps, "accelerator": "cpu", "limit_val_batches": 0, "gradient_clip_val": 1.0}
    settings = {"seed_everything": SEED, "model": model, "data": data, "trainer": trainer}
    (work / f"{name}.yaml").write_text(yaml.safe_dump(settings))
    mmgraph(f"fit -c {name}.yaml --run {name}")
    return models.load(work / name)


language = fit("language", language_model, {"ask": 2, "name": 1, "write": 1}, 300)
CONFIGURATIONS = {
    "hidden": with_connector(),
    "first block": with_connector(layer=1),
    "queries": with_connector(queries=8),
    "one query": with_connector(queries=1),
    "aligner": with_connector(connector_tokens=8),
    "regressed": with_connector(queries=16, regressed=True, connector_depth=0),
}
LEARN = {"hidden": ["heads.image"], "first block": ["heads.image"], "queries": ["heads.image", "queries"]}
arms = {name: fit(name.replace(" ", "_"), CONFIGURATIONS[name], {"draw": 1}, 400, train=train)
        for name, train in LEARN.items()}

# %% [markdown]
# The aligner is to fit a denoiser that is there already. We give it that of the first arm, frozen. The regressed queries
# learn with all their parts:
#
# ```python
# fit("one_query", CONFIGURATIONS["one query"], {"draw": 1}, 400, train=["heads.image", "queries"])
# there = [{"weights": "run:hidden", "part": "heads.image.denoiser"}]
# fit("aligner", CONFIGURATIONS["aligner"], {"draw": 1}, 400, train=["heads.image.connector"], start=there)
# fit("regressed", CONFIGURATIONS["regressed"], {"draw": 1}, 400, train=["heads.image", "queries"])
# ```

# %% [markdown]
# ## What you should see
#
# **Shapes.** What each of the five configurations passes for captions of two lengths; shapes do not depend on training.
# (Each vector in the code has one more number, which says whether it is there at all.)


# %%
@torch.no_grad()
def told_to_denoiser(model, sample: Sample) -> Tensor:
    """Return the vectors (k, W) that the denoiser is told of one caption."""
    read, _ = model.scored(model.assemble([sample]))  # (what is scored, the states its head reads, its condition)
    states = next(states for scored, states, _ in read if scored.head == "image")
    return model.head("image").predict(states)[0, :, :-1]


short = min(drawn, key=lambda sample: len(sample.meta["caption"].split()))
long = max(drawn, key=lambda sample: len(sample.meta["caption"].split()))
told = {}
for sample in (short, long):
    print(f"{len(sample.meta['caption'].split())} words: '{sample.meta['caption']}'")
for name, configuration in CONFIGURATIONS.items():
    untrained = instantiate(configuration)
    untrained.fit_tokenizers(world)
    told[name] = [tuple(told_to_denoiser(untrained, sample).shape) for sample in (short, long)]
    parts = ("heads.image.connector", "heads.image.regressor", "queries")
    learns = sum(weight.numel() for key, weight in untrained.named_parameters() if key.startswith(parts))
    print(f"{name:11s} passes {told[name][0]} and {told[name][1]}; {learns:,} weights in the connector")
assert told["hidden"][0][0] < told["hidden"][1][0]
assert told["queries"] == [(8, 64)] * 2 == told["aligner"]
assert told["one query"] == [(1, 64)] * 2
assert told["regressed"] == [(16, 64)] * 2

# %% [markdown]
# **What understanding cost.** The answers of the language model before, and of each joined model after.


# %%
def answer_scores(model) -> Tensor:
    """Return the scores of every next word of every answer, (M, V)."""
    with torch.no_grad():
        found = []
        for start in range(0, len(asked), 50):
            ((_, states, _),), _ = model.scored(model.assemble(asked[start : start + 50]))
            found.append(model.head("text").predict(states).flatten(0, 1))
    return torch.cat(found)


def right_answers(model) -> float:
    said = generation.complete(model, asked)
    return sum(text == sample.meta["answer"] for text, sample in zip(said, asked, strict=True)) / len(asked)


before = answer_scores(language)
accuracy = right_answers(language)
for name, model in arms.items():
    assert torch.equal(before, answer_scores(model)), name
print(f"answers right: {accuracy:.2f}; the scores of every word are equal bit for bit in all {len(arms)} joined models")

# %% [markdown]
# **How much of the prompt arrives?** A drawing is right or wrong; a loss is finer. For each held-out scene we compute the
# denoising loss twice with the same noise: told its own caption, and told that of another scene. The difference is what
# the prompt is **worth**. If nothing gets through the connector, it is zero.

# %% alt="Drawings of ten captions by three arms: blots; the colour fits the caption more often with eight queries"
elsewhere = [replace(sample, segments=(drawn[(k + 37) % len(drawn)].segments[0], sample.segments[1]))
             for k, sample in enumerate(drawn)]


@torch.no_grad()
def loss_of(model, samples: list[Sample]) -> Tensor:
    """Return the loss of drawing each sample, averaged over five times, (n,); the noise depends on the sample's key."""
    found, head = [], model.head("image")
    for now in (0.1, 0.3, 0.5, 0.7, 0.9):
        read, _ = model.scored(model.assemble(samples, seed=0, fixed_time=now))
        scored, states, _ = next(each for each in read if each[0].head == "image")
        guess = head.denoise(scored.prepared.inputs, scored.prepared.time, head.predict(states))  # (n, 9, d)
        found.append(((guess - scored.prepared.targets) / (1 - now)).square().mean((1, 2)))
    return torch.stack(found).mean(0)


def spread(values: Tensor) -> float:
    return float(1.96 * values.std() / len(values) ** 0.5)


table, worth, own_loss, pictures = {}, {}, {}, {}
for name, model in arms.items():
    own_loss[name] = loss_of(model, drawn)
    worth[name] = loss_of(model, elsewhere) - own_loss[name]
    pictures[name] = generation.complete(model, drawn)
    seen = [world.check(sample.meta["item"], picture) for sample, picture in zip(drawn, pictures[name], strict=True)]
    table[name] = {kind: sum(one[kind] for one in seen) / len(seen)
                   for kind in ("colour", "shape", "size", "place", "all")}
    print(f"{name:11s} own loss {own_loss[name].mean():.3f}   worth {worth[name].mean():.3f} ± {spread(worth[name]):.3f}"
          "   drawn " + "  ".join(f"{kind} {value:.2f}" for kind, value in table[name].items()))
figure, grid = plt.subplots(len(arms), 10, figsize=(8.6, 2.9), layout="constrained")
for line, name in zip(grid, arms, strict=True):
    for axes, picture in zip(line, pictures[name], strict=False):
        axes.imshow(picture.permute(1, 2, 0))
        axes.set_xticks([])
        axes.set_yticks([])
    line[0].set_ylabel(name, fontsize=8)
for axes, sample in zip(grid[0], drawn, strict=False):
    axes.set_title("\n".join(sample.meta["caption"].split(" at ")[0].split()[1:]), fontsize=6)

# %%
for name in ("queries", "first block"):
    gain = worth[name] - worth["hidden"]  # scene by scene, with the same noise
    assert gain.mean() > spread(gain), name

power = {}
with torch.no_grad():
    for name in ("hidden", "first block"):
        read, _ = arms[name].scored(arms[name].assemble(drawn))
        states = next(states for scored, states, _ in read if scored.head == "image")[:, :5, :-1]  # of the language model
        power[name] = (states - states.mean(0)).square().sum(2).mean(0) / states.square().sum(2).mean(0)
        print(f"{name:11s} differs between captions:", "  ".join(
            f"{word} {share:.3f}" for word, share in zip(("begin", "a", "size", "colour", "shape"), power[name], strict=True)))
assert power["first block"][2:].sum() > 2 * power["hidden"][2:].sum()

# %% [markdown]
# **What you should see.** The worth of the prompt on 150 held-out scenes, with the interval over scenes:
#
# | | seed 0 | seed 1 | seed 2 |
# |---|---|---|---|
# | hidden states | 0.018 ± 0.005 | 0.029 ± 0.006 | 0.003 ± 0.002 |
# | eight queries | 0.131 ± 0.021 | 0.131 ± 0.022 | 0.121 ± 0.032 |
# | hidden states, first block | 0.224 ± 0.028 | 0.370 ± 0.047 | 0.154 ± 0.029 |
# | one query, not run here | 0.001 ± 0.000 | 0.073 ± 0.013 | 0.061 ± 0.015 |
# | aligner, not run here | 0.046 ± 0.010 | 0.036 ± 0.006 | not run |
# | regressed queries, not run here | 0.305 ± 0.052 | 0.177 ± 0.032 | not run |
#
# - **The prompt has begun to arrive.** None of these draws well yet: place is right as often as by chance (one of nine)
#   but for the first block (0.19 to 0.29), and after 400 steps a drawing is a blot. The loss hears the prompt long before
#   the eye sees it. The recipes train longer.
# - **One query is less than eight**, in each seed, but how much less depends on the seed. A single vector of 64 numbers is
#   room enough for a caption of 6.75 bits, so this is about how soon it is *learned*, not about what fits.
# - **The last hidden states hardly differ from prompt to prompt**, as the second part of the output says. They are made to
#   tell the *next* word, and after "small" come all colours alike. After the first block they still tell the word that
#   stands there, and the denoiser hears it at once. A linear map finds every fact in both (exercise 3): it is not that
#   something is missing, it is small. Queries learn to say what the denoiser listens to, and take a while.
# - **Regressed queries** are ahead, at a price: their *own* loss is more than twice that of the others (1.5 and 1.7
#   against 0.7), since the denoiser learned from true features and is now told guessed ones.
#
# A few seeds at one length of training say which is heard *sooner*. They do not say which draws best in the end.
#
# ## Break it
#
# Put the queries *before* the prompt. Nothing else changes: same weights, same number of positions. But the language
# model is causal, and now the queries cannot see a word.

# %%
(work / "early.py").write_text('''
from mmgraph.processors import queries


class Early(queries):
    """Queries before the prompt: wrong on purpose, in a causal model."""

    def expand(self, segments, task, training):
        spans = super().expand(segments, task, training)
        learned = [span for span in spans if span.source == "queries"]
        return [*learned, *(span for span in spans if span.source != "queries")]
''')
imports.allow("early")
sys.path.insert(0, str(work))
from early import Early

cut = models.load(work / "queries")
cut.processor = Early(cut.processor.inner, num_queries=8)
worth["cut"] = loss_of(cut, elsewhere) - loss_of(cut, drawn)
same_noise = [replace(sample, key=0) for sample in drawn[:40]]
varied = {name: len({picture.numpy().tobytes() for picture in generation.complete(model, same_noise)})
          for name, model in (("queries", arms["queries"]), ("cut", cut))}
print(f"worth of the prompt: queries {worth['queries'].mean():.3f}, cut {worth['cut'].abs().max():.6f}")
print(f"different drawings of {len({sample.meta['caption'] for sample in same_noise})} captions from one noise: {varied}")
assert worth["cut"].abs().max() < 1e-4
assert varied["cut"] == 1 < varied["queries"]

# %% [markdown]
# One drawing for all captions, and a prompt that is worth nothing, to the last digit. No training can mend it: whatever
# the queries learn, they say the same for every prompt, and the best the denoiser can do is to draw *some* thing. In
# code it is an easy slip, a wrong order or a wrong mask, and the loss falls all the same: it learns what pictures look
# like in general. Only the second number, the loss with another prompt, shows it.
#
# ## Exercises
#
# 1. **Thaw it.** Let everything learn to draw for 100 steps (`train: ["*"]`), with no question among the tasks. How many
#    answers are still right?
# 2. **Which query?** Set one of the eight queries to zero, keep the others, and see how much dearer the pictures become.
#    Does each of them matter?
# 3. **What is in the vectors?** Fit a linear map from what the denoiser is told to the place and the colour of the
#    caption, on two thirds of all captions, and read the rest. What have eight queries kept? And is the colour in the
#    hidden states?

# %% tags=["solution"]
print("1. thaw it")
thawed = fit("thawed", with_connector(queries=8), {"draw": 1}, 100, train=["*"])
after = right_answers(thawed)
print(f"   answers right: frozen {accuracy:.2f}, thawed {after:.2f}")
assert not torch.equal(before, answer_scores(thawed))
assert after < accuracy - 0.1

# %% tags=["solution"]
print("2. which query")
model = models.load(work / "queries")
rows = model.queries["image_queries"].weight
dearer = []
with torch.no_grad():
    for number in range(8):
        kept = rows[number].clone()
        rows[number] = 0
        dearer.append(float((loss_of(model, drawn) - own_loss["queries"]).mean()))
        rows[number] = kept
print("   dearer by", "  ".join(f"{value:+.3f}" for value in dearer))
assert max(dearer) > 0

# %% tags=["solution"]
print("3. what is in the vectors")
first = {sample.meta["caption"]: sample for sample in [*world.evaluation("val", "draw"), *drawn]}
captions = sorted(first)
held_out = torch.arange(len(captions)) % 3 == 0
answers = {
    "colour": torch.tensor([("red", "green", "blue").index(text.split()[2]) for text in captions]),
    "place": torch.tensor([sorted({t.split(" the ")[1] for t in captions}).index(t.split(" the ")[1]) for t in captions]),
}
read_off = {}
for name in ("queries", "hidden", "first block"):
    count = 8 if name == "queries" else 5  # of hidden states those up to the shape: prompts differ in length after it
    vectors = torch.stack([told_to_denoiser(arms[name], first[text])[:count].flatten() for text in captions])
    vectors = (vectors - vectors[~held_out].mean(0)) / vectors[~held_out].std()
    for kind, answer in answers.items() if name == "queries" else [("colour", answers["colour"])]:
        known = vectors[~held_out]
        gram = known @ known.T + 1.0 * torch.eye(len(known))
        wanted = F.one_hot(answer[~held_out]).float()
        guess = vectors[held_out] @ known.T @ torch.linalg.solve(gram, wanted - wanted.mean(0))
        read_off[name, kind] = float((guess.argmax(1) == answer[held_out]).float().mean())
        print(f"   {name:11s} {kind:7s} {read_off[name, kind]:.2f} of {int(held_out.sum())} captions")
# Chance is 0.33 and 0.11. What can be read off is more than the denoiser has learned to use so far.
assert min(read_off[name, "colour"] for name in LEARN) > 0.6
assert read_off["queries", "place"] > 0.3

# %% [markdown]
# ## Recap
#
# - A connector passes vectors, so the picture's loss can teach it; a tool passes words, and learns nothing.
# - Queries are inputs that are learned. They read what stands *before* them, and their number is the width of the channel.
# - Hidden states need no queries and grow with the prompt; those of an earlier layer tell more of the words. An aligner speaks to a denoiser that is frozen; regressed
#   queries have a target of their own, the features of the picture.
# - A frozen language model answers as before, bit for bit. Thawed and taught to draw only, it forgets.
# - What a prompt is worth, loss with another prompt minus loss with its own, finds a deaf model that its loss hides.
#
# | Question | |
# |---|---|
# | Is my loss normal? | held-out 0.69 to 0.72 after 400 steps, deaf or not: so look at the worth of the prompt |
# | How long on my laptop? | about 20 to 25 CPU-seconds an arm; the recipes have 500 steps at twice the width |
# | My own data? | pictures with captions: [own data](../howto/own-data.md), and one of the four recipes |
# | Where are the queries? | `mmgraph.processors.queries`; `num_queries`, `order`, `regressed` |
# | Where is the connector? | `mmgraph.heads.denoising`: `reads`, `connector_depth`, `connector_tokens`, `width` |
# | Where are stages and starts? | `stages` and `start_from` of `mmgraph.models.UnifiedModel` |
# | Where are held-out losses? | `mmgraph.evaluation.losses`; `mmgraph evaluate` writes them |
#
# ## References
#
# - Pan et al., *Kosmos-G: Generating Images in Context with Multimodal Large Language Models*, 2023 (arXiv 2310.02992).
# - Ge et al., *SEED-X*, 2024 (arXiv 2404.14396).
# - Pan et al., *Transfer between Modalities with MetaQueries*, 2025 (arXiv 2504.06256).
# - Wu et al., *OmniGen2*, 2025 (arXiv 2506.18871).
# - *Multi-modal Generative AI: Multi-modal LLMs, Diffusions, and the Unification* (arXiv 2409.14993), section IV-A2.
#
# ## Next
#
# [20 One transformer, two losses](20_one_transformer_two_losses.md): no connector at all. [Choose a
# denoiser](../choose/denoiser.md) has the four ways with their options.

# %%
print(f"this page took {time.process_time() - began:.0f} CPU-seconds")
