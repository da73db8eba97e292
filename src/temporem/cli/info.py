"""``temporem info``."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from temporem.cli.console import print_facts, print_json
from temporem.cli.options import Json
from temporem.version import __version__

_PACKAGES = ("torch", "numpy", "scipy", "gemmi", "mrcfile", "scikit-image", "scikit-learn")


def info(*, json: Json = False) -> None:
    """Print versions, devices and threads, to attach to a bug report.

    Example:  temporem info
    """
    import torch

    from temporem.device import choose_device, network_dtype

    multiplied = network_dtype("auto", choose_device("auto")) or torch.float32
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    facts = {
        "temporem": __version__,
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "system": platform.platform(),
        "processors": str(os.cpu_count()),
        "torch threads": str(torch.get_num_threads()),
        "GPUs": ", ".join(devices) or "none",
        "networks multiply in": str(multiplied).removeprefix("torch."),
        "structures": os.environ.get("TEMPOREM_STRUCTURES", "TEMPOREM_STRUCTURES is not set"),
    }
    if json:
        print_json(facts)
    else:
        print_facts(facts)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
