"""Who decides what may run: a TUF repository of bundle digests, and orders signed by the fleet.

rules        what follows from metadata that is verified: no clock, disk or network
device       the device's side: refresh, and what was seen before, kept through power cuts
mirror       how metadata is fetched, from a folder or over HTTP
orders       the fleet's signed orders (DSSE)
repository   the other side: keys, signatures, versions
keys         private keys in files
"""

from __future__ import annotations

from edgemass.errors import ConfigError

try:
    import securesystemslib as _securesystemslib  # noqa: F401
    import tuf as _tuf  # noqa: F401
except ImportError as error:
    raise ConfigError("trust needs python-tuf: pip install 'edgemass[update]'") from error

from edgemass.registry.trust.device import Trust
from edgemass.registry.trust.rules import Release, check_release

__all__ = ["Release", "Trust", "check_release"]
