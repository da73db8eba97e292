"""A cryoSPARC project of a dataset: ``python -m helpers.cryosparc_project DATASET OUT``."""

from __future__ import annotations

import sys
from pathlib import Path

from helpers.foreign import cryosparc, save_cs, write_mrcs
from temporem.frames.readers import read_dataset


def make(dataset: Path, project: Path) -> None:
    """Write stack, particle file and passthrough file, which has the CTF."""
    records = cryosparc(dataset)
    names = records.dtype.names or ()
    ctf = tuple(name for name in names if name.startswith("ctf/"))
    write_mrcs(project / "J1" / "stack.mrcs", read_dataset(dataset).images[:])
    own = tuple(name for name in names if name not in ctf)
    save_cs(project / "J5" / "J5_particles.cs", records, own)
    save_cs(project / "J5" / "J5_passthrough.cs", records, ("uid", *ctf))


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]))
