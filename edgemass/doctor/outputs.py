"""EM502 to EM504: what a configuration sends to and listens at: brokers, serial ports, the device page's port."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence

from edgemass.config import http
from edgemass.doctor import configuration
from edgemass.doctor.broker import connect
from edgemass.doctor.finding import Finding, Status, split_advice
from edgemass.doctor.machine import Machine
from edgemass.errors import EdgemassError

IN_USE = "in use by the daemon"


def brokers(machine: Machine) -> Sequence[Finding]:
    """Every broker of the configuration, under a name of the doctor's own; publishes nothing."""
    config = configuration.loaded(machine)
    addresses = [uri for uri in config.sinks if uri.startswith(("mqtt:", "mqtts:"))] if config is not None else []
    return [connect(uri) for uri in addresses]


def serial_ports(machine: Machine) -> Sequence[Finding]:
    """Ports of the configuration. None is opened: that would reset an Arduino behind it."""
    config = configuration.loaded(machine)
    return [_serial_port(uri, machine) for uri in (config.sinks if config else ()) if uri.startswith("serial:")]


def _serial_port(uri: str, machine: Machine) -> Finding:
    from edgemass.sinks import _serial_options, _serial_port  # noqa: PLC0415 (without pyserial this is a finding)

    try:
        path = _serial_options.parse(uri).path
    except EdgemassError as error:
        return Finding(Status.FAIL, *split_advice(str(error)))
    if not path.exists():
        return Finding(Status.FAIL, f"{path} is not there", "plug it in; `ls /dev/serial/by-id` shows what is")
    if not os.access(path, os.R_OK | os.W_OK):
        return Finding(Status.FAIL, *split_advice(_serial_port.forbidden(path).text))
    programs = [] if machine.daemon else _serial_port.holders(path, machine.root / "proc")
    if programs:
        return Finding(Status.FAIL, f"{path} is in use: {', '.join(programs)}", "end it, or give another port")
    stable = _serial_port.stable_name(path)
    if stable is not None:
        return Finding(Status.NOTE, f"{path} may have another number after a restart", f"use serial://{stable}")
    return (
        Finding(Status.NOTE, f"{path} is {IN_USE}") if machine.daemon else Finding(Status.OK, f"{path} can be opened")
    )


def http_port(machine: Machine) -> Sequence[Finding]:
    """Only where the user named one, or the configuration has one: whether it is free. It is taken for an instant."""
    config = configuration.loaded(machine)
    listen = machine.http or (config.http.listen if config is not None and config.http is not None else None)
    if listen is None:
        return []
    try:
        host, port = http.address(listen)
    except ValueError as error:
        return [Finding(Status.FAIL, str(error), f"write it as in {http.LOOPBACK}:{http.PORT}")]
    try:
        family, kind, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
            listener.listen(1)
    except OSError as error:
        return [_not_free(error, f"{host}:{port}", machine)]
    return [Finding(Status.OK, f"{host}:{port} is free")]


def _not_free(error: OSError, where: str, machine: Machine) -> Finding:
    if isinstance(error, socket.gaierror):
        return Finding(Status.FAIL, f"{where}: there is no such host", "give an address of this machine")
    if error.errno == errno.EADDRINUSE:
        if machine.daemon:
            return Finding(Status.NOTE, f"{where} is {IN_USE}")
        return Finding(Status.FAIL, f"{where} is in use", "end the program that has it (`ss -tlnp`), or give another")
    if error.errno == errno.EADDRNOTAVAIL:
        return Finding(Status.FAIL, f"{where} is no address of this machine", "`ip address` lists them; or 0.0.0.0")
    if error.errno == errno.EACCES:
        return Finding(Status.FAIL, f"{where}: this user may not listen there", "take a port above 1023")
    return Finding(Status.FAIL, f"{where}: {error.strerror}", "give another")
