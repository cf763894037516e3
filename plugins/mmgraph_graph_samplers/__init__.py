"""First-party graph samplers, one idea per file."""
