"""The notebook of the documentation runs from top to bottom, in memory, and finds the motion."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

NOTEBOOK = Path(__file__).parent.parent / "docs" / "notebooks" / "first-look.ipynb"


@pytest.mark.integration
def test_the_first_look_runs_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {}
    with mpl.rc_context({"backend": "Agg"}):
        for cell in cells:
            if cell["cell_type"] == "code":
                exec("".join(cell["source"]), names)
    z = names["fit"].latents.mean[:, :2].numpy()  # type: ignore[attr-defined]
    turn = np.unwrap(np.arctan2(*z[names["movie"]].T))  # type: ignore[index]
    assert np.ptp(turn) > 2  # radians: the latents go round as the arm swings
    assert list(tmp_path.iterdir()) == []
