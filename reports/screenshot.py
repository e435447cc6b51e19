"""Take a picture of a page's first screen, for a README or a slide.

    python -m reports.screenshot runs/quickstart/report.html docs/first_screen.png
    python -m reports.screenshot report.html phone.png --width 390 --height 844

Needs Chromium or Chrome on the path. Exit status: 0 written, 2 there is no page or no browser.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from reports.errors import ReportError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
DRAWN_MS = 8000
"""Milliseconds of the page's own clock after which its charts are drawn."""
WAIT_S = 180.0


def take_picture(page: str | Path, target: str | Path, *, width: int = 1440, height: int = 900) -> Path:
    """Write what a window of that many pixels shows of a page as a PNG, and return where.

    Raises:
        ReportError: if the page is not there, no browser is found, or it draws nothing.
    """
    source, out = Path(page), Path(target)
    if not source.is_file():
        raise ReportError(f"There is no page {source}: build it first with python -m reports.build.")
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise ReportError(f"No browser is on the path ({', '.join(BROWSERS)}): install Chromium.")
    with tempfile.TemporaryDirectory() as scratch:
        shot = Path(scratch) / "screen.png"
        command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={scratch}/profile"]
        command += [f"--virtual-time-budget={DRAWN_MS}", f"--window-size={width},{height}", f"--screenshot={shot}", source.resolve().as_uri()]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)
        except subprocess.TimeoutExpired:
            raise ReportError(f"{browser} has not drawn {source} within {WAIT_S:.0f} s: try again on a quieter machine.") from None
        if not shot.is_file():
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise ReportError(f"{browser} could not draw {source} ({last}).")
        try:
            out.write_bytes(shot.read_bytes())
        except OSError as error:
            raise ReportError(f"The picture cannot be written to {out} ({error.strerror}); name another file.") from error
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m reports.screenshot", description="Take a picture of a page's first screen.")
    parser.add_argument("page", help="the page, such as runs/quickstart/report.html")
    parser.add_argument("picture", help="the PNG file to write")
    parser.add_argument("--width", type=int, default=1440, help="of the window in pixels (default: %(default)s)")
    parser.add_argument("--height", type=int, default=900, help="of the window in pixels (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        written = take_picture(options.page, options.picture, width=options.width, height=options.height)
    except ReportError as error:
        print(f"reports: {error}", file=sys.stderr)
        return 2
    print(f"Wrote {written} ({written.stat().st_size / 1000:.0f} kB).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
