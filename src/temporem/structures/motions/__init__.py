"""Kinds of motion, one file each; :mod:`temporem.structures.motions.registry` lists them."""
