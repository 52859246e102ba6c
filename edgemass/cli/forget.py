"""`edgemass forget`: take off a broker what a device that is gone for good left there."""

from __future__ import annotations

import argparse
import threading
from typing import TYPE_CHECKING

from edgemass.errors import EdgemassError, UsageError

if TYPE_CHECKING:
    from edgemass.mqtt import Message, MqttConnection

EPILOG = """\
A device that was taken down, or died, stays on the broker: its last states, pictures, health and accounts are retained
there, and Home Assistant shows its entities as unavailable. This empties all of it. A device that still runs is left
alone, since it would say everything anew.

example: edgemass forget pi-7f3a mqtt://admin@broker
"""
CONNECT_S = 15.0
LOOK_S = 2.0
"""For what is retained to come."""
SWEEP_S = 60.0


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser("forget", help="take off a broker what a device that is gone left there", epilog=EPILOG)
    parser.add_argument("device", metavar="DEVICE", help="name of the device, as in its topics")
    parser.add_argument("broker", metavar="URL", help="mqtt://[user@]host[:port] or mqtts://...")
    parser.add_argument(
        "--prefix", default="homeassistant", metavar="P", help="of Home Assistant's discovery (default: %(default)s)"
    )
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    import uuid

    from edgemass.agent import discovery
    from edgemass.mqtt import MqttConnection, parse
    from edgemass.sinks.mqtt import PREFIX, topic_level

    if not options.broker.startswith(("mqtt://", "mqtts://")):
        raise UsageError(f"cannot read the broker {options.broker!r}; wanted mqtt://[user@]host[:port] or mqtts://...")
    address = parse(options.broker)
    base = f"{PREFIX}/{topic_level(options.device)}"
    connection = MqttConnection(address.with_client_id(f"edgemass-forget-{uuid.uuid4().hex[:12]}"))
    forgetting = Forgetting(connection, base, discovery.topic(options.prefix, options.device))
    connection.start()
    try:
        emptied = forgetting.run()
    finally:
        connection.close(LOOK_S)
    if not emptied:
        print(f"nothing lies under {base} at {address.where}")
        return 0
    print(f"{emptied} topics of {options.device} are emptied at {address.where}")
    return 0


class Forgetting:
    """Of one device on one broker.

    connection: not started yet, so that no connect is missed. base: of its topics. shown: where Home Assistant looks.
    """

    def __init__(self, connection: MqttConnection, base: str, shown: str) -> None:
        self._connection = connection
        self._base = base
        self._availability = f"{base}/availability"
        self._shown = shown
        self._lives = False
        self._connected = threading.Event()
        self._over = threading.Event()
        self._found, self._failure = 0, ""
        connection.on_connected(self._connected.set)
        connection.subscribe(self._availability, self._look)

    def run(self) -> int:
        """How many topics were emptied.

        Raises:
            EdgemassError: the broker is not reached, does not let us, or the device lives.
        """
        from edgemass.mqtt import Sweep

        connection = self._connection
        if not self._connected.wait(CONNECT_S):
            raise EdgemassError(f"cannot reach the broker: {connection.trouble or f'no answer in {CONNECT_S:.0f} s'}")
        self._over.wait(LOOK_S)
        if self._lives:
            raise EdgemassError(f"{self._base} is online: stop the device first, it would say everything anew")
        filters, marker = [self._shown, f"{self._base}/#"], f"{self._base}/forget"
        sweep = Sweep(connection, filters, marker=marker, last=self._availability, over=self._swept)
        connection.on_connected(sweep.begin)
        sweep.begin()
        if not self._over.wait(SWEEP_S):
            raise EdgemassError(
                f"the broker does not let us read {self._base}/#, or empty it, within {SWEEP_S:.0f} s; "
                "log in as one who may read and write it"
            )
        if self._failure:
            raise EdgemassError(f"not everything is emptied: {self._failure}")
        return self._found

    # In the connection's thread

    def _look(self, message: Message) -> None:
        if message.payload == b"online":
            self._lives = True
            self._over.set()

    def _swept(self, found: int, failure: str) -> None:
        self._found, self._failure = found, failure
        self._over.set()
