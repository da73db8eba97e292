"""How fast, in how much memory, and how far from what the machine can do.

``python -m benchmarks.speed -o FOLDER`` runs every case and writes ``results.json`` and
``results.md``. All that is measured happens in child processes, one at a time. This process imports
neither torch nor numpy: on Linux the peak memory of a child is never less than that of the process
which starts it.
"""
