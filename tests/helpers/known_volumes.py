"""A network whose volumes are the true ones."""

from functools import cache

import torch

from helpers.blobs import simulate_blobs
from helpers.networks import encoded_of, network_of
from temporem.dvae.encoded_frames import EncodedFrames
from temporem.dvae.model import MovieVAE, build_vae
from temporem.physics.fourier import FourierSupport
from temporem.volumes.latent_curve import LatentCurve

BOX, SNR = 16, 0.1
NETWORK = network_of(z_dim=1)


@cache
def known_volumes(kind: str = "tempor") -> tuple[MovieVAE, EncodedFrames, torch.Tensor]:
    """A model whose volumes are the true ones, the frames, and their true latents ``(N,)``."""
    movies = simulate_blobs([10] * 40, box=BOX, snr=SNR)
    angle = ((movies.angles - movies.angles.mean()) / movies.angles.std()).float()
    encoded = encoded_of(movies, NETWORK)
    powers = torch.stack([angle**n for n in range(5)], dim=1)
    volumes = FourierSupport(BOX, 3).ifft(movies.volumes()) / encoded.frames.statistics.noise_scale
    maps = torch.linalg.lstsq(powers, volumes.flatten(1)).solution.unflatten(1, (BOX,) * 3)
    model = build_vae(
        kind, NETWORK, encoded.frames.forward_model, encoded.n_inputs, base_components=4, seed=0
    )
    generator = model.generator
    generator.start_from(maps, torch.ones(BOX, BOX, BOX), LatentCurve(1, 4), angle[:, None])
    generator.curve.forward = lambda z: torch.cat([z**n for n in range(1, 5)], dim=-1)
    torch.nn.init.zeros_(generator.change.mlp.last.weight)
    return model, encoded, angle
