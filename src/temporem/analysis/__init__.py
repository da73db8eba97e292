"""How good a reconstruction is: measures of volumes, motion and latents, and their comparison."""
