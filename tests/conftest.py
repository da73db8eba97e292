"""TO RESTORE: what stood here was overwritten by accident on 23 Nov at 18:33:58, and not by its author.

Lost, for whoever wrote it to write again: TINY_SIMULATION, TINY_TRAINING, command, settings,
succeed and the fixtures tiny_dataset and tiny_runs, which test_cli_*.py and test_run.py import.
"""
