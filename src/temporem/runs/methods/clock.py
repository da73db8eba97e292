"""The clock: what counting frames gives, without a look at them."""

from __future__ import annotations

from torch import Tensor

from temporem.dvae.clock import clock_training, encode_clock
from temporem.dvae.encoded_frames import EncodedFrames
from temporem.dvae.settings import TrainingSettings
from temporem.frames.dataset import Dataset
from temporem.frames.frames import Frames
from temporem.runs.config import RunConfig
from temporem.runs.methods.network import Network


class Clock(Network):
    """The network of the static model, with latents that depend on the frame number alone.

    It starts and trains as the other networks do, so it tells what they can reach by counting.
    """

    sees_images = False

    def __init__(self) -> None:
        super().__init__("clock", "static", "a baseline that counts frames and sees no image")

    def uses_dynamics(self, config: RunConfig) -> bool:
        return True

    def encode(
        self, config: RunConfig, dataset: Dataset, frames: Frames, base: Tensor | None
    ) -> EncodedFrames:
        return encode_clock(frames, dataset.frame_numbers)

    def training(self, config: RunConfig) -> TrainingSettings:
        return clock_training(config.training)
