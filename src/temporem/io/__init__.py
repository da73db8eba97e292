"""Reading and writing of STAR, MRC, JSON, YAML and checkpoint files, with checks."""
