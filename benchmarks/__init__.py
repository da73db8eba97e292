"""Measurements: our own commands (``ours``) and other people's programs (``peers``)."""
