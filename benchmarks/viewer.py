"""Frames a second and memory of the page of ``temporem view``, drawn on the processor.

    python -m benchmarks.viewer --box 64 --seconds 120

It simulates one movie, plays it in Chromium with software rendering as fast as the page can, and
prints pictures a second, processor time of a picture, and memory at the begin and the end. The
machine's load tells how far the first number may be trusted.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from temporem.simulation.presets import load_simulation_config
from temporem.simulation.simulate import simulate
from temporem.viewing.gallery import Gallery
from temporem.viewing.server import ViewServer, open_socket
from temporem.viewing.sources import open_sources

SOFTWARE_GL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
WINDOW = {"width": 1280, "height": 900}
FRAMES = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--box", type=int, default=64, help="edge of the volumes, voxels")
    parser.add_argument("--seconds", type=float, default=60, help="time to play")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        movies = Path(folder) / "movies"
        config = load_simulation_config("toy-free")
        size = config.box * config.pixel_size_angstrom / given.box
        changes = {
            "box": given.box,
            "pixel_size_angstrom": size,
            "movies": 2,
            "frames_per_movie": FRAMES,
        }
        simulate(type(config).model_validate({**config.model_dump(), **changes}), movies)
        gallery = Gallery(open_sources([movies]))
        gallery.measure()
        _measure_meshes(gallery)
        with open_socket() as listening:
            server = ViewServer(gallery, listening)
            thread = threading.Thread(target=server.run, daemon=True)
            thread.start()
            _play(server.address, given.seconds)
            server.stop()
            thread.join()


def _measure_meshes(gallery: Gallery) -> None:
    panel = gallery.panels[0]
    panel.amplitude(0)
    started, used = time.perf_counter(), time.thread_time()
    sizes = [len(panel.mesh(0, i, panel.levels.start)) for i in range(panel.length(0))]
    n = len(sizes)
    print(
        f"mesh: {sum(sizes) / n / 2**10:.0f} KiB, {1e3 * (time.thread_time() - used) / n:.0f} ms "
        f"of processor time, {1e3 * (time.perf_counter() - started) / n:.0f} ms in all"
    )


def _play(address: str, seconds: float) -> None:
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        options: dict[str, Any] = {"executable_path": program, "args": [*SOFTWARE_GL]}
        options["args"].append("--no-sandbox")
        browser = playwright.chromium.launch(**options)
        page = browser.new_page(viewport=WINDOW)
        page.goto(address)
        while not page.evaluate("document.body.dataset.ready === 'true'"):
            page.wait_for_timeout(100)
        while not page.evaluate("temporem.player.get('.ready').hidden"):
            page.wait_for_timeout(100)
        page.evaluate(
            "() => { const {player} = temporem; player.speed = 60 * player.clock.interval; "
            "player.play(); }"
        )
        page.wait_for_timeout(2000)
        first, begin = _state(page), time.perf_counter()
        page.wait_for_timeout(1000 * seconds)
        last, end = _state(page), time.perf_counter()
        n = last["drawn"] - first["drawn"]
        print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load", end="")
        print(f" {os.getloadavg()[0]:.1f}; canvas {last['canvas']}")
        print(f"{n / (end - begin):.1f} pictures a second, quality {last['quality']}")
        print(f"{1e3 * (last['cpu'] - first['cpu']) / max(n, 1):.1f} ms of processor time each")
        for name in ("heap", "rss", "geometries"):
            print(f"{name}: {first[name]} at the begin, {last[name]} after {seconds:.0f} s")
        browser.close()


def _state(page: Any) -> dict[str, Any]:
    """Counters of the page, and processor time and memory of all processes of the browser."""
    found: dict[str, Any] = page.evaluate(
        """() => {
            const {stage} = temporem.player;
            return {
              drawn: stage.drawn,
              canvas: `${stage.canvas.width} × ${stage.canvas.height}`,
              quality: stage.quality.toFixed(2),
              geometries: stage.renderer.info.memory.geometries,
              heap: `${Math.round(performance.memory.usedJSHeapSize / 2 ** 20)} MiB`,
            };
        }"""
    )
    cpu, rss = 0.0, 0
    for fields in _browser_processes():
        cpu += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        rss += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    return found | {"cpu": cpu, "rss": f"{rss / 2**20:.0f} MiB"}


def _browser_processes() -> list[list[str]]:
    """Fields of /proc/PID/stat behind the name, of the browser that this process started."""
    known: dict[str, list[str]] = {}
    drawing = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            known[folder.name] = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            if b"swiftshader" in (folder / "cmdline").read_bytes():
                drawing.add(folder.name)
        except OSError:
            continue
    own = str(os.getpid())

    def is_mine(process: str) -> bool:
        while process in known and process != own:
            process = known[process][1]  # its parent
        return process == own

    return [known[process] for process in drawing if process in known and is_mine(process)]


if __name__ == "__main__":
    main()
