"""Pages in a browser: waiting for them, and what is drawn on them."""

from __future__ import annotations

import io
import time
from typing import Any

import numpy as np
from PIL import Image


def until(page: Any, condition: str, seconds: float = 30.0) -> None:
    """Wait for a condition; the page's policy forbids the waiting of Playwright itself."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"not reached: {condition}"
        page.wait_for_timeout(20)


def picture(page: Any) -> np.ndarray:
    """Pixels of the surfaces, without the words on them."""
    shot = page.locator(".stage").screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)


def inked(pixels: np.ndarray) -> np.ndarray:
    """Pixels that are not ground."""
    return np.abs(pixels - pixels[5, -5]).max(-1) > 40
