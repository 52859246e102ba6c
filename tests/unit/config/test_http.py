from __future__ import annotations

import pytest

from edgemass.config.http import Address, HttpConfig, address


@pytest.mark.parametrize(
    ("listen", "wanted", "loopback"),
    [
        ("8088", Address("127.0.0.1", 8088), True),
        ("localhost:80", Address("localhost", 80), True),
        ("127.0.0.2:0", Address("127.0.0.2", 0), True),
        ("0.0.0.0:8088", Address("0.0.0.0", 8088), False),
        ("[::1]:8088", Address("::1", 8088), True),
        ("[::]:8088", Address("::", 8088), False),
        ("[::ffff:10.0.0.1]:8088", Address("::ffff:10.0.0.1", 8088), False),
        ("porch.local:8088", Address("porch.local", 8088), False),
    ],
)
def test_addresses_tell_whether_others_can_reach_them(listen: str, wanted: Address, loopback: bool) -> None:
    assert address(listen) == wanted
    assert wanted.loopback is loopback


@pytest.mark.parametrize(
    "listen", ["", "host", ":80", "65536", "host:99999", "::1:80", "http://x:1", "a b:80", "[x:80"]
)
def test_what_is_no_address_is_refused_with_what_would_do(listen: str) -> None:
    with pytest.raises(ValueError, match=r"wanted|such as 127\.0\.0\.1:8088"):
        address(listen)


@pytest.mark.parametrize(
    "table",
    [{"fps": 0.0}, {"fps": float("nan")}, {"width": 10}, {"quality": 0}, {"viewers": -1}, {"hosts": ("http://x/",)}],
)
def test_values_out_of_range_name_table_and_key(table: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"http: {next(iter(table))}"):
        HttpConfig(**table)  # type: ignore[arg-type]


def test_an_address_is_shown_as_browsers_take_it() -> None:
    assert str(Address("::1", 80)) == "[::1]:80"
    assert str(Address("127.0.0.1", 80)) == "127.0.0.1:80"
