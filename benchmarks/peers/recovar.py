"""RECOVAR 1.0.5 (Gilles and Singer 2025): covariance of the volumes, and kernel regression.

A static linear method: every frame has its own latents, the posterior mean of its components.
Volumes come from kernel regression at latents, as its documentation recommends.

Its licence is for non-commercial use. So it stays in an environment of its own; we know its
command line and its output files, and none of its code.

It reads poses, CTF and images from our ``particles.star`` in our sense and order of axes.

**On a CPU its mean volume is wrong, so its scores mean nothing.** The mean shows the molecule at
twice its size, and the fit subtracts that mean from the frames, so that the first component is the
difference of the two means. Volumes of the kernel regression have the right size. ``check`` fails
for this reason alone, and ``all`` leaves RECOVAR out. Nobody has run ``check`` on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ClassVar

from benchmarks.common import Environment, Usage, say
from benchmarks.peers.protocol import RESULT, Choice, Training, read_latents
from temporem.errors import TemporemError

if TYPE_CHECKING:
    import numpy as np

KERNEL = "kernel"

# Its documentation takes 20 cluster centres too; one regression for every frame would be slow.
MOST_POINTS = 20

# A loose sphere, as for a molecule of which nothing is known; simulated frames have one contrast.
# Its CTF is the negative of ours. By default it takes the sign from the mean, which noise can turn.
# The budget sets the number of components; by default it depends on the computer's memory.
OPTIONS = (
    *("--mask", "sphere", "--accept-cpu", "--no-downsample", "--no-correct-contrast"),
    *("--uninvert-data", "true", "--gpu-budget-gb", "8"),
)


class Recovar:
    """Fits with ``pipeline``, makes volumes with ``compute_state``."""

    requirements: ClassVar[tuple[str, ...]] = ()
    choices: ClassVar[Mapping[str, Choice]] = {}  # none, as long as ``check`` fails

    def __init__(self, path: Path) -> None:
        self.environment = Environment(path, "recovar", "1.0.5")

    def models(self, training: Training) -> dict[str, str]:
        if training.epochs is not None or training.also:
            raise TemporemError("--epochs or --also", expected="neither; RECOVAR has no epochs")
        return {RESULT: KERNEL}

    def train(self, dataset: Path, work: Path, training: Training) -> Usage:
        output = ("-o", _fit(work), "--zdim", training.z_dim)
        return self._recovar(work, "pipeline", _star(dataset), *output, *OPTIONS, *training.more)

    def latents(self, work: Path, model: str) -> np.ndarray:
        found = list(_fit(work).glob("model/zdim_*/latent_coords.npy"))
        if len(found) != 1:  # train() asks for one dimension
            raise TemporemError(f"{_fit(work)} has {len(found)} files of latents", expected="one")
        return read_latents(found[0])

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
                file.write_bytes((states / f"state{state:03d}.mrc").read_bytes())

    def back_project(self, dataset: Path, work: Path) -> Path:
        self._recovar(work, "pipeline", _star(dataset), "-o", _fit(work), *OPTIONS, "--only-mean")
        return _fit(work) / "output" / "volumes" / "mean.mrc"

    def _recovar(self, work: Path, *arguments: object) -> Usage:
        say(f"recovar {arguments[0]}; log: {work / 'recovar.log'}")
        return self.environment.run("recovar", *arguments, log=work / "recovar.log")


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


def _star(dataset: Path) -> Path:
    return dataset.absolute() / "particles.star"
