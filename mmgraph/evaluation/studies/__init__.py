"""Studies: arms that differ in what is asked, paired seeds, one budget, and intervals on every difference."""

from __future__ import annotations

from mmgraph.evaluation.studies.analysis import Analysis, analyse
from mmgraph.evaluation.studies.engine import run
from mmgraph.evaluation.studies.page import answer, committed_page, study_page, write
from mmgraph.evaluation.studies.plan import Arm, Contrast, Factor, Study
from mmgraph.evaluation.studies.reading import read, short

__all__ = [
    "Analysis",
    "Arm",
    "Contrast",
    "Factor",
    "Study",
    "analyse",
    "answer",
    "committed_page",
    "read",
    "run",
    "short",
    "study_page",
    "write",
]
