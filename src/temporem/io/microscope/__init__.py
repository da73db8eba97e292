"""Movies from microscopes and cameras, one reader a file, read lazily."""
