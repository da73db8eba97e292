"""How much every case does."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Scale:
    """Amounts of work.

    Attributes:
        simulation: preset and settings of the dataset.
        simulated: movies of the two simulations whose difference gives the rate.
        schedule_epochs: of a run with the default schedule.
        full_epochs: of a run at full resolution; the first is not counted.
        peer_epochs: of cryoDRGN; the first is not counted.
        decoded: volumes of the two commands whose difference gives the rate.
        every: evaluate every so manieth frame, fewer and more.
        target_epochs: of cryoDRGN's training whose quality is to be reached.
        tempor_epochs: of the runs of ``tempor`` that are to reach it.
        growth: box and frames of the datasets on which steps are timed.
        linear_growth: of those on which the linear model is.
        steps: optimiser steps that are timed; as many again, at most ten, come before.
        matrix: edge of the large matrices.
        copy_mebibytes: of the array that is copied.
    """

    simulation: tuple[str, ...]
    simulated: tuple[int, int]
    schedule_epochs: int
    full_epochs: int
    peer_epochs: int
    decoded: tuple[int, int]
    every: tuple[int, int]
    target_epochs: int
    tempor_epochs: tuple[int, ...]
    growth: tuple[tuple[int, int], ...]
    linear_growth: tuple[tuple[int, int], ...]
    steps: int
    matrix: int
    copy_mebibytes: int


STANDARD = Scale(
    simulation=("7bcq",),
    simulated=(20, 100),
    schedule_epochs=32,
    full_epochs=4,
    peer_epochs=3,
    decoded=(4, 44),
    every=(10, 5),
    target_epochs=40,
    tempor_epochs=(4, 8, 16, 23),
    growth=((64, 1_000), (128, 1_000), (256, 1_000), (64, 10_000)),
    linear_growth=((64, 1_000), (128, 1_000), (64, 10_000)),
    steps=20,
    matrix=4096,
    copy_mebibytes=512,
)

FULL = replace(STANDARD, growth=(*STANDARD.growth, (64, 100_000)))

QUICK = Scale(
    simulation=("toy", "--set", "movies=20"),
    simulated=(5, 20),
    schedule_epochs=3,
    full_epochs=2,
    peer_epochs=2,
    decoded=(2, 42),
    every=(10, 5),
    target_epochs=2,
    tempor_epochs=(2,),
    growth=((32, 100), (64, 100)),
    linear_growth=((32, 100),),
    steps=5,
    matrix=1024,
    copy_mebibytes=64,
)
