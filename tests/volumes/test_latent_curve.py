"""The curve of a few latents through a linear model of more dimensions."""

import torch

from temporem.volumes.latent_curve import LatentCurve


def test_begins_as_the_latents_themselves() -> None:
    z = torch.randn(7, 2)
    found = LatentCurve(2, 5)(z)
    torch.testing.assert_close(found[:, :2], z)
    assert (found[:, 2:] == 0).all()


def test_learns_a_circle_in_a_plane_from_one_latent() -> None:
    torch.manual_seed(0)
    curve = LatentCurve(1, 2)
    z = torch.linspace(-2, 2, 64)[:, None]
    circle = torch.cat([z.sin(), z.cos()], dim=1)
    optimizer = torch.optim.Adam(curve.parameters(), 1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        (curve(z) - circle).square().mean().backward()
        optimizer.step()
    # A line explains the sine's part at best.
    line = z @ torch.linalg.lstsq(z, circle).solution
    assert (curve(z) - circle).square().mean() < 0.02 * (line - circle).square().mean()
