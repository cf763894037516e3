"""Measuring trained models: protocols, metrics files, reports, and how sure the numbers are."""

from __future__ import annotations

from mmgraph.evaluation.protocol import evaluate, write_report

__all__ = ["evaluate", "write_report"]
