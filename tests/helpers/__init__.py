"""What several tests use: commands in this process, examples, slow references."""
