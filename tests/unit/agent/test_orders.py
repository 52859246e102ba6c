"""Orders for a slot: where they come from, and which is new."""

from __future__ import annotations

import base64
import errno
import json
from pathlib import Path

import pytest

from edgemass.agent.orders import MAX_BYTES, Inbox, LocalFile, read
from edgemass.clock import SystemClock
from edgemass.messages import Desired, to_json

DESIRED = Desired(
    device="pi",
    slot="main",
    sequence=3,
    issued="2026-11-22T10:15:02.118Z",
    expires="2026-12-22T10:15:02.118Z",
    name="toy",
    digest=f"sha256:{'0' * 64}",
)
ENVELOPE = json.dumps(
    {"payload": base64.b64encode(to_json(DESIRED)).decode(), "payloadType": "application/vnd.edgemass.desired.v1+json"}
).encode()


def test_a_local_file_needs_no_signature_and_mqtt_always_an_envelope() -> None:
    assert read(to_json(DESIRED), local=True).origin == "local"
    with pytest.raises(ValueError, match="payload"):
        read(to_json(DESIRED), local=False)


def test_an_envelope_in_a_local_file_is_an_order_of_the_fleet() -> None:
    order = read(ENVELOPE, local=True)
    assert order.origin == "fleet"
    assert order.claimed == DESIRED


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"payload": "%%"}',
        b'{"payload": ""}',
        b"{" * 5000,
        to_json(DESIRED).replace(b'"sequence":3', b'"sequence":0'),
        to_json(DESIRED).replace(b"sha256:", b"sha1:"),
        b" " * (MAX_BYTES + 1),
    ],
)
@pytest.mark.parametrize("local", [True, False])
def test_what_orders_nothing_is_refused_with_a_reason(document: bytes, local: bool) -> None:
    with pytest.raises(ValueError, match=r"\w+"):
        read(document, local=local)


def test_the_newest_order_wins_and_the_same_one_again_is_none() -> None:
    inbox = Inbox(SystemClock())
    second = read(to_json(DESIRED).replace(b'"sequence":3', b'"sequence":4'), local=True)
    inbox.put(read(to_json(DESIRED), local=True))
    inbox.put(second)
    assert inbox.take() == second
    assert inbox.take() is None
    inbox.put(second)
    assert not inbox.filled.is_set()


def test_a_file_is_read_once_after_every_change(tmp_path: Path) -> None:
    file = LocalFile(tmp_path / "main.json")
    assert file.changed() is None
    file.path.write_bytes(b"one")
    assert file.changed() == b"one"
    assert file.changed() is None
    (tmp_path / "new").write_bytes(b"two")
    (tmp_path / "new").replace(file.path)
    assert file.changed() == b"two"
    file.path.unlink()
    assert file.changed() is None


def test_an_order_of_the_fleet_is_not_lost_beside_a_local_one() -> None:
    inbox = Inbox(SystemClock())
    fleet, local = read(ENVELOPE, local=False), read(to_json(DESIRED), local=True)
    inbox.put(fleet)
    inbox.put(local)
    assert inbox.filled.is_set()
    assert inbox.take() == fleet
    assert inbox.filled.is_set()
    assert inbox.take() == local
    assert not inbox.filled.is_set()


def test_a_change_that_could_not_be_read_is_read_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = LocalFile(tmp_path / "main.json")
    file.path.write_bytes(b"one")

    def fail(*_: object) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", fail)
        with pytest.raises(OSError, match="too many"):
            file.changed()
    assert file.changed() == b"one"
