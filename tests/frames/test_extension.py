"""A reader from outside the package: two functions, and a line to register it."""
# ruff: noqa: E402

# [docs:begin]
from pathlib import Path

import numpy as np
import torch

from temporem.frames.dataset import Dataset
from temporem.frames.readers import Reader, read_dataset, register_reader
from temporem.physics.ctf import CTFParameters
from temporem.physics.poses import Poses
from temporem.physics.rotations import euler_to_rotation


def is_npz(path: Path) -> bool:
    """Tell by the name; a format that shares its ending with others looks at the first bytes."""
    return path.suffix == ".npz" and path.is_file()


def read_npz(path: Path) -> Dataset:
    """Read movies of equal length from one file, images after images."""
    with np.load(path, allow_pickle=False) as arrays:
        movies, frames = arrays["images"].shape[:2]
        images = arrays["images"].reshape(-1, *arrays["images"].shape[2:])
        angles = torch.from_numpy(arrays["euler_degrees"].reshape(-1, 3))
        defocus = torch.from_numpy(arrays["defocus_angstrom"]).repeat_interleave(frames)
        pixel_size = float(arrays["pixel_size_angstrom"])

    def same(value: float) -> torch.Tensor:
        return torch.full((movies * frames,), value, dtype=torch.float64)

    return Dataset(
        path=path,
        images=images.astype(np.float32),
        pixel_size_angstrom=pixel_size,
        poses=Poses(euler_to_rotation(angles), torch.zeros(movies * frames, 2).double()),
        ctf=CTFParameters(
            defocus_u_angstrom=defocus,
            defocus_v_angstrom=defocus,
            astigmatism_radians=same(0.0),
            voltage_kv=same(300.0),
            cs_mm=same(2.7),
            amplitude_contrast=same(0.1),
            phase_shift_radians=same(0.0),
        ),
        particle_names=[f"molecule_{m:04d}" for m in range(movies) for _ in range(frames)],
        frame_numbers=np.tile(np.arange(1, frames + 1), movies),
        times_seconds=np.full(movies * frames, np.nan),
        movies=list(np.arange(movies * frames).reshape(movies, frames)),
    )


NPZ = Reader(name="an .npz file of movies", recognises=is_npz, read=read_npz)
register_reader(NPZ)
# [docs:end]

import pytest

from temporem.errors import TemporemError
from temporem.frames.readers import READERS

READERS.remove(NPZ)  # other tests are collected in this process


@pytest.fixture(autouse=True)
def _known_here_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("temporem.frames.readers.READERS", [*READERS, NPZ])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    np.savez(
        tmp_path / "movies.npz",
        images=generator.normal(size=(3, 4, 16, 16)),
        euler_degrees=generator.uniform(0, 90, size=(3, 4, 3)),
        defocus_angstrom=np.array([1e4, 1.2e4, 1.4e4]),
        pixel_size_angstrom=2.0,
    )
    return tmp_path / "movies.npz"


def test_it_is_read_by_the_one_way_to_read_a_dataset(file: Path) -> None:
    dataset = read_dataset(file)
    assert (dataset.n_movies, dataset.n_frames, dataset.box) == (3, 4 * 3, 16)
    assert dataset.particle_names[::4] == ["molecule_0000", "molecule_0001", "molecule_0002"]
    assert dataset.ctf.defocus_u_angstrom[::4].tolist() == [1e4, 1.2e4, 1.4e4]


def test_what_no_reader_knows_is_refused_with_all_that_are_known(tmp_path: Path) -> None:
    known = r"expected a dataset folder with particles\.star or an \.npz file of movies"
    (tmp_path / "movies.tif").touch()
    with pytest.raises(TemporemError, match=rf"movies\.tif is not a dataset; {known}"):
        read_dataset(tmp_path / "movies.tif")
    with pytest.raises(TemporemError, match=rf"absent does not exist; {known}"):
        read_dataset(tmp_path / "absent")


def test_a_name_belongs_to_one_reader() -> None:
    register_reader(NPZ)
    with pytest.raises(TemporemError, match=r"a reader of an \.npz file of movies already"):
        register_reader(Reader(NPZ.name, recognises=is_npz, read=read_dataset))
