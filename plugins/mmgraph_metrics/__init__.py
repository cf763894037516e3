"""First-party picture metrics, one idea per file."""
