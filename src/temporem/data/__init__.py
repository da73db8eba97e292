"""Movies on disk: formats, the dataset contract and simulation."""
