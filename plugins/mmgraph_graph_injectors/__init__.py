"""First-party graph injectors, one idea per file."""
