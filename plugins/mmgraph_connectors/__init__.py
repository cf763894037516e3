"""First-party connectors, one idea per file."""
