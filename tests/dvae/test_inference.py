"""Inference of latent paths: the graph of every structure, movies of any length."""

import itertools

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from temporem.dvae.inference import FrameInference, SequenceInference, log_gaps
from temporem.dvae.latents import Latents
from temporem.dvae.priors import GatedTransition, StandardPrior
from temporem.dvae.settings import InferenceStructure, PriorKind
from temporem.frames.frame_noise import FrameNoise

WIDTH, Z_DIM = 6, 2
LENGTHS = [3, 5, 1, 4]
FIELDS = ("z", "mean", "log_variance", "kl")
STRUCTURES: tuple[InferenceStructure, ...] = ("ST-LR", "MF-LR", "DKS", "filter")
PRIORS: tuple[PriorKind, ...] = ("standard", "learned")


def make_inference(structure: InferenceStructure, prior: PriorKind) -> SequenceInference:
    """Make a network with random weights, none of them zero or small."""
    torch.manual_seed(0)
    chosen = StandardPrior() if prior == "standard" else GatedTransition(Z_DIM, 4)
    network = SequenceInference(WIDTH, Z_DIM, 12, structure, chosen, hidden_frames=0.0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.7 * torch.randn_like(parameter))
    return network


@pytest.fixture(
    params=itertools.product(STRUCTURES, PRIORS), ids=lambda pair: f"{pair[0]}-{pair[1]}"
)
def network(request: pytest.FixtureRequest) -> SequenceInference:
    return make_inference(*request.param)


@pytest.fixture
def features() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(sum(LENGTHS), WIDTH, generator=generator)


def normal(mean: torch.Tensor, log_variance: torch.Tensor) -> Independent:
    return Independent(Normal(mean, (0.5 * log_variance).exp()), 1)


def times_of(lengths: list[int]) -> torch.Tensor:
    """Times with gaps that are not all alike, the same in every movie."""
    since_first = torch.tensor([0, 1, 3.5, 4.5, 5, 8, 9, 10, 14, 15, 16, 18, 19])
    return torch.cat([since_first[:n] for n in lengths])


def infer(
    network: SequenceInference,
    features: torch.Tensor,
    lengths: list[int],
    seed: int | None = None,
    times: torch.Tensor | None = None,
) -> Latents:
    noise = None if seed is None else FrameNoise(torch.Generator().manual_seed(seed))
    times = times_of(lengths) if times is None else times
    return network(features, torch.tensor(lengths), times, noise)


def assert_same(found: Latents, expected: Latents) -> None:
    for name in FIELDS:
        pair = getattr(found, name), getattr(expected, name)
        torch.testing.assert_close(*pair, rtol=1e-5, atol=1e-5)


def rows_of(latents: Latents, rows: torch.Tensor) -> Latents:
    return Latents(*(getattr(latents, name)[rows] for name in FIELDS))


def test_every_frame_has_a_latent(network: SequenceInference, features: torch.Tensor) -> None:
    latents = infer(network, features, LENGTHS, seed=0)
    for name in ("z", "mean", "log_variance"):
        assert getattr(latents, name).shape == (len(features), Z_DIM)
    assert latents.kl.shape == (len(features),)
    assert (latents.kl >= 0).all()
    assert latents.mean.std() > 0.05


def test_movies_of_different_lengths_do_not_touch_each_other(
    network: SequenceInference, features: torch.Tensor
) -> None:
    together = infer(network, features, LENGTHS)
    alone = [infer(network, movie, [len(movie)]) for movie in features.split(LENGTHS)]
    joined = Latents(*(torch.cat([getattr(a, n) for a in alone]) for n in FIELDS))
    assert_same(together, joined)


def test_order_of_movies_does_not_matter(
    network: SequenceInference, features: torch.Tensor
) -> None:
    together = infer(network, features, LENGTHS)
    order = [2, 0, 3, 1]
    rows = torch.arange(len(features)).split(LENGTHS)
    shuffled = torch.cat([rows[m] for m in order])
    found = infer(network, features[shuffled], [LENGTHS[m] for m in order])
    assert_same(found, rows_of(together, shuffled))


def test_inference_is_deterministic_without_generator(
    network: SequenceInference, features: torch.Tensor
) -> None:
    once, again = (infer(network, features, LENGTHS) for _ in range(2))
    assert once.z.equal(once.mean)
    network.eval()
    evaluated = infer(network, features, LENGTHS)
    for name in FIELDS:
        assert getattr(again, name).equal(getattr(once, name))
        assert getattr(evaluated, name).equal(getattr(once, name))


def test_draws_follow_the_seed(network: SequenceInference, features: torch.Tensor) -> None:
    one, again, other = (infer(network, features, LENGTHS, seed=s) for s in (3, 3, 4))
    assert one.z.equal(again.z)
    assert not torch.allclose(one.z, other.z)
    assert not torch.allclose(one.z, one.mean)


def test_kl_is_from_the_prior_given_the_path_drawn(
    network: SequenceInference, features: torch.Tensor
) -> None:
    latents = infer(network, features, LENGTHS, seed=5)
    fields = (getattr(latents, name).split(LENGTHS) for name in FIELDS)
    for z, mean, log_variance, kl in zip(*fields, strict=True):
        gaps = times_of([len(z)]).diff()[:, None].log()
        priors = [network.prior(None, torch.zeros(1), mean[0])]
        priors += [network.prior(z[t], gaps[t], mean[0]) for t in range(len(z) - 1)]
        prior_mean, prior_log_variance = (torch.stack(parts) for parts in zip(*priors, strict=True))
        expected = kl_divergence(normal(mean, log_variance), normal(prior_mean, prior_log_variance))
        torch.testing.assert_close(kl, expected, rtol=1e-4, atol=1e-4)


def dependence(network: SequenceInference, length: int = 5) -> torch.Tensor:
    """Posterior of frame t changes with the image of frame s: bool ``(t, s)``."""
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(length, WIDTH, generator=generator)
    features.requires_grad_()
    latents = infer(network, features, [length])
    rows = []
    for t in range(length):
        (gradient,) = torch.autograd.grad(latents.mean[t].sum(), features, retain_graph=True)
        rows.append(gradient.abs().sum(-1) > 0)
    return torch.stack(rows)


EVERYTHING = torch.ones(5, 5, dtype=torch.bool)
PAST, FUTURE = EVERYTHING.tril(), EVERYTHING.triu()  # both with the frame itself


@pytest.mark.parametrize(
    ("structure", "expected", "expected_without_previous"),
    [
        ("ST-LR", EVERYTHING, EVERYTHING),
        ("MF-LR", EVERYTHING, EVERYTHING),
        ("DKS", EVERYTHING, FUTURE),
        ("filter", PAST, PAST),
    ],
)
def test_frames_depend_on_what_the_structure_says(
    structure: InferenceStructure, expected: torch.Tensor, expected_without_previous: torch.Tensor
) -> None:
    network = make_inference(structure, "standard")
    assert dependence(network).equal(expected)
    if network.previous is not None:  # cut the path through z_{t−1}
        torch.nn.init.zeros_(network.previous.weight)
    assert dependence(network).equal(expected_without_previous)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_only_mean_field_ignores_the_previous_draw(
    structure: InferenceStructure, features: torch.Tensor
) -> None:
    network = make_inference(structure, "standard")
    one, other = (infer(network, features, LENGTHS, seed=s) for s in (0, 1))
    first_frames = torch.tensor([0, 3, 8, 9])
    assert one.mean[first_frames].equal(other.mean[first_frames])
    assert one.mean.equal(other.mean) == (structure == "MF-LR")


def test_static_inference_sees_single_frames(features: torch.Tensor) -> None:
    torch.manual_seed(0)
    network = FrameInference(WIDTH, Z_DIM)
    together = network(features, torch.tensor(LENGTHS), times_of(LENGTHS), None)
    assert together.z.equal(together.mean)
    one, now = torch.tensor([1]), torch.zeros(1)
    alone = torch.cat([network(f[None], one, now, None).mean for f in features])
    torch.testing.assert_close(together.mean, alone)
    unit = normal(torch.zeros(Z_DIM), torch.zeros(Z_DIM))
    expected = kl_divergence(normal(together.mean, together.log_variance), unit)
    torch.testing.assert_close(together.kl, expected)


def test_hidden_frames_are_inferred_from_the_others() -> None:
    torch.manual_seed(2)
    network = SequenceInference(WIDTH, Z_DIM, 5, "MF-LR", StandardPrior(), hidden_frames=0.5)
    features = torch.randn(12, WIDTH, requires_grad=True)
    infer(network, features, [12], seed=3).mean.sum().backward()
    hidden = (features.grad == 0).all(-1)
    assert 0 < hidden.sum() < 12
    features.grad = None
    infer(network, features, [12]).mean.sum().backward()
    assert (features.grad != 0).any(-1).all()  # nothing is hidden when inference is deterministic


@pytest.mark.parametrize("mean", [0.3, 0.5, 0.8])
def test_fraction_that_is_hidden_varies_from_movie_to_movie(mean: float) -> None:
    """Evenly from no frame on, or up to all frames, with the mean that was asked for."""
    network = SequenceInference(WIDTH, Z_DIM, 5, "ST-LR", StandardPrior(), hidden_frames=mean)
    n_movies, n_frames = 4000, 50
    noise = FrameNoise(torch.Generator().manual_seed(4))
    hidden = network.draw_hidden(torch.full((n_movies,), n_frames), noise)
    assert hidden.shape == (n_movies * n_frames, 1)
    fraction = hidden.view(n_movies, n_frames).double().mean(1)
    spread = 2 * min(mean, 1 - mean)
    assert abs(float(fraction.mean()) - mean) < 0.02
    # Variance of a uniform fraction, and of n_frames draws with it.
    expected = (spread**2 / 12 + (mean * (1 - mean) - spread**2 / 12) / n_frames) ** 0.5
    assert abs(float(fraction.std()) - expected) < 0.015
    assert float(fraction.min()) < mean - 0.45 * spread
    assert float(fraction.max()) > mean + 0.45 * spread


def test_frames_that_a_process_hides_do_not_depend_on_the_others() -> None:
    network = SequenceInference(WIDTH, Z_DIM, 5, "ST-LR", StandardPrior(), hidden_frames=0.5)
    lengths = torch.tensor([5, 3, 9, 2])
    whole = network.draw_hidden(lengths, FrameNoise(torch.Generator().manual_seed(5)))
    own = FrameNoise(torch.Generator().manual_seed(5), total=19, own=slice(8, 19))
    assert network.draw_hidden(lengths[2:], own).equal(whole[8:])


# --- times ---


def test_gaps_are_times_since_the_frame_before() -> None:
    times = torch.tensor([0, 1, 3, 3.5, 7.0, 0, 1, 5])
    gaps = log_gaps(times, torch.tensor([4, 1, 3])).exp()
    torch.testing.assert_close(gaps[:, 0], torch.tensor([1, 1, 2, 0.5, 1, 1, 1, 4]))


@pytest.mark.parametrize("lengths", [[12], [5, 4, 3], [1] * 12])
def test_gaps_of_a_movie_played_backwards_are_the_same(lengths: list[int]) -> None:
    times, counts = times_of(lengths), torch.tensor(lengths)
    straight = log_gaps(times, counts).split(lengths)
    turned = torch.cat([movie.flip(0) for movie in times.split(lengths)])
    backwards = log_gaps(turned, counts).split(lengths)
    for one, other in zip(straight, backwards, strict=True):
        assert other[1:].equal(one[1:].flip(0))
        assert other[0] == one[0] == 0


def test_only_differences_of_times_matter(
    network: SequenceInference, features: torch.Tensor
) -> None:
    later = times_of(LENGTHS) + torch.tensor([0.0, 8, 64, 512]).repeat_interleave(
        torch.tensor(LENGTHS)
    )
    assert_same(infer(network, features, LENGTHS, times=later), infer(network, features, LENGTHS))


@pytest.mark.parametrize(
    ("structure", "changed"),
    [
        ("ST-LR", [True] * 5),
        ("MF-LR", [True] * 5),
        ("DKS", [True] * 5),  # later frames by the draw before them
        ("filter", [False, False, False, True, True]),
    ],
)
def test_a_longer_gap_changes_what_is_inferred_from_across_it(
    structure: InferenceStructure, changed: list[bool]
) -> None:
    network = make_inference(structure, "standard")
    features = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(6))
    short, long = torch.tensor([0.0, 1, 2, 3, 4]), torch.tensor([0.0, 1, 2, 9, 10])
    one, other = (infer(network, features, [5], times=times).mean for times in (short, long))
    assert [not torch.equal(a, b) for a, b in zip(one, other, strict=True)] == changed
    if network.previous is not None:  # cut the path through z_{t−1}
        torch.nn.init.zeros_(network.previous.weight)
    one, other = (infer(network, features, [5], times=times).mean for times in (short, long))
    if structure == "DKS":
        changed = [True, True, True, False, False]
    assert [not torch.equal(a, b) for a, b in zip(one, other, strict=True)] == changed


def test_both_directions_read_the_same_gaps(features: torch.Tensor) -> None:
    """With one set of weights for both directions, a movie backwards has its path backwards."""
    network = make_inference("MF-LR", "standard")
    assert network.forwards is not None
    assert network.backwards is not None
    network.backwards.load_state_dict(network.forwards.state_dict())
    times = times_of([len(features)])
    straight = infer(network, features, [len(features)], times=times)
    turned = infer(network, features.flip(0), [len(features)], times=times.flip(0))
    torch.testing.assert_close(turned.mean.flip(0), straight.mean)


@pytest.mark.parametrize("structure", ["ST-LR", "DKS"])
def test_deviations_are_those_of_drawn_paths(structure: InferenceStructure) -> None:
    """Without noise, variances are those of z_t itself and not those given z_{t−1}."""
    network = make_inference(structure, "standard")
    with torch.no_grad():
        network.combiner.last.weight.mul_(0.2)  # nearly Gaussian paths
        network.combiner.last.bias.zero_()
    features = 0.3 * torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(6))
    draws, lengths = 4000, [5]
    drawn = infer(network, features.repeat(draws, 1), lengths * draws, seed=7)
    z = drawn.z.view(draws, 5, Z_DIM)
    found = infer(network, features, lengths)
    torch.testing.assert_close(found.log_variance.exp(), z.var(0), rtol=0.2, atol=0)
    given = drawn.log_variance.view(draws, 5, Z_DIM).exp().mean(0)
    assert (z.var(0)[1:] > 1.1 * given[1:]).any()  # what comes before matters here
