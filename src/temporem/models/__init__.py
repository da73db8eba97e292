"""Models of moving molecules: what is inferred from images, and the volumes it generates."""
