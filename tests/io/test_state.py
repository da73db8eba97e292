"""What a stored state is made of, and the checks of reading it back."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from temporem.errors import TemporemError
from temporem.io.state import Parts


def parts(tensors: dict[str, torch.Tensor] | None = None, **document: Any) -> Parts:
    return Parts("linear", tensors or {}, document, "run/linear.safetensors")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4,), "noise is 3"),
        ((3, 1), "noise is 3"),
        ((), "noise is 3"),
    ],
)
def test_tensors_have_the_shape_that_is_asked_for(shape: tuple[int, ...], message: str) -> None:
    stored = parts({"noise": torch.ones(3, dtype=torch.float64), "scalar": torch.ones(())})
    for fitting in ((3,), (-1,)):
        assert stored.tensor("noise", *fitting) is stored.tensors["noise"]
    assert stored.tensor("scalar").dim() == 0
    with pytest.raises(TemporemError, match=message):
        stored.tensor("noise", *shape)
    with pytest.raises(TemporemError, match=r"noise is torch\.float64"):
        stored.tensor("noise", 3, dtype=torch.float32)
    with pytest.raises(TemporemError, match="scalar is a scalar"):
        stored.tensor("scalar", 1)
    with pytest.raises(TemporemError, match="volumes is missing"):
        stored.tensor("volumes", 3)


@pytest.mark.parametrize("value", [None, True, -1, 5, 1.0, "1", [1], 10**400])
def test_integers_are_whole_numbers_within_bounds(value: Any) -> None:
    assert parts(n=4).integer("n", least=1, most=4) == 4
    with pytest.raises(TemporemError, match="n is"):
        parts(n=value).integer("n", most=4)


@pytest.mark.parametrize("value", [None, True, -0.5, float("nan"), float("inf"), "1", 10**400])
def test_numbers_are_finite(value: Any) -> None:
    assert parts(x=-2).number("x") == -2
    with pytest.raises(TemporemError, match="x is"):
        parts(x=value).number("x", least=0)


@pytest.mark.parametrize("value", [None, 0, "true", [True]])
def test_flags_are_true_or_false(value: Any) -> None:
    assert parts(finished=False).flag("finished") is False
    with pytest.raises(TemporemError, match="finished is"):
        parts(finished=value).flag("finished")


@pytest.mark.parametrize("value", [None, 3, "warm", "x" * 10**6, ["static"]])
def test_words_are_among_the_choices(value: Any) -> None:
    assert parts(stage="static").text("stage", "static", "tempor") == "static"
    with pytest.raises(TemporemError, match="stage is") as caught:
        parts(stage=value).text("stage", "static", "tempor")
    assert len(str(caught.value)) < 300


def test_the_message_names_the_file_and_what_to_do() -> None:
    with pytest.raises(TemporemError) as caught:
        parts().require_kind("tempor")
    assert str(caught.value).startswith("run/linear.safetensors: not a readable checkpoint")
    assert "it holds linear, not tempor" in str(caught.value)
    assert "--overwrite" in str(caught.value)
    parts().require_kind("linear")
