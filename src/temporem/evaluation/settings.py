"""Settings of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from temporem.evaluation.masks import MaskSettings
from temporem.evaluation.resampling import BootstrapSettings
from temporem.physics.fsc import TRUTH_THRESHOLD

Align = Literal["all", "states"]
"""Frames that are aligned together if poses were found: all, or those of each true state."""


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings that determine the numbers; two runs are comparable only if these agree.

    Attributes:
        fsc_threshold: FSC at which resolution is read.
        low_pass_fraction: cut-off for PSNR and SSIM as a fraction of Nyquist.
        masks: how the masks are made from the truth.
        bootstrap: how confidence intervals are made.
        align: frames that are aligned together, where poses were found.
    """

    fsc_threshold: float = TRUTH_THRESHOLD
    low_pass_fraction: float = 0.75
    masks: MaskSettings = field(default_factory=MaskSettings)
    bootstrap: BootstrapSettings = field(default_factory=BootstrapSettings)
    align: Align = "all"

    def __post_init__(self) -> None:
        if not 0 < self.low_pass_fraction <= 1:
            raise ValueError(f"low_pass_fraction of {self.low_pass_fraction}; above 0, at most 1")
        if self.align not in get_args(Align):
            raise ValueError(f"align is {self.align!r}")
