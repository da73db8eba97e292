"""Checkpoints: all that is needed, nothing that runs code, one clear line when unreadable."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from helpers.crash import crashes, power_cuts
from temporem.errors import TemporemError
from temporem.io import checkpoint
from temporem.io.checkpoint import (
    NotFiniteError,
    load_checkpoint,
    load_module,
    load_optimizer,
    module_tensors,
    optimizer_tensors,
    save_checkpoint,
)
from temporem.io.leftovers import adopt_leftovers
from temporem.io.state import Parts

NAME = "tempor.safetensors"


def make_model(width: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 1))


def make_optimizer(model: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(model.parameters(), 0.01)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 3, generator=generator)).square().mean().backward()
        optimizer.step()


@pytest.fixture
def trained() -> tuple[nn.Module, torch.optim.Optimizer]:
    """A model after three steps."""
    torch.manual_seed(0)
    model = make_model()
    optimizer = make_optimizer(model)
    train(model, optimizer, 3, seed=0)
    return model, optimizer


@pytest.fixture
def parts(trained: tuple[nn.Module, torch.optim.Optimizer]) -> Parts:
    """All of a training's state."""
    model, optimizer = trained
    tensors = module_tensors(model, "model.") | optimizer_tensors(optimizer, "adam.")
    tensors["noise"] = torch.Generator().manual_seed(4).get_state()
    tensors["empty"] = torch.zeros(0, 3)
    tensors["complex"] = torch.tensor([1 + 2j])
    return Parts("tempor", tensors, {"step": 3, "name": "ü", "list": [1.5, None]})


@pytest.fixture
def file(tmp_path: Path, parts: Parts) -> Path:
    save_checkpoint(tmp_path / NAME, parts)
    return tmp_path / NAME


def test_what_is_saved_comes_back(file: Path, parts: Parts) -> None:
    found = load_checkpoint(file)
    assert (found.kind, found.document, found.source) == (parts.kind, parts.document, str(file))
    assert found.tensors.keys() == parts.tensors.keys()
    for name, tensor in parts.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert found.tensors[name].equal(tensor), name


def test_files_of_the_same_state_are_the_same(file: Path, parts: Parts) -> None:
    before = file.read_bytes()
    for _ in range(4):
        save_checkpoint(file, parts)
        assert file.read_bytes() == before


@pytest.mark.parametrize("document", [[1], None])
def test_a_document_that_is_no_object_is_refused(file: Path, parts: Parts, document: Any) -> None:
    save_checkpoint(file, replace(parts, document=document))
    with pytest.raises(TemporemError, match="its document is not a JSON object"):
        load_checkpoint(file)


def test_training_goes_on_to_the_last_bit(
    file: Path, trained: tuple[nn.Module, torch.optim.Optimizer]
) -> None:
    model, optimizer = trained
    other = make_model()
    other_optimizer = make_optimizer(other)
    found = load_checkpoint(file)
    load_module(other, found, "model.")
    load_optimizer(other_optimizer, found, "adam.")
    for m, o in ((model, optimizer), (other, other_optimizer)):
        train(m, o, 3, seed=1)
    for name, value in model.state_dict().items():
        assert other.state_dict()[name].equal(value), name
    generator = torch.Generator()
    generator.set_state(found.tensor("noise", -1))
    again = torch.Generator().manual_seed(4)
    assert torch.randn(3, generator=generator).equal(torch.randn(3, generator=again))


def test_parameters_that_no_step_has_reached_have_no_moments(tmp_path: Path) -> None:
    model = make_model()
    fresh = Parts("tempor", optimizer_tensors(make_optimizer(model), "adam."))
    assert fresh.tensors == {}
    load_optimizer(make_optimizer(model), fresh, "adam.")


def test_tensors_in_any_order_in_memory_are_stored_in_the_order_of_their_entries(
    tmp_path: Path,
) -> None:
    turned = torch.arange(6.0).view(2, 3).T
    shared = torch.arange(4.0)
    save_checkpoint(tmp_path / NAME, Parts("x", {"a": turned, "b": shared[:2], "c": shared}))
    found = load_checkpoint(tmp_path / NAME).tensors
    assert found["a"].is_contiguous()
    assert found["a"].equal(turned)
    assert found["b"].equal(shared[:2])


def test_a_checkpoint_is_safetensors_and_no_pickle(file: Path) -> None:
    content = file.read_bytes()  # a length, then that many bytes of JSON
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert all({"dtype", "shape"} <= set(v) for k, v in header.items() if k != "__metadata__")
    with pytest.raises((pickle.UnpicklingError, ValueError, EOFError, KeyError, IndexError)):
        pickle.loads(content)


# --- whole or not there ---


def test_what_is_not_finite_is_not_written_and_the_file_before_stays(
    file: Path, parts: Parts
) -> None:
    before = file.read_bytes()
    for bad in (torch.tensor([1.0, torch.nan]), torch.tensor([1 + 1j * torch.inf])):
        with pytest.raises(NotFiniteError, match="moments has NaN or infinite entries"):
            save_checkpoint(file, replace(parts, tensors={**parts.tensors, "moments": bad}))
    with pytest.raises(ValueError, match="JSON"):
        save_checkpoint(file, replace(parts, document={"loss": torch.inf}))
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [NAME]


def test_a_crash_or_a_power_cut_leaves_the_old_or_the_new_checkpoint(
    tmp_path: Path, parts: Parts
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    save_checkpoint(run / NAME, parts)
    newer = replace(parts, document={"step": 4})

    def save() -> None:
        save_checkpoint(run / NAME, newer)

    kept = [load_checkpoint(image / NAME) for image in power_cuts(save, run, tmp_path / "images")]
    save_checkpoint(run / NAME, parts)
    kept += [load_checkpoint(run / NAME) for _ in crashes(save)]
    assert {found.document["step"] for found in kept} == {3, 4}
    save()
    adopt_leftovers(run)
    assert load_checkpoint(run / NAME).document["step"] == 4
    assert [path.name for path in run.iterdir()] == [NAME]


def test_nothing_is_written_through_a_link(tmp_path: Path, parts: Parts) -> None:
    (tmp_path / "thesis.tex").write_text("ten years")
    (tmp_path / NAME).symlink_to(tmp_path / "thesis.tex")
    with pytest.raises(TemporemError, match="is a link"):
        save_checkpoint(tmp_path / NAME, parts)
    assert (tmp_path / "thesis.tex").read_text() == "ten years"


# --- damage ---


def flipped(content: bytes) -> bytes:
    return content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[: len(content) // 2], id="cut"),
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: b"\xff" * 200, id="garbage"),
        pytest.param(lambda content: (2**62).to_bytes(8, "little") + content[8:], id="huge header"),
        pytest.param(flipped, id="one bit"),
    ],
)
def test_damage_is_one_clear_line(file: Path, damage: Callable[[bytes], bytes]) -> None:
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(TemporemError, match=rf"{NAME}: not a readable checkpoint") as caught:
        load_checkpoint(file)
    assert "\n" not in str(caught.value)


def test_no_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(TemporemError, match="not a readable checkpoint"):
        load_checkpoint(tmp_path / NAME)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (None, "its format is None"),
        ("{", "its format is None"),
        ("[1]", "its format is None"),
        ("[" * 100_000, "its format is None"),
        ({"format": "pt"}, "its format is pt, not temporem checkpoint 2"),
        ({"checksum": "0" * 32}, "its checksum is wrong"),
        ({"document": {"step": 4}}, "its checksum is wrong"),
    ],
)
def test_other_files_of_tensors_are_refused(
    file: Path, record: dict[str, Any] | str | None, message: str
) -> None:
    content = file.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    if isinstance(record, dict):
        record = json.dumps(json.loads(header["__metadata__"]["temporem"]) | record)
    save_file(load_file(file), file, None if record is None else {"temporem": record})
    with pytest.raises(TemporemError, match=message):
        load_checkpoint(file)


def test_numbers_that_are_not_finite_are_refused(file: Path, parts: Parts) -> None:
    """By whatever program they were written."""
    tensors = {**parts.tensors, "model.0.bias": torch.full((4,), torch.nan)}
    with pytest.MonkeyPatch.context() as patch:  # a program that does not look
        patch.setattr(Tensor, "isfinite", lambda tensor: torch.ones(1))
        save_checkpoint(file, replace(parts, tensors=tensors))
    with pytest.raises(TemporemError, match=r"model\.0\.bias has entries that are not finite"):
        load_checkpoint(file)


# --- models and optimisers ---


@pytest.mark.parametrize(
    ("other", "message"),
    [
        pytest.param(
            make_model(5), r"0\.bias is torch.float32 4\); expected torch.float32 5;", id="size"
        ),
        pytest.param(make_model()[:2], r"2\.bias is .* 1\); expected none;", id="layer-too-many"),
        pytest.param(
            nn.Sequential(*make_model(), nn.Linear(1, 1)),
            r"3\.bias is none\); expected torch.float32 1;",
            id="layer-missing",
        ),
        pytest.param(
            make_model().double(), r"0\.bias is .*32 4\); expected .*64 4;", id="precision"
        ),
    ],
)
def test_checkpoint_of_another_model_is_refused_untouched(
    parts: Parts, other: nn.Module, message: str
) -> None:
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(TemporemError, match=rf"checkpoint of another model \({message}"):
        load_module(other, parts, "model.")
    assert all(value.equal(before[name]) for name, value in other.state_dict().items())


Change = Callable[[dict[str, Tensor]], dict[str, Tensor]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m | {"adam.0.exp_avg": torch.zeros(1)}, r"adam\.0\.exp_avg does not fit"),
        (lambda m: m | {"adam.1.step": torch.zeros(4)}, r"adam\.1\.step does not fit"),
        (lambda m: m | {"adam.999.step": torch.zeros(())}, r"it holds adam\.999\.step"),
        (lambda m: m | {"adam.nonsense": torch.zeros(())}, r"it holds adam\.nonsense"),
        (lambda m: {k: v for k, v in m.items() if k != "adam.0.step"}, r"adam\.0\.step does not"),
    ],
)
def test_moments_of_other_parameters_are_refused(
    parts: Parts, change: Change, message: str
) -> None:
    """A fused step would write beyond the end of what it is given."""
    changed = replace(parts, tensors=change(dict(parts.tensors)))
    with pytest.raises(TemporemError, match=message):
        load_optimizer(make_optimizer(make_model()), changed, "adam.")


def test_a_folder_whose_name_is_not_utf_8_holds_checkpoints(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    folder.mkdir()
    save_checkpoint(folder / "state.safetensors", Parts("kind", {"x": torch.arange(3.0)}))
    assert load_checkpoint(folder / "state.safetensors").tensors["x"].tolist() == [0, 1, 2]


def test_a_full_disk_names_the_file_and_what_it_needs(tmp_path: Path, monkeypatch) -> None:
    def full(tensors, path, metadata) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(TemporemError, match=r"state\.safetensors.*expected 4 kB") as error:
        save_checkpoint(tmp_path / "state.safetensors", Parts("k", {"x": torch.zeros(1000)}))
    assert "free" in str(error.value)
