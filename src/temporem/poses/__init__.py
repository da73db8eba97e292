"""Poses: search, refinement, ab initio, symmetry, alignment, pose table and pose head."""
