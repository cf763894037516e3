"""First-party heads (objectives), one idea per file."""
