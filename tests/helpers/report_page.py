"""A page that is opened from a file, in the browser of the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from helpers.pages import complaints_of


class FilePage:
    """One tab, with what it said and what was saved from it.

    Attributes:
        messages: what the page complained of since it was opened.
    """

    def __init__(self, browser: Any) -> None:
        self._context = browser.new_context(accept_downloads=True)
        self._page = self._context.new_page()
        self.messages = complaints_of(self._page)
        self._saved: dict[str, Any] = {}
        self._page.on("download", lambda file: self._saved.update({file.suggested_filename: file}))

    def open(self, path: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Open a file in a window of a size."""
        self._page.set_viewport_size({"width": width, "height": height})
        self._page.emulate_media(color_scheme="dark" if dark else "light", media="screen")
        self._page.goto(path.as_uri())
        self.messages.clear()
        self._saved.clear()

    def print_style(self) -> None:
        """Show the page as it is printed."""
        self._page.emulate_media(media="print")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        return self._page.evaluate(expression)

    def wait_for(self, condition: str) -> None:
        """Wait until a condition holds in the page."""
        for _ in range(200):
            if self.evaluate(condition):
                return
            self._page.wait_for_timeout(50)
        raise AssertionError(f"never: {condition}")

    def screenshot(self) -> bytes:
        """What is in the window, as PNG."""
        picture: bytes = self._page.screenshot()
        return picture

    def downloaded(self, name: str) -> str:
        """Text of a file that the page saved."""
        for _ in range(200):
            if name in self._saved:
                return Path(self._saved[name].path()).read_text(encoding="utf-8")
            self._page.wait_for_timeout(50)
        raise AssertionError(f"{name} was not saved; there is {sorted(self._saved)}")

    def close(self) -> None:
        """Close the tab."""
        self._context.close()
