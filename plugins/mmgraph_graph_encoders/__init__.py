"""First-party graph encoders on PyG's layers, one idea per file."""
