"""A local page to draw, ask and name with one trained model, and to watch it work.

The standard library serves it; nothing is fetched from elsewhere, so it opens at once and offline.
"""

from __future__ import annotations

from mmgraph.demo.server import DemoServer

__all__ = ["DemoServer"]
