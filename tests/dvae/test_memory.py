"""The estimate of a network's memory: from above, and close to what a network takes."""

import torch

from temporem.dvae.encoder_input import encoder_input_size
from temporem.dvae.memory import network_memory
from temporem.dvae.model import MovieVAE
from temporem.dvae.settings import NetworkSettings
from temporem.physics.forward import ForwardModel

FORWARD = ForwardModel(16, 4.0)


def memory_of(network: NetworkSettings, **changes) -> int:
    arguments = {
        "encoder_input": "back-projection",
        "frames": 20,
        "pixels": 128,
        "base_components": 4,
        "bfloat16": False,
    }
    return network_memory(FORWARD, network, **{**arguments, **changes})


def test_parameters_count_with_gradients_and_moments() -> None:
    network = NetworkSettings(encoder_width=64, rnn_width=48, generator_width=40)
    model = MovieVAE("tempor", network, FORWARD, encoder_input_size(FORWARD, "back-projection"), 4)
    n = sum(parameter.numel() for parameter in model.parameters())
    found = memory_of(network, frames=0)
    assert 16 * n < found < 60 * n


def test_activations_are_at_least_what_autograd_keeps() -> None:
    network = NetworkSettings(generator_width=128)
    model = MovieVAE("tempor", network, FORWARD, 10, 4)
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.generator(torch.rand(20, 128, 3), torch.randn(20, 1))
    estimate = memory_of(network) - memory_of(network, frames=0)
    assert sum(kept.values()) < estimate < 10 * sum(kept.values())


def test_widest_networks_take_tens_of_gigabytes() -> None:
    wide = NetworkSettings(encoder_width=8192, rnn_width=8192, generator_width=8192)
    assert memory_of(wide) > 25 * 2**30
    assert memory_of(NetworkSettings()) < 2**28


def test_more_volumes_and_digits_take_more() -> None:
    network = NetworkSettings()
    assert memory_of(network, base_components=9) > memory_of(network)
    assert memory_of(network, bfloat16=True) < memory_of(network)


def test_inputs_that_are_computed_take_the_volumes_that_they_are_computed_from() -> None:
    def more(kind: str) -> int:
        found = [
            memory_of(NetworkSettings(), encoder_input=kind, computes_inputs=computed)
            for computed in (True, False)
        ]
        return found[0] - found[1]

    assert more("image") == 0
    assert more("back-projection") > 0
    assert more("linear") == 5 * more("back-projection")  # the mean volume and four components


def test_linear_input_takes_less_than_an_image() -> None:
    assert encoder_input_size(FORWARD, "linear", 4) == 4 + 10
    memories = [memory_of(NetworkSettings(), encoder_input=kind) for kind in ("linear", "image")]
    assert memories[0] < memories[1]
