"""RECOVAR 0.4.5 (Gilles and Singer 2025): covariance of the volumes, and kernel regression.

A static linear method: every frame has its own latents, the posterior mean of its components.
Volumes come from kernel regression at latents, as its documentation recommends.

Its licence is for non-commercial use. So it stays in an environment of its own; we know its
command line and its output files, and none of its code.

It reads our images, and poses and CTF that we write as cryoDRGN writes them. Its CTF is the
negative of ours, so it has to invert the images.

Its mean volume is right here. The whole pipeline has not yet run to its end: on a CPU it asked for
614 GB. The names of its volumes are those of its documentation, the order of its latents is a
guess, and ``all`` leaves RECOVAR out.

Version 1.0.5 runs to its end but is wrong on a CPU: its mean shows the molecule at twice its size,
with its own simulated images as with ours, and its first component is the difference of the two
means.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ClassVar

from benchmarks.common import CommandFailed, Environment, Usage, say
from benchmarks.peers.protocol import RESULT, Choice, Training, read_latents
from temporem.errors import TemporemError

if TYPE_CHECKING:
    import numpy as np

KERNEL = "kernel"

# Its documentation takes 40 cluster centres; one regression for every frame would be slow.
MOST_POINTS = 20

# A loose sphere, as for a molecule of which nothing is known; simulated frames have one contrast.
# By default it takes the sign of the images from the mean, which noise can turn.
OPTIONS = ("--mask", "sphere", "--accept-cpu", "--uninvert-data", "true")

# A pickle runs code when it is read, so RECOVAR's own environment reads it. Not verified: that it
# holds the latents of one half set after the other.
_TO_NPY = """
import pickle, sys
import numpy as np

def read(name):
    with open(f"{sys.argv[1]}/{name}.pkl", "rb") as file:
        return pickle.load(file)

latents = read("embeddings")["zs"]
(z,) = [np.asarray(z) for key, z in latents.items() if str(key).isdigit()]
halves = [np.asarray(half) for half in read("particles_halfsets")]
found = np.full_like(z, np.nan)
found[np.concatenate(halves)] = z
np.save(sys.argv[2], found)
"""


class Recovar:
    """Fits with ``pipeline``, makes volumes with ``compute_state``."""

    requirements: ClassVar[tuple[str, ...]] = (
        "torch==2.13.0",
    )  # it needs torch and does not say so
    choices: ClassVar[Mapping[str, Choice]] = {}  # until its latents and volumes are verified

    def __init__(self, path: Path) -> None:
        self.environment = Environment(path, "recovar", "0.4.5")

    def models(self, training: Training) -> dict[str, str]:
        if training.epochs is not None or training.also:
            raise TemporemError("--epochs or --also", expected="neither; RECOVAR has no epochs")
        return {RESULT: KERNEL}

    def train(self, dataset: Path, work: Path, training: Training) -> Usage:
        words = ("--zdim", training.z_dim, *training.more)
        return self._pipeline(dataset, work, *words)

    def latents(self, work: Path, model: str) -> np.ndarray:
        target, folder = work / "z.npy", _fit(work) / "model"
        self.environment.run("python", "-c", _TO_NPY, folder, target, log=work / "recovar.log")
        return read_latents(target)

    def decode(self, work: Path, model: str, latents: np.ndarray, files: Sequence[Path]) -> None:
        """Make volumes at cluster centres, and give each frame that of the nearest one."""
        import numpy as np

        points, nearest = clusters(latents)
        with TemporaryDirectory(dir=work.absolute()) as folder:
            z_file, states = Path(folder, "z.txt"), Path(folder, "states")
            np.savetxt(z_file, points, fmt="%.9g")
            one = ("--zdim1",) if points.shape[1] == 1 else ()
            words = ("-o", states, "--latent-points", z_file, *one)
            self._recovar(work, "compute_state", _fit(work), *words)
            for file, state in zip(files, nearest, strict=True):
                volume = states / "all_volumes" / f"vol{state:04d}.mrc"
                file.write_bytes(volume.read_bytes())

    def back_project(self, dataset: Path, work: Path) -> Path:
        mean = _fit(work) / "output" / "volumes" / "mean.mrc"
        try:
            self._pipeline(dataset, work, "--only-mean")
        except CommandFailed:  # it misses a file when it has written the mean
            if not mean.is_file():
                raise
        return mean

    def _pipeline(self, dataset: Path, work: Path, *words: object) -> Usage:
        poses, ctf = write_pickles(dataset, work)
        inputs = (dataset.absolute() / "particles.mrcs", "--poses", poses, "--ctf", ctf)
        return self._recovar(work, "pipeline", *inputs, "-o", _fit(work), *OPTIONS, *words)

    def _recovar(self, work: Path, *arguments: object) -> Usage:
        say(f"recovar {arguments[0]}; log: {work / 'recovar.log'}")
        return self.environment.run("recovar", *arguments, log=work / "recovar.log")


def write_pickles(dataset: Path, work: Path) -> tuple[Path, Path]:
    """Write poses and CTF as ``cryodrgn parse_pose_star`` and ``parse_ctf_star`` do.

    A simulated dataset has its images in the order of its rows.
    """
    import numpy as np

    from temporem.frames.readers import read_dataset

    movies = read_dataset(dataset)
    width, ctf = movies.box * movies.pixel_size_angstrom, movies.ctf
    origins = -movies.poses.shifts_angstrom / width
    rows = np.stack(
        [
            np.full(movies.n_frames, movies.box),
            np.full(movies.n_frames, movies.pixel_size_angstrom),
            ctf.defocus_u_angstrom,
            ctf.defocus_v_angstrom,
            ctf.astigmatism_radians.rad2deg(),
            ctf.voltage_kv,
            ctf.cs_mm,
            ctf.amplitude_contrast,
            ctf.phase_shift_radians.rad2deg(),
        ],
        axis=1,
    )
    contents = {
        "poses.pkl": tuple(x.numpy().astype(np.float32) for x in (movies.poses.rotations, origins)),
        "ctf.pkl": rows.astype(np.float32),
    }
    for name, content in contents.items():
        (work.absolute() / name).write_bytes(pickle.dumps(content))
    return work.absolute() / "poses.pkl", work.absolute() / "ctf.pkl"


def clusters(latents: np.ndarray, most: int = MOST_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Find at most ``most`` points ``(K, q)``, and the index of the nearest for each row.

    The points are the rows themselves where these are few, else centres of k-means.
    """
    import numpy as np
    from scipy.cluster.vq import kmeans2, vq

    rows = np.unique(latents, axis=0)
    if len(rows) > most:
        rows, _ = kmeans2(rows.astype(np.float64), most, minit="++", rng=np.random.default_rng(0))
    return rows, vq(latents.astype(np.float64), rows.astype(np.float64))[0]


def _fit(work: Path) -> Path:
    return work.absolute() / "fit"
