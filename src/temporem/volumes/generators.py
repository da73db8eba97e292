"""Volume generators by name."""

from __future__ import annotations

from collections.abc import Callable

from temporem.errors import TemporemError
from temporem.volumes.fourier_network import FourierNetwork
from temporem.volumes.model import VolumeModel

Generator = Callable[[int, int, int], VolumeModel]
"""Makes a model of a box, a latent dimension and a width."""

GENERATORS: dict[str, Generator] = {
    "fourier": FourierNetwork,
}
"""All generators; the setting ``model.generator`` is one of these names."""


def register_generator(name: str, generator: Generator) -> None:
    """Add a generator under a name that is free.

    Raises:
        TemporemError: another generator has the name.

    Example:
        >>> tm.register_generator("blobs", Blobs)  # the class in docs/extending.md
    """
    if GENERATORS.get(name, generator) is not generator:
        raise TemporemError(f"there is already a generator named '{name}'")
    GENERATORS[name] = generator


def make_generator(name: str, box: int, z_dim: int, width: int) -> VolumeModel:
    """Make a generator by name.

    Raises:
        TemporemError: there is none of that name.
    """
    if name not in GENERATORS:
        raise unknown_generator(name)
    return GENERATORS[name](box, z_dim, width)


def unknown_generator(name: str) -> TemporemError:
    """Make the error about an unknown generator."""
    return TemporemError(
        f"there is no generator named '{name}'",
        expected=", ".join(sorted(GENERATORS)),
        hint="one of your own must be registered first, with register_generator",
    )
