"""Which board this is, and what it can: one TOML a board under device-profiles/, recognised by what the kernel says."""

from edgemass.device_profile.board import Board
from edgemass.device_profile.profile import AUTO, Defaults, DeviceProfile, Thermal, load, names, profiles
from edgemass.device_profile.recognising import Recognition, choose, recognise

__all__ = [
    "AUTO",
    "Board",
    "Defaults",
    "DeviceProfile",
    "Recognition",
    "Thermal",
    "choose",
    "load",
    "names",
    "profiles",
    "recognise",
]
