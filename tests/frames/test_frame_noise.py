"""Random numbers of frames, the same however many processes share them."""

import torch

from temporem.frames.frame_noise import FrameNoise


def test_noise_of_a_frame_does_not_depend_on_the_process() -> None:
    def noise(*part: object) -> list[torch.Tensor]:
        some = FrameNoise(torch.Generator().manual_seed(6), *part)
        n = 7 if not part else len(range(7)[part[1]])
        return [some.normal(n, 2), some.uniform(n), some.normal(n, 3)]

    parts = [noise(7, part) for part in (slice(0, 3), slice(3, 3), slice(3, 7))]
    for whole, *cut in zip(noise(), *parts, strict=True):
        assert torch.cat(cut).equal(whole)
