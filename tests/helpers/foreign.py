"""Files of other programs, made from a dataset by formulas of their own."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
from scipy.spatial.transform import Rotation

from temporem.io.star import StarTable, read_star

ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst")


def write_mrcs(path: Path, images: np.ndarray, pixel_size: float = 0.0) -> Path:
    """A stack as mrcfile writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(images.astype(np.float32))
        file.set_image_stack()
        if pixel_size:
            file.voxel_size = pixel_size
    return path


def star_text(**tables: dict) -> str:
    """Tables as RELION writes them; a value may be a text with anything in it."""
    lines = []
    for name, columns in tables.items():
        lines += ["", f"data_{name}", "", "loop_", *(f"_{c} #{i}" for i, c in enumerate(columns))]
        lines += [" ".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
        lines.append("")
    return "\n".join(lines) + "\n"


def columns_of(dataset: Path) -> tuple[dict, dict]:
    """Columns of the particles and of the optics table of a dataset, as texts."""
    blocks = read_star(dataset / "particles.star")
    return tuple(  # type: ignore[return-value]
        {name: [str(v) for v in blocks[block][name]] for name in blocks[block]}
        for block in ("particles", "optics")
    )


def relion_30(dataset: Path) -> dict:
    """Columns of a RELION 3.0 file of a dataset: no optics table, origins in pixels."""
    particles, optics = columns_of(dataset)
    n = len(particles["rlnImageName"])
    size = float(optics["rlnImagePixelSize"][0])
    for old, new in (("rlnOriginXAngst", "rlnOriginX"), ("rlnOriginYAngst", "rlnOriginY")):
        particles[new] = [float(value) / size for value in particles.pop(old)]
    particles.pop("rlnOpticsGroup")
    for column in ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast"):
        particles[column] = [optics[column][0]] * n
    particles["rlnDetectorPixelSize"] = ["5.0"] * n  # µm
    particles["rlnMagnification"] = [5e4 / size] * n
    return particles


def cryosparc(dataset: Path, path: str = "J1/stack.mrcs", sign: int = 1) -> np.ndarray:
    """A cryoSPARC table of a dataset; its rotation vector is that of Z(rot) Y(tilt) Z(psi)."""
    table = read_star(dataset / "particles.star")
    p, o = table["particles"], table["optics"]
    n, size = p.n_rows, float(o.floats("rlnImagePixelSize")[0])
    angles = np.stack([p.floats(c) for c in ANGLES], axis=1)
    box = int(o.floats("rlnImageSize")[0])
    vectors = Rotation.from_euler("ZYZ", angles, degrees=True).as_rotvec()
    shifts = np.stack([p.floats(c) for c in ORIGINS], axis=1) / (2 * size)
    columns = {
        "uid": (np.arange(n, dtype=np.uint64) * 7919 + 2**60, "u8", ()),
        "blob/path": (np.full(n, path.encode()), "S60", ()),
        "blob/idx": (np.arange(n), "u4", ()),
        "blob/shape": (np.full((n, 2), box), "u4", (2,)),
        "blob/psize_A": (np.full(n, size), "f4", ()),
        "blob/sign": (np.full(n, sign), "f4", ()),
        "alignments3D/pose": (vectors, "f4", (3,)),
        "alignments3D/shift": (shifts, "f4", (2,)),
        "alignments3D/psize_A": (np.full(n, 2 * size), "f4", ()),
        "ctf/accel_kv": (np.repeat(o.floats("rlnVoltage")[:1], n), "f4", ()),
        "ctf/cs_mm": (np.repeat(o.floats("rlnSphericalAberration")[:1], n), "f4", ()),
        "ctf/amp_contrast": (np.repeat(o.floats("rlnAmplitudeContrast")[:1], n), "f4", ()),
        "ctf/df1_A": (p.floats("rlnDefocusU"), "f4", ()),
        "ctf/df2_A": (p.floats("rlnDefocusV"), "f4", ()),
        "ctf/df_angle_rad": (np.radians(p.floats("rlnDefocusAngle")), "f4", ()),
        "ctf/phase_shift_rad": (np.radians(p.floats("rlnPhaseShift")), "f4", ()),
    }  # fmt: skip
    records = np.zeros(n, dtype=[(name, kind, shape) for name, (_, kind, shape) in columns.items()])
    for name, (values, _, _) in columns.items():
        records[name] = values
    return records


def save_cs(path: Path, records: np.ndarray, fields: tuple[str, ...] | None = None) -> Path:
    """A ``.cs`` file with all fields, or some."""
    if fields is not None:
        part = np.zeros(len(records), dtype=[(f, records.dtype[f]) for f in fields])
        for field in fields:
            part[field] = records[field]
        records = part
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.save(file, records)
    return path


def table(columns: dict) -> StarTable:
    """A table of texts."""
    return StarTable({name: [str(v) for v in values] for name, values in columns.items()})
