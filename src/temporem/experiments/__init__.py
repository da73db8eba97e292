"""Experiments: datasets × methods × seeds from a YAML file to tables, figures and a page."""
