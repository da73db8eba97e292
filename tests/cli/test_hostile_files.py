"""Files made to do harm: one line, exit code 2, little memory, and nothing written."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from mrcfile.dtypes import HEADER_DTYPE
from numpy.lib import format as npy

from helpers.foreign import cryosparc, save_cs, write_mrcs
from helpers.little_memory import refuse_in_little_memory

IMPORT = ("--ctf", "none", "--input-pixel-size", 4, "--frames-per-movie", 1, "--invert", "no")
EXTRACT = ("--diameter", 40, "--pixel-size", 4)


def mrc_header(n: int, height: int, width: int, mode: int = 2) -> bytes:
    header = np.zeros((), dtype=HEADER_DTYPE)
    header["nx"], header["ny"], header["nz"], header["mode"] = width, height, n, mode
    header["map"] = b"MAP "
    return header.tobytes()


def sparse(path: Path, header: bytes, size: int) -> Path:
    """A file as large as its header claims that takes no room on the disk."""
    path.write_bytes(header)
    with path.open("r+b") as file:
        file.truncate(size)
    return path


def small_stack(folder: Path) -> Path:
    random = np.random.default_rng(0)
    return write_mrcs(folder / "a.mrcs", random.normal(size=(4, 16, 16)), 4.0)


def zip_bomb(path: Path, name: str, n_bytes: int) -> Path:
    """An archive with an array of zeros, which takes a thousandth on the disk."""
    head = io.BytesIO()
    shape = (n_bytes // 72, 3, 3)
    npy.write_array_header_1_0(head, {"shape": shape, "fortran_order": False, "descr": "<f8"})
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(name, "w", force_zip64=True) as file,
    ):
        file.write(head.getvalue())
        for _ in range(n_bytes // 10**6):
            file.write(bytes(10**6))
    return path


def png_bomb(path: Path, side: int) -> Path:
    """A picture of zeros, packed to a thousandth."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(bytes(side + 1)) for _ in range(side)) + packer.flush()
    size = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", size) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


def test_a_zip_bomb_of_poses(tmp_path: Path) -> None:
    stack = small_stack(tmp_path)
    poses = zip_bomb(tmp_path / "poses.npz", "rotations.npy", 250 * 10**6)
    assert poses.stat().st_size < 10**7
    files = ("import", stack, poses, "-o", tmp_path / "out")
    assert "poses.npz: damaged, or not" in refuse_in_little_memory(tmp_path, *files, *IMPORT)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x02K\x01r\xff\xff\xff\x7f.", "damaged or no pickle"),
        (b"\x80\x04cos\nsystem\n(S'touch hacked'\ntR.", "asks for os.system"),
        (b"\x80\x04cnumpy\nndarray\n(J\xff\xff\xff\x7ftR.", "NumPy arrays and nothing else"),
    ],
)
def test_pickles_that_want_more_than_arrays(tmp_path: Path, content: bytes, message: str) -> None:
    stack, poses = small_stack(tmp_path), tmp_path / "poses.pkl"
    poses.write_bytes(content)
    files = ("import", stack, poses, "-o", tmp_path / "out")
    assert message in refuse_in_little_memory(tmp_path, *files, *IMPORT)


@pytest.mark.parametrize(
    ("header", "size", "message"),
    [
        (mrc_header(10**9, 8, 8), 1024 + 256 * 10**9, "has 1,000,000,000 images"),
        (mrc_header(10**9, 8, 8), 1024 + 256, "is cut short"),
        (mrc_header(2, 46_000, 46_000, 0), 1024, "is cut short"),
        (mrc_header(-5, 8, 8), 4096, "declares 8 x 8 x -5 pixels"),
        (mrc_header(4, 8, 8)[:600], 600, "has 600 bytes"),
    ],
)
def test_stacks_that_claim_much(tmp_path: Path, header: bytes, size: int, message: str) -> None:
    stack = sparse(tmp_path / "a.mrcs", header, size)
    files = ("import", stack, "-o", tmp_path / "out")
    assert message in refuse_in_little_memory(tmp_path, *files, *IMPORT)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_pixels_that_are_no_numbers(tmp_path: Path, value: float) -> None:
    images = np.random.default_rng(0).normal(size=(40, 16, 16))
    images[37, 3, 4] = value
    stack = write_mrcs(tmp_path / "a.mrcs", images, 4.0)
    files = ("import", stack, "-o", tmp_path / "out")
    message = refuse_in_little_memory(tmp_path, *files, *IMPORT)
    assert "row 37" in message
    assert "not a number or beyond all sense" in message
    movie = write_mrcs(tmp_path / "movie.mrc", images)
    files = ("extract", movie, "-o", tmp_path / "out")
    message = refuse_in_little_memory(tmp_path, *files, *EXTRACT)
    assert "frame 38 has a pixel that is NaN, infinite or huge" in message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/etc/hostname", "leaves"),
        ("../secret.mrcs", "leaves"),
        ("link.mrcs", "is a link that leaves"),
        ("folder/secret.mrcs", "is a link that leaves"),
        ("two\nlines.mrcs", "a path of printable text"),
        ("a\x1b[2Jb.mrcs", "a path of printable text"),
    ],
)
def test_cryosparc_names_nothing_outside(
    tiny_dataset: Path, tmp_path: Path, name: str, message: str
) -> None:
    project = tmp_path / "project"
    secret = write_mrcs(tmp_path / "secret.mrcs", np.zeros((20, 16, 16)))
    project.mkdir()
    (project / "link.mrcs").symlink_to(secret)
    (project / "folder").symlink_to(tmp_path)
    path = save_cs(project / "a.cs", cryosparc(tiny_dataset, path=name))
    files = ("import", path, "-o", tmp_path / "out", "--frames-per-movie", 4)
    assert message in refuse_in_little_memory(tmp_path, *files)


def test_a_cryosparc_table_that_claims_a_billion_particles(tmp_path: Path) -> None:
    head = io.BytesIO()
    fields = [("uid", "<u8"), ("blob/path", "S60"), ("blob/idx", "<u4")]
    shape = {"shape": (10**9,), "fortran_order": False, "descr": fields}
    npy.write_array_header_1_0(head, shape)
    path = tmp_path / "a.cs"
    path.write_bytes(head.getvalue() + bytes(720))
    assert "is cut short" in refuse_in_little_memory(tmp_path, "import", path, "-o", tmp_path / "o")
    sparse(path, head.getvalue(), 72 * 10**9)
    assert "is larger than" in refuse_in_little_memory(
        tmp_path, "import", path, "-o", tmp_path / "o"
    )


def test_a_star_file_of_one_endless_line(tmp_path: Path) -> None:
    path = sparse(tmp_path / "a.star", b"data_\nloop_\n_rlnImageName\n", 900 * 10**6)
    files = ("import", path, "-o", tmp_path / "out")
    assert "more than 1048576 characters" in refuse_in_little_memory(tmp_path, *files)


@pytest.mark.parametrize(
    ("header", "size", "message"),
    [
        (mrc_header(10**9, 8, 8), 1024 + 256 * 10**9, "declares 1000000000 frames"),
        (mrc_header(3, 46_000, 46_000, 0), 1024 + 3 * 46_000**2, "declares 3 frames of 46000"),
        (mrc_header(5, 64, 64), 1024 + 4 * 64**2, "is cut short"),
        (mrc_header(5, 64, 64, 101), 1024 + 64**2, "declares 5 frames of 64 x 64"),
    ],
)
def test_movies_that_claim_much(tmp_path: Path, header: bytes, size: int, message: str) -> None:
    movie = sparse(tmp_path / "a.mrc", header, size)
    files = ("extract", movie, "-o", tmp_path / "out")
    assert message in refuse_in_little_memory(tmp_path, *files, *EXTRACT)


def test_pictures_and_pages_that_unpack_to_gigabytes(tmp_path: Path) -> None:
    movie = tmp_path / "pictures"
    movie.mkdir()
    picture = png_bomb(movie / "a.png", 16_000)
    assert picture.stat().st_size < 3e6
    files = ("extract", movie, "-o", tmp_path / "out")
    message = refuse_in_little_memory(tmp_path, *files, *EXTRACT)
    assert "not a readable picture" in message
    # A page of 40 bytes that claims 2³⁴ pixels.
    page = tmp_path / "a.tif"
    tifffile.imwrite(page, np.zeros((16, 16), np.uint8), compression="zlib")
    with tifffile.TiffFile(page, mode="r+b") as file:
        for tag in ("ImageWidth", "ImageLength"):
            file.pages[0].tags[tag].overwrite(2**17)
    files = ("extract", page, "-o", tmp_path / "out")
    message = refuse_in_little_memory(tmp_path, *files, *EXTRACT)
    assert "declares frames of 131072 x 131072 pixels" in message
