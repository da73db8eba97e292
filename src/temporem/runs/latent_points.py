"""Points in the space of latents: named ones, paths, principal components, clusters."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from temporem.errors import TemporemError
from temporem.physics.k_means import k_means, n_different
from temporem.runs.run import Run

_MOST_POINTS = 10_000
_ALONG = re.compile(r"PC(\d{1,4})(?::(\d{1,9}))?", re.IGNORECASE | re.ASCII)
_ALONG_POINTS = 10
_ALONG_RANGE = (0.05, 0.95)  # quantiles of the frames between which a component is shown


@dataclass(frozen=True, eq=False)
class LatentPoints:
    """Latents whose volumes are wanted.

    Attributes:
        z: float32 ``(n, q)``.
        names: name of each for files, without ending.
        labels: words on each for pictures.
    """

    z: np.ndarray
    names: list[str]
    labels: list[str]


@dataclass(frozen=True, eq=False)
class Clusters:
    """Frames grouped by their latents.

    Attributes:
        label: cluster of every frame, from 1, int64 ``(N,)``.
        nearest: the frame nearest to the centre of each cluster, int64 ``(k,)``.
    """

    label: np.ndarray
    nearest: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Number of frames of each cluster, ``(k,)``."""
        return np.bincount(self.label, minlength=len(self.nearest) + 1)[1:]


def latents_of_run(run: Run) -> np.ndarray:
    """Latents of the frames, float64 ``(N, q)``.

    Raises:
        TemporemError: the method has none.
    """
    if run.latents is None:
        raise TemporemError(
            f"{run.path} was made with --method {run.config.method}, which has no latents",
            expected="a run of another method",
        )
    return run.latents.astype(np.float64)


def given_points(run: Run, text: str) -> LatentPoints:
    """Read latents ``a,b; c,d``: components behind commas, latents behind semicolons."""
    z = np.array([_latent(run, part, "--latent") for part in text.split(";")])
    return _named(z, "latent")


def path_points(run: Run, text: str) -> LatentPoints:
    """Read a path ``FROM:TO:N`` or ``FROM:OVER:TO:N``: N points, evenly spaced along the way."""
    *parts, count = text.split(":")
    if len(parts) < 2 or not re.fullmatch(r"\d{1,9}", count.strip(), re.ASCII):
        raise TemporemError(
            f"--path {text}: not understood",
            expected="FROM:TO:N, such as 0.3,-1:1,0:20 for 20 volumes of a 2D latent",
        )
    n = _count(int(count), f"--path {text}", least=2)
    corners = np.array([_latent(run, part, "--path") for part in parts])
    lengths = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    if not lengths.all():
        raise TemporemError(
            f"--path {text}: two corners are the same latent", expected="different ones"
        )
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    places = np.linspace(0, along[-1], n)
    z = np.stack([np.interp(places, along, corner) for corner in corners.T], axis=1)
    return _named(z, "path")


def component_points(run: Run, text: str) -> LatentPoints:
    """Read ``PC1`` or ``PC1:N``: N points along a principal component of the frames' latents.

    They go through the mean, from where 5 % of the frames lie below to where 5 % lie above.
    """
    found = _ALONG.fullmatch(text.strip())
    if found is None:
        raise TemporemError(
            f"--along {text}: not understood", expected="PC1, or PC1:20 for 20 volumes"
        )
    latents = latents_of_run(run)
    number, q = int(found[1]), latents.shape[1]
    if not 1 <= number <= q:
        raise TemporemError(
            f"--along {text}: the latents have {_dimensions(q)}", expected=f"PC1 to PC{q}"
        )
    n = _count(int(found[2] or _ALONG_POINTS), f"--along {text}", least=2)
    mean = latents.mean(0)
    axis = principal_axes(latents)[number - 1]
    low, high = np.quantile((latents - mean) @ axis, _ALONG_RANGE)
    return _named(mean + np.linspace(low, high, n)[:, None] * axis, f"pc{number}")


def cluster_points(latents: np.ndarray, found: Clusters) -> LatentPoints:
    """The latents of the frames nearest to the centres of clusters of all latents ``(N, q)``."""
    points = _named(latents[found.nearest], "cluster", first=1)
    sizes = found.sizes.tolist()
    labels = [
        f"cluster {i} of {len(sizes)}, {size} frames" for i, size in enumerate(sizes, start=1)
    ]
    return LatentPoints(points.z, points.names, labels)


def cluster_frames(latents: np.ndarray, k: int, seed: int) -> Clusters:
    """Group frames by k-means of their latents (Lloyd 1982), the same for the same seed.

    Clusters are numbered along the first principal component of the latents.

    Args:
        latents: ``(N, q)``.
        k: number of clusters.
        seed: of the random starts.

    Raises:
        TemporemError: k is not from 1 to the number of different latents.
    """
    most = n_different(latents)
    if not 1 <= k <= most:
        raise TemporemError(
            f"{k} clusters of {most} different latents", expected=f"a number from 1 to {most}"
        )
    found = k_means(latents, k, starts=10, seed=seed)
    centres = found.centres
    order = np.argsort((centres - latents.mean(0)) @ principal_axes(latents)[0], kind="stable")
    rank = np.empty(k, dtype=np.int64)
    rank[order] = np.arange(1, k + 1)
    distance = np.linalg.norm(latents[None] - centres[order][:, None], axis=2)
    return Clusters(rank[found.label], distance.argmin(axis=1))


def principal_axes(latents: np.ndarray) -> np.ndarray:
    """Unit vectors along which latents ``(N, q)`` vary, the most first: ``(q, q)``.

    The largest entry of each is positive.
    """
    _, axes = np.linalg.eigh(np.atleast_2d(np.cov(latents.T, bias=True)))
    axes = axes.T[::-1]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    return axes * np.sign(largest)


def far_from_data(run: Run, points: LatentPoints) -> str | None:
    """Say in a sentence if points lie where no frame is; None if all are near the data.

    The distance of a point is that from the mean in standard deviations of the frames' latents
    (Mahalanobis 1936). A point is far if it exceeds that of the farthest frame by a quarter.
    """
    latents = latents_of_run(run)
    mean = latents.mean(0)
    inverse = np.linalg.pinv(np.atleast_2d(np.cov(latents.T, bias=True)))

    def distance(z: np.ndarray) -> np.ndarray:
        away = z - mean
        return np.sqrt(np.einsum("ni,ij,nj->n", away, inverse, away).clip(min=0))

    farthest, found = float(distance(latents).max()), distance(points.z.astype(np.float64))
    worst = int(found.argmax())
    if found[worst] <= 1.25 * farthest:
        return None
    n = int((found > 1.25 * farthest).sum())
    where = ",".join(f"{value:.3g}" for value in points.z[worst])
    return (
        f"{n} of {len(found)} latents lie where no frame is: {where} is {found[worst]:.1f} "
        f"standard deviations from the mean, the farthest frame {farthest:.1f}. Volumes there are "
        "guesses of the model."
    )


def _latent(run: Run, text: str, option: str) -> list[float]:
    q = latents_of_run(run).shape[1]
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != q or not np.isfinite(values).all() or max(map(abs, values)) > 1e18:
        example = ",".join("0.5" for _ in range(min(q, 3))) + (",…" if q > 3 else "")
        raise TemporemError(
            f"{option}: '{text.strip()}' is no latent of {_dimensions(q)}",
            expected=f"{q} numbers with commas between, such as {example}"
            if q > 1
            else "a number, such as 0.5",
        )
    return values


def _named(z: np.ndarray, kind: str, first: int = 0) -> LatentPoints:
    shown = [",".join(f"{value:.2f}" for value in row[:4]) for row in z.tolist()]
    dots = ",…" if z.shape[1] > 4 else ""
    names = [
        f"{kind}_{i:03d}_z_{text.replace(',', '_')}" for i, text in enumerate(shown, start=first)
    ]
    return LatentPoints(z.astype(np.float32), names, [f"z = {text}{dots}" for text in shown])


def _count(n: int, option: str, *, least: int) -> int:
    if not least <= n <= _MOST_POINTS:
        raise TemporemError(
            f"{option}: {n} volumes", expected=f"a number from {least} to {_MOST_POINTS}"
        )
    return n


def _dimensions(q: int) -> str:
    return "1 dimension" if q == 1 else f"{q} dimensions"
