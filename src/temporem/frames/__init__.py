"""Movies on disk to prepared Fourier images in batches: Dataset, FrameSource, Frames, Batch."""
