"""Atoms and how they move: reading, looking up, scattering, motions."""
