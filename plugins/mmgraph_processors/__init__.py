"""First-party processors, one idea per file."""
