r"""A codebook that follows what is assigned to it: nearest code, moving averages, revival of dead codes.

No gradient trains the codes. With n_k the vectors assigned to code k in a batch and s_k their sum,

\[ N_k \leftarrow \gamma N_k + (1 - \gamma)\,n_k, \qquad M_k \leftarrow \gamma M_k + (1 - \gamma)\,s_k, \qquad
   c_k = M_k / N_k \]

Both averages start at zero, so after t batches \( N_k / (1 - \gamma^t) \) is the unbiased number of vectors a batch
gives the code; below a share of what each would have if all were used alike, the code is dead and takes the place
of a vector of the batch.

Reference:
    van den Oord et al., Neural Discrete Representation Learning, 2017 (arXiv 1711.00937); Razavi et al., Generating
    Diverse High-Fidelity Images with VQ-VAE-2, 2019 (arXiv 1906.00446); Dhariwal et al., Jukebox: A Generative Model
    for Music, 2020 (arXiv 2005.00341); Yu et al., Vector-quantized Image Modeling with Improved VQGAN,
    2022 (arXiv 2110.04627).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from mmgraph.errors import UsageError

Distance = Literal["euclidean", "cosine"]
LLOYD_STEPS = 5


class Codebook(nn.Module):
    """K vectors; each vector that comes is replaced by the nearest one.

    Codes are chosen from the first batch and refined there (k-means), then follow as the module says while it is in
    training mode. Random choices come from torch's global generator, in training only.

    Shapes:
        `(..., d)` to codes `(...)` int64 and vectors `(..., d)`.

    Args:
        size: Number of codes K.
        dim: Width d.
        decay: What the averages keep of each earlier batch, \\(\\gamma\\).
        distance: `euclidean`, or `cosine`: vectors and codes are brought to unit length first.
        revive_below: Share of its even use below which a code is dead; 0 leaves dead codes dead.

    Raises:
        UsageError: If a number is out of range.
    """

    codes: Tensor
    counts: Tensor
    sums: Tensor
    batches: Tensor

    def __init__(
        self, size: int, dim: int, *, decay: float = 0.99, distance: Distance = "euclidean", revive_below: float = 0.05
    ) -> None:
        super().__init__()
        if size < 2 or dim < 1:
            raise UsageError(f"a codebook has at least 2 codes of width 1 or more, not {size} of width {dim}.")
        if not 0 <= decay < 1 or not 0 <= revive_below < 1:
            raise UsageError(f"decay {decay} and revive_below {revive_below} must be at least 0 and below 1.")
        if distance not in ("euclidean", "cosine"):
            raise UsageError(f"distance must be euclidean or cosine, not '{distance}'.")
        self.size = size
        self.dim = dim
        self.decay = decay
        self.cosine = distance == "cosine"
        self.revive_below = revive_below
        self.register_buffer("codes", torch.zeros(size, dim))
        self.register_buffer("counts", torch.zeros(size))
        self.register_buffer("sums", torch.zeros(size, dim))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def project(self, vectors: Tensor) -> Tensor:
        """Return what is compared with the codes: the vectors, of unit length if distance is cosine."""
        return F.normalize(vectors, dim=-1) if self.cosine else vectors

    @torch.no_grad()
    def nearest(self, vectors: Tensor) -> Tensor:
        """Return the code of each projected vector: the smaller one where two are equally near."""
        rows = vectors.reshape(-1, self.dim)
        # |z - c|^2 without |z|^2, which is the same for every code
        scores = torch.addmm(self.codes.square().sum(1), rows, self.codes.T, alpha=-2.0)  # (rows, K)
        return scores.argmin(1).view(vectors.shape[:-1])

    def lookup(self, codes: Tensor) -> Tensor:
        """Return the vectors of codes."""
        return F.embedding(codes, self.codes)

    def start(self, vectors: Tensor) -> None:
        """Choose the codes from the first batch; nothing later."""
        if self.training and not int(self.batches):
            self._initialise(vectors.detach().reshape(-1, self.dim))

    @torch.no_grad()
    def follow(self, vectors: Tensor, codes: Tensor) -> None:
        """Move the codes towards what has been assigned to them; only in training.

        Args:
            vectors: Projected vectors `(..., d)`.
            codes: Their codes `(...)`.
        """
        if not self.training:
            return
        rows = vectors.detach().reshape(-1, self.dim)
        count, total = self.assigned(rows, codes.reshape(-1))
        _sum_over_processes(count, total)
        self.batches += 1
        self.counts.lerp_(count, 1 - self.decay)
        self.sums.lerp_(total, 1 - self.decay)
        moved = self.sums / self.counts.clamp_min(torch.finfo(torch.float).tiny)[:, None]
        self.codes.copy_(torch.where(self.counts[:, None] > 0, self.project(moved), self.codes))
        if self.revive_below:
            self._revive(rows, float(count.sum()))

    def assigned(self, rows: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return how many rows each code has `(K,)`, and their sum `(K, d)`."""
        count = torch.bincount(codes, minlength=self.size).to(rows.dtype)
        return count, rows.new_zeros(self.size, self.dim).index_add_(0, codes, rows)

    def _initialise(self, rows: Tensor) -> None:
        """Take K vectors of the batch, and move each a few times to the middle of what is nearest to it."""
        self.codes.copy_(_draw(rows, self.size))
        for _ in range(LLOYD_STEPS):
            count, total = self.assigned(rows, self.nearest(rows))
            _sum_over_processes(count, total)
            middle = self.project(total / count.clamp_min(1)[:, None])
            self.codes.copy_(torch.where(count[:, None] > 0, middle, self.codes))

    def _revive(self, rows: Tensor, total: float) -> None:
        """Give dead codes the places of vectors of this batch, as if they had their even use."""
        unbiased = 1 - self.decay ** int(self.batches)
        even = total / self.size
        dead = self.counts < self.revive_below * even * unbiased
        number = int(dead.sum())
        if not number:
            return
        self.codes[dead] = _draw(rows, number)
        self.counts[dead] = even * unbiased
        self.sums[dead] = self.codes[dead] * even * unbiased


def quantize(codebook: Codebook, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""Replace vectors by their codes, letting gradients pass straight through, and let the codebook follow.

    \[ \hat z = z + \mathrm{sg}[c - z], \qquad L = \lVert z - \mathrm{sg}[c] \rVert^2 / d \]

    Returns:
        \(\hat z\) `(..., d)`, codes `(...)`, and the commitment L.
    """
    projected = codebook.project(vectors)
    codebook.start(projected)
    codes = codebook.nearest(projected)
    found = codebook.lookup(codes)
    codebook.follow(projected, codes)
    commitment = F.mse_loss(projected, found)
    return projected + (found - projected).detach(), codes, commitment


def use(codes: Tensor, size: int) -> dict[str, Tensor]:
    """Return the share of codes that occur, and the perplexity of their distribution (K if all are used alike)."""
    share = torch.bincount(codes.reshape(-1), minlength=size).float()
    share = share / share.sum().clamp_min(1)
    return {
        "codebook_use": share.gt(0).float().mean(),
        "perplexity": torch.special.entr(share).sum().exp(),
    }


def _draw(rows: Tensor, count: int) -> Tensor:
    """Return rows chosen at random, each once as long as there are enough; the same in every process."""
    order = torch.randperm(len(rows), device=rows.device)
    drawn = rows[order.repeat(-(-count // len(rows)))[:count]]
    if distributed.is_available() and distributed.is_initialized():
        distributed.broadcast(drawn, 0)
    return drawn


def _sum_over_processes(*tensors: Tensor) -> None:
    if distributed.is_available() and distributed.is_initialized():
        for tensor in tensors:
            distributed.all_reduce(tensor)
