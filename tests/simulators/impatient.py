"""`edgemass` that hardly waits before it opens a camera again, so that a thousand times take a minute.

Run as `python -m tests.simulators.impatient run ...`.
"""

from __future__ import annotations

import sys

from edgemass import cli
from edgemass.pipeline import retry

PAUSE_S = 0.02

if __name__ == "__main__":
    retry.FIRST_S = retry.EARLY_CEILING_S = PAUSE_S
    sys.exit(cli.main(sys.argv[1:]))
