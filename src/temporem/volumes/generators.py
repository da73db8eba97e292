"""Volume generators by name."""

from __future__ import annotations

from collections.abc import Callable

from temporem.errors import TemporemError
from temporem.volumes.cloud import CloudVolumes
from temporem.volumes.fourier_network import FourierNetwork, OctaveNetwork
from temporem.volumes.linear_started import LinearStarted
from temporem.volumes.model import VolumeModel
from temporem.volumes.refined_volumes import RefinedVolumes

Generator = Callable[..., VolumeModel]
"""Makes a model of a box, a latent dimension and a width; a :class:`LinearStarted` also of the
number of components of the linear model."""

GENERATORS: dict[str, Generator] = {
    "volumes": FourierNetwork,
    "octaves": OctaveNetwork,
    "cloud": CloudVolumes,
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


def make_generator(
    name: str, box: int, z_dim: int, width: int, components: int | None = None
) -> VolumeModel:
    """Make a generator by name.

    Args:
        name: one of :data:`GENERATORS`.
        box: edge length D of the volumes, voxels.
        z_dim: latent dimension q.
        width: width of the generator.
        components: components of the linear model that training starts from; None without one.
            The generator refines it, unless it is a :class:`LinearStarted` itself.

    Raises:
        TemporemError: there is none of that name, or it needs a linear model.
    """
    if name not in GENERATORS:
        raise unknown_generator(name)
    kind = GENERATORS[name]
    if starts_linear(name):
        if components is None:
            raise TemporemError(
                f"the generator '{name}' starts from a linear model",
                expected="training.start=linear",
            )
        return kind(box, z_dim, width, components)
    generator = kind(box, z_dim, width)
    return generator if components is None else RefinedVolumes(generator, components)


def generator_kind(name: str) -> type[VolumeModel]:
    """Look up the class of a generator; that of all if its maker is a function."""
    kind = GENERATORS[name]
    return kind if isinstance(kind, type) and issubclass(kind, VolumeModel) else VolumeModel


def starts_linear(name: str) -> bool:
    """True for a generator that cannot start without a linear model."""
    return issubclass(generator_kind(name), LinearStarted)


def unknown_generator(name: str) -> TemporemError:
    """Make the error about an unknown generator."""
    return TemporemError(
        f"there is no generator named '{name}'",
        expected=", ".join(sorted(GENERATORS)),
        hint="one of your own must be registered first, with register_generator",
    )
