"""The linear dynamical model: solver, dynamics, smoother, cross-fit, half sets."""
