"""First-party transformer blocks, one idea per file."""
