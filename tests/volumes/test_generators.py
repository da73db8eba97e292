"""The registry of generators."""

import pytest

from temporem.dvae.settings import NetworkSettings
from temporem.errors import TemporemError
from temporem.volumes.fourier_network import FourierNetwork
from temporem.volumes.generators import GENERATORS, make_generator, register_generator


def test_generator_is_made_by_its_name() -> None:
    made = make_generator("volumes", 12, 3, 16)
    assert isinstance(made, FourierNetwork)
    assert (made.box, made.z_dim, made.mlp.last.in_features) == (12, 3, 16)


def test_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(TemporemError, match=r"no generator named 'voxel'; expected .*volumes"):
        make_generator("voxel", 12, 3, 16)
    with pytest.raises(ValueError, match=r"no generator named 'voxel'; expected .*volumes"):
        NetworkSettings(generator="voxel")


def test_name_that_is_taken_is_refused() -> None:
    with pytest.raises(TemporemError, match="already a generator named 'volumes'"):
        register_generator("volumes", lambda box, z_dim, width: FourierNetwork(box, z_dim, 8))
    register_generator("volumes", FourierNetwork)  # the same again
    assert GENERATORS["volumes"] is FourierNetwork
