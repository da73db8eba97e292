"""Poses from images alone: where they are found, and how a search shows it without the truth.

``python -m benchmarks.poses -o FOLDER`` takes about forty minutes on two free cores. Each dataset
holds 100 movies of 10 frames of the toy molecule, which stays still or turns as a whole. The search
is that of ``temporem reconstruct --method homogeneous --poses estimate``.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path
from typing import Any

import numpy as np

import temporem as tm
from temporem.physics.rotations import geodesic_degrees
from temporem.poses.ab_initio import LEAST_ALIKE
from temporem.poses.alignment import align_poses
from temporem.report.theme import FAINT, RUN_COLOURS, new_figure

STILL = {"motion.step_degrees": 0, "motion.start_degrees": (45, 45)}
TURNING = {"poses.kind": "diffusion", "poses.diffusion_degrees2_per_second": 125}  # 5° a frame
FINE = {"box": 64, "pixel_size_angstrom": 2}
CASES: dict[str, tuple[dict[str, Any], tuple[float, ...]]] = {
    "still, 32²": ({}, (0.03, 0.1, 0.3, 1)),
    "turning 5° a frame, 32²": (TURNING, (0.03, 0.1)),
    "still, 64²": (FINE, (0.03, 0.1)),
}
TOLERANCE_DEGREES = 20.0


def measure(case: str, snr: float, seed: int) -> dict[str, Any]:
    """Simulate, search, and compare with the truth."""
    changes = {**STILL, **CASES[case][0], "movies": 100, "snr": snr, "seed": seed}
    data, truth = tm.simulate_movies("toy", **changes)
    started = time.monotonic()
    found = tm.find_poses(data, motion=False, seed=seed)
    seconds = time.monotonic() - started
    change, _ = align_poses(found, truth.poses)
    aligned = found.transformed(change)
    angle = geodesic_degrees(aligned.rotations, truth.poses.rotations).numpy()
    shift = (aligned.shifts_angstrom - truth.poses.shifts_angstrom).norm(dim=-1).numpy()
    assert found.angle_sd_degrees is not None
    return {
        "case": case,
        "snr": snr,
        "seed": seed,
        "median_degrees": float(np.median(angle)),
        "quarter_degrees": float(np.quantile(angle, 0.25)),
        "three_quarters_degrees": float(np.quantile(angle, 0.75)),
        "within_10": float((angle < 10).mean()),
        "within_20": float((angle < TOLERANCE_DEGREES).mean()),
        "stated_degrees": float(found.angle_sd_degrees.median()),
        "shift_angstrom": float(np.median(shift)),
        "starts_alike": found.starts_alike,
        "starts": sum(record.get("stage") == "ab initio" for record in found.log),
        "diffusion": found.diffusion,
        "seconds": seconds,
    }


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Error of poses, and frames found, against the signal-to-noise ratio."""
    figure, axes = new_figure(1, 2, width=9.2, height=3.3)
    error, found = axes[0]
    for colour, case in zip(RUN_COLOURS, CASES, strict=False):
        own = [row for row in rows if row["case"] == case]
        levels = sorted({row["snr"] for row in own})
        for ax, name, scale in ((error, "median_degrees", 1), (found, "within_20", 100)):
            of = {snr: [scale * row[name] for row in own if row["snr"] == snr] for snr in levels}
            ax.plot(levels, [np.mean(of[snr]) for snr in levels], color=colour, label=case)
            for snr in levels:
                ax.plot([snr] * len(of[snr]), of[snr], "o", color=colour, markersize=4)
        alike = [np.mean([100 * r["starts_alike"] for r in own if r["snr"] == s]) for s in levels]
        found.plot(levels, alike, "--", color=colour, linewidth=1.2)
    error.set(yscale="log", ylabel="Pose error, median (°)", title="How far off poses are")
    error.set_yticks([1, 2, 5, 10, 20, 50, 120], ["1", "2", "5", "10", "20", "50", "120"])
    error.axhline(126, color=FAINT, linestyle=":")
    error.text(0.3, 105, "drawn at random", ha="left", va="top")
    found.set(ylim=(0, 104), ylabel="Frames (%)", title="Whether they were found")
    found.axhline(100 * LEAST_ALIKE, color=FAINT, linestyle=":")
    found.text(1, 48, "starts agree on fewer: a warning", ha="right", va="top")
    found.plot([], [], color=FAINT, label="within 20° of the truth")
    found.plot([], [], "--", color=FAINT, linewidth=1.2, label="found alike by two starts")
    ticks = sorted({row["snr"] for row in rows})
    for ax in (error, found):
        ax.set(xscale="log", xlabel="Signal-to-noise ratio")
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
    error.legend(frameon=False, loc="upper right", bbox_to_anchor=(1, 0.88))
    handles, labels = found.get_legend_handles_labels()
    found.legend(handles[-2:], labels[-2:], frameon=False, loc="lower right")
    figure.savefig(path, dpi=130)


def main() -> None:
    """Measure all, and write ``poses.csv`` and ``poses.png`` after each dataset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    given.output.mkdir(exist_ok=True, parents=True)
    rows = []
    for seed in given.seeds:
        for case in given.cases:
            for snr in CASES[case][1]:
                rows.append(measure(case, snr, seed))
                print(rows[-1], flush=True)
                with (given.output / "poses.csv").open("w", newline="") as file:
                    writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
                    writer.writeheader()
                    writer.writerows(rows)
    draw(rows, given.output / "poses.png")


if __name__ == "__main__":
    main()
