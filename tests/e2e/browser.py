"""Finds a Chromium for the tests of the console's page, and makes small images of what it shows."""

import os
import platform
import shutil
import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from operations.shared.repository import ROOT

_OF_THE_SYSTEM = ("google-chrome", "google-chrome-stable", "chromium", "chromium-browser")
_OF_MACOS = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
_CACHE = ROOT / "node_modules" / ".cache"

# Without these, the browser asks servers of its maker.
_ARGUMENTS = ("--disable-background-networking", "--disable-component-update", "--no-first-run")


class NoBrowser(Exception):
    """There is no browser here. The text says what to install."""


@dataclass(frozen=True)
class Chromium:
    """A browser that Playwright can drive."""

    executable: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that it needs beside those of this process."""


def find_chromium() -> Chromium:
    """The browser that `CHROMIUM` names, or one of the system, or the packaged one.

    Raises `NoBrowser`.
    """
    if named := os.environ.get("CHROMIUM"):
        if not Path(named).is_file():
            raise NoBrowser(f"CHROMIUM must be the path of a Chrome or Chromium, is {named!r}")
        return Chromium(Path(named))
    for name in _OF_THE_SYSTEM:
        if found := shutil.which(name):
            return Chromium(Path(found))
    if _OF_MACOS.exists():
        return Chromium(_OF_MACOS)
    for folder in sorted(_CACHE.glob("chromium-*")):  # unpacked by `make setup`
        if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
            libraries = (str(folder / "lib"), os.environ.get("LD_LIBRARY_PATH", ""))
            environment = {
                "FONTCONFIG_FILE": str(folder / "fonts.conf"),
                "LD_LIBRARY_PATH": ":".join(filter(None, libraries)),
            }
            return Chromium(folder / "chromium", environment)
    raise NoBrowser(
        "The tests of the console's page need Chrome or Chromium: install one, or let CHROMIUM name"
        " it (on Linux x86-64, `make setup` brings one). WITHOUT_BROWSER=1 skips these tests."
    )


@contextmanager
def running_browser(chromium: Chromium) -> Iterator[Browser]:
    """Run a browser without a window until the end of the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.executable,
            args=_ARGUMENTS,
            # Where a machine has no other locale: the browser names one that `Intl` refuses.
            env={**os.environ, **chromium.environment, "LC_ALL": "C"},
        )
        try:
            yield browser
        finally:
            browser.close()


def with_palette(png: bytes) -> bytes:
    """A screenshot with its 256 most frequent colours, a third of the size."""
    width, height, pixels = _pixels(png)
    counted = Counter(pixels)
    palette = [colour for colour, _ in counted.most_common(256)]
    index = {
        colour: min(range(len(palette)), key=lambda at: _distance(palette[at], colour))
        for colour in counted
    }
    rows = (
        b"\0" + bytes(index[each] for each in pixels[row * width : (row + 1) * width])
        for row in range(height)
    )
    return b"".join(
        (
            png[:8],
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", b"".join(palette)),
            _chunk(b"IDAT", zlib.compress(b"".join(rows), 9)),
            _chunk(b"IEND", b""),
        )
    )


def _pixels(png: bytes) -> tuple[int, int, list[bytes]]:
    """Decode an image of 8 bits a channel, without transparency, as Chromium writes them."""
    at, data = 8, b""
    header = png[16:29]
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        data += png[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += length + 12
    width, height, depth, colour_type = struct.unpack(">IIBB", header[:10])
    size = {2: 3, 6: 4}[colour_type]  # RGB, RGBA
    if depth != 8:
        raise ValueError(f"8 bits a channel expected, found {depth}")
    raw, stride = zlib.decompress(data), width * size
    before, pixels = bytearray(stride), []
    for row in range(height):
        start = row * (stride + 1)
        line = _unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + stride]), before, size)
        pixels += [bytes(line[x : x + 3]) for x in range(0, stride, size)]
        before = line
    return width, height, pixels


def _unfiltered(kind: int, line: bytearray, above: bytearray, size: int) -> bytearray:
    """Undo the filter of one row (PNG specification, section 9)."""
    for at in range(len(line) if kind else 0):
        left = line[at - size] if at >= size else 0
        corner = above[at - size] if at >= size else 0
        guess = (
            left,
            above[at],
            (left + above[at]) // 2,
            _paeth(left, above[at], corner),
        )[kind - 1]
        line[at] = (line[at] + guess) & 255
    return line


def _paeth(left: int, above: int, corner: int) -> int:
    base = left + above - corner
    return min((left, above, corner), key=lambda value: abs(base - value))


def _distance(one: bytes, other: bytes) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
