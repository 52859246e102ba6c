"""What went wrong with a broker, in words that say what to do, and how long to wait before trying again."""

from __future__ import annotations

import errno
import random
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from edgemass.errors import ConfigError
from edgemass.mqtt.options import MqttOptions

NEAR_CAP_S = 8.0
"""Longest pause in the first ten minutes of trouble: a broker that is back is reached within 10 s."""
FAR_CAP_S = 60.0
"""Longest pause after that: ten thousand devices must not hammer a broker that is gone."""
FAR_AFTER_S = 600.0
SLOW_S = 30.0
"""Shortest pause after a session was taken over: two clients of one id throw each other out in turns."""


@dataclass(frozen=True)
class Trouble:
    """kind: troubles of one kind are one for the log. slow: wait at least SLOW_S before trying again."""

    kind: str
    text: str
    slow: bool = False


def pause_s(failures: int, lasting_s: float, *, slow: bool, draw: Callable[[], float] = random.random) -> float:
    """How long to wait after `failures` attempts in a row that failed, in trouble for `lasting_s`.

    Full jitter, which "Exponential Backoff And Jitter" of the AWS Architecture Blog (2015) found best: anything up to
    1, 2, 4, ... s. After a taken-over session 30 to 60 s.
    """
    if slow:
        return SLOW_S + draw() * SLOW_S
    cap = NEAR_CAP_S if lasting_s < FAR_AFTER_S else FAR_CAP_S
    return draw() * min(cap, 2.0 ** min(failures - 1, 10))


# Reason codes of MQTT 5 (2.4); paho turns the return codes of 3.1.1 into the same ones.
UNSUPPORTED_VERSION = 0x84
NOT_AUTHORIZED = 0x87
TAKEN_OVER = 0x8E
TAKEN_OVER_KIND = "taken_over"
PACKET_TOO_LARGE = 0x95
_LACKING = {
    0x9A: ("keeps no messages", "allow retained ones there (mosquitto: retain_available true)"),
    0x9B: ("takes QoS 0 only", "allow QoS 1 there (mosquitto: max_qos 1 or 2)"),
}
"""What we cannot do without: states are retained, and only what a broker acknowledges is delivered."""
NO_MESSAGES_FAULT = frozenset({0x89, 0x8B, 0x8D, TAKEN_OVER, 0x98, 0x9C, 0x9D, 0xA0})
"""Busy, shutting down, too long silent, taken over, by its operator, moved, connected for long enough: a broker that
ends a connection for these does so whatever was sent.
"""
_CREDENTIALS = (0x86, NOT_AUTHORIZED, 0x8C)


def refused(code: int, name: str, options: MqttOptions) -> Trouble:  # noqa: PLR0911 (one for each cause)
    """A CONNACK with a refusal."""
    said = f"({name}, 0x{code:02X})"
    if code in _CREDENTIALS:
        return Trouble("credentials", f"{_broker(options)} refuses {_who(options)} {said}; {_login_hint(options)}")
    if code == UNSUPPORTED_VERSION:
        asked = f"MQTT {options.version}" if options.version else "MQTT 5 and 3.1.1"
        hint = "leave out version=" if options.version else "use a broker that speaks one of them"
        return Trouble("version", f"{_broker(options)} does not speak {asked}; {hint}")
    if code == 0x85:
        return Trouble(
            "client_id",
            f"{_broker(options)} refuses the client id {options.client_id!r} {said}; give another with client_id=",
        )
    if code == PACKET_TOO_LARGE:
        return Trouble("too_large", f"{_broker(options)} finds our CONNECT too large {said}; use a shorter client_id")
    if code == 0x8A:
        return Trouble("banned", f"{_broker(options)} has banned this client {said}; ask its operator")
    if code in _LACKING:
        return _lacking(code, said, options)
    return Trouble("network", f"{_broker(options)} refuses connections now {said}")


def dismissed(code: int, name: str, options: MqttOptions) -> Trouble:
    """A DISCONNECT from the broker."""
    said = f"({name}, 0x{code:02X})"
    if code == TAKEN_OVER:
        return Trouble(
            TAKEN_OVER_KIND,
            f"another client uses the same client id {options.client_id!r} at {options.where} {said}; "
            "give each device its own name, or client_id=",
            slow=True,
        )
    if code == PACKET_TOO_LARGE:
        return Trouble("too_large", f"{_broker(options)} finds a message too large {said}; it is not sent again")
    if code in _CREDENTIALS:
        return Trouble("credentials", f"{_broker(options)} has withdrawn access {said}; {_login_hint(options)}")
    if code in _LACKING:
        return _lacking(code, said, options)
    return Trouble("network", f"{_broker(options)} ended the connection {said}")


def lost(detail: str, options: MqttOptions, *, answered: bool) -> Trouble:
    """A connection that broke.

    detail: what the socket said, "" for a plain end. answered: there had been a CONNACK.
    """
    upper = detail.upper()
    if "ALERT" in upper or "CERTIFICATE" in upper:
        return _alert(detail, options)
    if answered:
        return Trouble("network", f"lost the connection to {_broker(options)}{f': {detail}' if detail else ''}")
    hint = _certificate_hint(options) if options.tls else "is it an MQTT port, and one without TLS?"
    return Trouble("network", f"{_broker(options)} closes the connection without an answer to CONNECT; {hint}")


def garbled(options: MqttOptions) -> Trouble:
    """Bytes that are no MQTT."""
    hint = "" if options.tls else ", and if it is one with TLS write mqtts://"
    return Trouble("protocol", f"{options.where} does not speak MQTT; check the port{hint}")


def silent(options: MqttOptions, seconds: float) -> Trouble:
    return Trouble("network", f"{_broker(options)} gives no answer to CONNECT for {seconds:.0f} s")


def short_lived(options: MqttOptions) -> Trouble:
    """Not every broker says that a session was taken over, see `mqtt.rivalry`."""
    return Trouble(
        "short_lived",
        f"{_broker(options)} drops every connection soon after accepting it; perhaps another client uses the same "
        f"client id {options.client_id!r}: give each device its own name, or client_id=",
        slow=True,
    )


def failed(error: Exception, options: MqttOptions) -> Trouble:  # noqa: PLR0911 (one for each cause)
    """An exception from opening a connection."""
    if isinstance(error, ConfigError):
        return Trouble("files", str(error))
    if isinstance(error, ssl.SSLCertVerificationError):
        return _bad_certificate(error, options)
    if isinstance(error, ssl.SSLError):
        if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_EOF_WHILE_READING"):
            return _no_tls(options)
        return _alert(error.reason or str(error), options)
    if isinstance(error, socket.gaierror):
        return Trouble("network", f"cannot find the MQTT broker's host {options.host!r}; check its name and DNS")
    if isinstance(error, TimeoutError):
        return Trouble("network", f"no answer from {_broker(options)}; check the address and the network")
    if isinstance(error, ConnectionRefusedError):
        return Trouble("network", f"nothing listens at {options.where}; is the MQTT broker running?")
    if isinstance(error, OSError) and error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN):
        return Trouble("network", f"no way to {_broker(options)}: {error.strerror}; check the network")
    if isinstance(error, ConnectionResetError) and options.tls:
        return _no_tls(options)
    if isinstance(error, UnicodeError):
        return Trouble("address", f"{options.host!r} cannot be a host name; correct the MQTT address")
    return Trouble("network", f"cannot reach {_broker(options)}: {error}")


def _lacking(code: int, said: str, options: MqttOptions) -> Trouble:
    what, hint = _LACKING[code]
    return Trouble("lacking", f"{_broker(options)} {what} {said}; {hint}")


def _no_tls(options: MqttOptions) -> Trouble:
    return Trouble("tls", f"{options.where} does not answer with TLS; check the port, or write mqtt:// for one without")


def _bad_certificate(error: ssl.SSLCertVerificationError, options: MqttOptions) -> Trouble:
    said = error.verify_message.rstrip(".")
    # Numbers of X509_verify_cert_error_string(3).
    if error.verify_code in (9, 10):
        hint = "check this machine's clock, then the broker's certificate"
    elif error.verify_code in (2, 18, 19, 20, 21):
        hint = f"check that {options.ca} is the broker's CA" if options.ca else "give the broker's CA with ca=FILE"
    elif error.verify_code in (62, 64):
        hint = "connect to the name that stands in the certificate"
    else:
        hint = "renew the broker's certificate"
    return Trouble("tls", f"the certificate of {_broker(options)} cannot be trusted: {said}; {hint}")


def _alert(detail: str, options: MqttOptions) -> Trouble:
    """The broker's side of TLS refused us."""
    return Trouble("tls", f"{_broker(options)} breaks off TLS ({detail}); {_certificate_hint(options)}")


def _certificate_hint(options: MqttOptions) -> str:
    return "check cert= and key=" if options.cert else "it may want a client certificate: cert=FILE&key=FILE"


def _broker(options: MqttOptions) -> str:
    return f"the MQTT broker at {options.where}"


def _who(options: MqttOptions) -> str:
    return f"user {options.user!r}" if options.user else "a client without user name"


def _login_hint(options: MqttOptions) -> str:
    if options.user is None:
        return "give one: mqtt://USER@HOST?password_file=FILE"
    return f"check the password in {options.password_file}" if options.password_file else "check user and password"
