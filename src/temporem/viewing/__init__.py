"""Looking at runs in a browser: meshes, pictures and latents, served to a page."""
