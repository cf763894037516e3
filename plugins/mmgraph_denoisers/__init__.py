"""First-party denoisers, one idea per file."""
