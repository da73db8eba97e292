"""A method from outside the package: registered in one line, it runs, resumes and exports."""

# ruff: noqa: E402

# [docs:begin]
import torch
from pydantic import BaseModel

import temporem as tm
from temporem.io.checkpoint import load_module, module_tensors
from temporem.io.state import Parts
from temporem.runs.methods.base import Outcome
from temporem.volumes.linear_volumes import LinearVolumes


class Settings(BaseModel):
    """Settings of the method, given as ``--set options.blur=2``."""

    blur: float = 1.0


class BlurredMean:
    """The mean volume, low-passed by a Gaussian."""

    name = "blurred-mean"
    summary = "one volume, low-passed"

    def uses_dynamics(self, config):
        return False

    def check(self, config, dataset, training):
        Settings(**config.options)

    def memory(self, config, model, longest, *, in_memory):
        return 0, ""

    def run(self, job):
        blur = Settings(**job.config.options).blur
        box = job.frames.forward_model.box
        support = tm.FourierSupport(box, 3)
        mean = support.fft(job.frames.statistics.mean_volume.volume)
        low_pass = torch.exp(-0.5 * (blur * support.radii / box * 2 * torch.pi) ** 2)
        generator = LinearVolumes(box, 0)
        generator.set_mean(support.ifft(mean * low_pass))
        model = Parts(self.name, module_tensors(generator, "generator."))
        return Outcome(model=model, volumes={"mean": generator.mean}, facts={"blur": blur})

    def load(self, model, config, grid, z_dim):
        generator = LinearVolumes(grid.box, 0)
        load_module(generator, model, "generator.")
        return generator


tm.register_method(BlurredMean())
# [docs:end]

import mrcfile
import numpy as np
import pytest

from helpers.commands import command, settings, succeed
from helpers.runs import volume_of_row
from temporem.runs.config import build_config
from temporem.runs.methods import METHODS


@pytest.fixture(autouse=True, scope="module")
def _unregistered():
    yield
    del METHODS["blurred-mean"]


class TwoVolumes(BlurredMean):
    """Latents with covariances, or with variances alone, and volumes that are linear in them."""

    name = "two-volumes"

    def run(self, job):
        generator = LinearVolumes(job.frames.forward_model.box, 2)
        generator.set_maps(torch.randn(3, *3 * [job.frames.forward_model.box]))
        mean, root = torch.randn(len(job.frames), 2), torch.randn(len(job.frames), 2, 2)
        covariance = root @ root.mT
        if job.config.options["variances"]:
            covariance = covariance.diagonal(dim1=-2, dim2=-1)
        model = Parts(self.name, module_tensors(generator, "generator."))
        return Outcome(model=model, mean=mean, covariance=covariance)

    def check(self, config, dataset, training):
        pass

    def load(self, model, config, grid, z_dim):
        generator = LinearVolumes(grid.box, z_dim)
        load_module(generator, model, "generator.")
        return generator


@pytest.fixture
def two_volumes(monkeypatch):
    method = TwoVolumes()
    monkeypatch.setitem(METHODS, method.name, method)
    return method


def test_a_name_belongs_to_one_method() -> None:
    with pytest.raises(tm.TemporemError, match="already a method named 'blurred-mean'"):
        tm.register_method(BlurredMean())


def test_a_method_from_outside_reconstructs_and_is_read_back(tiny_dataset, tmp_path):
    run = tmp_path / "run"
    arguments = ("-o", run, "--method", "blurred-mean", "--set", "options.blur=2")
    succeed("reconstruct", tiny_dataset, *arguments)
    loaded = tm.load_run(run)
    with mrcfile.open(run / "mean.mrc") as file:
        np.testing.assert_allclose(loaded.voxels(np.array([3]))[0], file.data, atol=1e-4)
    assert loaded.facts.model_extra["blur"] == 2
    succeed("reconstruct", tiny_dataset, "-o", run, "--resume")
    succeed("export", run, "-o", tmp_path / "volumes", "--frames", "0,1")
    sharp = tm.reconstruct_homogeneous(tm.read_dataset(tiny_dataset)).mean
    assert loaded.voxels(np.array([0]))[0].std() < 0.9 * float(sharp.std())


@pytest.mark.parametrize(
    ("started", "now", "said"),
    [
        ((), ("options.blur=2",), "blur = None, but the value is now 2"),
        (("options.blur=2",), ("options.blur=3",), "blur = 2, but the value is now 3"),
        (("options.blur=2",), ("options.edge=1",), "edge = None, but the value is now 1"),
    ],
    ids=["added", "changed", "another"],
)
def test_a_run_is_not_continued_with_other_options(started, now, said, tiny_dataset, tmp_path):
    run = tmp_path / "run"
    method = ("--method", "blurred-mean", *settings(started))
    succeed("reconstruct", tiny_dataset, "-o", run, *method)
    result = command("reconstruct", tiny_dataset, "-o", run, "--resume", *settings(now))
    assert result.code == 2
    assert f"{run} was started with options.{said}; expected the same settings" in result.err


def test_a_run_is_not_continued_without_its_options(tiny_dataset, tmp_path):
    chosen = {"dataset": str(tiny_dataset), "method": "blurred-mean"}
    plain = build_config(chosen, source="test")
    blurred = build_config({**chosen, "options": {"blur": 2}}, source="test")
    run = tm.reconstruct(blurred, tmp_path / "run")
    with pytest.raises(tm.TemporemError, match=r"options\.blur = 2, but the value is now None"):
        tm.reconstruct(plain, run, resume=True)


@pytest.mark.parametrize("variances", [False, True])
def test_covariances_of_a_method_from_outside_come_back(
    variances, two_volumes, tiny_dataset, tmp_path
):
    run = tmp_path / "run"
    method = ("--method", two_volumes.name, *settings((f"options.variances={variances}",)))
    succeed("reconstruct", tiny_dataset, "-o", run, *method)
    found = tm.load_run(run).latent_covariance
    export = ("export", run, "-o", tmp_path / "v", "--frames", "3", "--deviation")
    assert found.shape == (20, 2, 2)
    assert (found[:, 0, 1] == 0).all() == variances  # variances alone are those of a diagonal
    succeed(*export)
    with mrcfile.open(volume_of_row(tmp_path / "v", 3, "_sd")) as file:
        assert file.data.min() > 0


def test_covariances_do_not_give_the_deviation_of_volumes_that_are_not_linear(
    two_volumes, tiny_dataset, tmp_path, monkeypatch
):
    class Squared:
        def __init__(self, volumes):
            self.volumes_of = volumes.volumes

        def volumes(self, support, z):
            return self.volumes_of(support, z.square())

    load = two_volumes.load
    monkeypatch.setattr(two_volumes, "load", lambda *given: Squared(load(*given)), raising=True)
    chosen = {"dataset": str(tiny_dataset), "method": two_volumes.name}
    config = build_config({**chosen, "options": {"variances": False}}, source="test")
    run = tm.load_run(tm.reconstruct(config, tmp_path / "run"))
    with pytest.raises(tm.TemporemError, match="two-volumes, whose volumes are not linear in"):
        run.voxel_deviations(np.array([3]))
