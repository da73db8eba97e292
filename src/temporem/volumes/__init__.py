"""Models of volumes: what can be sliced and decoded, from back-projection to Fourier networks."""
