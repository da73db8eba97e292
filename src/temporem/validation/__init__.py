"""Tests of a run without a truth: held-out movies and half sets."""
