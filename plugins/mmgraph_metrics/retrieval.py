"""Is the drawing nearer to its own true picture than to the others?

R-precision and recall at k are the common test of whether a picture shows what its caption says: among a
fixed number of candidate pictures, one of them right, the drawing must find the right one.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mmgraph.metrics import Meaning, PictureMetric, PictureSet, Score


class RetrievalMetric(PictureMetric):
    r"""Recall at 1 and at 10 among 150 candidate pictures, by cosine similarity of features.

    $\text{rank}_i = 1 + |\{j \text{ wrong}: \cos(d_i, c_j) \ge \max_{r \text{ right}} \cos(d_i, c_r)\}|$ and
    $R@k$ is the share of drawings with rank at most $k$. Ties count against the drawing, and a candidate with
    the very pixels of the true picture is right as well.

    The candidates are the true pictures. Fewer than 150 are filled up with training pictures, taken at even
    distances; of more, each drawing meets its own and the next 149. If even that gives fewer, the result says
    how many there were, and chance with it.

    Args:
        candidates: Number of candidates.

    Reference:
        Xu et al., AttnGAN: Fine-Grained Text to Image Generation, 2018 (arXiv 1711.10485; R-precision).
    """

    name = "retrieval"
    meanings = {
        f"recall_at_{k}": Meaning(
            f"R@{k}",
            f"Share of drawings whose true picture is among the {k} nearest candidates."
            if k > 1
            else "Share of drawings whose true picture is the nearest candidate.",
            "higher",
            headline=True,
        )
        for k in (1, 10)
    }
    real = "same"

    def __init__(self, candidates: int = 150) -> None:
        if candidates < 2:
            raise ValueError(f"retrieval needs at least 2 candidates, not {candidates}.")
        self.candidates = candidates

    def compute(
        self, drawn: PictureSet, true: PictureSet, train: PictureSet, *, generator: torch.Generator
    ) -> dict[str, Score]:
        """Return recall at 1 and at 10; nothing if there are fewer than two candidates."""
        rank, candidates = self.ranks(drawn, true, train)
        if candidates < 2:
            return {}
        scores = {}
        for k in (1, 10):
            hit = (rank <= k).double()
            scores[f"recall_at_{k}"] = Score(
                float(hit.mean()),
                len(hit),
                candidates=candidates,
                chance=min(k, candidates) / candidates,
                per_picture=hit,
            )
        return scores

    def ranks(self, drawn: PictureSet, true: PictureSet, train: PictureSet) -> tuple[Tensor, int]:
        """Return the rank of each drawing's true picture `(N,)`, from 1, and the number of candidates."""
        size = len(true)
        if not size:
            return torch.zeros(0, dtype=torch.long), 0
        fill = train.select(self._fill(true, train))
        names = true.identities() + fill.identities()
        pool = torch.cat([true.features, fill.features]) if len(fill) else true.features
        similarity = F.normalize(drawn.features, dim=1) @ F.normalize(pool, dim=1).T  # (N, candidates)
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        identity = torch.tensor([numbers[name] for name in names])
        right = identity[:size, None] == identity[None, :]
        if size > self.candidates:
            place = torch.arange(size)
            offered = (place[None, :] - place[:, None]) % size < self.candidates
        else:
            offered = torch.ones_like(right)
        own = similarity.masked_fill(~(right & offered), -torch.inf).amax(1, keepdim=True)
        rank = 1 + ((similarity >= own) & ~right & offered).sum(1)
        return rank, min(self.candidates, len(names))

    def _fill(self, true: PictureSet, train: PictureSet) -> list[int]:
        need = self.candidates - len(true)
        if need <= 0:
            return []
        taken = set(true.identities())
        free = []
        for index, key in enumerate(train.identities()):
            if key not in taken:
                taken.add(key)
                free.append(index)
        if len(free) <= need:
            return free
        return [free[position * len(free) // need] for position in range(need)]
