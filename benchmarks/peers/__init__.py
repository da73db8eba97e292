"""Runs other people's programs on our datasets and scores them with our evaluation.

    python -m benchmarks.peers install cryodrgn     # a virtual environment of its own, 2.2 GB
    python -m benchmarks.peers check cryodrgn       # do both programs read a dataset alike?
    python -m benchmarks.peers run cryodrgn DATASET -o OUT --z-dim 1 --epochs 40 --every 10
    python -m benchmarks.peers run recovar DATASET -o OUT --z-dim 1 --every 10
    python -m benchmarks.peers all DATASET -o FOLDER --every 10    # every peer and our methods
    temporem compare OUT RUN

A program is one file with a class that fulfils ``protocol.Peer``, and one entry of ``PEERS``.
``run`` writes::

    OUT/evaluation.json, .npz    scores of the program's result, as in a RUN
    OUT/time.json                time and memory of the whole training
    OUT/NAME/                    scores of its other results: epochs of --also, other volumes
    OUT/training/                files and log of the program

Volumes have a scale of their own, which every measure of our evaluation ignores.
"""
