"""Where the real files that tests read are; they are not part of the repository."""

import os
from pathlib import Path

SHARED = Path(os.environ.get("TEMPOREM_SHARED", Path(__file__).parents[3] / "shared"))
