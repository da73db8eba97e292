"""The whole model: its bound, what its initial weights depend on, and gradients everywhere."""

import itertools
from dataclasses import replace

import pytest
import torch

from temporem.dvae.model import MovieVAE, VAEKind, build_vae
from temporem.dvae.settings import InferenceStructure, NetworkSettings, PriorKind
from temporem.frames.batch import Batch
from temporem.frames.frame_noise import FrameNoise
from temporem.physics.forward import ForwardModel
from temporem.physics.pixel_sample import PixelSample
from temporem.physics.rotations import random_rotations
from temporem.volumes.refined_volumes import RefinedVolumes

FORWARD = ForwardModel(12, 3.0)
N_INPUTS = 9
LENGTHS = [4, 3]
TINY = NetworkSettings(z_dim=2, encoder_width=12, rnn_width=8, generator_width=12)


def make_model(
    kind: VAEKind, *, seed: int = 0, base_components: int | None = 4, **changes: object
) -> MovieVAE:
    network = TINY.model_copy(update=changes)
    model = build_vae(kind, network, FORWARD, N_INPUTS, base_components=base_components, seed=seed)
    if isinstance(model.generator, RefinedVolumes):
        random = torch.Generator().manual_seed(9)
        maps = model.generator.base.maps
        model.generator.base.set_maps(torch.randn(maps.shape, generator=random))
        # As after a first step of training: no gradient passes weights that are 0.
        curve = model.generator.curve.bend.last.weight
        curve.data.copy_(0.1 * torch.randn(curve.shape, generator=random))
    return model


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    n, p = sum(LENGTHS), len(FORWARD.support)
    return Batch(
        encoder_input=torch.randn(n, N_INPUTS, generator=generator),
        images=torch.randn(n, p, generator=generator, dtype=torch.complex64),
        ctf=torch.randn(n, p, generator=generator),
        rotations=random_rotations(n, generator).float(),
        lengths=torch.tensor(LENGTHS),
        times=torch.tensor([0.0, 1.0, 3.0, 4.0, 0.0, 2.0, 2.5]),
        pixels=PixelSample.lowest(FORWARD.support, p),
        rows=torch.arange(n),
        interval_index=torch.zeros(n, dtype=torch.long),
    )


STRUCTURES = itertools.product(("ST-LR", "MF-LR", "DKS", "filter"), ("standard", "learned"))
KINDS = [("static", "ST-LR", "standard"), *(("tempor", *pair) for pair in STRUCTURES)]


@pytest.mark.parametrize("base_components", [None, 4])
@pytest.mark.parametrize(("kind", "inference", "prior"), KINDS)
def test_gradient_of_the_bound_reaches_every_parameter(
    batch: Batch,
    kind: VAEKind,
    inference: InferenceStructure,
    prior: PriorKind,
    base_components: int | None,
) -> None:
    changes = {"inference": inference, "prior": prior, "base_components": base_components}
    model = make_model(kind, seed=1, **changes)  # with no dead units
    bound = model.bound(batch, FrameNoise(torch.Generator().manual_seed(1)))
    (bound.kl - bound.log_likelihood).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_bound_is_the_likelihood_of_the_rendered_draw(batch: Batch) -> None:
    model = make_model("tempor")
    bound = model.bound(batch, FrameNoise(torch.Generator().manual_seed(1)))
    latents = model.infer(batch, FrameNoise(torch.Generator().manual_seed(1)))
    k = FORWARD.slice_frequencies(batch.rotations)
    slices = torch.stack([model.generator(k[i], latents.z[i]) for i in range(len(latents.z))])
    residual = batch.images - slices * batch.ctf
    twice = torch.full((len(FORWARD.support),), 2.0)
    twice[0] = 1  # the full plane: a pair for every coefficient but the origin
    expected = -0.5 * (residual.abs().square() * twice).sum(-1)
    torch.testing.assert_close(bound.log_likelihood, expected)
    torch.testing.assert_close(bound.kl, latents.kl)


def test_low_pass_leaves_out_the_terms_of_high_frequencies(batch: Batch) -> None:
    model = make_model("tempor")
    n = 20
    low = model.bound(batch.at(PixelSample.lowest(FORWARD.support, n)))
    latents = model.infer(batch)  # the encoder input stays
    residual = (batch.images - model.render(batch, latents.z))[:, :n].abs().square()
    expected = -0.5 * (2 * residual.sum(-1) - residual[:, 0])
    torch.testing.assert_close(low.log_likelihood, expected)
    torch.testing.assert_close(low.kl, latents.kl)
    whole = model.bound(batch.at(PixelSample.lowest(FORWARD.support, len(FORWARD.support))))
    assert whole.log_likelihood.equal(model.bound(batch).log_likelihood)


def test_bound_of_some_pixels_is_the_weighted_sum_of_their_terms(batch: Batch) -> None:
    model = make_model("tempor")
    index, weights = torch.tensor([3, 0, 17]), torch.tensor([0.5, 4.0, 2.5])
    some = model.bound(batch.at(PixelSample(index, weights)))
    residual = (batch.images - model.render(batch, model.infer(batch).z)).abs().square()
    torch.testing.assert_close(some.log_likelihood, -0.5 * (residual[:, index] * weights).sum(-1))
    torch.testing.assert_close(some.kl, model.bound(batch).kl)


@pytest.mark.parametrize("kind", ["static", "tempor"])
def test_evaluation_is_deterministic(batch: Batch, kind: VAEKind) -> None:
    model = make_model(kind)
    training = model.bound(batch)
    model.eval()
    for _ in range(2):
        evaluated = model.bound(batch)
        assert evaluated.log_likelihood.equal(training.log_likelihood)
        assert evaluated.kl.equal(training.kl)
    drawn = model.bound(batch, FrameNoise(torch.Generator().manual_seed(0)))
    assert not torch.allclose(drawn.log_likelihood, training.log_likelihood)


@pytest.mark.parametrize("kind", ["static", "tempor"])
def test_weights_depend_on_the_seed_alone(kind: VAEKind) -> None:
    torch.manual_seed(1)
    one = make_model(kind, seed=5)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    again, other = make_model(kind, seed=5), make_model(kind, seed=6)
    torch.manual_seed(1)
    assert torch.get_rng_state().equal(state)  # and building leaves the global state alone
    for name, value in one.state_dict().items():
        assert again.state_dict()[name].equal(value), name
    assert not other.extractor.first.weight.equal(one.extractor.first.weight)


def test_static_and_tempor_share_extractor_and_generator() -> None:
    static, tempor = make_model("static"), make_model("tempor")
    for name in ("extractor", "generator"):
        shapes = [
            {key: value.shape for key, value in getattr(m, name).state_dict().items()}
            for m in (static, tempor)
        ]
        assert shapes[0] == shapes[1]


def test_weights_loaded_into_a_new_model_give_the_same_images(batch: Batch) -> None:
    saved, loaded = make_model("tempor", seed=0), make_model("tempor", seed=1)
    assert isinstance(loaded.generator, RefinedVolumes)
    loaded.generator.base.set_mean(torch.zeros(12, 12, 12))
    loaded.load_state_dict(saved.state_dict())
    assert loaded.bound(batch).log_likelihood.equal(saved.bound(batch).log_likelihood)


def test_static_model_has_no_memory_between_frames(batch: Batch) -> None:
    model = make_model("static")
    order = torch.tensor([6, 2, 0, 4, 1, 5, 3])
    shuffled = replace(
        batch,
        encoder_input=batch.encoder_input[order],
        images=batch.images[order],
        ctf=batch.ctf[order],
        rotations=batch.rotations[order],
        lengths=torch.tensor([7]),
        rows=order,
    )
    found, expected = model.bound(shuffled), model.bound(batch)
    torch.testing.assert_close(found.log_likelihood, expected.log_likelihood[order])
    torch.testing.assert_close(found.kl, expected.kl[order])


def test_bfloat16_products_stay_close_to_float32(batch: Batch) -> None:
    model = make_model("tempor")
    exact = model.bound(batch)
    model.set_dtype(torch.bfloat16)
    rounded = model.bound(batch)
    assert rounded.log_likelihood.dtype == torch.float32
    assert not rounded.log_likelihood.equal(exact.log_likelihood)
    torch.testing.assert_close(rounded.log_likelihood, exact.log_likelihood, rtol=0.02, atol=0)
    model.set_dtype(None)
    assert model.bound(batch).log_likelihood.equal(exact.log_likelihood)
