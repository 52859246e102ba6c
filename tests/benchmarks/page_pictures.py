"""Makes the pictures of docs/page.md: the daemon with the person detector on a drawn street, in a real Chromium.

python tests/benchmarks/page_pictures.py docs
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from pathlib import Path

from tests.benchmarks import _harness
from tests.simulators import browser
from tests.simulators.broker import wait_until
from tests.simulators.browser import Browser
from tests.simulators.daemon import Daemon

PICTURES = {  # name -> width, height, dark
    "page-light": (1280, 900, False),
    "page-dark": (1280, 900, True),
    "page-phone": (390, 1100, False),
    "page-phone-dark": (390, 1100, True),
}
CONFIG = """
device = "porch"
model = "edgemass-person"
tune = false
[cameras.street]
source = "demo:live"
[cameras.street.zones.road]
points = [[0.0, 0.7], [1.0, 0.7], [1.0, 1.0], [0.0, 1.0]]
[cameras.street.lines.kerb]
points = [[0.4, 0.3], [0.4, 0.98]]
[cameras.hall]
source = "synthetic:"
privacy = "counts-only"
integrity = false
max_fps = 5
"""
PATIENCE_S = 60.0
SHOWN = "document.querySelector('.view img')?.naturalWidth > 0 && document.querySelectorAll('.events img').length > 1"
SOMEBODY = "[...document.querySelectorAll('.chips li')].some((chip) => /^[1-9]\\d* person/.test(chip.textContent))"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the pictures go")
    folder = parser.parse_args().folder
    if browser.program() is None:
        _harness.skip("no Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        place = Path(temporary)
        config = place / "edgemass.toml"
        config.write_text(CONFIG)
        options = ("--config", str(config), "--http", "0", "--state", str(place), "--sink", "jsonl:/dev/null")
        with Daemon(place, *options) as daemon:
            wait_until(lambda: "the device page is at" in daemon.err, "the page", PATIENCE_S)
            found = re.search(r"the device page is at (http://\S+)/", daemon.err)
            assert found is not None
            for name, (width, height, dark) in PICTURES.items():
                with Browser(place / name, width=width, height=height, dark=dark) as chromium:
                    chromium.open(found[1])
                    chromium.wait_until(SHOWN)
                    time.sleep(5)  # two more looks: frames a second need them
                    chromium.wait_until(SOMEBODY)
                    target = folder / f"{name}.webp"
                    target.write_bytes(chromium.screenshot("webp", quality=80))
                    print(f"{target.name}: {target.stat().st_size} bytes, console {chromium.console}")


if __name__ == "__main__":
    main()
