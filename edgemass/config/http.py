"""The device page and its HTTP endpoints."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

import msgspec

from edgemass.config.ranges import check_ranges

PORT = 8088
LOOPBACK = "127.0.0.1"
MIN_WIDTH, MAX_WIDTH = 160, 1920
_LISTEN = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^:\[\]/\s]+):)?(?P<port>\d{1,5})")
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,253}")


class Address(NamedTuple):
    """host: an IP address (without brackets) or a name."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Only this machine can reach it."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(listen: str) -> Address:
    """`8088`, `0.0.0.0:8088` or `[::1]:8088`; a port alone is of loopback, 0 = any that is free.

    Raises:
        ValueError: it is none of these.
    """
    match = _LISTEN.fullmatch(listen)
    if match is None or int(match["port"]) > 65535:
        raise ValueError(f"listen must be PORT, HOST:PORT or [IPV6]:PORT such as {LOOPBACK}:{PORT}, found {listen!r}")
    return Address((match["host"] or LOOPBACK).strip("[]"), int(match["port"]))


class HttpConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The device page and its HTTP endpoints.

    listen: PORT or HOST:PORT. Where others than this machine can reach it, a token is required.
    token_file: holds the token; None = none on loopback, else one that is made once in the state folder.
    hosts: names beside the device's own by which browsers may ask for it, as behind a proxy.
    fps, width, quality: of the live view: pictures a second, pixels at most, and of JPEG.
    viewers: how many live views there may be at a time, of all cameras together.
    """

    listen: str = f"{LOOPBACK}:{PORT}"
    token_file: str | None = None
    hosts: tuple[str, ...] = ()
    fps: float = 5.0
    width: int = 960
    quality: int = 75
    viewers: int = 8

    def __post_init__(self) -> None:
        address(self.listen)
        for name in self.hosts:
            if not _NAME.fullmatch(name):
                raise ValueError(f"http: hosts must be names without scheme, port or path, found {name!r}")
        check_ranges(
            "http",
            ("fps", self.fps, 0.1, 60.0),
            ("width", self.width, MIN_WIDTH, MAX_WIDTH),
            ("quality", self.quality, 1, 100),
            ("viewers", self.viewers, 0, 100),
        )
