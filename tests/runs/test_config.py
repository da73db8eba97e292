"""The settings of a run."""

import subprocess
import sys


def test_settings_load_without_what_takes_long_to_import() -> None:
    """A bad setting is refused before a second has gone into imports that only a run needs."""
    code = (
        "import sys; import temporem.runs.config\n"
        "print([m for m in ('roma', 'sklearn') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
