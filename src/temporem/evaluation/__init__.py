"""Measures of volumes, motion, latents and poses against the truth, and their comparison."""
