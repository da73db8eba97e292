"""Files: STAR, MRC, JSON, YAML, checkpoints; all that is read is checked."""
