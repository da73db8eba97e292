"""Files: STAR, MRC, JSON, YAML, checkpoints. Everything read is checked, everything written appears whole."""
