"""Which commands over MQTT are worth doing, and that each damaged one is refused with a reason."""

from __future__ import annotations

import pytest

from edgemass.sinks._mqtt_commands import MAX_BYTES, RefusedError, value_of

NOW_S = 1_795_342_502.0  # 2026-11-22T10:15:02Z


def value(payload: bytes) -> str:
    found, _ = value_of(payload, retained=False, now_s=NOW_S, synced=True)
    return found


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_a_command_that_is_nested_without_end_is_refused_like_any_damaged_one(opening: bytes) -> None:
    payload = b'{"a":' + opening * ((MAX_BYTES - 5) // len(opening))
    with pytest.raises(RefusedError, match="it is not"):
        value(payload)


@pytest.mark.parametrize(
    "expires",
    ["2026-11-22T10:15:03Z", "2026-11-22T10:15:02.1Z", "2026-11-22t10:15:02.123456789z", "2026-11-22T11:15:03+01:00"],
)
def test_every_way_to_write_a_time_that_rfc_3339_allows_is_read(expires: str) -> None:
    assert value(f'{{"value": "OFF", "expires": "{expires}"}}'.encode()) == "OFF"


@pytest.mark.parametrize(
    "expires", ['"2026-11-22T10:15:01.9Z"', '"2026-11-22T11:15:01+01:00"', "1795342501.5", "-1e308"]
)
def test_what_has_expired_is_refused(expires: str) -> None:
    with pytest.raises(RefusedError, match="expired"):
        value(f'{{"value": "OFF", "expires": {expires}}}'.encode())


@pytest.mark.parametrize("expires", ["tomorrow", "", "2026-11-22", "20261122T101502Z"])
def test_what_is_no_time_is_refused(expires: str) -> None:
    with pytest.raises(RefusedError, match="must be RFC 3339"):
        value(f'{{"value": "OFF", "expires": "{expires}"}}'.encode())
