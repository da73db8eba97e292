"""Fitting models to datasets: configuration, optimisation, checkpoints and run directories."""
