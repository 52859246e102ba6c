from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemass.web.access import (
    MAX_ADDRESSES,
    MOST_FAILURES,
    WINDOW_S,
    Key,
    Tries,
    host_allowed,
    same_origin,
)
from tests.simulators.manual_clock import NS

NAMES = {"localhost", "porch", "porch.local"}


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8088",
        "LocalHost:8088",
        "porch.local.:8088",
        "192.168.1.7:8088",
        "127.0.0.1",
        "[::1]:8088",
        "[fe80::1%25eth0]:8088",
    ],
)
def test_the_devices_own_names_and_all_addresses_are_let_in(host: str) -> None:
    assert host_allowed(host, NAMES)


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "localhost.evil.example", "evil.example:8088", "localhost@evil", "porch.local/x", "[::1", "%"],
)
def test_a_name_that_was_pointed_at_the_device_is_not(host: str) -> None:
    assert not host_allowed(host, NAMES)


@given(st.text())
def test_no_host_header_breaks_the_rule(host: str) -> None:
    assert host_allowed(host, NAMES) in (True, False)


@pytest.mark.parametrize(
    ("origin", "fetch_site", "allowed"),
    [
        (None, None, True),  # curl
        ("http://pi:8088", None, True),
        ("https://pi:8088", "same-origin", True),  # behind a proxy with TLS
        ("http://evil.example", None, False),
        ("http://pi:9000", None, False),
        ("null", None, False),
        (None, "cross-site", False),
        (None, "same-site", False),
        ("http://pi:8088", "cross-site", False),
        ("http://[", None, False),
    ],
)
def test_commands_come_from_the_page_or_from_no_browser(
    origin: str | None, fetch_site: str | None, allowed: bool
) -> None:
    assert same_origin("pi:8088", origin, fetch_site) is allowed


def test_the_cookie_opens_and_does_not_tell_the_token() -> None:
    key, other = Key("a token of some length"), Key("another token of that")
    assert key.opens("a token of some length")
    assert key.opens_with_cookie(key.cookie)
    assert "token" not in key.cookie
    for wrong in ("", "a token of some lengtH", "é" * 30, key.cookie):
        assert not key.opens(wrong)
    assert not key.opens_with_cookie(other.cookie)
    assert not key.opens_with_cookie("a token of some length")


def test_an_address_that_fails_too_often_waits_and_others_do_not() -> None:
    tries = Tries()
    for _ in range(MOST_FAILURES):
        assert tries.wait_s("10.0.0.9", 0) == 0
        tries.failed("10.0.0.9", 0)
    assert tries.wait_s("10.0.0.9", 0) == WINDOW_S
    assert tries.wait_s("10.0.0.8", 0) == 0
    assert tries.wait_s("::ffff:10.0.0.9", 0) == WINDOW_S, "the same address by its other name"
    assert tries.wait_s("10.0.0.9", round(WINDOW_S * NS)) == 0


def test_a_whole_network_of_ipv6_counts_as_one_address() -> None:
    tries = Tries()
    for number in range(MOST_FAILURES):
        tries.failed(f"2001:db8::{number:x}", 0)
    assert tries.wait_s("2001:db8::ffff", 0) > 0
    assert tries.wait_s("2001:db8:0:1::1", 0) == 0


def test_memory_of_failures_is_bounded() -> None:
    tries = Tries()
    for number in range(3 * MAX_ADDRESSES):
        tries.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", number)
    assert len(tries._failures) == MAX_ADDRESSES
