"""Estimate of the memory that the training of a network takes."""

from __future__ import annotations

import math

import torch

from temporem.dvae.encoder_input import encoder_input_size
from temporem.dvae.model import MovieVAE
from temporem.dvae.settings import EncoderInputKind, NetworkSettings
from temporem.physics.forward import ForwardModel
from temporem.physics.padded_grid import full_grid

# Weight, gradient, two moments of Adam; 1 + W of residual layers; copies for a checkpoint.
_BYTES_PER_PARAMETER = 16 + 4 + 12
_BYTES_PER_NUMBER = 4
_BYTES_PER_VOXEL = 8  # of the padded grid of a volume that is sliced, complex64


def network_memory(
    forward_model: ForwardModel,
    network: NetworkSettings,
    *,
    encoder_input: EncoderInputKind,
    frames: int,
    pixels: int,
    base_components: int | None,
    bfloat16: bool,
    computes_inputs: bool = False,
) -> int:
    """Estimate an upper bound of the bytes that training needs besides the frames.

    They hold parameters with gradients and moments, activations of a step, and volumes to slice.

    Args:
        forward_model: image formation.
        network: sizes and structure.
        encoder_input: input of the encoder.
        frames: frames of a step.
        pixels: Fourier pixels of a frame in a step.
        base_components: components of the linear model that the generator refines; None without.
        bfloat16: arithmetic of the generator.
        computes_inputs: encoder inputs are not kept in memory, so volumes are sliced for them.
    """
    n_inputs = encoder_input_size(forward_model, encoder_input, base_components or 0)
    with torch.device("meta"):  # shapes without memory
        model = MovieVAE("tempor", network, forward_model, n_inputs, base_components)
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    rendered = frames * pixels * model.generator.activations_per_point
    encoded = frames * (n_inputs + 16 * (network.encoder_width + network.rnn_width))
    activations = (2 if bfloat16 else 4) * rendered + _BYTES_PER_NUMBER * encoded
    base = 0 if base_components is None else 1 + base_components
    sliced = {"linear": base, "image": 0, "back-projection": 1}[encoder_input]
    volumes = base + computes_inputs * sliced
    grid = math.prod(full_grid(forward_model.box, torch.device("cpu")).shape)
    return _BYTES_PER_PARAMETER * n_parameters + activations + _BYTES_PER_VOXEL * volumes * grid
