"""`edgemass` that changes a model in seconds instead of ten: for tests of what comes before and after that.

It looks for orders and takes samples ten times as often, takes pictures for a moment only, proves a new model in a
second, and soon asks a registry again that was away. What proving finds is shown by
tests/integration/test_bad_models.py, with the whole effort.

Run as `python -m tests.simulators.brief_proving run ...`.
"""

from __future__ import annotations

import sys

from edgemass import cli
from edgemass.agent import observing, proving, updating
from edgemass.agent._proving_child import Effort

EFFORT = Effort(growth_runs=40, round_s=0.0)
"""No stream is run more than a hundred times."""

LOOK_S = SAMPLE_S = 0.1
PICTURES_S = 0.4
RETRY_S = 0.5

if __name__ == "__main__":
    proving.EFFORT = EFFORT
    updating.LOOK_S, updating.RETRY_S = LOOK_S, RETRY_S
    observing.SAMPLE_S, observing.PICTURES_S = SAMPLE_S, PICTURES_S
    sys.exit(cli.main(sys.argv[1:]))
