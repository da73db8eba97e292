"""3D structures that move, from liquid-phase electron microscopy movies of single molecules.

Use it as ``import temporem as tm``. Names are loaded on first use, so importing the package is
fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from temporem.version import __version__

if TYPE_CHECKING:
    from temporem.dvae.fit import NetworkFit, fit_clock, fit_static, fit_tempor
    from temporem.errors import TemporemError
    from temporem.evaluation.api import evaluate
    from temporem.evaluation.compare import compare
    from temporem.evaluation.evaluation import Evaluation
    from temporem.evaluation.metrics import register_metric
    from temporem.evaluation.values import main_scores
    from temporem.frames.dataset import Dataset
    from temporem.frames.homogeneous import HomogeneousFit, reconstruct_homogeneous
    from temporem.frames.readers import read_dataset, register_reader
    from temporem.importing.api import import_files
    from temporem.io.mrc import read_volume, write_volume
    from temporem.kinetics.of_run import measure_kinetics
    from temporem.linear.fit import fit_linear
    from temporem.linear.state import LinearFit
    from temporem.physics.ctf import CTFParameters
    from temporem.physics.forward import ForwardModel
    from temporem.physics.fourier import FourierSupport
    from temporem.physics.fsc import fourier_shell_correlation, resolution
    from temporem.physics.poses import Poses
    from temporem.planning.plan import Plan, plan
    from temporem.poses.find import find_poses
    from temporem.progress import Progress
    from temporem.report.scene import render
    from temporem.runs.apply import apply_run
    from temporem.runs.methods import register_method
    from temporem.runs.pipeline import reconstruct
    from temporem.runs.run import Run, load_run
    from temporem.simulation.in_memory import simulate_movies
    from temporem.simulation.simulate import simulate
    from temporem.simulation.truth import Truth, read_truth
    from temporem.structures.motions import register_motion
    from temporem.validation.latents import compare_latents
    from temporem.validation.null_tests import null_tests
    from temporem.volumes.cloud_motion import CloudMotion, find_motion
    from temporem.volumes.generators import register_generator
    from temporem.volumes.source import Reconstruction

_MODULES = {
    # data in
    "Dataset": "frames.dataset",
    "read_dataset": "frames.readers",
    "import_files": "importing.api",
    "Poses": "physics.poses",
    "CTFParameters": "physics.ctf",
    "simulate_movies": "simulation.in_memory",
    "simulate": "simulation.simulate",
    "Truth": "simulation.truth",
    "read_truth": "simulation.truth",
    # algorithms, in memory
    "find_poses": "poses.find",
    "reconstruct_homogeneous": "frames.homogeneous",
    "fit_linear": "linear.fit",
    "fit_clock": "dvae.fit",
    "fit_static": "dvae.fit",
    "fit_tempor": "dvae.fit",
    "Reconstruction": "volumes.source",
    "HomogeneousFit": "frames.homogeneous",
    "LinearFit": "linear.state",
    "NetworkFit": "dvae.fit",
    "Progress": "progress",
    # motion of clouds
    "find_motion": "volumes.cloud_motion",
    "CloudMotion": "volumes.cloud_motion",
    # planning
    "plan": "planning.plan",
    "Plan": "planning.plan",
    # kinetics
    "measure_kinetics": "kinetics.of_run",
    # runs on disk
    "reconstruct": "runs.pipeline",
    "Run": "runs.run",
    "load_run": "runs.run",
    "apply_run": "runs.apply",
    # measures
    "evaluate": "evaluation.api",
    "main_scores": "evaluation.values",
    "compare": "evaluation.compare",
    "Evaluation": "evaluation.evaluation",
    "null_tests": "validation.null_tests",
    "compare_latents": "validation.latents",
    # pictures
    "render": "report.scene",
    # building blocks
    "ForwardModel": "physics.forward",
    "FourierSupport": "physics.fourier",
    "fourier_shell_correlation": "physics.fsc",
    "resolution": "physics.fsc",
    "read_volume": "io.mrc",
    "write_volume": "io.mrc",
    # extensions
    "register_generator": "volumes.generators",
    "register_motion": "structures.motions",
    "register_reader": "frames.readers",
    "register_method": "runs.methods",
    "register_metric": "evaluation.metrics",
    "TemporemError": "errors",
}

__all__ = [
    "CTFParameters",
    "CloudMotion",
    "Dataset",
    "Evaluation",
    "ForwardModel",
    "FourierSupport",
    "HomogeneousFit",
    "LinearFit",
    "NetworkFit",
    "Plan",
    "Poses",
    "Progress",
    "Reconstruction",
    "Run",
    "TemporemError",
    "Truth",
    "__version__",
    "apply_run",
    "compare",
    "compare_latents",
    "evaluate",
    "find_motion",
    "find_poses",
    "fit_clock",
    "fit_linear",
    "fit_static",
    "fit_tempor",
    "fourier_shell_correlation",
    "import_files",
    "load_run",
    "main_scores",
    "measure_kinetics",
    "null_tests",
    "plan",
    "read_dataset",
    "read_truth",
    "read_volume",
    "reconstruct",
    "reconstruct_homogeneous",
    "register_generator",
    "register_method",
    "register_metric",
    "register_motion",
    "register_reader",
    "render",
    "resolution",
    "simulate",
    "simulate_movies",
    "write_volume",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'temporem' has no attribute '{name}'")
    value = getattr(import_module(f"temporem.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
