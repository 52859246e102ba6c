"""EM501: whether the broker that the user names takes us, and why not; EM502 asks the same of a configuration's."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgemass.config import device_id
from edgemass.doctor.finding import MEND_FIRST, Finding, Status, split_advice
from edgemass.doctor.machine import Machine
from edgemass.errors import EdgemassError

if TYPE_CHECKING:
    from edgemass.mqtt import MqttOptions

DEADLINE_S = 20.0
"""Looking up a name, connecting, TLS and CONNECT have shorter deadlines of their own."""
STAYS_S = 1.0  # a broker may accept, and then throw out whom it does not like
_POLL_S = 0.05
_FAREWELL_S = 2.0


def broker(machine: Machine) -> Sequence[Finding]:
    """Only where the user named one. Publishes nothing."""
    return [] if machine.mqtt is None else [connect(machine.mqtt)]


def connect(address: str) -> Finding:
    """Whether this broker takes us."""
    try:
        from edgemass import mqtt  # noqa: PLC0415 (without paho-mqtt this is a finding)

        options = mqtt.parse(address)
    except ModuleNotFoundError as error:
        return Finding(Status.FAIL, f"cannot be asked: {error}", MEND_FIRST)
    except EdgemassError as error:
        return _failed(str(error))
    # Under a name of its own: a broker throws out the older of two clients of one name, here a running edgemass.
    name = f"{options.client_id or f'edgemass-{device_id()}'}-doctor"
    return _connect(dataclasses.replace(options, client_id=name))


def _connect(options: MqttOptions) -> Finding:
    from edgemass.mqtt import MqttConnection  # noqa: PLC0415 (see above)

    connection = MqttConnection(options)
    connection.start()
    try:
        deadline_s = time.monotonic() + DEADLINE_S
        connected_s: float | None = None
        while time.monotonic() < deadline_s and connection.trouble is None:
            now_s = time.monotonic()
            if connection.connected and connected_s is None:
                connected_s = now_s
            if connected_s is not None and now_s - connected_s >= STAYS_S:
                break
            time.sleep(_POLL_S)
        if connection.trouble is not None:
            return _failed(connection.trouble)
        if not connection.connected:
            return _failed(
                f"no answer from {options.where} within {DEADLINE_S:.0f} s; check the address and the network"
            )
        kind = "TLS" if options.tls else "no encryption"
        who = f"as {options.user}" if options.user else "without a user name"
        return Finding(Status.OK, f"{options.where} takes us {who}: MQTT {connection.version}, {kind}")
    finally:
        connection.close(_FAREWELL_S)


def _failed(message: str) -> Finding:
    found, fix = split_advice(message)
    return Finding(Status.FAIL, found, fix or "check the broker and its log")
