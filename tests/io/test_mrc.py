"""MRC files: those of other programs are read, and no size in a header is taken on trust."""

import bz2
import contextlib
import gzip
import os
import tracemalloc
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mrcfile.dtypes import HEADER_DTYPE

from helpers.shared import SHARED
from temporem.errors import TemporemError
from temporem.io.mrc import open_stack, read_mask, read_volume, write_stack, write_volume

SPECIMENS = SHARED / "specimens"


def write_raw(path: Path, pixels: np.ndarray, mode: int, *, order: str = "<", **header) -> Path:
    """An MRC file of ``pixels`` with ``header`` fields as given, true or not."""
    fields = np.zeros((), dtype=HEADER_DTYPE.newbyteorder(order))
    nz, ny, nx = pixels.shape
    for name, value in {"nx": nx, "ny": ny, "nz": nz, "mode": mode, **header}.items():
        fields[name] = value
    path.write_bytes(fields.tobytes() + pixels.astype(pixels.dtype.newbyteorder(order)).tobytes())
    return path


@pytest.fixture
def pixels():
    return np.random.default_rng(0).normal(scale=50, size=(7, 6, 4)).astype(np.float32)


@pytest.mark.filterwarnings("ignore::RuntimeWarning:mrcfile")  # permissive reading warns
@pytest.mark.parametrize(
    ("name", "shape", "pixel_size"),
    [
        ("relion/rln_proj_64.mrcs", (5, 64, 64), 0),
        ("relion/rln_proj_65.mrcs", (5, 65, 65), 0),
        ("relion/sample.mrcs", (17, 200, 200), 0),
        ("relion/empiar_10076_7.mrc", (7, 320, 320), 0),  # says that it is a volume
        ("relion/relion31.mrcs", (5, 256, 256), 1),  # no MAP stamp
        ("relion/toy_projections.mrcs", (1000, 30, 30), 1),
        ("relion/ay19102021_L3_position6_ribo_it09_bin8_1.82A.mrcs", (220, 64, 64), 1),
        ("mrc/hand.mrcs", (100, 64, 64), 1),
        ("mrc/spike-vol.mrc", (128, 16, 16), 8),
        ("mrc/EMD-3001.map", (25, 43, 73), 0),  # extended header; voxels of three lengths
    ],
)
def test_specimen_agrees_with_mrcfile(name, shape, pixel_size):
    stack = open_stack(SPECIMENS / name)
    assert stack.shape == shape
    assert stack.pixel_size_angstrom == pytest.approx(pixel_size, rel=1e-6)
    with mrcfile.open(SPECIMENS / name, permissive=True) as reference:
        np.testing.assert_array_equal(stack.read(), reference.data.reshape(shape))


def test_compressed_file_is_one_clear_line():
    with pytest.raises(TemporemError, match=r"emd_3197\.map\.gz") as caught:
        open_stack(SPECIMENS / "mrc" / "emd_3197.map.gz")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("mode", "dtype"), [(0, "i1"), (1, "i2"), (2, "f4"), (6, "u2"), (12, "f2")]
)
def test_every_mode_and_byte_order(mode, dtype, order, pixels, tmp_path):
    expected = np.abs(pixels).astype(dtype)
    stack = open_stack(write_raw(tmp_path / "a.mrcs", expected, mode, order=order))
    np.testing.assert_array_equal(stack.read(), expected)
    sections = np.array([3, 4, 5, 1, 1, 0])
    read = stack.read(sections)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, expected[sections].astype(np.float32))


def test_extended_header_and_trailing_bytes_are_passed_over(pixels, tmp_path):
    path = write_raw(tmp_path / "a.mrcs", pixels, 2, nsymbt=pixels[0].nbytes, nz=5)
    np.testing.assert_array_equal(open_stack(path).read(), pixels[1:6])


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"nz": 8}, "cut short.*expected .* bytes for 8 images of 4 x 6 pixels"),
        ({"nx": 30000, "ny": 2**31 - 1, "nz": 2**31 - 1}, "cut short"),
        ({"nsymbt": 2**31 - 1}, "cut short"),
        ({"nsymbt": -2000}, "declares"),
        ({"nz": 0}, "declares 4 x 6 x 0 pixels"),
        ({"ny": -6}, "declares 4 x -6 x 7 pixels"),
        ({"nx": -1}, "declares -1 x 6 x 7 pixels"),
        ({"nx": 65536}, "cut short.*images of 65536 x 6 pixels"),
        ({"mode": 4}, "MRC mode 4.*real pixels"),
        ({"mode": 77}, "MRC mode 77"),
    ],
)
def test_false_header_is_refused_before_anything_is_mapped(header, message, pixels, tmp_path):
    path = write_raw(tmp_path / "a.mrcs", pixels, **{"mode": 2, **header})
    with pytest.raises(TemporemError, match=message):
        open_stack(path)


def test_unreadable_file_is_one_clear_line(tmp_path):
    (tmp_path / "short.mrcs").write_bytes(b"MAP " * 9)
    for name, message in [
        ("missing.mrcs", "is not a file"),
        ("", "is not a file"),
        ("short.mrcs", "has 36 bytes; expected an MRC header of 1024 bytes"),
        ("x" * 300, "cannot read"),
    ]:
        with pytest.raises(TemporemError, match=message):
            open_stack(tmp_path / name)


@pytest.mark.parametrize(
    ("header", "pixel_size"),
    [
        ({"mx": 4, "cella": (10, 15, 1)}, 2.5),
        ({"mx": 4, "my": 6, "cella": (10, 15, 1)}, 2.5),
        ({"mx": 4, "my": 5, "cella": (10, 15, 1)}, 0),  # pixels that are not square
        ({"mx": 0, "cella": (10, 15, 1)}, 0),
        ({"mx": 4, "cella": (0, 0, 0)}, 0),
        ({"mx": 4, "cella": (np.nan, 0, 0)}, 0),
        ({"mx": 4, "cella": (-10, -15, 1)}, 0),
    ],
)
def test_pixel_size_is_zero_unless_the_header_has_one(header, pixel_size, pixels, tmp_path):
    stack = open_stack(write_raw(tmp_path / "a.mrcs", pixels, 2, **header))
    assert stack.pixel_size_angstrom == pixel_size


def test_written_blocks_are_a_valid_stack(pixels, tmp_path):
    path = tmp_path / "a.mrcs"
    blocks = (pixels[start:end] for start, end in [(0, 3), (3, 3), (3, 7)])
    assert write_stack(path, blocks, 1.25) == 7
    assert mrcfile.validate(path)
    with mrcfile.open(path) as file:
        assert file.is_image_stack()
        assert file.header.mz == 1
        assert file.voxel_size.x == file.voxel_size.y == 1.25
        np.testing.assert_array_equal(file.data, pixels)
        assert file.header.dmin == pixels.min()
        assert file.header.dmax == pixels.max()
        assert file.header.dmean == pytest.approx(pixels.mean(dtype=np.float64))
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.read(), pixels)
    assert stack.pixel_size_angstrom == 1.25


def test_failed_write_leaves_nothing(pixels, tmp_path):
    def interrupted():
        yield pixels
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_stack(tmp_path / "a.mrcs", interrupted(), 1.0)
    with pytest.raises(ValueError, match="no images"):
        write_stack(tmp_path / "a.mrcs", [pixels[:0]], 1.0)
    with pytest.raises(ValueError, match="shape"):
        write_stack(tmp_path / "a.mrcs", [pixels, pixels[:, :4]], 1.0)
    assert list(tmp_path.iterdir()) == []


def test_any_number_of_stacks_can_be_open(tmp_path, pixels):
    """Systems let a process have some hundred files."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, hard))
    try:
        stacks = []
        for i in range(60):
            write_stack(tmp_path / f"{i}.mrcs", [pixels + i], 1.0)
            stacks.append(open_stack(tmp_path / f"{i}.mrcs"))
        for i, stack in enumerate(stacks):
            np.testing.assert_array_equal(stack.read(np.array([2])), pixels[2:3] + i)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def voxels():
    return np.random.default_rng(0).random((4, 4, 4)).astype(np.float32)


def test_written_volume_is_valid(voxels, tmp_path):
    path = tmp_path / "v.mrc"
    write_volume(path, voxels, 1.5, origin_angstrom=6.0)
    assert mrcfile.validate(path)
    with mrcfile.open(path) as file:
        assert file.is_volume()
        np.testing.assert_array_equal(file.data, voxels)
        assert file.voxel_size.x == file.voxel_size.z == 1.5
        assert file.header.origin.y == 6.0
        assert file.header.dmean == pytest.approx(voxels.mean(dtype=np.float64))
        assert file.header.rms == pytest.approx(voxels.std(dtype=np.float64))
    np.testing.assert_array_equal(read_volume(path, 4, pixel_size_angstrom=1.5), voxels)
    with pytest.raises(TemporemError, match=r"voxels of 1.5 Å; expected 2 Å"):
        read_volume(path, 4, pixel_size_angstrom=2.0)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (212, bytes(4)),
        (212, b"\x44\x20\x20\x20"),
        (212, b"\x11\x11\0\0"),  # says big-endian, and is not
        (208, bytes(4)),
    ],
    ids=["no stamp", "odd stamp", "false stamp", "no MAP"],
)
def test_volume_is_read_whatever_its_stamp(at, value, voxels, tmp_path):
    path = tmp_path / "m.mrc"
    write_volume(path, voxels, 1.0)
    raw = bytearray(path.read_bytes())
    raw[at : at + 4] = value
    for content in (bytes(raw), gzip.compress(raw), bz2.compress(raw)):
        path.write_bytes(content)
        np.testing.assert_array_equal(read_volume(path, 4), voxels)
        np.testing.assert_array_equal(read_mask(path, 4), voxels)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("mode", "dtype"), [(0, "i1"), (1, "i2"), (2, "f4"), (6, "u2"), (12, "f2")]
)
def test_volume_of_every_mode_and_byte_order(mode, dtype, order, voxels, tmp_path):
    expected = (100 * voxels).astype(dtype)
    path = write_raw(tmp_path / "m.mrc", expected, mode, order=order)
    np.testing.assert_array_equal(read_volume(path, 4), expected.astype(np.float32))


def test_volume_is_read_whatever_the_order_of_its_axes(voxels, tmp_path) -> None:
    expected = voxels
    for axes in ((1, 2, 3), (3, 2, 1), (2, 3, 1), (0, 0, 0)):
        write_volume(tmp_path / "m.mrc", expected, 1.0)
        with mrcfile.open(tmp_path / "m.mrc", "r+") as file:
            if any(axes):  # columns, rows and sections run along x = 1, y = 2 or z = 3
                file.set_data(expected.transpose([3 - axis for axis in reversed(axes)]).copy())
            for name, axis in zip(("mapc", "mapr", "maps"), axes, strict=True):
                file.header[name] = axis
        np.testing.assert_array_equal(read_volume(tmp_path / "m.mrc", 4), expected)
    with mrcfile.open(tmp_path / "m.mrc", "r+") as file:
        file.header.mapc = 7
    with pytest.raises(TemporemError, match="its axes are 7, 0, 0"):
        read_volume(tmp_path / "m.mrc", 4)


IMOD = 1146047817


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("stamp", "flags", "expected"),
    [
        (0, 0, -56),  # MRC2014: bytes have a sign
        (IMOD, 0, 200),  # IMOD before 4.2.23, or with bytes without sign
        (IMOD, 1, -56),
    ],
)
def test_stamp_of_imod_tells_the_sign_of_bytes(
    tmp_path: Path, order: str, stamp: int, flags: int, expected: int
) -> None:
    extra = bytes(40) + np.array([stamp, flags], dtype=f"{order}i4").tobytes() + bytes(36)
    pixels = np.full((8, 8, 8), 200, dtype=np.uint8)
    path = write_raw(tmp_path / "a.mrc", pixels, 0, order=order, extra2=np.void(extra))
    assert (open_stack(path).read() == expected).all()
    assert (read_volume(path, 8) == expected).all()


def test_nibbles_of_imod_are_refused(tmp_path: Path) -> None:
    extra = bytes(40) + np.array([IMOD, 17], dtype="<i4").tobytes() + bytes(36)
    pixels = np.zeros((8, 8, 8), dtype=np.uint8)
    path = write_raw(tmp_path / "a.mrc", pixels, 0, extra2=np.void(extra))
    with pytest.raises(TemporemError, match="two pixels in a byte"):
        open_stack(path)
    with pytest.raises(TemporemError, match="two pixels in a byte"):
        read_volume(path, 8)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damaged_files_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    """Packed or not, as a stack and as a volume; most bytes of the header change the meaning."""
    voxels = np.arange(512, dtype=np.float32).reshape(8, 8, 8)
    content = bytearray(write_raw(tmp_path / "whole.mrc", voxels, 2).read_bytes())
    for _ in range(data.draw(st.integers(0, 6))):
        place = data.draw(st.one_of(st.integers(0, 255), st.integers(0, len(content) - 1)))
        content[place : place + 1] = data.draw(st.binary(max_size=4))
    content = content[: data.draw(st.integers(0, len(content) + 10))]
    packed = data.draw(st.sampled_from((bytes, gzip.compress, bz2.compress)))
    path = tmp_path / "a.mrc"
    path.write_bytes(packed(bytes(content)))
    with contextlib.suppress(TemporemError):
        stack = open_stack(path)
        assert stack.read(np.arange(min(3, stack.shape[0]))).shape[1:] == stack.shape[1:]
    with contextlib.suppress(TemporemError):
        volume = read_volume(path, 8)
        assert volume.shape == (8, 8, 8)
        assert np.isfinite(volume).all()


def test_a_packed_volume_that_goes_on_for_ever_is_read_to_its_end_only(tmp_path: Path) -> None:
    """200 MB of zeros behind it take 0.2 MB on the disk, and no memory."""
    voxels = np.arange(512, dtype=np.float32).reshape(8, 8, 8)
    content = write_raw(tmp_path / "whole.mrc", voxels, 2).read_bytes()
    path = tmp_path / "a.map.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(content)
        for _ in range(100):
            file.write(bytes(2 * 10**6))
    assert path.stat().st_size < 2e6
    tracemalloc.start()
    np.testing.assert_array_equal(read_volume(path, 8), voxels)
    with pytest.raises(TemporemError, match=r"8 x 8 x 8 voxels; expected 400 x 400 x 400"):
        read_volume(path, 400)
    with pytest.raises(TemporemError, match=r"a\.map\.gz is packed by gzip.*gunzip"):
        open_stack(path)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()
