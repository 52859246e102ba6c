"""`edgemass` that proves a new model in a second instead of ten: for tests of what comes before and after that.

What proving finds is shown by tests/integration/test_bad_models.py, with the whole effort.

Run as `python -m tests.simulators.brief_proving run ...`.
"""

from __future__ import annotations

import sys

from edgemass import cli
from edgemass.agent import proving
from edgemass.agent._proving_child import Effort

EFFORT = Effort(growth_runs=40, round_s=0.0)
"""No stream is run more than a hundred times."""

if __name__ == "__main__":
    proving.EFFORT = EFFORT
    sys.exit(cli.main(sys.argv[1:]))
