"""Kinetics along a latent: energies, rates between basins, diffusion, relaxation, forecasts."""
