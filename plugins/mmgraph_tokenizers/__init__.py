"""First-party tokenizers, one idea per file."""
