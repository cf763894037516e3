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
# # 01 Toy world and oracle
#
# Build a world of pictures in which every statement is known to be true or false, so that a model's drawings and
# answers can be marked exactly, and learn the ways in which a good mark can lie.
#
# | | |
# |---|---|
# | You will learn | rendering, reading by drawing, four types of data, splits and leaks, chance and majority |
# | You need | NumPy arrays and slices; no deep learning yet |
# | Time | about one minute on a laptop, no GPU |
# | Memory | 1 GB |
# | Seed | 0 |

# %% [markdown]
# ## The idea
#
# Large models are trained on pictures from the web. Nobody knows what is true of those pictures, so nobody can
# say for sure whether a drawing shows what was asked for. A **generated world** turns this round:
#
# 1. a **scene** is a list of facts (a large red ring at the top left);
# 2. a **renderer** makes the picture from the facts;
# 3. a **grammar** makes captions, questions and answers from the same facts;
# 4. an **oracle** reads the facts back from *any* picture, also from one that a model drew.
#
# Scene $i$ of a world is a function of (world seed, $i$): no download, and the same world on every machine.

# %% alt="Eight generated scenes of one or two coloured shapes on white, each with its caption."
import itertools
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from mmgraph.datasets import shapes

torch.set_num_threads(1)
world = shapes(num_scenes=2000, image_size=24)


def show(pictures, titles, columns=4, width=2.4):
    rows = -(-len(pictures) // columns)
    _, axes = plt.subplots(rows, columns, figsize=(width * columns, 2.3 * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, picture, title in zip(axes.flat, pictures, titles, strict=False):
        axis.imshow(np.asarray(picture).transpose(1, 2, 0))
        axis.set_title(title, fontsize=7)


chosen = world.items("train")[:8]
show([world.picture(i) for i in chosen], [world.identity(i).replace(" and ", "\nand ") for i in chosen])
print(world.description)

# %% [markdown]
# ## From scratch
#
# A renderer and an oracle for squares and rings, in 55 lines. A thing has a center $(x, y)$ and a radius $r$, as
# shares of the picture's side.
#
# **Renderer.** Each pixel holds $8 \times 8$ points; the share $m$ of points inside the shape mixes the thing's
# colour $c$ into white: $255 - m\,(255 - c)$. That is anti-aliasing.
#
# **Oracle.** Look at *ink* $k = 1 - \text{picture}/255$. Things are apart, so empty columns and rows cut them.
# Centroid and spread of the ink give center and radius: for a square $\operatorname{var}(x) = r^2/3$, and for the
# ring it is nearly the same. Then draw each shape there (a *template* $m$) and keep the one that explains most
# of the ink. The best colour in the least-squares sense is $k \cdot m / m \cdot m$, per channel. This is **analysis by
# synthesis**: to read, draw.

# %%
PALETTE = {
    "red": (214, 39, 40), "green": (40, 150, 60), "blue": (40, 75, 205), "yellow": (250, 215, 30),
    "purple": (130, 45, 175), "black": (25, 25, 25), "orange": (240, 125, 20), "pink": (245, 90, 175),
}  # fmt: skip
PLACES = ("top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right")


def inside(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Whether the points (u, v) of the box from -1 to 1 belong to the shape."""
    if shape == "square":
        return np.maximum(np.abs(u), np.abs(v)) <= 1
    if shape == "ring":
        return (u * u + v * v <= 1) & (u * u + v * v >= 0.3)
    return u * u + v * v <= 1  # a disc


def coverage(shape: str, x: float, y: float, radius: float, size: int) -> np.ndarray:
    """Share of each pixel that the shape covers, (size, size)."""
    points = (np.arange(8 * size) + 0.5) / 8  # in pixels
    hit = inside(shape, ((points - x * size) / (radius * size))[None], ((points - y * size) / (radius * size))[:, None])
    return hit.reshape(size, 8, size, 8).mean((1, 3))


def render(things, size: int) -> np.ndarray:
    picture = np.full((3, size, size), 255.0)
    for thing in things:
        ink = 255 - np.array(thing.rgb)[:, None, None]
        picture -= coverage(thing.shape, thing.x, thing.y, thing.radius, size) * ink
    return np.rint(picture).astype(np.uint8)


def runs(filled: np.ndarray) -> list[slice]:
    """The stretches of True, with one pixel around them for faint edges."""
    edges = np.flatnonzero(np.diff(np.pad(filled, 1).astype(int)))
    return [slice(max(0, start - 1), stop + 1) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def read(picture: np.ndarray, names=("square", "ring")) -> set[tuple[str, str, str, str]]:
    """The things of a picture: (size, colour, shape, place) of each."""
    ink, size, found = 1 - picture / 255, picture.shape[1], set()  # (3, size, size)
    mask = ink.max(0) > 0.3
    for columns in runs(mask.any(0)):
        for rows in runs(mask[:, columns].any(1)):
            piece = np.zeros_like(ink)
            piece[:, rows, columns] = ink[:, rows, columns]
            weight = piece.sum(0) / piece.sum()
            at = (np.arange(size) + 0.5) / size
            x, y = (weight.sum(0) * at).sum(), (weight.sum(1) * at).sum()
            radius = np.sqrt(1.5 * (weight * ((at - x)[None] ** 2 + (at - y)[:, None] ** 2)).sum())
            drawn = {name: coverage(name, x, y, radius, size) for name in names}
            fit = {name: ((piece * m).sum((1, 2)) ** 2).sum() / (m * m).sum() for name, m in drawn.items()}
            shape = max(fit, key=fit.get)
            m = drawn[shape]
            rgb = 255 * (1 - (piece * m).sum((1, 2)) / (m * m).sum())
            colour = min(PALETTE, key=lambda name: ((rgb - PALETTE[name]) ** 2).sum())
            cell = 3 * int(np.searchsorted((0.365, 0.635), y)) + int(np.searchsorted((0.365, 0.635), x))
            found.add(("small" if radius < 0.1625 else "large", colour, shape, PLACES[cell]))
    return found


# %% [markdown]
# ## The same through the plugin
#
# The data set `shapes` has six shapes and eight colours. Limited to its first two shapes, its pictures must be
# ours, byte for byte, and our oracle must read every one of them.
#
# | from scratch | in mmgraph | where |
# |---|---|---|
# | `render`, `coverage` | `render`, `coverage` | `plugins/mmgraph_datasets/shapes_world.py` |
# | `read` | `read`, `check` | `plugins/mmgraph_datasets/shapes_oracle.py` |
# | captions, questions | `canonical`, `caption`, `ask` | `plugins/mmgraph_datasets/shapes_grammar.py` |
# | all together | `ShapesDataset` | `plugins/mmgraph_datasets/shapes.py` |

# %%
SEED = 0
two = shapes(num_scenes=200, num_shapes=2, image_size=24, world_seed=SEED)
for number, scene in enumerate(two.scenes):
    picture = two.picture(number).numpy()
    assert np.array_equal(render(scene.things, 24), picture)
    truth = {(thing.size, thing.colour, thing.shape, thing.place) for thing in scene.things}
    assert read(picture) == truth, (number, read(picture), truth)
    assert two.check(number, two.picture(number))["all"]
print(f"{len(two.scenes)} pictures are equal byte for byte; both oracles read all of them rightly")

# %% [markdown]
# ## Four types of data
#
# Multimodal models learn from four types of data. In this world they are *tasks* of one data set:
#
# | type | at large | here |
# |---|---|---|
# | caption | MSCOCO, LAION | tasks `draw` (text to picture) and `name` (picture to text) |
# | conversation | VQAv2, GQA | task `ask`, questions of one step |
# | reasoning | CLEVR | task `ask`, questions of two steps: `relation`, `hop_colour`, `hop_shape` |
# | integration | LLaVA-Instruct | a weighted mixture of all |
#
# A **sample** is a list of segments in reading order. The last one is the *target*: what the model must produce.

# %%
mixture = shapes(num_scenes=2000, image_size=24, tasks={"draw": 4, "name": 1, "ask": 2}, seed=SEED)
REASONING = ("relation", "hop_colour", "hop_shape")


def type_of(sample) -> str:
    if sample.task != "ask":
        return f"caption ({sample.task})"
    return "reasoning" if sample.meta["kind"] in REASONING else "conversation"


seen = {}
for number in range(200):
    sample = mixture.training_sample(number)
    seen.setdefault(type_of(sample), sample)
for name, sample in sorted(seen.items()):
    told = [repr(part.content) if part.modality == "text" else f"<picture {tuple(part.content.shape)}>"
            for part in sample.segments]
    print(f"{name:15} {' + '.join(told[:-1])}  ->  {told[-1]}")

# %% [markdown]
# The mixture is the recipe's main dial. With weights 4, 1 and 2 the shares must be $4/7$, $1/7$ and $2/7$, up to the
# noise of a random draw: with $N$ samples a share $p$ has a standard deviation of $\sqrt{p(1-p)/N}$.

# %% alt="Bars of the share of each data type in 3,000 training samples: drawing about 0.57, naming 0.14, conversation and reasoning together 0.29, with conversation the larger part."
N = 3000
counts = Counter(type_of(mixture.training_sample(number)) for number in range(N))
plt.figure(figsize=(6, 2.2))
plt.barh(list(counts), [count / N for count in counts.values()], color="#1b7f79")
plt.xlabel(f"share of {N:,} training samples")
for wanted, names in ((4 / 7, ["caption (draw)"]), (1 / 7, ["caption (name)"]), (2 / 7, ["conversation", "reasoning"])):
    share = sum(counts[name] for name in names) / N
    print(f"{' + '.join(names):26} {share:.3f}, expected {wanted:.3f}")
    assert abs(share - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / N)
assert counts["reasoning"] < counts["conversation"]  # scenes of one thing have no relations to ask for

# %% [markdown]
# ## From YAML
#
# A recipe names data set and model. `mmgraph inspect` builds both and shows one batch as the model reads it: which
# position holds what, who may look at whom, what is scored. Nothing is trained.

# %% alt="For each task the strip of positions of one sample and its attention mask: text is causal, the picture's tokens see each other, scored positions are marked."
folder = Path(tempfile.mkdtemp(prefix="mmgraph-01-"))
(folder / "world.yaml").write_text("""\
model:
  class_path: mmgraph.models.UnifiedModel
  init_args:
    dim: 64
    depth: 2
    processor: {class_path: mmgraph.processors.single}
    tokenizers:
      text: {class_path: mmgraph.tokenizers.word}
      image:
        class_path: mmgraph.tokenizers.pca
        init_args: {image_size: "${data.init_args.image_size}", patch_size: 8, components: 24}
    connectors:
      image: {class_path: mmgraph.connectors.linear}
    block:
      class_path: mmgraph.blocks.dense
      init_args: {num_heads: 4}
    heads:
      text: {class_path: mmgraph.heads.next_token}
      image: {class_path: mmgraph.heads.flow}
data:
  class_path: mmgraph.datasets.shapes
  init_args:
    batch_size: 16
    tasks: {draw: 4, name: 1, ask: 2}
    num_scenes: 1000
    image_size: 24
trainer:
  max_steps: 10
  accelerator: cpu
""")


def mmgraph(*arguments: str) -> str:
    """Run `mmgraph ...` as in a shell, in the folder, and return what it prints."""
    done = subprocess.run([sys.executable, "-m", "mmgraph", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


report = mmgraph("inspect", "-c", "world.yaml", "--out", "batch.png")
print(report[: report.index("sample 2 of")])
assert all(f"task '{task}'" in report for task in ("draw", "name", "ask"))
plt.figure(figsize=(9, 9))
plt.imshow(plt.imread(folder / "batch.png"))
plt.axis("off")

# %% [markdown]
# ## What the oracle can see
#
# Models draw blurred and noisy pictures. How bad may a picture be before the oracle fails? Add Gaussian noise of
# standard deviation $\sigma$ (as a share of full scale), and count the scenes that are read rightly in *every*
# attribute.

# %% alt="Share of scenes read wholly right against noise sigma from 0 to 0.3. Both oracles start at 1. The from-scratch one falls first; the plugin's holds longer and then falls too."
def noisy(picture: torch.Tensor, sigma: float, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1000 * SEED + seed)
    return (picture + 255 * sigma * torch.randn(picture.shape, generator=generator)).round().clamp(0, 255).byte()


sigmas = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
curves = {name: [] for name in ("from scratch, all", "plugin, all", "plugin, colour", "plugin, place")}
for sigma in sigmas:
    marks = dict.fromkeys(curves, 0)
    for number, scene in enumerate(two.scenes[:100]):
        picture = noisy(two.picture(number), sigma, number)
        verdict = two.check(number, picture)
        marks["plugin, all"] += verdict["all"]
        marks["plugin, colour"] += verdict["colour"]
        marks["plugin, place"] += verdict["place"]
        truth = {(thing.size, thing.colour, thing.shape, thing.place) for thing in scene.things}
        marks["from scratch, all"] += read(picture.numpy()) == truth
    for name, count in marks.items():
        curves[name].append(count / 100)
for name, values in curves.items():
    print(f"{name:18}", " ".join(f"{value:.2f}" for value in values))
    plt.plot(sigmas, values, "o-", markersize=3, label=name)
plt.xlabel("noise, standard deviation as a share of full scale")
plt.ylabel("share of 100 scenes")
plt.legend()
assert all(values[0] == 1.0 for values in curves.values())
assert curves["plugin, all"][1] > 0.95
assert curves["plugin, all"][-1] < 0.5
assert all(a >= b - 0.05 for values in curves.values() for a, b in itertools.pairwise(values))

# %% [markdown]
# **What you should see.** 100 % on clean renders, that is what makes it an oracle. The plugin's holds at
# $\sigma = 0.05$, loses a few scenes at 0.1 and most at 0.15, since noise above its ink threshold looks like things.
# So a low mark of a noisy drawing can mean *noise* and not *wrong*. Look at the pictures before you believe a number.

# %% [markdown]
# ## Splits: what does "unseen" mean?
#
# A model is tested on what it has not seen. There are several ways not to have seen something, and the data set has
# a **protocol** for each:
#
# - `random`: other scenes, of the same kinds of things;
# - `grouped`: other sets of things (no test scene has the same things as a training scene);
# - `compositional`: pairs of colour and shape never shown together, though each was seen apart.
#
# Count how many of the test set's combinations occur in training.

# %% alt="Grid of 8 colours by 6 shapes under the compositional protocol: most cells are training pairs, 7 are test pairs and 2 validation pairs, no row or column wholly held out."
def combinations(data, split: str, what: str) -> set[str]:
    scenes = [data.scenes[i] for i in data.items(split)]
    if what == "captions":
        return {data.identity(i) for i in data.items(split)}
    if what == "sets of things":
        return {scene.key for scene in scenes}
    return {f"{thing.colour} {thing.shape}" for scene in scenes for thing in scene.things}


leak = {}
print(f"{'protocol':14} test combinations also seen in training")
for protocol in ("random", "grouped", "compositional"):
    data = shapes(num_scenes=4000, image_size=16, protocol=protocol)
    for what in ("captions", "sets of things", "pairs"):
        test, train = (combinations(data, split, what) for split in ("test", "train"))
        if what == "pairs" and protocol == "compositional":
            test = {pair for pair in test if data.pairs[tuple(pair.split())] == "test"}  # beside them stand known ones
        leak[protocol, what] = len(test & train) / len(test)
    print(f"{protocol:14}", ", ".join(f"{what} {share:.0%}" for (of, what), share in leak.items() if of == protocol))
grid = [[("train", "val", "test").index(data.pairs[colour, shape]) for shape in data.shapes] for colour in data.colours]
plt.figure(figsize=(4.6, 3.4))
plt.imshow(grid, cmap="YlGnBu", aspect="auto")
plt.xticks(range(len(data.shapes)), data.shapes, rotation=45)
plt.yticks(range(len(data.colours)), data.colours)
plt.title("compositional: train (pale), val, test (dark)", fontsize=9)
assert leak["random", "pairs"] == leak["grouped", "pairs"] == 1
assert leak["random", "sets of things"] > 0.3
assert leak["grouped", "sets of things"] == leak["grouped", "captions"] == 0
assert leak["compositional", "pairs"] == 0

# %% [markdown]
# ## Two baselines that need no model
#
# An accuracy alone says nothing. Beside it stand
#
# - **chance**: one over the number of possible answers;
# - **majority**: always give the answer that is the most frequent in training.
#
# What a blind model gets is the zero of the scale.

# %%
answers: dict[str, Counter[str]] = {}
for sample in world.evaluation("train", "ask"):
    answers.setdefault(sample.meta["kind"], Counter())[sample.meta["answer"]] += 1
tests: dict[str, list] = {}
for sample in world.evaluation("test", "ask"):
    tests.setdefault(sample.meta["kind"], []).append(sample)
print(f"{'question':12} {'n':>4} {'chance':>7} {'majority':>9}")
for kind, samples in tests.items():
    favourite = answers[kind].most_common(1)[0][0]
    chance = 1 / len(samples[0].meta["choices"])
    majority = sum(sample.meta["answer"] == favourite for sample in samples) / len(samples)
    print(f"{kind:12} {len(samples):4} {chance:7.2f} {majority:9.2f}  always '{favourite}'")
    if kind in ("exists", "relation"):
        assert majority == 0.5  # yes and no equally often, so that "yes" is no strategy
    assert majority < chance + 0.2

# %% [markdown]
# ## Break it
#
# Here is a "model" that has understood nothing: it finds the training picture with the nearest pixels and repeats
# its answer. Let it name colour and shape. One change decides what we believe of it: the protocol.

# %% alt="Bars of the accuracy of a pixel memoriser on colour and shape together: above one half on the random split, exactly zero on the compositional split, beside the oracle at 1 on both."
def memoriser(protocol: str) -> dict[str, float]:
    data = shapes(num_scenes=3000, max_objects=1, image_size=16, protocol=protocol, world_seed=SEED)
    known, asked = data.items("train"), data.items("test")[:300]
    if protocol == "compositional":
        assert all(data.pairs[data.scenes[i].things[0].colour, data.scenes[i].things[0].shape] == "test" for i in asked)
    memory = torch.stack([data.picture(i) for i in known]).flatten(1).float()
    nearest = torch.cdist(torch.stack([data.picture(i) for i in asked]).flatten(1).float(), memory).argmin(1)
    said = [data.scenes[known[place]].things[0] for place in nearest.tolist()]
    true = [data.scenes[i].things[0] for i in asked]
    pairs = list(zip(said, true, strict=True))
    return {
        "colour": sum(a.colour == b.colour for a, b in pairs) / len(pairs),
        "shape": sum(a.shape == b.shape for a, b in pairs) / len(pairs),
        "both": sum((a.colour, a.shape) == (b.colour, b.shape) for a, b in pairs) / len(pairs),
        "oracle": sum(data.check(i, data.picture(i))["all"] for i in asked) / len(asked),
    }


scores = {protocol: memoriser(protocol) for protocol in ("random", "compositional")}
for protocol, score in scores.items():
    print(f"{protocol:14}", ", ".join(f"{name} {value:.2f}" for name, value in score.items()))
plt.figure(figsize=(6, 2.6))
for place, (protocol, score) in enumerate(scores.items()):
    plt.bar(np.arange(4) + 0.4 * place, list(score.values()), width=0.38, label=protocol)
plt.xticks(np.arange(4) + 0.2, ["memoriser:\ncolour", "memoriser:\nshape", "memoriser:\nboth", "oracle"])
plt.ylabel("accuracy")
plt.legend()
assert scores["random"]["both"] > 0.4  # 48 pairs: chance is 0.02
assert scores["compositional"]["both"] == 0
assert scores["random"]["oracle"] == scores["compositional"]["oracle"] == 1

# %% [markdown]
# On the random split the memoriser looks like a model that sees. On held-out pairs it is *always* wrong, because a
# red ring is not among its memories and it cannot put red and ring together. Testing on combinations from
# training does not measure what we care about. A second way to break a world is in exercise 1.

# %% [markdown]
# ## Exercises
#
# **1. Squares and discs.** The world has no disc. Render a square and a disc of the same center and radius, at
# radius 0.125 in pictures of 24 px (six pixels across) and larger. What share of the square's energy
# $\sum m^2$ tells them apart? With the place known, how often does the wrong template win under heavy noise? This is
# why the world has a ring, and no disc.

# %% tags=["solution"]
def difference(radius: float, size: int, other: str = "disc") -> float:
    a, b = (coverage(name, 0.5, 0.5, radius, size) for name in ("square", other))
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    return 1 - (a * b).sum() ** 2  # what a template of the wrong shape leaves unexplained


def confusion(other: str, sigma: float = 0.7, trials: int = 1000) -> float:
    """How often the wrong template explains more of a noisy black thing of six pixels, drawn as either shape."""
    templates = [coverage(name, 0.5, 0.5, 0.125, 24) for name in ("square", other)]
    templates = np.stack([m / np.linalg.norm(m) for m in templates]).reshape(2, -1)
    noise = sigma * np.random.default_rng(SEED).standard_normal((trials, 24 * 24))
    wrong = 0
    for true, name in enumerate(("square", other)):
        ink = coverage(name, 0.5, 0.5, 0.125, 24).ravel() + noise
        wrong += ((ink @ templates.T).argmax(1) != true).sum()
    return wrong / (2 * trials)


print(f"unexplained at 6 px: square and disc {difference(0.125, 24):.2f}, square and ring "
      f"{difference(0.125, 24, 'ring'):.2f}; square and disc at 48 px: {difference(0.125, 192):.2f}")
print(f"confused at sigma 0.7: square and disc {confusion('disc'):.1%}, square and ring {confusion('ring'):.1%}")
assert confusion("disc") > confusion("ring")
assert difference(0.125, 24) < 0.6 * difference(0.125, 24, "ring")

# %% [markdown]
# **2. A biased world.** Suppose that in 90 % of all questions "is there a ... ?" the answer were yes. What accuracy
# would a blind model reach, and what would be left of a report of "92 %"? Compute accuracy above majority,
# $(\text{accuracy} - \text{majority}) / (1 - \text{majority})$, for both worlds.

# %% tags=["solution"]
def above(accuracy: float, majority: float) -> float:
    return (accuracy - majority) / (1 - majority)


print(f"92 % is worth {above(0.92, 0.9):.2f} in the biased world and {above(0.92, 0.5):.2f} in ours")
assert above(0.92, 0.9) < 0.25 < 0.8 < above(0.92, 0.5)

# %% [markdown]
# **3. Your own pictures.** Put some pictures and a `captions.csv` with the columns `file,text` into a folder, and look
# at a batch of them: take `world.yaml`, and change the data set to `folder` on the command line.

# %% tags=["solution"]
from PIL import Image

(folder / "mine").mkdir()
lines = ["file,text"]
for number in range(40):
    Image.fromarray(world.picture(number).numpy().transpose(1, 2, 0)).save(folder / "mine" / f"{number}.png")
    lines.append(f'{number}.png,"{world.identity(number)}"')
(folder / "mine" / "captions.csv").write_text("\n".join(lines))

from mmgraph.datasets import folder as folder_of_pictures

mine = folder_of_pictures(batch_size=8, root=str(folder / "mine"), image_size=24)
sizes = {split: len(mine.items(split)) for split in ("train", "val", "test")}
print(sizes, "|", mine.training_sample(0).task, "|", [part.modality for part in mine.training_sample(0).segments])
assert sum(sizes.values()) == 40
assert sizes["train"] > sizes["test"]
assert set(mine.tasks) == {"draw", "name"}  # no questions in the file, so none are asked
# on the command line: mmgraph inspect -c world.yaml --data folder --data.init_args.root mine

# %% [markdown]
# ## Recap
#
# - In a generated world, captions, questions and marks all come from the same facts.
# - Reading by drawing (analysis by synthesis) is exact on clean renders and degrades with noise: know the limits of
#   the instrument before you measure with it.
# - The four types of data are tasks of one data set; their mixture is a weight each.
# - "Unseen" needs a protocol. A memoriser passes the random one and fails the compositional one.
# - Chance and majority stand beside every number.
#
# ## References
#
# - Johnson et al., *CLEVR: A Diagnostic Dataset for Compositional Language and Elementary Visual Reasoning*, 2017
#   (arXiv 1612.06890).
# - Lake and Baroni, *Generalization without Systematicity*, 2018 (arXiv 1711.00350).
# - Goyal et al., *Making the V in VQA Matter*, 2017 (arXiv 1612.00837).
# - Ghosh et al., *GenEval: An Object-Focused Framework for Evaluating Text-to-Image Alignment*, 2023
#   (arXiv 2310.11513).
#
# ## Next
#
# 02 Autoregressive text: a model of this world's captions, and the exact loss at which it can stop.
