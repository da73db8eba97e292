"""Every specimen of a microscope opens with the right numbers, or is refused with the reason."""

import random
import resource
import struct

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
from PIL import Image

from helpers.movie_files import write_emd, write_mib
from helpers.shared import SHARED
from temporem.errors import TemporemError
from temporem.io.microscope.readers import READERS, open_movie
from temporem.io.mrc import write_stack
from temporem.io.signatures import recognise

SPECIMENS = SHARED / "specimens"

OPENED = {  # shape, pixel size in Å, seconds a frame, mean of all pixels
    "vendor/16_STOimage.emi": ((1, 1024, 1024), 0.100127, None, 18748.33),
    "vendor/16_STOimage_1.ser": ((1, 1024, 1024), 0.100127, None, 18748.33),
    "vendor/20241021_00405_movie.mrc": ((32, 4, 8), None, 0.0014285, None),
    "vendor/3D_test-1.dm3": ((2, 2, 2), None, None, 4.5),
    "vendor/3D_test-1.dm4": ((2, 2, 2), None, None, 4.5),
    "vendor/3D_test-2.dm4": ((2, 2, 2), None, None, 4.5),
    "vendor/3D_test-6.dm4": ((2, 2, 2), None, None, 4.5),
    "vendor/64x64_TEM_images_acquire.emi": ((1, 64, 64), 62.81834, None, 40295.64),
    "vendor/64x64_TEM_images_acquire_1.ser": ((1, 64, 64), 62.81834, None, 40295.64),
    "vendor/64x64x5_TEM_preview.emi": ((5, 64, 64), 62.81834, None, None),
    "vendor/64x64x5_TEM_preview_1.ser": ((5, 64, 64), 62.81834, None, None),
    "vendor/Ceta_Imaging_Micro.emd": ((1, 512, 512), 31.38837, None, None),
    "vendor/Custom_movie.mrc": ((30, 16, 16), None, 1.0, None),
    "vendor/ROI_Random_Scan_movie.mrc": ((348, 16, 16), None, 0.0045899, None),
    "vendor/fei_example_tem_stack.emd": ((2, 3, 3), 0.0817288, 0.8, 8.5),
    "vendor/temp.mrc": ((3, 128, 128), 2.0, None, None),
    "vendor/test_STEM_image.dm3": ((1, 68, 68), 2.48538, None, 32655.40),
    "vendor/test_dm_image_um_unit.dm3": ((1, 68, 68), 1686.7469, None, 3335.387),
    "vendor/test_loading_image_saved_with_DM_stack.tif": ((2, 68, 68), None, None, 3335.387),
    "vendor/test_loading_image_saved_with_imageJ_stack.tif": (
        *((2, 68, 68), 1686.7471, None, 3335.387),
    ),
    "vendor/test_stackbuilder_imagestack.dm3": ((3, 2, 16), 599.8290, None, None),
    "vendor/test_tvips_2233_000.tvips": ((4, 3, 3), None, 0.001, None),
    "liquid/SAMPLE_0001.tif": ((1, 1024, 1024), 25.92833, None, None),
    "liquid/autolcet_frame_00001.tif": ((1, 512, 512), None, None, None),
    "liquid/nanorods_movie_jpeg": ((20, 1024, 1024), None, None, None),
}
REFUSED = {
    "vendor/3D_test-23.dm4": "holds colour pictures; expected grey frames; export it",
    "vendor/Custom_info.txt": "name Custom_movie.mrc alone",
    "vendor/20241021_00405_info.txt": "name 20241021_00405_movie.mrc alone",
    "vendor/ROI_Random_Scan_info.txt": "name ROI_Random_Scan_movie.mrc alone",
    "liquid/SAMPLE_0001.txt": "in no known format",
    "liquid/nanorods_trajectories.csv": "in no known format",
    "liquid/tiltAnglesSeries__20240612_124708.csv": "in no known format",
}
SMALL = [name for name in OPENED if "vendor" in name and "STO" not in name and "Ceta" not in name]


def read_all(path):
    """All frames of a movie."""
    movie = open_movie(path)
    return movie.frames(0, movie.n_frames)


@pytest.mark.parametrize("name", OPENED)
def test_specimens_open(name):
    shape, pixel_size, seconds, mean = OPENED[name]
    movie = open_movie(SPECIMENS / name)
    assert movie.shape == shape
    assert movie.pixel_size_angstrom == (pixel_size and pytest.approx(pixel_size, rel=1e-5))
    assert movie.frame_seconds == (seconds and pytest.approx(seconds, rel=1e-3))
    first = movie.frames(0, 1)
    assert first.shape == (1, *shape[1:])
    assert first.dtype == np.float32
    if mean is not None:
        assert movie.frames(0, shape[0]).mean() == pytest.approx(mean, rel=1e-6)


def test_every_specimen_of_a_microscope_is_in_one_of_the_tables():
    files = [*(SPECIMENS / "vendor").iterdir(), *(SPECIMENS / "liquid").iterdir()]
    names = {str(path.relative_to(SPECIMENS)) for path in files}
    assert names == OPENED.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", REFUSED)
def test_others_are_refused_with_the_reason(name):
    with pytest.raises(TemporemError, match=REFUSED[name]):
        open_movie(SPECIMENS / name)


@pytest.mark.parametrize("name", ["Custom_movie.mrc", "ROI_Random_Scan_movie.mrc", "temp.mrc"])
def test_mrc_as_mrcfile_reads_it(name):
    path = SPECIMENS / "vendor" / name
    with mrcfile.open(path, permissive=True) as file:
        expected = file.data
    found = open_movie(path)
    assert np.array_equal(found.frames(1, 3), expected[1:3].astype(np.float32))
    assert found.voltage_kv == (None if name == "temp.mrc" else 300)


def test_emd_as_h5py_reads_it():
    path = SPECIMENS / "vendor/fei_example_tem_stack.emd"
    with h5py.File(path) as file:
        (data,) = (group["Data"][:] for group in file["Data/Image"].values())
    found = open_movie(path).frames(0, 2)
    assert np.array_equal(found, np.moveaxis(data, -1, 0).astype(np.float32))


def test_ser_as_its_bytes_say():
    path = SPECIMENS / "vendor/64x64x5_TEM_preview_1.ser"
    raw = path.read_bytes()
    offset = struct.unpack("<i", raw[22:26])[0]  # of the table of offsets
    place = struct.unpack("<5i", raw[offset : offset + 20])
    for i, start in enumerate(place):
        pixels = np.frombuffer(raw, "<f4", 64 * 64, start + 50).reshape(64, 64)
        assert np.array_equal(open_movie(path).frames(i, i + 1)[0], pixels[::-1])


def test_big_endian_16_bit_tiff():
    path = SPECIMENS / "liquid/SAMPLE_0001.tif"
    with Image.open(path) as image:
        expected = np.asarray(image)
    assert np.array_equal(open_movie(path).frames(0, 1)[0], expected.astype(np.float32))


def test_four_bits_a_pixel(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 16, (3, 4, 5))
    header = np.zeros((), mrcfile.dtypes.HEADER_DTYPE)
    header["nx"], header["ny"], header["nz"], header["mode"] = 5, 4, 3, 101
    header["mx"], header["cella"]["x"], header["map"] = 5, 15.0, b"MAP "
    rows = np.pad(pixels, ((0, 0), (0, 0), (0, 1)))
    packed = (rows[..., ::2] | rows[..., 1::2] << 4).astype(np.uint8)
    (tmp_path / "a.mrc").write_bytes(header.tobytes() + packed.tobytes())
    movie = open_movie(tmp_path / "a.mrc")
    assert movie.pixel_size_angstrom == 3
    assert np.array_equal(movie.frames(1, 3), pixels[1:])


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff_stacks_are_read_a_frame_at_a_time(tmp_path, compression):
    pixels = np.random.default_rng(0).integers(0, 999, (5, 16, 24), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, byteorder=">", compression=compression)
    movie = open_movie(tmp_path / "a.tif")
    assert movie.shape == (5, 16, 24)
    assert np.array_equal(movie.frames(3, 5), pixels[3:])


def test_eer_movies_are_refused_with_the_program_that_converts_them(tmp_path):
    path = tmp_path / "a.eer"
    tifffile.imwrite(path, np.zeros((2, 16, 16), np.uint8), compression="zlib")
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags["Compression"].overwrite(65001)
    with pytest.raises(
        TemporemError, match=r"EER movie of single electrons.*relion_convert_to_tiff"
    ):
        open_movie(path)


def test_pictures_in_natural_order(tmp_path):
    for i in (0, 2, 10):
        Image.fromarray(np.full((8, 8), i, dtype=np.uint8)).save(tmp_path / f"frame{i}.png")
    found = open_movie(tmp_path).frames(0, 3)
    assert found[:, 0, 0].tolist() == [0, 2, 10]


def test_pictures_of_several_kinds_are_refused(tmp_path):
    for name in ("a.png", "b.jpg"):
        Image.new("L", (8, 8)).save(tmp_path / name)
    with pytest.raises(TemporemError, match="several kinds"):
        open_movie(tmp_path)


def test_nan_is_refused_with_its_frame(tmp_path):
    pixels = np.zeros((3, 8, 8), dtype=np.float32)
    pixels[1, 2, 3] = np.nan
    write_stack(tmp_path / "a.mrc", [pixels], 2.0)
    with pytest.raises(TemporemError, match="frame 2 has a pixel that is NaN"):
        open_movie(tmp_path / "a.mrc").frames(0, 3)


def test_a_pixel_size_that_is_not_square_is_told_where_it_is_needed():
    movie = open_movie(SPECIMENS / "vendor/20241021_00405_movie.mrc")
    assert movie.pixel_size_fault == "its _info.txt has pixels of 1 x 2 Å, which are not square"


@pytest.mark.parametrize("kind", ["mrc", "tif"])
def test_headers_of_stretched_pixels_tell_no_pixel_size(tmp_path, kind):
    pixels = np.random.default_rng(0).integers(0, 99, (3, 8, 8), dtype=np.uint16)
    path = tmp_path / f"a.{kind}"
    if kind == "mrc":
        with mrcfile.new(path) as file:
            file.set_data(pixels.astype(np.int16))
            file.voxel_size = (2.0, 3.0, 2.0)
    else:
        tifffile.imwrite(
            path, pixels, imagej=True, resolution=(5, 4), metadata={"unit": "nm", "axes": "TYX"}
        )
    assert open_movie(path).pixel_size_angstrom is None


WRITTEN = {
    "written.mib": lambda path: write_mib(path, np.zeros((4, 8, 8), np.uint16), range(4)),
    "written.emd": lambda path: write_emd(
        path, np.zeros((4, 8, 8)), (("t", "s", 0.1), ("y", "nm", 1), ("x", "nm", 1))
    ),
    "written.tif": lambda path: tifffile.imwrite(
        path, np.ones((4, 9, 9), "u2"), compression="zlib"
    ),
    "written.png": lambda path: Image.fromarray(np.eye(64, dtype=np.uint8)).save(path),
    "written.jpg": lambda path: Image.fromarray(np.eye(64, dtype=np.uint8)).save(path),
}
"""Writers of small movies in formats without small specimens."""


@pytest.fixture
def content(request, tmp_path):
    """Bytes of a file, a specimen's or a written one's."""
    name = request.param
    if name not in WRITTEN:
        return (SPECIMENS / name).read_bytes()
    WRITTEN[name](tmp_path / name)
    return (tmp_path / name).read_bytes()


every_format = pytest.mark.parametrize(
    ("name", "content"), [(name, name) for name in (*SMALL, *WRITTEN)], indirect=["content"]
)


def test_files_of_every_format_are_damaged():
    """The two tests below go through every reader."""
    known = [recognise(SPECIMENS / name) for name in SMALL]
    formats = {"mrc" if found is None else found.key for found in known}  # without its stamp
    assert formats | {"mib", "picture"} == READERS.keys()


@every_format
def test_half_a_file_is_refused(tmp_path, name, content):
    copy = tmp_path / name.rpartition("/")[2]
    copy.write_bytes(content[: len(content) // 2 + 1])
    with pytest.raises(TemporemError):
        read_all(copy)


def test_a_billion_frames_are_refused(tmp_path):
    write_stack(tmp_path / "a.mrc", [np.zeros((1, 8, 8))], 2.0)
    raw = bytearray((tmp_path / "a.mrc").read_bytes())
    raw[8:12] = struct.pack("<i", 10**9)
    (tmp_path / "a.mrc").write_bytes(raw)
    with pytest.raises(TemporemError, match="cut short"):
        open_movie(tmp_path / "a.mrc")


@every_format
def test_damaged_files_are_read_or_refused_in_bounded_memory(tmp_path, name, content):
    """Bytes are changed, in the header and elsewhere; nothing but a TemporemError comes out."""
    raw = content
    copy, draw = tmp_path / name.rpartition("/")[2], random.Random(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for attempt in range(12):
        damaged = bytearray(raw)
        end = len(raw) if attempt % 2 else min(len(raw), 2048)
        for _ in range(draw.choice([1, 4, 16])):
            damaged[draw.randrange(end)] = draw.choice([0, 127, 128, 255])
        copy.write_bytes(damaged)
        try:
            movie = open_movie(copy)
            assert movie.frames(0, 1).shape == (1, *movie.shape[1:])
        except TemporemError:
            continue
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 500_000  # kB
