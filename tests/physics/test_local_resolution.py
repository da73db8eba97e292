"""Local resolution of half maps."""

from __future__ import annotations

import math

import pytest
import torch

from temporem.physics.local_resolution import local_resolution

BOX, PIXEL = 48, 2.0
SIDES = (slice(8, 16), slice(32, 40))  # along x, far from the border between them


def filtered(volume: torch.Tensor, shell: float) -> torch.Tensor:
    """The frequencies up to a shell."""
    k = torch.fft.fftfreq(BOX, 1 / BOX)
    radius = (k[:, None, None] ** 2 + k[:, None] ** 2 + k**2).sqrt()
    return torch.fft.ifftn(torch.fft.fftn(volume) * (radius < shell)).real


def halves(shells: tuple[float, float], seed: int) -> list[torch.Tensor]:
    """Noise that both halves share up to another shell on either side, and noise of their own."""
    generator = torch.Generator().manual_seed(seed)
    left = (torch.arange(BOX) < BOX // 2).float()
    maps = []
    common = torch.randn(BOX, BOX, BOX, generator=generator)
    for _ in range(2):
        own = torch.randn(BOX, BOX, BOX, generator=generator)
        sides = [filtered(common, shell) + own - filtered(own, shell) for shell in shells]
        maps.append(left * sides[0] + (1 - left) * sides[1])
    return maps


@pytest.mark.parametrize("shells", [(16, 8), (8, 16), (12, 5)])
def test_each_side_has_the_resolution_that_it_was_given(shells) -> None:
    one, other = halves(shells, seed=0)
    found = local_resolution(one[None], other[None], PIXEL)
    for side, shell in zip(SIDES, shells, strict=True):
        median = float(found[:, :, side].median())
        assert median == pytest.approx(BOX * PIXEL / shell, rel=0.15)


def test_noise_agrees_nowhere_and_equal_maps_everywhere() -> None:
    one, other = torch.randn(2, BOX, BOX, BOX, generator=torch.Generator().manual_seed(1))
    assert float(local_resolution(one[None], other[None], PIXEL).median()) > BOX * PIXEL / 2.5
    assert (local_resolution(one[None], one[None], PIXEL) == 2 * PIXEL).all()


def test_several_pairs_leave_less_to_chance() -> None:
    pairs = [halves((8, 8), seed) for seed in range(4)]
    several = local_resolution(
        torch.stack([one for one, _ in pairs]), torch.stack([other for _, other in pairs]), PIXEL
    )
    alone = local_resolution(pairs[0][0][None], pairs[0][1][None], PIXEL)
    assert several.std() < 0.7 * alone.std()
    assert float(several.median()) == pytest.approx(BOX * PIXEL / 8, rel=0.1)


def test_empty_maps_are_not_divided_by_nothing() -> None:
    empty = torch.zeros(1, BOX, BOX, BOX)
    assert all(math.isfinite(value) for value in local_resolution(empty, empty, PIXEL).flatten())
