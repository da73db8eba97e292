"""Settings that are changed by dotted keys."""

from __future__ import annotations

import pytest

from temporem.errors import TemporemError
from temporem.io.settings import apply_changes


@pytest.mark.parametrize(
    "value", [1e-5, 3, True, "yes", "a, b", "1e3", [1, 2.5e-7], {"a": None}, "🔥 x", "x" * 300, ""]
)
def test_settings_come_through_as_they_are(value):
    settings = {"section": {"key": 0, "other": 1}, "top": 2}
    changed = apply_changes(settings, {"section.key": value}, source="test")
    assert changed == {"section": {"key": value, "other": 1}, "top": 2}
    assert settings["section"]["key"] == 0
    with pytest.raises(TemporemError, match="test: top is a value, not a section"):
        apply_changes(settings, {"top.key": value}, source="test")
