"""First-party data sets: emoji, generated shapes, and a folder of the user's own pictures."""
