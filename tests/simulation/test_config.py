"""Presets and configuration files, and what is said about bad ones."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from temporem.errors import TemporemError
from temporem.simulation.config import SimulationConfig
from temporem.simulation.presets import load_simulation_config, preset_names
from temporem.structures.motions.path import progress_step


def test_presets_are_the_experiments_described() -> None:
    assert {"7bcq", "adk", "cas9", "cas9-crystal", "toy"} <= set(preset_names())
    paper = load_simulation_config("7bcq")
    assert (paper.movies, paper.frames_per_movie, paper.box) == (100, 10, 64)
    assert (paper.snr, paper.motion.step_degrees, paper.motion.start_degrees) == (0.1, 9, (0, 9))
    kinase = load_simulation_config("adk")
    assert (kinase.movies, kinase.frames_per_movie, kinase.box) == (100, 10, 48)
    assert (kinase.motion.kind, kinase.motion.step, kinase.motion.start) == (
        "trajectory",
        0.1,
        (0, 0.1),
    )


def test_presets_of_cas9_are_19_states_from_free_to_bound() -> None:
    for name in ("cas9", "cas9-crystal"):
        cas9 = load_simulation_config(name)
        assert (cas9.movies, cas9.frames_per_movie, cas9.box, cas9.snr) == (100, 19, 64, 0.3)
        assert (cas9.motion.kind, cas9.pixel_size_angstrom) == ("morph", 4)
        assert progress_step(cas9.motion, 19) == pytest.approx(1 / 18)


def test_a_movie_goes_to_the_end_of_a_path_unless_a_step_is_set() -> None:
    whole = load_simulation_config("cas9", ["motion.start=[0, 0.1]", "frames_per_movie=10"])
    assert progress_step(whole.motion, 10) == pytest.approx(0.1)
    slow = load_simulation_config("cas9", ["motion.step=0.02"])
    assert progress_step(slow.motion, 19) == 0.02
    assert load_simulation_config("cas9", ["frames_per_movie=1"]).motion.step is None


def test_preset_of_a_trajectory_asks_for_its_files() -> None:
    with pytest.raises(TemporemError, match=r"structure is missing.* --set structure="):
        load_simulation_config("trajectory")
    with pytest.raises(TemporemError, match=r"motion.coordinates is missing"):
        load_simulation_config("trajectory", ["structure=a.psf"])
    files = ["structure=a.psf", "motion.coordinates=a.dcd"]
    own = load_simulation_config("trajectory", files)
    assert progress_step(own.motion, own.frames_per_movie) == pytest.approx(1 / 18)


def test_file_with_overrides(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    settings = load_simulation_config("toy").model_dump(mode="json")
    path.write_text(yaml.safe_dump(settings))
    assert load_simulation_config(path) == load_simulation_config("toy")
    changed = load_simulation_config(
        path, ["snr=2", "ctf.cs_mm=1.5", "motion.start_degrees=[0, 3]"]
    )
    assert (changed.snr, changed.ctf.cs_mm, changed.motion.start_degrees) == (2, 1.5, (0, 3))
    assert changed.ctf.voltage_kv == 300


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("srn=1", "toy: unknown key srn; did you mean snr?"),
        ("motion.stpe_degrees=1", "did you mean motion.step_degrees?"),
        ("cs_mm=2", "did you mean ctf.cs_mm?"),
        ("step_degrees=1", "did you mean motion.step_degrees?"),
        ("motion.step=1", "toy: unknown key motion.step; did you mean motion.step_degrees?"),
        ("snr=0", r"toy: snr: .* greater than or equal to 0.000000001 \(got 0\)"),
        ("snr=.nan", "snr: .* finite"),
        ("box=31", r"box: must be even \(got 31\)"),
        ("movies=0", "movies: "),
        ("pixel_size_angstrom=-1", "pixel_size_angstrom: "),
        ("ctf.defocus_angstrom=[3, 2]", r"must be \[lowest, highest\]"),
        ("ctf.amplitude_contrast=1.5", "ctf.amplitude_contrast: "),
        ("movies=100000000000", "movies: 100000000000 of 10 frames; at most 10000000 frames"),
        ("frames_per_movie=1000000000000", "at most 10000000 frames"),
        ("pixel_size_angstrom=1.0e+300", "pixel_size_angstrom: .* 10000 "),
        ("snr=1.0e-320", "snr: "),
        ("b_factor_angstrom2=1.0e+300", "b_factor_angstrom2: "),
        ("frame_interval_seconds=1.0e+308", "frame_interval_seconds: "),
        ("poses.error_degrees=1.0e+300", "poses.error_degrees: "),
        ("ctf.voltage_kv=1.0e+300", "ctf.voltage_kv: "),
        ("ctf.cs_mm=1.0e+300", "ctf.cs_mm: "),
        ("ctf.defocus_angstrom=[0, 1.0e+300]", "within -10000000 to 10000000 Å"),
        ("ctf.astigmatism_angstrom=1.0e+300", "within -10000000 to 10000000 Å"),
        ("motion.step_degrees=1.0e+300", "motion.step_degrees: "),
        ("motion.start_degrees=[0, 1.0e+300]", "motion.start_degrees"),
        ("chains=[Z]", "chains: the toy is simulated whole"),
        ("motion.kind=teleport", "motion.kind: "),
        ("motion.moving=[]", "motion.moving: "),
        ("snr", "not understood"),
        ("snr.x=1", "snr is a value, not a section"),
        ("snr=[", "not valid YAML"),
    ],
)
def test_bad_value_is_one_clear_line(override: str, message: str) -> None:
    with pytest.raises(TemporemError, match=message) as error:
        load_simulation_config("toy", [override])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("motion.stpe=1", r"adk: unknown key motion.stpe; did you mean motion.step\?"),
        ("motion.angle=1", "known keys: kind, coordinates, start, step, states"),
        ("motion.kind=teleport", "adk: motion.kind: .*'hinge', 'morph', 'pulled' or 'trajectory'"),
        ("motion=3", r"adk: motion: must be a section of settings \(got 3\)"),
        ("motion.start=[0, 2]", r"motion.start: must be within \[0, 1\]"),
        ("motion.states=0", "motion.states: "),
        ("motion.step=0.2", "would be at progress 1.9, and the trajectory ends at 1"),
        ("frames_per_movie=11", "would be at progress 1.1"),
        ("structure=toy", "structure: a trajectory needs a topology file, not 'toy'"),
    ],
)
def test_bad_trajectory_is_one_clear_line(override: str, message: str) -> None:
    with pytest.raises(TemporemError, match=message) as error:
        load_simulation_config("adk", [override])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("motion.ende=x", r"cas9: unknown key motion.ende; did you mean motion.end\?"),
        ("motion.angle=1", "known keys: kind, end, end_chains, start, step, states"),
        ("motion.step=0.1", "would be at progress 1.8, and the morph ends at 1"),
        ("structure=toy", "structure: a morph needs a structure file, not 'toy'"),
    ],
)
def test_bad_morph_is_one_clear_line(override: str, message: str) -> None:
    with pytest.raises(TemporemError, match=message) as error:
        load_simulation_config("cas9", [override])
    assert "\n" not in str(error.value)


def test_motion_without_kind_is_a_hinge_and_every_kind_survives_a_file() -> None:
    settings = load_simulation_config("toy").model_dump(mode="json")
    del settings["motion"]["kind"]
    assert SimulationConfig.model_validate(settings) == load_simulation_config("toy")
    for name in ("toy", "adk", "cas9"):
        config = load_simulation_config(name)
        assert SimulationConfig.model_validate(config.model_dump(mode="json")) == config
        assert type(config.motion).__name__.lower().startswith(config.motion.kind)


def test_bad_file(tmp_path: Path) -> None:
    with pytest.raises(TemporemError, match=r"one of 7bcq, .*toy"):
        load_simulation_config("tyo")
    path = tmp_path / "bad.yaml"
    path.write_text("a: [")
    with pytest.raises(TemporemError, match="not readable as YAML"):
        load_simulation_config(path)
    path.write_text("- a list")
    with pytest.raises(TemporemError, match="not a config"):
        load_simulation_config(path)
    path.write_text("structure: toy")
    with pytest.raises(TemporemError, match="motion is missing"):
        load_simulation_config(path)


def test_configuration_needs_no_torch() -> None:
    """The command line checks its input before it waits for torch."""
    code = (
        "import sys; from temporem.simulation.presets import load_simulation_config as load; "
        "load('toy'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_poses_are_a_kind_or_a_section() -> None:
    plain = load_simulation_config("toy")
    assert load_simulation_config("toy", ["poses=uniform"]) == plain
    diffusing = ["poses.kind=diffusion", "poses.diffusion_degrees2_per_second=500"]
    assert load_simulation_config("toy", diffusing).poses.diffusion_degrees2_per_second == 500
    for bad in (diffusing[:1], diffusing[1:]):
        with pytest.raises(TemporemError, match="goes with kind: diffusion"):
            load_simulation_config("toy", bad)
