"""Pages in a browser: waiting for them, and what is drawn on them."""

from __future__ import annotations

import io
import time
from typing import Any

import numpy as np
from PIL import Image


def complaints_of(page: Any) -> list[str]:
    """What a page says on its console and what fails, from now on.

    Drivers that draw on the processor tell how fast they are; that is no complaint.
    """
    found: list[str] = []

    def said(message: Any) -> None:
        if "GL Driver Message" not in message.text:
            found.append(f"{message.type}: {message.text}")

    page.on("console", said)
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("requestfailed", lambda request: found.append(f"failed: {request.url}"))
    return found


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
