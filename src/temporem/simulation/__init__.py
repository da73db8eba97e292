"""Movies of a molecule that moves, with known truth."""
