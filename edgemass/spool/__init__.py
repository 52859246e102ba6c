"""The bounded queue of events between this device and one broker, and the account of where every event went."""

from edgemass.spool.spool import Spool
from edgemass.spool.topics import Topics

__all__ = ["Spool", "Topics"]
