"""What this machine has and lacks for edgemass: every check has a stable code, says what it found, and how to fix it.

A check is a function `(Machine) -> Sequence[Finding]` and a row in CHECKS. A check that fails or hangs is a finding
too: none can take the others with it. Native code (runtimes, drivers) is only ever called in a child process.
"""

from edgemass.doctor.checks import CHECKS, Check
from edgemass.doctor.finding import Finding, Report, Status, Verdict
from edgemass.doctor.machine import Machine
from edgemass.doctor.runner import examine, report

__all__ = ["CHECKS", "Check", "Finding", "Machine", "Report", "Status", "Verdict", "examine", "report"]
