"""Particle images of other programs, and how they become a dataset."""
