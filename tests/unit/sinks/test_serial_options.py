from __future__ import annotations

from pathlib import Path

import pytest

from edgemass.errors import UsageError
from edgemass.sinks._serial_options import SerialOptions, parse


def test_an_address_alone_takes_what_is_usual() -> None:
    assert parse("serial:///dev/ttyUSB0") == SerialOptions(path=Path("/dev/ttyUSB0"))
    assert parse("serial:///dev/ttyUSB0").bytes_per_s == 11520


def test_every_option_is_read() -> None:
    assert parse(
        "serial:///dev/tty%23?baud=9600&parity=even&rtscts=true&detections=all&max_per_s=0.5&only=events,states&max_line=128"
    ) == SerialOptions(
        path=Path("/dev/tty#"),
        baud=9600,
        parity="even",
        rtscts=True,
        detections="all",
        max_per_s=0.5,
        only=("events", "states"),
        max_line=128,
    )


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("serial://dev/ttyUSB0", "three slashes"),
        ("serial:ttyUSB0", "three slashes"),
        ("serial:", "three slashes"),
        ("serial:///dev/ttyUSB0?bauds=9600", "did you mean baud"),
        ("serial:///dev/ttyUSB0?path=/dev/ttyS0", "has no option 'path'"),
        ("serial:///dev/ttyUSB0?baud=fast", "baud"),
        ("serial:///dev/ttyUSB0?baud=1", "baud"),
        ("serial:///dev/ttyUSB0?baud=", "baud"),
        ("serial:///dev/ttyUSB0?baud=9600&baud=19200", "given twice"),
        ("serial:///dev/ttyUSB0?parity=mark", "parity"),
        ("serial:///dev/ttyUSB0?only=event", "only= takes some of frames,events,counts,states, found 'event'"),
        ("serial:///dev/ttyUSB0?max_line=10", "max_line"),
        ("serial:///dev/ttyUSB0?max_per_s=-1", "max_per_s"),
        ("serial:///dev/ttyUSB0?max_per_s=nan", "max_per_s"),
        ("serial:///dev/tty#1", "%23"),
        ("serial:///etc", "is no serial port"),
        ("serial:///etc/passwd", "is no serial port"),
    ],
)
def test_a_mistake_is_named_with_what_would_do(address: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(address)
