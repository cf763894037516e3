"""First-party recipes: one YAML file each; the first comment line is the title."""
