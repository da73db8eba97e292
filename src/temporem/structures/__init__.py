"""Molecules and how they move."""
