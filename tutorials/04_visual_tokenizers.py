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
# # 04 Visual tokenizers
#
# Put four different bottlenecks between the same encoder and decoder (none, a Gaussian, a codebook, a codebook with a
# critic), and measure what each costs the picture and how each can fail.
#
# | | |
# |---|---|
# | You will learn | AE, VAE, VQ-VAE, VQGAN; straight-through gradients, moving averages, revival; posterior collapse |
# | You need | tutorial 01; what a convolution and a normal distribution are |
# | Time | about 80 CPU-seconds on one core, no GPU |
# | Memory | 1.2 GB |
# | Seed | 0; the ranges below held for seeds 0, 1 and 2 |

# %% [markdown]
# ## The idea
#
# A picture of 16 x 16 pixels has 768 numbers. A transformer that reads or writes them one by one is slow, and most of
# them say nothing. A **visual tokenizer** makes few tokens of them and can go back: an encoder $E$ gives a grid of
# 4 x 4 latents, each a vector of $d$ numbers, and a decoder $D$ paints a picture of the grid. What they may pass to
# each other is the **bottleneck**.
#
# | | the bottleneck | a token is | loss beside the picture's error |
# |---|---|---|---|
# | AE | none: $z = E(x)$ | $d$ real numbers | none |
# | VAE | a draw $z \sim N(\mu(x), \sigma(x)^2)$ | $d$ real numbers, noisy | $\beta\,\mathrm{KL}(z \Vert N(0, 1))$ |
# | VQ-VAE | the nearest of $K$ vectors, $c_k$ | one of $K$ numbers | $\frac14\lVert z - \mathrm{sg}[c_k]\rVert^2$ |
# | VQGAN | the same | one of $K$ numbers | the same, and a critic's opinion |
#
# Real numbers suit diffusion and flow (tutorials 10 and 20). Numbers from 1 to $K$ are *words*: a language model can
# predict them with a softmax. $\mathrm{sg}$ means: no gradient passes here.
#
# A codebook has two problems of its own, because choosing the nearest vector is a step function.
#
# 1. Its gradient is zero. **Straight-through**: paint from $c_k$, and hand the gradient at $c_k$ to $z$ as if
#    nothing had happened between: $\hat z = z + \mathrm{sg}[c_k - z]$.
# 2. A vector that is never the nearest is never trained: a **dead code**. So the vectors are moving averages of what
#    is assigned to them, and a dead one gets a new place, that of some latent of the batch: **revival**.

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
from torch import Tensor, nn
from torch.nn import functional as F

from mmgraph import models
from mmgraph.datasets import shapes
from mmgraph.pictures import to_float, to_uint8
from mmgraph.tokenizers import vq

torch.set_num_threads(1)
SEED = 0
began = time.process_time()
work = Path(tempfile.mkdtemp(prefix="tokenizers-"))

world = shapes(32, {"draw": 1}, image_size=16, num_scenes=3000, max_objects=1, num_colours=4, num_shapes=3)
TRAIN = to_float(torch.stack(list(world.contents("image"))))  # (n, 3, 16, 16) in [-1, 1]
ITEMS = list(world.items("test"))[:200]
TEST = torch.stack([world.picture(item) for item in ITEMS])  # uint8
print(f"{len(TRAIN):,} training pictures, {len(TEST)} held-out ones")

# %% [markdown]
# ## From scratch
#
# The bottlenecks, each a module that takes latents `(N, d, 4, 4)` and returns what the decoder gets, and a loss. The
# convolutions around them are not the subject; we take those of the plugin.


# %%
class Plain(nn.Module):
    numbers = 1  # what the encoder gives per latent number

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z, z.new_zeros(())


class Gaussian(nn.Module):
    numbers = 2  # mean and log-variance

    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = z.chunk(2, 1)
        nats = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)
        self.kl = nats.detach().sum((1, 2, 3)).mean()  # nats a picture
        drawn = mean + (log_variance / 2).exp() * torch.randn_like(mean) if self.training else mean
        return drawn, self.beta * nats.sum() / (len(z) * 768)


class Codebook(nn.Module):
    numbers = 1

    def __init__(self, size: int, dim: int = 16, *, start="data", revive=0.05, straight=True, decay=0.99) -> None:
        super().__init__()
        self.start, self.revive, self.straight, self.decay, self.batches = start, revive, straight, decay, 0
        self.register_buffer("codes", torch.randn(size, dim))
        self.register_buffer("counts", torch.zeros(size))
        self.register_buffer("sums", torch.zeros(size, dim))

    def nearest(self, rows: Tensor) -> Tensor:
        return (self.codes.square().sum(1) - 2 * rows @ self.codes.T).argmin(1)  # |z - c|^2 but for |z|^2

    def assigned(self, rows: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        return codes.bincount(minlength=len(self.codes)).float(), torch.zeros_like(self.codes).index_add(0, codes, rows)

    def begin(self, rows: Tensor) -> None:  # k-means on the first batch
        self.codes.copy_(rows[torch.randperm(len(rows))[: len(self.codes)]])
        for _ in range(5):
            count, total = self.assigned(rows, self.nearest(rows))
            self.codes[count > 0] = (total / count.clamp_min(1)[:, None])[count > 0]

    def follow(self, rows: Tensor, codes: Tensor) -> None:
        self.batches += 1
        for average, now in zip((self.counts, self.sums), self.assigned(rows, codes), strict=True):
            average.lerp_(now, 1 - self.decay)
        used = self.counts > 0
        self.codes[used] = self.sums[used] / self.counts[used, None]
        even = len(rows) / len(self.codes) * (1 - self.decay**self.batches)  # what a code had if all were used alike
        dead = self.counts < self.revive * even
        if dead.any():
            self.codes[dead] = rows[torch.randperm(len(rows))[: int(dead.sum())]]
            self.counts[dead], self.sums[dead] = even, self.codes[dead] * even

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        z = z.movedim(1, -1)  # (N, 4, 4, d)
        rows = z.detach().flatten(0, 2)
        if self.training and not self.batches and self.start == "data":
            self.begin(rows)
        self.chosen = self.nearest(rows)
        found = self.codes[self.chosen].view_as(z)
        if self.training:
            self.follow(rows, self.chosen)
        passed = z + (found - z).detach() if self.straight else found
        return passed.movedim(-1, 1), 0.25 * F.mse_loss(z, found)


# %% [markdown]
# ## Train and measure
#
# One loop for all of them: squared error and absolute error of the picture, and the bottleneck's loss. Two measures on
# held-out pictures: the root mean squared error of a pixel (RMSE, of 255), and what the **oracle** of tutorial 01 still
# reads after reconstruction. An RMSE says nothing about whether the ring is still a ring.


# %%
def convolutions(numbers: int, dim: int = 16) -> tuple[nn.Module, nn.Module]:
    """Return an encoder to 4 x 4 latents of so many numbers, and a decoder of `dim` numbers each."""
    return (
        vq(16, 4, num_codes=2, latent_dim=numbers, width=16).encoder,
        vq(16, 4, num_codes=2, latent_dim=dim, width=16).decoder,
    )


def train(bottleneck, steps: int = 300, plan=None, seed: int = SEED):
    """Train with the bottleneck; `plan` gives beta at each step. Return a function that reconstructs, and the log."""
    torch.manual_seed(seed)
    encoder, decoder = convolutions(16 * bottleneck.numbers)
    weights = [*encoder.parameters(), *decoder.parameters()]
    adam = torch.optim.AdamW(weights, 5e-3, betas=(0.9, 0.99), fused=True)
    log = []
    for step in range(steps):
        fall = 0.5 * (1 + math.cos(math.pi * step / steps))
        adam.param_groups[0]["lr"] = 3e-3 if plan else 5e-3 * min((step + 1) / 30, fall)
        if plan:
            bottleneck.beta = plan(step)
        true = TRAIN[torch.randint(len(TRAIN), (32,))]
        passed, extra = bottleneck(encoder(true))
        given = decoder(passed)
        loss = F.mse_loss(given, true) + F.l1_loss(given, true) + extra
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        adam.step()
        log.append((step, F.mse_loss(given, true).sqrt().item() * 127.5, float(getattr(bottleneck, "kl", 0))))
    bottleneck.eval()
    return torch.no_grad()(lambda pictures: to_uint8(decoder(bottleneck(encoder(to_float(pictures)))[0]))), log


def rmse(again: Tensor) -> float:
    return (again.float() - TEST.float()).square().mean().sqrt().item()


def read(again: Tensor) -> dict[str, float]:
    """Return how often the oracle reads each attribute of the first hundred rightly."""
    rows = [world.check(item, picture) for item, picture in zip(ITEMS[:100], again[:100], strict=True)]
    return {name: sum(row[name] for row in rows) / len(rows) for name in ("place", "size", "colour", "shape", "all")}


def use(codebook) -> tuple[float, float]:
    """Return the share of codes that the last pictures used, and the perplexity of their distribution."""
    share = codebook.chosen.bincount(minlength=len(codebook.codes)) / len(codebook.chosen)
    return share.gt(0).float().mean().item(), torch.special.entr(share).sum().exp().item()


reconstructors = {}
bottlenecks = {"AE": Plain(), "VAE": Gaussian(0.01), "VQ, K = 16": Codebook(16), "VQ, K = 256": Codebook(256)}
again, found = {"true": TEST}, {}
for name, bottleneck in bottlenecks.items():
    reconstructors[name], _ = train(bottleneck)
    again[name] = reconstructors[name](TEST)
    found[name] = rmse(again[name]), read(again[name])
average = TEST.float().mean(0).expand(len(TEST), -1, -1, -1)
print(f"{'':13}RMSE   place   size   colour   shape   all")
for name, (error, rates) in found.items():
    print(f"{name:12}{error:5.1f}" + "".join(f"{rate:8.2f}" for rate in rates.values()))
print(f"{'average picture':12} {rmse(average):.1f}")

# %% alt="Rows of ten held-out pictures: true, then after AE, VAE, a codebook of 16 and of 256: the codebooks blur shapes and colours more"
figure, axes = plt.subplots(len(again), 1, figsize=(8, 4.4), layout="constrained")
for axis, (name, pictures) in zip(axes, again.items(), strict=True):
    axis.imshow(pictures[:10].permute(2, 0, 3, 1).reshape(16, -1, 3), interpolation="nearest")
    axis.set_ylabel(name, rotation=0, ha="right", va="center")
    axis.set(xticks=[], yticks=[])

# %% [markdown]
# ### What you should see
#
# The AE and the VAE, whose tokens are 16 real numbers, end at an error of about 18; the average
# picture, the best that can be done without a code, is at 40. The codebooks end at about 25. That difference is
# **what quantisation costs**: 16 tokens of $\log_2 256 = 8$ bits are 128 bits for a picture that had 6,144.
#
# The oracle says where it hurts. Place survives best, since many pixels agree on it. Colour goes first: it has to be
# said by codes that also say the shape, and after so short a training it is nearly never right. And 16 codes are
# hardly worse than 256: one or two units of RMSE, and nothing that the oracle could tell on a hundred pictures. A
# larger codebook has to be trained for longer before it is worth its bits.

# %%
errors = {name: error for name, (error, _) in found.items()}
rates = {name: all_of for name, (_, all_of) in found.items()}
assert max(errors["AE"], errors["VAE"]) < 22 < min(errors["VQ, K = 16"], errors["VQ, K = 256"]) < 29
assert rmse(average) > 38
assert min(rates["AE"]["all"], rates["VAE"]["all"]) > rates["VQ, K = 256"]["all"] + 0.1
assert rates["VQ, K = 256"]["place"] > rates["VQ, K = 256"]["colour"] + 0.2

# %% [markdown]
# ## How many codes?
#
# A longer training shows more. These rows come from `python -m tests.benchmarks.codebooks`: the plugin's tokenizer, 700
# steps on the full world (two things, eight colours, six shapes), each size on two worlds. Perplexity is how many
# codes, all used alike, would be as hard to guess as those that are used.

# %% alt="Against K = 16, 64, 256, 512: RMSE falls from 21.8 to 16.9; oracle place rises from 0.84 to 0.94, shape from 0.40 to 0.61, colour from 0.25 to 0.48, all from 0.16 to 0.37"
MEASURED = {  # K: RMSE, perplexity, place, shape, colour, all; worlds 0 and 1
    16: ((21.53, 22.03), (9.5, 8.0), (0.83, 0.85), (0.40, 0.41), (0.24, 0.26), (0.15, 0.18)),
    64: ((19.60, 19.74), (36.6, 40.0), (0.89, 0.89), (0.49, 0.46), (0.32, 0.34), (0.19, 0.21)),
    256: ((18.18, 18.43), (149.1, 138.8), (0.90, 0.92), (0.60, 0.56), (0.37, 0.39), (0.29, 0.31)),
    512: ((17.04, 16.85), (273.1, 296.4), (0.92, 0.96), (0.62, 0.61), (0.45, 0.50), (0.36, 0.39)),
}
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for column, name in enumerate(("RMSE", "perplexity", "place", "shape", "colour", "all")):
    means = [sum(row[column]) / 2 for row in MEASURED.values()]
    if name != "perplexity":
        (left if name == "RMSE" else right).plot(list(MEASURED), means, "o-", label=name)
    assert means == sorted(means, reverse=name == "RMSE")  # more codes, more of everything
for axis, label in ((left, "RMSE of 255"), (right, "oracle reads rightly")):
    axis.set(xscale="log", xlabel="codes K", ylabel=label)
    axis.set_xticks(list(MEASURED), [str(size) for size in MEASURED])
    axis.minorticks_off()
right.set_ylim(0, 1)
_ = right.legend(fontsize=8)

# %% [markdown]
# From 16 to 512 codes a token has 9 bits in place of 4. Each doubling buys less pixels and keeps buying meaning: a
# colour is said rightly twice as often. A larger codebook also asks more of whoever has to predict the codes.

# %% [markdown]
# ## The same through the plugin
#
# `mmgraph.tokenizers.vq` is this codebook between these convolutions. On the same batches and the same draws, three
# training steps with an empty, a young and an older codebook: the same pictures, losses and codes.

# %%
tokenizer, mine = vq(16, 4, num_codes=128, latent_dim=16, width=16), Codebook(128)
for step in range(3):
    true = TRAIN[32 * step : 32 * step + 32]
    torch.manual_seed(step)
    given, losses = tokenizer.reconstruct(true)
    torch.manual_seed(step)
    passed, commitment = mine(tokenizer.encoder(true))
    torch.testing.assert_close(tokenizer.decoder(passed), given)
    torch.testing.assert_close(commitment, losses["commitment"])
    torch.testing.assert_close(mine.codes, tokenizer.codebook.codes)
    print(f"commitment {commitment:.6f} and {losses['commitment']:.6f}")
mine.eval()
with torch.no_grad():
    mine(tokenizer.encoder(to_float(TEST)))
assert torch.equal(mine.chosen.view(len(TEST), 16), tokenizer.encode(TEST))

# %% [markdown]
# | from scratch | in mmgraph | where |
# |---|---|---|
# | `Codebook` | `vq`, its `codebook` | `plugins/mmgraph_tokenizers/vq.py`, `codebook.py` |
# | `Gaussian` | `vae` | `plugins/mmgraph_tokenizers/vae.py` |
# | `Plain` | `ae` | `plugins/mmgraph_tokenizers/ae.py` |
# | `train` | `mmgraph.models.Autoencoder` | `mmgraph/models/autoencoder.py` |

# %% [markdown]
# ## A collapse, switched on and off
#
# The VAE pays $\beta$ for every nat that its latents carry. If $\beta$ is too big, the cheapest is to carry nothing:
# the posterior is the prior for every picture, and the decoder paints the average. This is **posterior collapse**. We
# train with $\beta = 0.01$, turn it to 20 at step 80, and back at step 140.

# %% alt="Nats a picture over 380 steps: hundreds up to step 80, near zero while beta is 20, and back above one hundred about 150 steps after beta is turned back"
_, log = train(Gaussian(0.01), 380, plan=lambda step: 0.01 if step < 80 or step >= 140 else 20.0)
figure, axis = plt.subplots(figsize=(8, 2.8), layout="constrained")
axis.plot([step for step, *_ in log], [max(nats, 0.05) for *_, nats in log], color="#1b7f79")
axis.axvspan(80, 140, color="#b5482a", alpha=0.2)
axis.text(83, 0.08, "beta = 20", color="#b5482a")
axis.set(yscale="log", xlabel="step", ylabel="nats a picture")


def mean(column: int, since: int, until: int) -> float:
    """Return the mean of a column of the log between two steps."""
    return sum(row[column] for row in log[since:until]) / (until - since)


listens = next((step for step, _, nats in log if step >= 140 and nats > 100), 380)
print(f"above 100 nats again at step {listens}, {listens - 140} steps after beta was turned back")
for since, until in ((60, 80), (120, 140), (160, 180), (340, 380)):
    print(f"steps {since} to {until}: {mean(2, since, until):7.1f} nats a picture, error {mean(1, since, until):.1f}")
assert mean(2, 120, 140) < 2 < 100 < mean(2, 60, 80)
assert mean(1, 120, 140) > mean(1, 60, 80) + 4
assert mean(2, 340, 380) > 50
assert mean(2, 160, 180) < 0.3 * mean(2, 340, 380), "it takes long to come back"

# %% [markdown]
# **What you should see.** Within 40 steps the latents are empty. Turning $\beta$ back does not help at once: the
# decoder has forgotten to listen, so the encoder has no reason to speak. It takes about a hundred steps until they
# find each other. Watch the nats, `val_kl` in a run's log. The loss does not tell.

# %% [markdown]
# ## Break it: dead codes
#
# A codebook of 256 that starts at random points, which is what one would write first. Without revival a code that is
# not the nearest to anything never moves.

# %%
uses = {"started from data, revival": use(bottlenecks["VQ, K = 256"])}
for name, revive in {"random start, revival": 0.05, "random start, none": 0.0}.items():
    codebook = Codebook(256, start="random", revive=revive)
    reconstruct, _ = train(codebook, 150)
    reconstruct(TEST)
    uses[name] = use(codebook)
for name, (share, perplexity) in uses.items():
    print(f"{name:28} {256 * share:4.0f} of 256 codes used, perplexity {perplexity:.1f}")
assert uses["random start, none"][0] < 0.25
assert uses["random start, revival"][0] > 0.4
assert uses["random start, revival"][1] > 4 * uses["random start, none"][1]

# %% [markdown]
# Without revival about a dozen codes serve everything. The codebook has 256 entries on paper and 8 bits a token in the
# configuration; the perplexity tells what is there.
#
# ## Break it: no straight-through gradient
#
# We pass $c_k$ itself. Everything runs, and the encoder still gets a gradient: the commitment's, which draws the
# latents to the codes, and not a word of what is in the picture.

# %%
codebook = Codebook(256, straight=False)
reconstruct, _ = train(codebook, 150)
deaf = rmse(reconstruct(TEST))
print(f"error {deaf:.1f}; with the gradient {errors['VQ, K = 256']:.1f}; the average picture {rmse(average):.1f}")
assert deaf > errors["VQ, K = 256"] + 6

# %% [markdown]
# The commitment is smallest when latents and codes agree, whatever they say. So they say next to nothing, and the
# decoder does no better than the average picture.

# %% [markdown]
# ## From YAML
#
# VQGAN keeps the codebook and changes what counts as a good picture: beside the errors of pixels, a **critic** learns
# to tell true patches from reconstructed ones, and the decoder learns to please it. Its weight follows from the
# gradients at the decoder's last layer, so that neither drowns the other. In mmgraph that is one number of the recipe.
# (The recipe `vqgan` also compares features of a frozen network; that needs larger pictures than ours.)

# %%
CONFIG = """
seed_everything: SEED
model:
  class_path: mmgraph.models.Autoencoder
  init_args:
    tokenizer:
      class_path: mmgraph.tokenizers.vq
      init_args: {image_size: 16, downsample: 4, num_codes: 256, latent_dim: 16, width: 16}
    adversarial_weight: 0.2   # the critic; 0 is the VQ-VAE
    adversarial_start: 60     # first there must be something to judge
    optimization: {learning_rate: 5.0e-3, warmup_steps: 20}
data:
  class_path: mmgraph.datasets.shapes
  init_args:
    batch_size: 32
    tasks: {draw: 1}
    image_size: 16
    num_scenes: 3000
    max_objects: 1
    num_colours: 4
    num_shapes: 3
trainer: {max_steps: 120, accelerator: cpu, gradient_clip_val: 1.0, log_every_n_steps: 5}
""".replace("SEED", str(SEED))
(work / "vqgan.yaml").write_text(CONFIG)


def mmgraph(*arguments: str) -> str:
    """Run a command as in a terminal and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "mmgraph", *arguments],
        cwd=work,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


print(mmgraph("fit", "-c", "vqgan.yaml", "--run", "vqgan"))
print(mmgraph("evaluate", "--run", "vqgan", "--limit", "50"))

# %%
with (work / "vqgan" / "logs" / "metrics.csv").open() as file:
    judged = [line for line in csv.DictReader(file) if line["train_critic_loss"]]
for line in judged[:: len(judged) // 4]:
    numbers = {name: float(line[f"train_{name}"]) for name in ("critic_loss", "adaptive_weight", "perplexity")}
    print(f"step {line['step']:>3}: " + ", ".join(f"{name} {value:.3f}" for name, value in numbers.items()))
assert int(judged[0]["step"]) >= 60
ours = models.load(work / "vqgan").tokenizer
with torch.no_grad():
    codes = ours.encode(TEST)
print(f"a picture is {tuple(codes.shape[1:])} codes: {codes[0].tolist()}; error {rmse(ours.decode(codes)):.1f}")
assert codes.shape == (len(TEST), 16)
assert rmse(ours.decode(codes)) < rmse(average) - 6

# %% [markdown]
# **What you should see.** The error after 120 steps is already well below the average picture's. The critic is heard
# from step 60 on. This shows the mechanism, not its use: on emoji, the recipe `vqgan` ends with a *larger* error of
# pixels than `vqvae` (23.6, one seed, against 22.4 and 22.5) and a smaller distance in features (0.188 against 0.200
# and 0.200). That is what it is for.

# %% [markdown]
# ## Exercises
#
# **1. Bits.** A picture has 16 codes of 256, so 128 bits. How many does it really have, if the codes are independent
# and as frequent as our trained codebook uses them? What is the compression of 24-bit colour?

# %% tags=["solution"]
_, perplexity = uses["started from data, revival"]
bits = 16 * math.log2(perplexity)
print(f"perplexity {perplexity:.0f}: {bits:.0f} bits at most in place of 128; 1 to {16 * 16 * 24 / bits:.0f}")
assert 90 < bits < 128
# At most: neighbouring codes depend on each other, and a model that predicts them needs fewer.

# %% [markdown]
# **2. What does one code say?** Replace the code of one cell of a picture by another, and see where the picture
# changes.

# %% tags=["solution"]
cell = 5  # row 1, column 1: pixels 4 to 7 both ways
other = codes.clone()
other[:, cell] = codes[:, cell].roll(1)
moved = (codes[:, cell] != other[:, cell]).nonzero().flatten()
change = (ours.decode(other).float() - ours.decode(codes).float())[moved].abs().mean((0, 1))  # (16, 16)
patches = change.view(4, 4, 4, 4).mean((1, 3))  # per cell
print("\n".join("  ".join(f"{value:5.1f}" for value in row) for row in patches.tolist()))
assert patches.argmax() == cell
assert patches[1, 1] > 3 * patches[3, 3]
# Mostly its own cell, some of its neighbours': the decoder's convolutions overlap. A code is a local word.

# %% [markdown]
# **3. A smaller codebook, afterwards.** Keep only the 16 codes of the codebook of 256 that are used most. Is that as
# good as a codebook that was trained with 16?

# %% tags=["solution"]
large = bottlenecks["VQ, K = 256"]
reconstructors["VQ, K = 256"](TEST)
kept = large.chosen.bincount(minlength=256).topk(16).indices
all_codes = large.codes.clone()
large.codes.fill_(1e3)  # never the nearest
large.codes[kept] = all_codes[kept]
pruned = rmse(reconstructors["VQ, K = 256"](TEST))
large.codes.copy_(all_codes)
print(f"16 of 256: error {pruned:.1f}; trained with 16: {errors['VQ, K = 16']:.1f}")
assert pruned > errors["VQ, K = 16"] + 1

# %% [markdown]
# No: frequent codes say frequent things, mostly white. The rare ones carry the shapes, and a codebook that has only 16
# spreads them differently.
#
# ## Questions that come up
#
# - **Is my loss normal?** Compare the error with that of the average picture, here 40 of 255. If yours stays
#   there, the bottleneck passes nothing: collapsed, or cut off. A commitment that grows for long means that the
#   encoder runs away from its codes.
# - **How long on my laptop?** Five to ten seconds for each training here. The recipes `ae`, `vae`, `vqvae` and `vqgan`
#   take one to five CPU-minutes; `zoo:ae` and `zoo:vq` are trained.
# - **How do I use my own data?** `data.class_path: mmgraph.datasets.folder`, and the same `image_size` in both places.
# - **Where does it live?** The tokenizers in `plugins/mmgraph_tokenizers/`, the loop in `mmgraph.models.Autoencoder`. A
#   trained one is a part of other models: `mmgraph.tokenizers.vq` with `weights: run:DIR`.
#
# ## Recap
#
# - A tokenizer is an encoder, a bottleneck and a decoder. Real numbers for diffusion and flow, codes for softmax.
# - Quantisation costs error, and meaning more than error: measure with an oracle, not only with RMSE.
# - A codebook lives on straight-through gradients, moving averages and revival. Watch its perplexity.
# - A VAE collapses when a nat costs more than it brings, and takes long to come back. Watch its nats.
#
# ## References
#
# - Kingma and Welling, Auto-Encoding Variational Bayes, 2013 (arXiv 1312.6114).
# - van den Oord et al., Neural Discrete Representation Learning, 2017 (arXiv 1711.00937), VQ-VAE.
# - Razavi et al., Generating Diverse High-Fidelity Images with VQ-VAE-2, 2019 (arXiv 1906.00446); Dhariwal et al.,
#   Jukebox, 2020 (arXiv 2005.00341), revival.
# - Esser et al., Taming Transformers for High-Resolution Image Synthesis, 2021 (arXiv 2012.09841), VQGAN.
# - Bowman et al., Generating Sentences from a Continuous Space, 2015 (arXiv 1511.06349), on collapse.
# - Multi-modal Generative AI: Multi-modal LLMs, Diffusions, and the Unification (arXiv 2409.14993), sections II-A3
#   and III-A2.
#
# **Next:** [05 Alignment and connectors](05_alignment_and_connectors.md), which joins a picture encoder to a language
# model. Latents like these are drawn from noise in [10 Four generative principles](10_four_principles.md).

# %%
print(f"this page took {time.process_time() - began:.0f} CPU-seconds beside the two commands")
