"""Sums into scattered rows, against the sum that defines them."""

from __future__ import annotations

import pytest
import torch

from temporem.physics import row_sums
from temporem.physics.row_sums import add_to_rows


@pytest.fixture(params=["SciPy's product", "torch alone"])
def way(request, monkeypatch) -> None:
    if request.param == "torch alone":
        monkeypatch.setattr(row_sums, "csc_matvecs", None)
    else:
        assert row_sums.csc_matvecs is not None, "this SciPy has no such product: see row_sums.py"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("index_dtype", [torch.int32, torch.int64])
def test_adds_every_weighted_value_to_its_row(way, dtype, index_dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(7, (50, 8), generator=generator, dtype=index_dtype)  # many to a row
    weight = torch.rand(50, 8, generator=generator).to(dtype)
    values = torch.randn(3, 50, generator=generator).to(dtype).T  # not contiguous
    rows = torch.ones(9, 3, dtype=dtype)
    expected = rows.clone()
    for i in range(50):
        for j in range(8):
            expected[index[i, j]] += weight[i, j] * values[i]
    add_to_rows(rows, index, weight, values)
    torch.testing.assert_close(rows, expected)
    assert rows[7:].eq(1).all()


def test_nothing_to_add(way) -> None:
    rows = torch.ones(4, 2)
    add_to_rows(rows, torch.zeros(0, 8, dtype=torch.long), torch.zeros(0, 8), torch.zeros(0, 2))
    assert rows.eq(1).all()


@pytest.mark.parametrize("row", [-1, 4])
def test_row_that_is_not_there_is_refused(way, row) -> None:
    rows, index = torch.zeros(4, 2), torch.tensor([[0, row]])
    with pytest.raises((IndexError, RuntimeError)):
        add_to_rows(rows, index, torch.ones(1, 2), torch.ones(1, 2))
    if row_sums.csc_matvecs is not None:
        assert rows.eq(0).all()


def test_rows_that_are_a_copy_of_others_are_refused() -> None:
    rows = torch.zeros(2, 4).T
    with pytest.raises(RuntimeError, match="view"):
        add_to_rows(rows, torch.tensor([[0]]), torch.ones(1, 1), torch.ones(1, 2))
