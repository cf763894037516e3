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
# # 07 Fine detail and hallucination
#
# A model that reads pictures can be wrong in two ways: it misses what is there, because its visual tokens are too
# few, and it sees what is not there, because it learned what usually is; here you measure both, and repair one.
#
# | | |
# |---|---|
# | You will learn | what few tokens lose, probes and false yes, how biased data makes a model hallucinate, two remedies |
# | You need | tutorial 01 (the shapes world, its oracle); what an interval is; 05 helps |
# | Time | about 85 CPU-seconds on one core, no GPU |
# | Memory | 1.2 GB |
# | Seed | 0; the ranges below held for seeds 0, 1 and 2 |

# %% [markdown]
# ## The idea
#
# **Detail.** A language model with eyes reads a picture as $N$ tokens of some width. Whatever the encoder does not
# put into these tokens is gone: no language model behind it, however large, can bring it back. More tokens keep more,
# and cost more. With $P$ parameters in the body, $L_0$ positions of text, depth $D$ and width $d$, reading a question
# takes about
#
# $$ C(N) = 2 P\,(N + L_0) + 4 D d\,(N + L_0)^2 \quad\text{operations}. $$
#
# **Hallucination.** If the tokens say little, or the training data made looking unnecessary, the model answers from
# habit. In a data set where every kitchen has a microwave, "is there a microwave ?" can be answered without looking at
# the place where it would stand. The answer is right in training, and wrong on the first kitchen without one.
#
# So we ask **probes**, questions of yes or no whose right answer is known, and count the **false yes**: the share of
# yes where the thing is *not* there. Which absent thing is asked for matters. The terms are those of the benchmark
# POPE: **random** (any absent thing), **popular** (one that training shows often), **adversarial** (one that training
# shows together with something that *is* in this picture).

# %%
import contextlib
import csv
import io
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import torch
import yaml

from mmgraph import cli, generation, models
from mmgraph.configured import instantiate
from mmgraph.datasets import shapes
from mmgraph.evaluation import examples, understanding
from mmgraph.tokenizers import pca

torch.set_num_threads(1)
SEED = 0
work = Path(tempfile.mkdtemp(prefix="hallucination-"))
began = time.process_time()

# %% [markdown]
# ## What few tokens lose
#
# First the detail, without any training. A picture of 24 px is cut into 4, 9, 16 or 36 patches, and every patch
# becomes a token of 12 numbers, its leading principal components: the best linear code of that width. Then we turn the
# tokens back into a picture and let the oracle read it. The oracle knows exactly how things are drawn, so what it
# cannot read from the tokens is not a failure to look. It is hardly in there.

# %%
one = shapes(num_scenes=3000, max_objects=1, image_size=24, world_seed=SEED)
pictures = torch.stack([one.picture(i) for i in one.items("train")])
held_out = one.items("test")[:300]
asked = torch.stack([one.picture(i) for i in held_out])  # (300, 3, 24, 24)


def detail(patch_size: int, components: int):
    """Return (size of thing, attribute) -> share that the oracle reads rightly, and the pictures that came back."""
    tokenizer = pca(24, patch_size, components=components)
    tokenizer.fit(pictures)
    back = tokenizer.decode(tokenizer.encode(asked))
    right = defaultdict(list)
    for item, picture in zip(held_out, back, strict=True):
        for name, found in one.check(item, picture).items():
            right[one.scenes[item].things[0].size, name].append(found)
    return {key: sum(row) / len(row) for key, row in right.items()}, back


def operations(tokens: int, parameters: float, depth: int, dim: int, text: int) -> float:
    positions = tokens + text
    return 2 * parameters * positions + 4 * depth * dim * positions**2


read, back = {}, {}
print("tokens   shape, large   shape, small   colour, small   place, small   cost for a body of 7 billion")
for patch_size in (12, 8, 6, 4):
    tokens = (24 // patch_size) ** 2
    read[tokens], back[tokens] = detail(patch_size, components=12)
    cells = [read[tokens][key] for key in (("large", "shape"), *(("small", n) for n in ("shape", "colour", "place")))]
    cost = operations(64 * tokens, 7e9, 32, 4096, 50) / 1e12
    print(f"{tokens:6d}" + "".join(f"{cell:15.2f}" for cell in cells) + f"   {cost:6.1f} T operations at {64 * tokens}")

# %% alt="Shapes read rightly against visual tokens: large things above small ones; both rise to one at 36 tokens"
figure = plt.figure(figsize=(8.4, 3.2), layout="constrained")
grid = figure.add_gridspec(2, 7)
axes = figure.add_subplot(grid[:, :3])
for size, style in (("large", "o-"), ("small", "s--")):
    axes.plot(list(read), [read[tokens][size, "shape"] for tokens in read], style, label=f"{size} things")
axes.axhline(1 / 6, color="grey", linewidth=0.8, label="chance")
axes.set(xscale="log", xlabel="visual tokens of 12 numbers", ylabel="shape read rightly", ylim=(0, 1.05))
axes.set_xticks(list(read), list(read))
axes.minorticks_off()
axes.legend(fontsize=7)
small = next(k for k, item in enumerate(held_out) if one.scenes[item].things[0].size == "small")
for row, number in enumerate((small, 0 if small else 1)):
    for column, (title, shown) in enumerate((("true", asked), *((f"{n} tokens", back[n]) for n in (4, 9, 36)))):
        cell = figure.add_subplot(grid[row, 3 + column])
        cell.imshow(shown[number].permute(1, 2, 0))
        cell.set_axis_off()
        cell.set_title(title, fontsize=7)

# %% [markdown]
# **What you should see.** The place survives almost anything. The shape of a *large* thing needs 9 to 16 tokens. The
# shape of a *small* thing needs all 36: at 4 tokens it is little better than a guess. That is why reading a chart or a
# street sign takes models that cut a picture into tiles and spend thousands of tokens on it. The last column has the
# price at 64 times as many tokens, which is what large models use (256 to 2,304 for one picture).
#
# When you test whether a model sees, test it on small things too. An average over sizes hides the gap.

# %%
for (few, many), size in (((4, 16), "large"), ((9, 36), "small"), ((16, 36), "small")):
    assert read[many][size, "shape"] > read[few][size, "shape"] + 0.15, (few, many, size)
assert all(read[n]["large", "shape"] > read[n]["small", "shape"] + 0.15 for n in (4, 9, 16))
assert read[36]["small", "shape"] > 0.93
assert read[9]["small", "place"] > 0.85

# %% [markdown]
# ## A world with a habit
#
# Now the second error. The data set can be biased: with `cooccurrence: 0.9`, nine of ten *training* scenes that show
# a ring and no bar are made to show a bar as well. Validation and test scenes stay as they are. So a model has a
# shortcut: where a ring is, say that there is a bar.

# %%
recipe = """
seed_everything: 0
model:
  class_path: mmgraph.models.UnifiedModel
  init_args:
    dim: 64
    depth: 2
    max_text: 16
    processor: {class_path: mmgraph.processors.single}
    tokenizers:
      text: {class_path: mmgraph.tokenizers.word}
      image:
        class_path: mmgraph.tokenizers.vit
        init_args: {image_size: 24, patch_size: 6, width: 96, depth: 3, num_heads: 4, weights: "zoo:clip"}
    connectors:
      image: {class_path: mmgraph.connectors.average_pool, init_args: {num_queries: 1}}
    block: {class_path: mmgraph.blocks.dense, init_args: {num_heads: 4}}
    heads:
      text: {class_path: mmgraph.heads.next_token}
    optimization: {learning_rate: 3.0e-3, beta2: 0.98, warmup_steps: 50, schedule: cosine}
data:
  class_path: mmgraph.datasets.shapes
  init_args:
    batch_size: 32
    tasks: {ask: 1}
    world_seed: 1
    image_size: 24
    num_scenes: 6000
    questions: [probe]
    evaluation_scenes: 900
    cooccurrence: 0.9
trainer:
  max_steps: 500
  accelerator: cpu
  limit_val_batches: 0
  gradient_clip_val: 1.0
"""
config = work / "biased.yaml"
config.write_text(recipe)
settings = yaml.safe_load(recipe)
world = instantiate(settings["data"])


def together(split: str) -> float:
    """Return how many of a split's scenes with a ring show a bar."""
    scenes = [{thing.shape for thing in world.scenes[i].things} for i in world.items(split)]
    return sum({"ring", "bar"} <= shown for shown in scenes) / sum("ring" in shown for shown in scenes)


print(f"a bar beside the ring: {together('train'):.0%} of training scenes, {together('test'):.0%} of test scenes")
assert together("train") > 0.9 > 0.25 > together("test")

# %% [markdown]
# The encoder is the frozen `zoo:clip`, which was trained on scenes without this habit. So whatever goes wrong now is
# learned behind the encoder. (It saw the scenes of `world_seed: 0`; these are those of another world.) To be quick, the
# whole picture is *one* visual token, the mean of the encoder's 16.
#
# ## Probes, from scratch
#
# Three functions: the probe set, the false yes, and two intervals for it. **Wilson's interval** inverts the normal
# test of a share $\hat p$ of $n$ independent answers, with $z = 1.96$:
#
# $$ \frac{\hat p + \frac{z^2}{2n} \pm z\sqrt{\frac{\hat p (1 - \hat p)}{n} + \frac{z^2}{4 n^2}}}{1 + z^2 / n} . $$
#
# Scenes that show the same things are not independent. The **clustered bootstrap** draws whole groups of such scenes
# with replacement, computes the share a thousand times, and takes the 2.5 % and 97.5 % points.

# %%
def probe_set(scenes, items):
    """Return (kind, item, right answer) of 'is there a bar ?' for every scene."""
    probes = []
    for item in items:
        shown = {thing.shape for thing in scenes[item].things}
        if "bar" in shown:
            probes.append(("probe_companion", item, "yes"))
        else:
            probes.append(("probe_adversarial" if "ring" in shown else "probe_popular", item, "no"))
    return probes


def false_yes(said: list[str]) -> float:
    """The share of yes among answers that should be no."""
    return sum(answer == "yes" for answer in said) / len(said)


def wilson(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    middle = share + z**2 / (2 * n)
    reach = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, middle - reach) / (1 + z**2 / n), (middle + reach) / (1 + z**2 / n)


def bootstrap(values: list[float], groups: list[str], resamples: int = 1000, seed: int = 0) -> tuple[float, float]:
    """The interval of a mean, by drawing whole groups with replacement."""
    names = list(dict.fromkeys(groups))
    totals, sizes = torch.zeros(len(names)).double(), torch.zeros(len(names)).double()
    for value, group in zip(values, groups, strict=True):
        totals[names.index(group)] += value
        sizes[names.index(group)] += 1
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(names), (resamples, len(names)), generator=generator)  # (R, groups)
    means = totals[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = torch.quantile(means, torch.tensor([0.025, 0.975]).double()).tolist()
    return low, high


# %% [markdown]
# ## The same through the plugin
#
# The kind of question `probe` makes the same set for an evaluation, and adds questions for other shapes
# (`probe_present`, `probe_random`). Every kind is a row of `metrics.json` under `understanding`, and where the right
# answer is always no, **1 - accuracy is the false yes**.

# %%
own = probe_set(world.scenes, world.items("test")[:900])
theirs = [(s.meta["kind"], s.meta["item"], s.meta["answer"]) for s in world.evaluation("test", "ask")
          if s.meta["question"] == "is there a bar ?"]
assert own == theirs
counts = {kind: sum(probe[0] == kind for probe in own) for kind in sorted({probe[0] for probe in own})}
print("the same probes, in the same order:", counts)

# %% alt="Three test scenes: a bar, a ring without a bar, and neither, each with its kind of probe"
figure, grid = plt.subplots(1, 3, figsize=(6.6, 2.2), layout="constrained")
for axes, kind in zip(grid, ("probe_companion", "probe_adversarial", "probe_popular"), strict=True):
    _, item, answer = next(probe for probe in own if probe[0] == kind)
    axes.imshow(world.picture(item).permute(1, 2, 0))
    axes.set_title(f"{kind}\nis there a bar ?  {answer}", fontsize=8)
    axes.set_axis_off()

# %% [markdown]
# ## From YAML
#
# Train on the biased world. This is the command that you would type.


# %%
def mmgraph(*arguments: str) -> str:
    """Run a command as in a terminal and return what it prints."""
    done = subprocess.run([sys.executable, "-m", "mmgraph", *arguments], cwd=work, capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return done.stdout


print("mmgraph fit -c biased.yaml --run biased")
print(mmgraph("fit", "-c", "biased.yaml", "--run", "biased", "--seed", str(SEED)))
biased = models.load(work / "biased")
with (work / "biased/logs/metrics.csv").open() as file:
    losses = [float(row["train_text"]) for row in csv.DictReader(file)]
print(f"loss {losses[0]:.2f} at first, {losses[-1]:.2f} at the end; who does not look has {math.log(2) / 2:.2f}")
assert losses[-1] < math.log(2) / 2

# %% [markdown]
# **Is that loss normal?** Half of the answers are yes, so a model that does not look has ln 2 = 0.69 on the answer and
# nearly 0 on the end of the text. The log shows the mean of both, 0.35. Anything below means that it learned to look,
# or that it learned the habit: the loss cannot tell which.
#
# Two remedies, each with the same number of samples. **Balanced scenes**: collect data in which the habit does not
# hold. **Negative probes**: keep the biased scenes, but let one question in twenty ask for the bar where a ring is
# without one; few scenes are like that, so each of them is shown often. These two run in this process, which saves
# starting Python again.

# %%
def fit(name: str, *flags: str):
    """Train as the command does, in this process; return the model."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as told:
        status = cli.main(["fit", "-c", str(config), "--run", str(work / name), "--seed", str(SEED), *flags])
    assert status == 0, told.getvalue()
    return models.load(work / name)


balanced = fit("balanced", "--data.init_args.cooccurrence", "0")
negatives = fit("negatives", "--data.init_args.negative_probes", "0.05")
arms = {"biased": biased, "balanced": balanced, "negatives": negatives}

# %% [markdown]
# ### What you should see
#
# All three answer the same 1,000 held-out probes about uniform scenes, as `mmgraph evaluate` asks them.

# %%
chosen = examples.pick(examples.questions(world, "test"), 200, key=lambda question: question.kind)
training = examples.questions(world, "train", 300)
said = {name: understanding.answer(model, chosen) for name, model in arms.items()}
scores = {name: understanding.score(answers, training) for name, answers in said.items()}
assert {answer.given for answers in said.values() for answer in answers} <= {"yes", "no"}

table = {}
for name, answers in said.items():
    for kind, score in scores[name].items():
        rows = [answer for answer in answers if answer.question.kind == kind]
        yes = false_yes([answer.given for answer in rows])  # on the kinds whose answer is yes: true yes
        table[name, kind] = (yes, wilson(yes, len(rows)))
        if rows[0].question.answer == "no":
            values, groups = [float(row.given == "yes") for row in rows], [row.question.concept for row in rows]
            low, high = bootstrap(values, groups)
            assert math.isclose(yes, 1 - score["accuracy"])
            if 0 < yes < 1:  # a share of exactly 0 or 1 has an exact interval in the package
                assert torch.allclose(torch.tensor([1 - high, 1 - low]), torch.tensor(score["ci95"]))

kinds = ("probe_adversarial", "probe_popular", "probe_random", "probe_companion", "probe_present")
print("share of yes" + "".join(f"{kind.removeprefix('probe_'):>20s}" for kind in kinds))
for name in arms:
    cells = [f"{yes:.2f} [{low:.2f}, {high:.2f}]" for yes, (low, high) in (table[name, kind] for kind in kinds)]
    print(f"{name:12s}" + "".join(f"{cell:>20s}" for cell in cells))

# %% alt="Share of yes per kind of probe: the biased model says yes to most adversarial probes, the others far less"
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
for offset, name in zip((-0.2, 0, 0.2), arms, strict=True):
    points = [table[name, kind] for kind in kinds]
    places = [k + offset for k in range(len(kinds))]
    spread = [[yes - low for yes, (low, _) in points], [high - yes for yes, (_, high) in points]]
    axes.errorbar(places, [yes for yes, _ in points], spread, fmt="o", capsize=3, label=name)
axes.axvline(2.5, color="grey", linewidth=0.8)
axes.set_xticks(range(len(kinds)), [kind.removeprefix("probe_") for kind in kinds])
axes.set(ylabel="share of yes", ylim=(0, 1), title="left: a yes is false;  right: a yes is true")
axes.legend(fontsize=8)

# %% [markdown]
# Read the left half first. The biased model sees a bar in most scenes that have a ring and no bar. Ask the *same
# question* about a scene without a ring (popular), and it says yes far less often. So it is not the word "bar" that it
# likes: it is the ring that makes it see one.
#
# Both remedies bring the adversarial false yes down. They do nothing for the random probes: from seed to seed those lie
# between 0.16 and 0.60, and no arm is always the best. That is the *other* error, the one from the first half of this
# page: one visual token does not say well which shapes are there. **Balance repairs a habit, not eyes.** So the measure
# of the habit itself is a difference, adversarial minus popular: the same question, with and without the ring.
#
# Then look at the right half before you are content. A model that always says no has no false yes either. When we tried
# this with all 16 tokens in place of one, the balanced model seemed perfect after 500 steps: 0.99 right on adversarial
# probes. It said no to 95 % of the bars that were there. It had not learned to look at all.

# %%
drop = {name: table["biased", "probe_adversarial"][0] - table[name, "probe_adversarial"][0] for name in arms}
habit = {name: table[name, "probe_adversarial"][0] - table[name, "probe_popular"][0] for name in arms}
for name in arms:
    print(f"{name:10s} habit {habit[name]:5.2f}   adversarial false yes {drop[name]:5.2f} lower than of the biased model")
assert habit["biased"] > 0.3
assert habit["balanced"] < 0.2
assert habit["negatives"] < habit["biased"] - 0.1
assert drop["balanced"] > 0.2
assert drop["negatives"] > 0.15
assert all(table[name, "probe_companion"][0] > 0.5 for name in arms), "they see bars that are there"

# %% [markdown]
# **With five seeds** (`docs/studies/hallucination.yaml`, 700 steps, means): adversarial false yes 0.58 biased, 0.16
# balanced, 0.16 with negative probes. The difference to the biased arm is 0.41 with 95 % interval [0.11, 0.72] over
# seeds for balanced scenes, and 0.41 [0.30, 0.53] for negative probes. The first interval is wide because of one seed:
# there the balanced model had 0.45 on adversarial *and* 0.38 on popular probes. It had no habit, it just did not see
# bars well yet. True yes for the bar is 0.86 biased, 0.79 balanced and 0.80 with negative probes. That difference is
# not beyond chance once it is corrected for the number of comparisons, but keep an eye on it: a remedy has a price.

# %% [markdown]
# ## Break it: test on data with the same habit
#
# Usually the test set comes from where the training set came from. Then it has the same habit. Ask the biased model
# about scenes of the *biased* split, and report one number, as most benchmarks do.

# %%
same_habit = examples.questions(world, "train", 900)
about_bars = [q for q in same_habit if q.text == "is there a bar ?" and q.kind != "probe_popular"]
with_ring = understanding.answer(biased, about_bars)
right = sum(answer.correct for answer in with_ring) / len(with_ring)
hard = [answer for answer in with_ring if answer.question.kind == "probe_adversarial"]
print(f"'is there a bar ?' where a bar or a ring is: {right:.2f} right of {len(with_ring)}; only {len(hard)} are adversarial")
assert right > 0.75

# %% [markdown]
# The score is good, and it says nothing: of all these questions, a handful are hard. **A benchmark that shares the
# bias of the training data rewards the habit.** What finds it is a probe set that is made to disagree with it.
#
# ## Exercises
#
# 1. **Wider tokens.** The four tokenizers above had 12 numbers per token, so 36 tokens also had nine times as many
#    numbers as 4. Give all of them 144 numbers in total. Is it still better to have more tokens?
# 2. **Nothing in forty.** A model gave no false yes on 40 probes. What does the interval of the mean's standard error
#    say, $\hat p \pm 1.96 \sqrt{\hat p(1 - \hat p)/n}$? And Wilson's? How many probes without an error do you need to
#    claim less than 1 %?
# 3. **The cause.** Take the adversarial scenes, and change nothing but the ring: make it a square. By how much does
#    the share of false yes fall? Do it for the biased and for the balanced model.

# %% tags=["solution"]
print("1. tokens x numbers: shape read rightly, large and small")
wide = {}
for patch_size in (12, 8, 6, 4):
    tokens = (24 // patch_size) ** 2
    wide[tokens], _ = detail(patch_size, components=144 // tokens)
    print(f"   {tokens:2d} x {144 // tokens:2d}: {wide[tokens]['large', 'shape']:.2f} {wide[tokens]['small', 'shape']:.2f}")
# What counts is how many numbers there are. The width of a token is fixed by the language model, so tokens are the
# only way to have more of them.
small_things = [row["small", "shape"] for row in wide.values()]
assert max(small_things) - min(small_things) < 0.3 < read[36]["small", "shape"] - read[4]["small", "shape"]

# %% tags=["solution"]
print("2. no error in 40 probes")
print("   standard error:", (0.0, 0.0), "  Wilson:", tuple(round(end, 3) for end in wilson(0, 40)))
needed = next(n for n in range(1, 2000) if wilson(0, n)[1] < 0.01)
print(f"   {needed} probes without an error for an upper end below 1 %")
assert wilson(0, 40)[1] > 0.08
assert needed == 381

# %% tags=["solution"]
from mmgraph_datasets.shapes_world import Scene, render

hard = [item for kind, item, _ in own if kind == "probe_adversarial"]
swapped = [Scene(tuple(replace(t, shape="square") if t.shape == "ring" else t for t in world.scenes[i].things)) for i in hard]
before, after = torch.stack([world.picture(i) for i in hard]), torch.stack([render(s, 24) for s in swapped])
caused = {}
for name in ("biased", "balanced"):
    with_it, without = (false_yes(generation.ask(arms[name], x, ["is there a bar ?"] * len(hard))) for x in (before, after))
    caused[name] = with_it - without
    print(f"3. {name:9s} false yes with the ring {with_it:.2f}, with a square in its place {without:.2f}")
assert caused["biased"] > caused["balanced"] + 0.2

# %% [markdown]
# ## Recap
#
# - What the visual tokens do not hold, no language model can see. Small things need more tokens than large ones.
# - Biased data makes a model answer from habit. It shows in probes for what is absent but usual, and in no other.
# - Count false yes *and* true yes, each with an interval and its number of probes.
# - Balance the data, or add negative probes: a few per cent of the samples are enough.
# - A test set with the bias of the training set rewards the habit.
#
# | Where is ... | |
# |---|---|
# | the biased world | `plugins/mmgraph_datasets/shapes_cooccurrence.py`; options `cooccurrence`, `negative_probes` of `shapes` |
# | the false yes | `metrics.json`, `understanding.probe_adversarial.accuracy`: 1 - it |
# | the interval | `mmgraph.evaluation.statistics.mean_interval` |
# | five seeds of this contrast | `docs/studies/hallucination.yaml`, by `mmgraph compare --study` |
#
# **Your own pictures.** In a folder of your own (`mmgraph.datasets.folder`), every question is a column of the table.
# Add "is there a ... ?" for what is absent, choose the absent things by how often they stand beside what is present,
# and give a column to each kind of probe: then each has its row in `metrics.json`.
#
# ## References
#
# - Li et al., *Evaluating Object Hallucination in Large Vision-Language Models*, 2023 (arXiv 2305.10355): the probes.
# - Rohrbach et al., *Object Hallucination in Image Captioning*, 2018 (arXiv 1809.02156).
# - Liu et al., *Mitigating Hallucination in Large Multi-Modal Models via Robust Instruction Tuning*, 2023
#   (arXiv 2306.14565): negative instructions.
# - Wilson, *Probable Inference, the Law of Succession, and Statistical Inference*, 1927 (doi 10.2307/2276774).
# - *Multi-modal Generative AI: Multi-modal LLMs, Diffusions, and the Unification* (arXiv 2409.14993), section II-C3.
#
# ## Next
#
# Tutorial 10 turns to the other direction, and makes pictures. Tutorial 33 shows how to run a comparison like this one
# over several seeds.

# %%
print(f"this page took {time.process_time() - began:.0f} CPU-seconds beside the first training")
