"""Simulated movies: the images, the noise, the poses, and what two runs share."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.shared import SHARED
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.readers import read_dataset
from temporem.physics.forward import ForwardModel
from temporem.physics.rotations import geodesic_degrees
from temporem.simulation.config import SimulationConfig
from temporem.simulation.drawing import draw_frames
from temporem.simulation.in_memory import load_motion
from temporem.simulation.presets import load_simulation_config
from temporem.simulation.simulate import simulate
from temporem.simulation.truth import Truth, read_truth
from temporem.structures.molecule_source import MoleculeSource
from temporem.structures.motions.base import conformations

TOY = load_simulation_config("toy", ["movies=6", "frames_per_movie=4"])


def changed(**settings: object) -> SimulationConfig:
    return SimulationConfig.model_validate({**TOY.model_dump(), **settings})


def files(folder: Path) -> dict[str, bytes]:
    paths = [p for p in folder.rglob("*") if p.is_file()]
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Truth, dict]:
    """Nearly free of noise."""
    path = tmp_path_factory.mktemp("simulated") / "toy"
    summary = simulate(changed(snr=1e9), path)
    return read_dataset(path), read_truth(path), summary


def test_images_are_ctf_times_shift_times_slice_of_the_true_volume(
    simulated: tuple[Dataset, Truth, dict],
) -> None:
    """Written images against the written truth: voxels summed at Rᵀ(kx, ky, 0) in float64."""
    dataset, truth, _ = simulated
    box = dataset.box
    model = ForwardModel(box, dataset.pixel_size_angstrom)
    n = int((model.support.radii < box / 4).sum())
    rows = np.array([0, 7, 22])
    # A slice at up to half of Nyquist needs the volume's spectrum between grid points, that is its
    # voxels; those of the arm that the box leaves out of the band are far from the centre.
    volumes = truth.support.ifft(truth.volumes(rows)).double()
    axis = torch.arange(box, dtype=torch.float64) - box // 2
    for row, volume in zip(rows, volumes, strict=True):
        k = model.slice_frequencies(dataset.poses.rotations[row], slice(n))
        wave = torch.exp(-2j * math.pi * k[:, :, None] * axis / box)
        slices = torch.einsum(
            "zyx,px,py,pz->p", volume.to(wave.dtype), wave[:, 0], wave[:, 1], wave[:, 2]
        )
        slices = slices / box  # √D times the orthonormal transform
        ctf = model.ctf(dataset.ctf[[row]], n)[0]
        phase = model.shift_phase(dataset.poses.shifts_angstrom[row], slice(n))
        expected = model.observe(slices, ctf, phase)
        image = model.support.fft(torch.from_numpy(dataset.images[row].copy()))[:n]
        assert (image - expected).norm() / expected.norm() < 0.01


def test_signal_to_noise_ratio_of_the_stack_is_as_defined(
    tmp_path: Path, simulated: tuple[Dataset, Truth, dict]
) -> None:
    clean = np.asarray(simulated[0].images, dtype=np.float64)
    summary = simulate(changed(snr=0.3), tmp_path / "noisy")
    noise = np.asarray(read_dataset(tmp_path / "noisy").images, dtype=np.float64) - clean
    n = noise.size
    assert clean.var() / noise.var() == pytest.approx(0.3, rel=6 * math.sqrt(2 / n))
    assert summary["noise_variance"] == pytest.approx(noise.var(), rel=6 * math.sqrt(2 / n))
    assert read_truth(tmp_path / "noisy").noise_variance == summary["noise_variance"]
    # White: the same power at all frequencies, corners included, and nothing between pixels.
    power = np.abs(np.fft.fft2(noise, norm="ortho")) ** 2
    assert power[:, 12:20, 12:20].mean() == pytest.approx(noise.var(), rel=0.15)
    assert power[:, :4, :4].mean() == pytest.approx(noise.var(), rel=0.3)
    assert abs((noise[:, 1:] * noise[:, :-1]).mean()) < 5 * noise.var() / math.sqrt(n)


def test_signal_is_the_variance_and_not_the_mean(tmp_path: Path) -> None:
    # With amplitude contrast alone the images have a large mean.
    settings = {"ctf": {"amplitude_contrast": 1.0}}
    simulate(changed(snr=1e9, **settings), tmp_path / "clean")
    clean = np.asarray(read_dataset(tmp_path / "clean").images, dtype=np.float64)
    assert clean.mean() ** 2 > 0.1 * clean.var()
    summary = simulate(changed(snr=2.0, **settings), tmp_path / "noisy")
    assert summary["noise_variance"] == pytest.approx(clean.var() / 2, rel=1e-4)


def test_same_configuration_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        simulate(TOY, tmp_path / name)
    simulate(changed(seed=1), tmp_path / "c")
    a, b, c = (files(tmp_path / name) for name in "abc")
    assert a == b
    assert a["particles.star"] != c["particles.star"]
    assert a["particles.mrcs"] != c["particles.mrcs"]


# State, parameter, rotation (0, 0), shift in y and defocus U of frame 7.
DRAWN = {
    "toy": (7, 63.853013429133014, 0.20451158937173908, 1.8000242870773364, 19258.225836473634),
    "7bcq": (7, 63.853013429133014, 0.20451158937173908, 1.9800267157850702, 19258.225836473634),
    "adk": (7, 0.7094779269903669, 0.20451158937173908, 1.8000242870773364, 19258.225836473634),
    "cas9": (7, 0.38888888888888884, 0.20451158937173908, 3.600048574154673, 19258.225836473634),
    "cas9-md": (7, 0.4126984126984127, 0.20451158937173908, 3.600048574154673, 19258.225836473634),
}


@pytest.mark.parametrize("preset", DRAWN)
def test_a_preset_draws_the_same_frames_in_every_version(preset: str) -> None:
    """Published results name a preset and a seed."""
    frames = draw_frames(load_simulation_config(preset))
    found = (
        int(frames.states[7]),
        float(frames.parameters[7, 0]),
        float(frames.poses.rotations[7, 0, 0]),
        float(frames.poses.shifts_angstrom[7, 1]),
        float(frames.ctf.defocus_u_angstrom[7]),
    )
    assert found == pytest.approx(DRAWN[preset], rel=1e-12)


def test_the_toy_has_the_same_images_in_every_version(tmp_path: Path) -> None:
    summary = simulate(TOY, tmp_path / "toy")
    image = np.asarray(read_dataset(tmp_path / "toy").images)[5]
    assert summary["signal_variance"] == pytest.approx(0.01535370768571004, rel=1e-5)
    assert image[16, 16:19] == pytest.approx([0.17498514, 0.32925257, 0.1242916], abs=1e-5)
    assert image.std() == pytest.approx(0.25887108, rel=1e-5)


def test_what_is_drawn_for_one_purpose_says_nothing_of_another() -> None:
    frames = draw_frames(changed(movies=1000, frames_per_movie=1))
    draws = torch.stack([frames.parameters[:, 0], frames.ctf.defocus_u_angstrom])
    assert draws.corrcoef()[0, 1].abs() < 5 / math.sqrt(1000)


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"snr": 3.0}, set()),
        ({"shift_sd_angstrom": 1.0}, {"shifts_angstrom"}),
        ({"ctf": {"defocus_angstrom": (5000, 9000)}}, {"defocus_u_angstrom", "defocus_v_angstrom"}),
        (
            {"ctf": {"astigmatism_angstrom": 500.0}},
            {"defocus_u_angstrom", "defocus_v_angstrom", "astigmatism_radians"},
        ),
        ({"motion": {**TOY.motion.model_dump(), "start_degrees": (0, 5)}}, {"parameters"}),
    ],
)
def test_a_setting_changes_only_what_it_is_about(change: dict, differs: set[str]) -> None:
    def drawn(config: SimulationConfig) -> dict[str, torch.Tensor]:
        frames = draw_frames(config)
        poses = {name: getattr(frames.poses, name) for name in ("rotations", "shifts_angstrom")}
        return {"parameters": frames.parameters, **poses, **frames.ctf.columns()}

    before, after = drawn(TOY), drawn(changed(**change))
    assert {name for name in before if not before[name].equal(after[name])} == differs


def test_names_of_movies_do_not_depend_on_how_many_there_are() -> None:
    few, many = (draw_frames(changed(movies=n, frames_per_movie=1)) for n in (3, 10_001))
    assert few.particle_names == ["movie_0001", "movie_0002", "movie_0003"]
    assert many.particle_names[:3] == few.particle_names
    assert many.particle_names[-1] == "movie_10001"


@pytest.mark.parametrize("step", [0.7, 1.1, 1.2, 3.3, 9.0])
def test_every_frame_of_a_hinge_is_a_state_further(step: float) -> None:
    """Whatever the rounding of the angles, which are multiples of the step here."""
    motion = {**TOY.motion.model_dump(), "start_degrees": (0, 0), "step_degrees": step}
    states = draw_frames(changed(movies=1, frames_per_movie=40, motion=motion)).states
    assert states.tolist() == list(range(40))


def test_poses_are_uniform_on_so3_and_new_in_every_frame() -> None:
    rotations = draw_frames(changed(movies=2000, frames_per_movie=2)).poses.rotations
    n = len(rotations)
    # Uniform rotations have E R = 0 and E R_ij R_kl = δ_ik δ_jl / 3.
    assert rotations.mean(0).abs().max() < 5 / math.sqrt(3 * n)
    flat = rotations.flatten(1)
    second = flat.T @ flat / n
    assert (second - torch.eye(9, dtype=torch.float64) / 3).abs().max() < 5 * 0.3 / math.sqrt(n)
    # Frames of one movie are independent: the trace of the turn between has mean 0 and variance 1.
    between = (rotations[::2] * rotations[1::2]).sum((1, 2))
    assert between.mean().abs() < 5 / math.sqrt(n / 2)
    assert between.var() == pytest.approx(1, abs=0.15)
    assert torch.linalg.det(rotations).sub(1).abs().max() < 1e-12


def test_diffusion_turns_by_its_coefficient() -> None:
    """After a time t the trace of the turn has mean ``3 exp(−2 D t)``, D in radians²."""
    poses = {"kind": "diffusion", "diffusion_degrees2_per_second": 2000.0}
    config = changed(movies=2000, frames_per_movie=4, frame_interval_seconds=0.1, poses=poses)
    rotations = draw_frames(config).poses.rotations.view(2000, 4, 3, 3)
    assert rotations[:, 0].mean(0).abs().max() < 5 / math.sqrt(3 * 2000)
    d = 2000 * math.radians(1) ** 2
    for lag in (1, 2, 3):
        trace = (rotations[:, lag:] * rotations[:, :-lag]).sum((-1, -2))
        assert trace.mean() == pytest.approx(3 * math.exp(-2 * d * 0.1 * lag), abs=0.03)


def test_written_poses_are_off_by_what_is_asked_and_the_truth_is_not(tmp_path: Path) -> None:
    errors = {"error_degrees": 10.0, "shift_error_angstrom": 1.5}
    config = changed(movies=50, box=8, pixel_size_angstrom=20.0, poses=errors)
    simulate(config, tmp_path / "off")
    data, truth = read_dataset(tmp_path / "off"), read_truth(tmp_path / "off")
    angle = geodesic_degrees(data.poses.rotations, truth.poses.rotations)
    assert angle.square().mean().sqrt() == pytest.approx(10, rel=0.1)
    moved = data.poses.shifts_angstrom - truth.poses.shifts_angstrom
    assert moved.std() == pytest.approx(1.5, rel=0.1)
    plain = draw_frames(config)
    assert truth.poses.shifts_angstrom.equal(plain.poses.shifts_angstrom)

    simulate(changed(movies=2, poses={"written": False}), tmp_path / "none")
    assert not read_dataset(tmp_path / "none").has_poses
    assert read_truth(tmp_path / "none").poses.shifts_angstrom.any()


def test_hinge_turns_by_nine_degrees_a_frame_from_a_uniform_start() -> None:
    config = load_simulation_config("7bcq", ["movies=2000"])
    frames = draw_frames(config)
    angles = frames.parameters.reshape(2000, 10)
    assert angles.diff(dim=1).sub(9).abs().max() < 1e-12
    start = angles[:, 0]
    assert start.min() >= 0
    assert start.max() < 9
    assert start.mean() == pytest.approx(4.5, abs=0.25)
    assert start.var() == pytest.approx(81 / 12, rel=0.1)
    assert (frames.states.reshape(2000, 10) == np.arange(10)).all()
    assert frames.frame_numbers[:11].tolist() == [*range(1, 11), 1]
    assert frames.times_seconds[:11] == pytest.approx([*np.arange(10) * 0.1, 0])


def test_ctf_is_one_for_each_movie_within_the_range() -> None:
    ctf = draw_frames(changed(movies=500, ctf={"astigmatism_angstrom": 400.0})).ctf
    mean = (ctf.defocus_u_angstrom + ctf.defocus_v_angstrom) / 2
    assert (mean.reshape(500, 4) == mean[::4, None]).all()
    assert mean.min() >= 8000
    assert mean.max() <= 20000
    assert mean.mean() == pytest.approx(14000, abs=5 * 12000 / math.sqrt(12 * 500))
    assert (ctf.defocus_u_angstrom - ctf.defocus_v_angstrom).sub(400).abs().max() < 1e-9
    assert ctf.astigmatism_radians.unique().numel() == 500


def test_shifts_have_the_standard_deviation_asked_for() -> None:
    shifts = draw_frames(changed(movies=1000, shift_sd_angstrom=3.0)).poses.shifts_angstrom
    assert shifts.std() == pytest.approx(3.0, rel=0.05)
    assert shifts.mean().abs() < 0.2


def test_static_molecule_has_one_state() -> None:
    still = draw_frames(
        changed(motion={**TOY.motion.model_dump(), "step_degrees": 0, "start_degrees": (0, 0)})
    )
    assert set(still.states) == {0}
    assert not still.parameters.any()


def test_preset_7bcq_moves_a_visible_segment_inside_the_box() -> None:
    config = load_simulation_config("7bcq")
    motion = load_motion(config, SHARED / "structures")
    molecule = motion.molecule
    assert molecule.positions_angstrom.mean(0).abs().max() < 1e-9
    moving = motion.moving.numpy()
    assert set(molecule.chains[moving]) == {"A"}
    assert set(molecule.residue_numbers[moving]) == set(range(47, 111))
    assert moving.mean() == pytest.approx(974 / 20_091)

    angles = torch.arange(0, 91, 9, dtype=torch.float64)[:, None]
    swing = conformations(motion, angles)
    displacement = (swing[-1] - swing[0])[motion.moving].norm(dim=-1)
    assert displacement.max() == pytest.approx(71.6, abs=0.1)
    assert displacement.square().mean().sqrt() == pytest.approx(42.1, abs=0.1)
    assert swing.norm(dim=-1).max() == pytest.approx(57.2, abs=0.1)
    assert swing.norm(dim=-1).max() < config.box * config.pixel_size_angstrom / 2 - 10
    # A rigid turn inside a tight protein clashes; the preset says how much.
    heavy = molecule.atomic_numbers > 1
    arm, rest = motion.moving & heavy, ~motion.moving & heavy
    near = torch.cdist(swing[:, arm], swing[:, rest]).amin(-1) < 2
    assert near.double().mean(-1).max() < 0.3
    # Whatever is bonded at 0° is as long at 90°.
    near_hinge = abs(molecule.residue_numbers - 110) < 3
    at_hinge = torch.from_numpy((molecule.chains == "A") & near_hinge)
    before, after = torch.pdist(swing[0, at_hinge]), torch.pdist(swing[-1, at_hinge])
    bonded = before < 1.7
    assert bonded.sum() > 30
    assert (after - before)[bonded].abs().max() < 1e-9


def test_preset_adk_opens_inside_the_box() -> None:
    config = load_simulation_config("adk", ["movies=200"])
    motion = load_motion(config, SHARED / "structures")
    molecule = motion.molecule
    assert len(molecule) == 1656
    assert motion.moving.all()
    assert molecule.positions_angstrom.mean(0).abs().max() < 1e-6
    assert set(molecule.atomic_numbers.tolist()) == {6, 7, 8, 16}

    frames = draw_frames(config)
    progress = frames.parameters.reshape(200, 10)
    assert progress.diff(dim=1).sub(0.1).abs().max() < 1e-12
    assert 0 <= progress[:, 0].min() < 0.01
    assert 0.99 < progress[:, -1].max() <= 1
    assert (frames.states.reshape(200, 10) == np.arange(10)).all()

    path = conformations(motion, torch.linspace(0, 1, 200, dtype=torch.float64)[:, None])
    radius = path.norm(dim=-1).max()
    assert radius == pytest.approx(35.7, abs=0.1)
    # Six pixels of margin, for shifts and the width of atoms.
    assert radius < (config.box / 2 - 6) * config.pixel_size_angstrom
    displacement = (path[-1] - path[0]).norm(dim=-1)
    assert displacement.max() == pytest.approx(19.1, abs=0.1)
    assert displacement.square().mean().sqrt() == pytest.approx(6.9, abs=0.1)
    assert (displacement > 5).double().mean() == pytest.approx(0.37, abs=0.01)
    assert (displacement > 10).double().mean() == pytest.approx(0.17, abs=0.01)
    # Every frame of a movie is farther from its first than the one before.
    movie = conformations(motion, frames.parameters[:10])
    rmsd = (movie - movie[0]).square().sum(-1).mean(-1).sqrt()
    assert (rmsd.diff() > 0.02).all()
    between = movie.diff(dim=0).square().sum(-1).mean(-1).sqrt()
    assert between.min() > 0.85
    assert between.max() < 1.55


@pytest.mark.integration
def test_trajectory_dataset_repeats_and_its_truth_needs_no_trajectory(tmp_path: Path) -> None:
    config = load_simulation_config("adk", ["movies=2", "frames_per_movie=3", "motion.states=20"])
    for name in ("a", "b"):
        simulate(config, tmp_path / name, structures_dir=SHARED / "structures")
    assert files(tmp_path / "a") == files(tmp_path / "b")
    truth, frames = read_truth(tmp_path / "a"), draw_frames(config)
    assert truth.config == config
    assert truth.parameter_names == ("progress",)
    assert truth.parameters.equal(frames.parameters)
    assert (truth.states == np.floor(frames.parameters[:, 0].numpy() * 20)).all()
    in_memory = dataclasses.replace(truth, motion=load_motion(config, SHARED / "structures"))
    volumes = truth.volumes([0, 2, 5])
    assert volumes.equal(in_memory.volumes([0, 2, 5]))
    assert 0.05 < (volumes[0] - volumes[1]).norm() / volumes[0].norm() < 1


KINASE = ["structure=adk/adk_closed.pdb", "motion.end=adk/adk_open.pdb", "movies=2"]


@pytest.mark.integration
def test_morph_is_simulated_from_end_to_end_and_its_truth_needs_no_structure(
    tmp_path: Path,
) -> None:
    config = load_simulation_config("cas9", [*KINASE, "frames_per_movie=4", "box=32"])
    calls: list[tuple[int, int]] = []
    for name in ("a", "b"):
        summary = simulate(
            config,
            tmp_path / name,
            structures_dir=SHARED / "structures",
            progress=lambda done, total: calls.append((done, total)),
        )
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert calls[-1] == (8, 8)
    assert calls[0][1] < 8  # conformations first
    assert (summary["atoms"], summary["residues_missing"]) == (1656, 0)
    assert summary["rms_displacement_angstrom"] == pytest.approx(7.0, abs=0.2)

    truth = read_truth(tmp_path / "a")
    assert truth.config == config
    assert truth.states.tolist() == [0, 1, 2, 3] * 2
    assert truth.parameters[:4, 0].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert truth.parameter_names == ("progress",)
    ends = conformations(truth.motion, truth.parameters[[0, 3]])
    for state, atoms in zip(("closed", "open"), ends, strict=True):
        source = MoleculeSource(
            f"adk/adk_{state}.pdb", hydrogens=False, folder=SHARED / "structures"
        )
        there = source.molecule().positions_angstrom
        # The same shape, but for the 32 bits in which it is kept.
        assert (torch.pdist(atoms) - torch.pdist(there)).abs().max() < 1e-4


@pytest.mark.integration
def test_residues_that_one_end_lacks_are_counted(tmp_path: Path) -> None:
    lines = (SHARED / "structures/adk/adk_closed.pdb").read_text().splitlines()
    cut = [line for line in lines if not (line.startswith("ATOM") and 60 <= int(line[22:26]) < 70)]
    (tmp_path / "cut.pdb").write_text("\n".join(cut))
    config = load_simulation_config(
        "cas9", [*KINASE, f"structure={tmp_path / 'cut.pdb'}", "frames_per_movie=2", "box=32"]
    )
    summary = simulate(config, tmp_path / "out", structures_dir=SHARED / "structures")
    assert summary["residues_missing"] == 10
    assert summary["atoms"] < 1656


def test_frame_on_the_border_of_states_and_the_last_frame_of_the_path() -> None:
    config = load_simulation_config("adk", ["motion.start=[0, 0]", "motion.states=30"])
    assert draw_frames(config).states[:10].tolist() == list(range(0, 30, 3))
    config = load_simulation_config(
        "adk", ["motion.start=[0, 0]", "frames_per_movie=11", "motion.states=10"]
    )
    assert draw_frames(config).states[:11].tolist() == [*range(10), 9]


def test_progress_counts_all_frames(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    simulate(TOY, tmp_path / "out", progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (24, 24)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})


def test_summary_is_of_plain_numbers(simulated: tuple[Dataset, Truth, dict]) -> None:
    summary = simulated[2]
    assert {type(value) for value in summary.values()} <= {int, float}
    assert (summary["frames"], summary["box"], summary["atoms"]) == (24, 32, 3067)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"structure": "mymodel"}, "no structure 'mymodel'"),
        ({"box": 24}, "reaches 59 Å from the centre.*set box to 30 or more"),
        ({"motion": {**TOY.motion.model_dump(), "moving": ["Q/1-9"]}}, "matches 'Q/1-9'"),
    ],
)
def test_bad_input_leaves_nothing_behind(tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(TemporemError, match=message):
        simulate(changed(**settings), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_existing_output_is_kept(tmp_path: Path) -> None:
    simulate(TOY, tmp_path / "out")
    before = files(tmp_path / "out")
    with pytest.raises(TemporemError, match="exists"):
        simulate(changed(seed=1), tmp_path / "out")
    assert files(tmp_path / "out") == before
    simulate(changed(seed=1), tmp_path / "out", overwrite=True)
    assert files(tmp_path / "out") != before
