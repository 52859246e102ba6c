"""What a child process says of cameras; apart from what finds it out, which needs NumPy and OpenCV."""

from __future__ import annotations

import msgspec


class Size(msgspec.Struct, frozen=True):
    """fps: the highest rate; 0 = the driver does not say. up_to: any size up to this one."""

    width: int
    height: int
    fps: float
    up_to: bool = False


class Format(msgspec.Struct, frozen=True):
    """fourcc: four characters as `fourcc` of a camera takes them, `MJPG`."""

    fourcc: str
    sizes: tuple[Size, ...]


class Unit(msgspec.Struct, frozen=True):
    """One node. name: its stable name. error: why it cannot be asked; forbidden: because this user may not."""

    node: str
    name: str
    card: str = ""
    captures: bool = False
    formats: tuple[Format, ...] = ()
    error: str = ""
    forbidden: bool = False


class Trial(msgspec.Struct, frozen=True):
    """frames: how many came. fps: by their own times; 0 where there was one. first_s: until the first of them.

    black: the brightest value of all frames is that of black video or less.
    """

    frames: int
    width: int = 0
    height: int = 0
    fps: float = 0.0
    first_s: float = 0.0
    black: bool = False
