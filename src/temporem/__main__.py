"""``python -m temporem``."""

import sys

from temporem.cli.main import main

sys.exit(main())
