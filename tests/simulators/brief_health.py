"""`edgemass` that knows a camera's rates, and says how good its connection is, after one second instead of five.

Run as `python -m tests.simulators.brief_health run ...`.
"""

from __future__ import annotations

import sys

from edgemass import cli
from edgemass.agent import camera_health

SAMPLE_S = 1.0

if __name__ == "__main__":
    camera_health.SAMPLE_S = SAMPLE_S
    sys.exit(cli.main(sys.argv[1:]))
