"""Run folders: pipeline, methods, checkpoints and resume, export."""
