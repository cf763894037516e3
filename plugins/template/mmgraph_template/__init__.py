"""Plugins for mmgraph."""
