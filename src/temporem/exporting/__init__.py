"""Formats in which volumes leave a run: one file each, and a line in ``formats.py``."""
