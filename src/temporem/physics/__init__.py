"""Image formation, Fourier space, rotations: pure functions of tensors, no files."""
