"""mmgraph: small, graph-aware, unified multimodal models out of plugins, for teaching and study."""

__version__ = "0.1.0"
