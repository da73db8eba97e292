"""Checkpoints: all that is needed, nothing that runs code, and one clear line when unreadable."""

import json
import math
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from temporem.errors import TemporemError
from temporem.io.checkpoint import (
    load_count,
    load_extra,
    load_number,
    load_optimizer,
    load_state,
    load_tensors,
    load_weights,
    save_checkpoint,
)


def make_model(width: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 1))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 3, generator=generator)).square().mean().backward()
        optimizer.step()


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, nn.Module, torch.optim.Optimizer]:
    """A checkpoint after three steps, and what it was made of."""
    torch.manual_seed(0)
    model = make_model()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    train(model, optimizer, 3, seed=0)
    extra = {"noise": torch.Generator().manual_seed(4).get_state(), "sums": torch.ones(3).double()}
    save_checkpoint(
        tmp_path / "checkpoint", model, {"step": 3, "name": "ü"}, optimizer=optimizer, extra=extra
    )
    return tmp_path / "checkpoint", model, optimizer


def test_training_goes_on_to_the_last_bit(saved) -> None:
    directory, model, optimizer = saved
    other = make_model()
    other_optimizer = torch.optim.Adam(other.parameters(), 0.01)
    load_weights(directory, other)
    load_optimizer(directory, other_optimizer)
    for m, o in ((model, optimizer), (other, other_optimizer)):
        train(m, o, 3, seed=1)
    for name, value in model.state_dict().items():
        assert other.state_dict()[name].equal(value), name
    assert load_state(directory) == {"step": 3, "name": "ü"}
    extra = load_extra(directory, {"noise": (-1,), "sums": (3,)}, ["sums"])
    assert extra["sums"].equal(torch.ones(3, dtype=torch.float64))
    generator = torch.Generator()
    generator.set_state(extra["noise"])
    again = torch.Generator().manual_seed(4)
    assert torch.randn(3, generator=generator).equal(torch.randn(3, generator=again))


def test_files_are_safetensors_and_json_and_no_pickle(saved) -> None:
    directory = saved[0]
    files = sorted(directory.iterdir())
    assert {f.suffix for f in files} == {".safetensors", ".json"}
    for file in files:
        content = file.read_bytes()
        if file.suffix == ".safetensors":  # a length, then that many bytes of JSON
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            assert all({"dtype", "shape"} <= set(v) for k, v in header.items() if k[0] != "_")
        else:
            json.loads(content)
        with pytest.raises((pickle.UnpicklingError, ValueError, EOFError, KeyError, IndexError)):
            pickle.loads(content)


def test_a_finished_run_keeps_weights_only(tmp_path: Path) -> None:
    model = make_model()
    save_checkpoint(tmp_path / "checkpoint", model, {"finished": True})
    assert not (tmp_path / "checkpoint" / "optimizer.safetensors").exists()
    assert load_extra(tmp_path / "checkpoint", {}, []) == {}
    load_weights(tmp_path / "checkpoint", make_model())


def test_saving_again_replaces_all_of_it_or_nothing(saved, monkeypatch) -> None:
    directory, model, _ = saved
    before = {f.name: f.read_bytes() for f in directory.iterdir()}

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("temporem.io.checkpoint.json.dumps", full_disk)
        with pytest.raises(TemporemError, match="No space"):
            save_checkpoint(directory, model, {"step": 4})
    assert {f.name: f.read_bytes() for f in directory.iterdir()} == before
    save_checkpoint(directory, model, {"step": 4})
    assert load_state(directory) == {"step": 4}
    assert not (directory / "optimizer.safetensors").exists()  # nothing of the old one stays
    assert [p.name for p in directory.parent.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        pytest.param(make_model(5), r"0\.bias is 4\); expected 5;", id="other-size"),
        pytest.param(make_model()[:2], r"2\.bias is 1\); expected none;", id="layer-too-many"),
        pytest.param(
            nn.Sequential(*make_model(), nn.Linear(1, 1)),
            r"3\.bias is none\); expected 1;",
            id="layer-missing",
        ),
    ],
)
def test_checkpoint_of_another_model_is_refused_untouched(saved, other, message) -> None:
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(TemporemError, match=rf"checkpoint of another model \({message}"):
        load_weights(saved[0], other)
    assert all(value.equal(before[name]) for name, value in other.state_dict().items())


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "missing"])
@pytest.mark.parametrize(
    "name", [f"{part}.safetensors" for part in ("model", "optimizer", "extra")]
)
def test_damaged_tensors_are_one_clear_line(saved, name, damage) -> None:
    directory, model, optimizer = saved
    path = directory / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(
            {"cut": content[: len(content) // 2], "garbage": b"\xff" * 200, "empty": b""}[damage]
        )
    with pytest.raises(TemporemError, match=rf"{name}: not a readable checkpoint") as caught:
        load_tensors(path)
    assert "\n" not in str(caught.value)
    if name == "model.safetensors":
        with pytest.raises(TemporemError):
            load_weights(directory, model)
    if name == "optimizer.safetensors":
        with pytest.raises(TemporemError):
            load_optimizer(directory, optimizer)


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "null", b"\xff\xfe"])
def test_damaged_state_is_one_clear_line(saved, content) -> None:
    path = saved[0] / "state.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TemporemError, match=r"state\.json: not .*(start another run|UTF-8)"):
        load_state(saved[0])


def test_no_checkpoint_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(TemporemError, match="no checkpoint here; was the run started"):
        load_state(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m | {"0.exp_avg": torch.zeros(1)}, "0.exp_avg does not fit"),
        (lambda m: m | {"1.step": torch.zeros(4)}, "1.step does not fit"),
        (lambda m: m | {"0.exp_avg_sq": m["0.exp_avg_sq"] * torch.nan}, "0.exp_avg_sq does not"),
        (lambda m: m | {"999.step": torch.zeros(())}, "it holds 999.step"),
        (lambda m: m | {"nonsense": torch.zeros(())}, "it holds nonsense"),
        (lambda m: {k: v for k, v in m.items() if k != "0.step"}, "0.step does not fit"),
    ],
)
def test_moments_of_other_parameters_are_refused(saved, change, message) -> None:
    """A fused step would write beyond the end of what it is given."""
    directory = saved[0]
    path = directory / "optimizer.safetensors"
    save_file(change(load_tensors(path)), path)
    optimizer = torch.optim.Adam(make_model().parameters(), 0.01)
    with pytest.raises(TemporemError, match=message):
        load_optimizer(directory, optimizer)


@pytest.mark.parametrize(
    ("shapes", "required", "message"),
    [
        ({"noise": (-1,)}, [], "sums is 3"),
        ({"noise": (-1,), "sums": (4,)}, [], "sums is 3"),
        ({"noise": (-1, -1), "sums": (3,)}, [], "noise is"),
        ({"noise": (-1,), "sums": (3,)}, ["other"], "other is missing"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(saved, shapes, required, message) -> None:
    with pytest.raises(TemporemError, match=message):
        load_extra(saved[0], shapes, required)


@pytest.mark.parametrize("value", [None, True, -1, 5, 1.0, "1", [1], 10**400])
def test_counts_are_whole_numbers_within_bounds(value, tmp_path) -> None:
    assert load_count({"n": 4}, "n", tmp_path, below=5) == 4
    with pytest.raises(TemporemError, match="n is"):
        load_count({"n": value}, "n", tmp_path, below=5)


@pytest.mark.parametrize("value", [None, True, -0.5, math.nan, math.inf, "1", 10**400])
def test_numbers_are_finite(value, tmp_path) -> None:
    assert load_number({"x": -2}, "x", tmp_path, least=-math.inf) == -2
    with pytest.raises(TemporemError, match="x is"):
        load_number({"x": value}, "x", tmp_path)


def test_nothing_is_written_through_a_link(tmp_path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "thesis.tex").touch()
    (tmp_path / "checkpoint").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TemporemError, match="is a link"):
        save_checkpoint(tmp_path / "checkpoint", make_model(), {})
    assert (tmp_path / "elsewhere" / "thesis.tex").exists()
