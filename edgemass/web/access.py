"""Who may look: pure rules on hosts, origins, tokens and failed tries."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections import OrderedDict, deque
from collections.abc import Collection
from urllib.parse import urlsplit

MIN_TOKEN = 16  # characters; what is generated has 32
MOST_FAILURES = 10  # a page that was left open with an old cookie makes a few
WINDOW_S = 60.0
MAX_ADDRESSES = 1024
IPV6_NETWORK = 64  # bits that one household or attacker has to itself


def host_allowed(host: str, names: Collection[str]) -> bool:
    """Whether a browser may have been sent here by this Host header.

    A page of somebody else's whose name was pointed at this device (DNS rebinding) asks under that name; an IP address
    cannot be pointed elsewhere. names: those that the device goes by, in lower case.
    """
    name = host_name(host)
    if name is None:
        return False
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return name in names
    return True


def host_name(host: str) -> str | None:
    """The name or address in a Host header, without port and brackets; None where it cannot be read."""
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return None
    return name.rstrip(".").lower() if name and "@" not in host and "/" not in host else None


def same_origin(host: str, origin: str | None, fetch_site: str | None) -> bool:
    """Whether a request that changes something comes from the device's own page, or from no browser at all.

    origin, fetch_site: the headers Origin and Sec-Fetch-Site, None where there is none. A proxy may change the scheme.
    """
    if fetch_site is not None and fetch_site not in ("same-origin", "none"):
        return False
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


class Key:
    """A token, and the cookie that stands for it: it tells nobody the token, and dies with it."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self.cookie = hmac.new(self._token, b"edgemass page cookie 1", hashlib.sha256).hexdigest()

    def opens(self, token: str) -> bool:
        """Takes as long for every wrong one."""
        return hmac.compare_digest(self._token, token.encode())

    def opens_with_cookie(self, cookie: str) -> bool:
        return hmac.compare_digest(self.cookie.encode(), cookie.encode())


class Tries:
    """Failed tries by address: after MOST_FAILURES within WINDOW_S it has to wait. Bounded; the oldest go first."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, deque[int]] = OrderedDict()

    def wait_s(self, address: str, now_ns: int) -> float:
        """How long this address has to wait before its next try; 0 = not at all."""
        failures = self._failures.get(_network(address))
        if failures is None or len(failures) < MOST_FAILURES:
            return 0.0
        return max(0.0, WINDOW_S - (now_ns - failures[0]) / 1e9)

    def failed(self, address: str, now_ns: int) -> None:
        network = _network(address)
        self._failures.setdefault(network, deque(maxlen=MOST_FAILURES)).append(now_ns)
        self._failures.move_to_end(network)
        while len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)


def _network(address: str) -> str:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, IPV6_NETWORK), strict=False))
    return str(found)
