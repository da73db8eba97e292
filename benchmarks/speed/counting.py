"""What a training step of the generator costs at least: operations and bytes, from its sizes.

Only matrix products are counted, as two operations for each multiplication; sines, the envelope and
the optimiser are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

FLOAT32_BYTES, BFLOAT16_BYTES = 4, 2

Product = tuple[int, int, int]
"""``(m, k, n)``: an ``m × k`` matrix times a ``k × n`` matrix."""


@dataclass(frozen=True)
class StepSize:
    """The generator and what it sees in an optimiser step.

    Attributes:
        frames: F in the step.
        pixels: image frequencies of each that the step looks at, P.
        z_dim, width, depth, features: of the generator, as in the settings.
    """

    frames: int
    pixels: int
    z_dim: int
    width: int
    depth: int
    features: int

    @property
    def points(self) -> int:
        """Coordinates that the network is evaluated at, F · P."""
        return self.frames * self.pixels


def products(size: StepSize) -> list[Product]:
    """All matrix products of a step, forward and backward.

    A linear layer has one forward and two backward, for its weights and for its input; the first
    layer's input is the Fourier features of the coordinates, which have no gradient.
    """
    n, width, features = size.points, size.width, 2 * size.features
    hidden = [(n, width, width)] * size.depth
    forward = [
        (n, 3, size.features),  # phases of the features
        (n, features, width),
        (size.frames, size.z_dim, width),  # the latents' bias
        *hidden,
        (n, width, 2),
    ]
    of_weights = [(k, m, o) for m, k, o in forward[1:]]
    of_inputs = [(m, o, k) for m, k, o in forward[2:]]
    return forward + of_weights + of_inputs


def operations(size: StepSize) -> int:
    """Floating-point operations of a step."""
    return sum(2 * m * k * n for m, k, n in products(size))


def least_bytes(size: StepSize, element_bytes: int) -> int:
    """Memory traffic of a step whose layers are fused as far as they can be.

    Every activation is written once and read twice, by the next layer and on the way back; every
    hidden gradient is written and read once. Weights are small enough to be left out.

    Args:
        size: of the step.
        element_bytes: of an activation.
    """
    hidden = (size.depth + 1) * size.width
    features, outputs = 2 * size.features, 2
    inputs_and_hidden = 3 * features + (3 + 2) * hidden
    return size.points * (inputs_and_hidden * element_bytes + 4 * outputs * FLOAT32_BYTES)
