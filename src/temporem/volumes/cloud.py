"""The generator ``cloud``: density that moves, instead of density that changes in place."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.physics.gaussian_sums import gaussian_sums
from temporem.volumes.body_maps import BodyMaps
from temporem.volumes.latent_curve import LatentCurve
from temporem.volumes.linear_started import LinearStarted
from temporem.volumes.moving_cloud import MovingCloud

_BOX = 8  # edge for which there are as many Gaussians as the width
_STIFFNESS = 75.0  # nats per unit of mean square strain


def gaussians_for(width: int, box: int) -> int:
    """Largest number of Gaussians of a cloud of a width in a box."""
    return width * box // _BOX


class CloudVolumes(LinearStarted):
    """A cloud of Gaussians that moves with the latents.

    Every frame shows all of the molecule, so that moving parts become as sharp as still ones. Only
    what the linear model finds to move may move. The cloud cannot show what comes or goes in
    place, such as a ligand that binds.

    Args:
        box: edge length D, voxels.
        z_dim: latent dimension q.
        width: largest number of Gaussians over D / 8. There are fewer where little moves.
        components: components of the linear model that training starts from.

    Attributes:
        cloud: the Gaussians.
        missed: maps of what the Gaussians miss, which are found when training is over.
    """

    start_share = 1 / 2  # earlier, where noise is strong, the bound would stop the motion
    always_on_grid = True
    from_curve = True
    marching = (0.3, 0.55)  # earlier than others: detail takes a cloud many steps
    samples_pixels = False
    latent_resolution = 0.7

    def __init__(self, box: int, z_dim: int, width: int, components: int) -> None:
        super().__init__(box, z_dim, components)
        self.cloud = MovingCloud(z_dim, gaussians_for(width, box))
        self.missed = BodyMaps(box, len(self.cloud))

    def begin(self, volumes: Tensor, moving: Tensor, curve: LatentCurve, z: Tensor) -> None:
        """See :meth:`LinearStarted.begin`.

        Raises:
            TemporemError: the volumes hold no density.
        """
        # As in skeleton.py, what takes long to import is not imported with the settings.
        from temporem.volumes.cloud_start import fit_to_linear_model

        device = self.device
        self.cloud.to("cpu")  # the fit is small, and its parts come from both devices
        fit_to_linear_model(self.cloud, volumes.cpu(), moving.cpu(), curve.cpu(), z.cpu())
        self.missed = BodyMaps(self.box, len(self.cloud))
        self.to(device)

    def make_room(self, stored: Mapping[str, Tensor]) -> None:
        """Have as many Gaussians as there are among stored tensors, which are then loaded."""
        rest = stored.get("cloud.rest")
        if rest is not None and 0 < len(rest) <= len(self.cloud):
            self.cloud.resize(len(rest))
            self.missed = BodyMaps(self.box, len(rest)).to(self.device)

    def forward(self, frequencies: Tensor, z: Tensor) -> Tensor:
        """See :meth:`VolumeModel.forward`; :meth:`frame_slices` and :meth:`volumes` are faster."""
        cloud, unit = self.cloud, 2 * math.pi / self.box
        positions = cloud.positions(z.reshape(-1, self.z_dim)).view(*z.shape[:-1], -1, 3)
        phase = -unit * (frequencies @ positions.mT)
        waves = torch.polar(cloud.weights.expand_as(phase), phase).sum(-1)
        envelope = (-0.5 * (cloud.sd * unit * frequencies.norm(dim=-1)).square()).exp()
        found = envelope * waves / self.box
        if not len(self.missed):
            return found
        frequencies = frequencies.expand(*found.shape, 3)
        positions = positions.expand(*found.shape[:-1], *positions.shape[-2:])
        missed = self.missed.sample(
            frequencies.reshape(-1, *frequencies.shape[-2:]),
            positions.reshape(-1, *positions.shape[-2:]),
        )
        return found + missed.view(found.shape)

    def frame_slices(
        self, model: ForwardModel, rotations: Tensor, pixels: Tensor, z: Tensor
    ) -> Tensor:
        """See :meth:`VolumeModel.frame_slices`."""
        cloud, n = self.cloud, int(pixels.max()) + 1
        positions = cloud.positions(z)
        centres = positions @ rotations[:, :2].mT
        slices = gaussian_sums(centres, cloud.weights, cloud.sd, model.support, n)
        slices = slices if n == len(pixels) else slices[:, pixels.to(slices.device)]
        if not len(self.missed):
            return slices
        return slices + self.missed.sample(model.slice_frequencies(rotations, pixels), positions)

    @torch.no_grad()
    def volumes(self, support: FourierSupport, z: Tensor) -> Tensor:
        """See :meth:`VolumeModel.volumes`."""
        cloud, frequencies = self.cloud, support.frequencies.to(self.device)
        found = []
        for one in z.to(self.device)[:, None]:
            positions = cloud.positions(one)
            volume = gaussian_sums(positions, cloud.weights, cloud.sd, support)
            if len(self.missed):
                volume += self.missed.sample(frequencies, positions) / self.box**0.5
            found.append(volume)
        return torch.cat(found)

    def penalty(self, z: Tensor) -> Tensor:
        """See :meth:`VolumeModel.penalty`: parts stay as rigid as the images allow."""
        return _STIFFNESS * self.cloud.strain(z)

    @property
    def activations_per_point(self) -> int:
        """See :attr:`VolumeModel.activations_per_point`; these are waves along both axes."""
        return math.ceil(12 * len(self.cloud) * self.box / (math.pi / 8 * self.box**2))
