"""What a metric is, and how it takes its samples from a health document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, NamedTuple, TypeVar

from edgemass.messages.health import CameraHealth, HealthMessage, OutputHealth, Percentiles, QueueHealth

T = TypeVar("T")
Kind = Literal["gauge", "counter", "summary", "histogram"]


class Sample(NamedTuple):
    """suffix: of the metric's name, as `_bucket`."""

    labels: Mapping[str, str]
    value: float
    suffix: str = ""


Samples = Callable[[HealthMessage], Iterable[Sample]]


class Metric(NamedTuple):
    """samples: of a document; none where the device has no such thing."""

    name: str
    kind: Kind
    help: str
    samples: Samples


def of(part: Callable[[HealthMessage], T | None], value: Callable[[T], float | None]) -> Samples:
    """A value of a part that may not be there."""

    def samples(message: HealthMessage) -> Iterator[Sample]:
        found = part(message)
        number = value(found) if found is not None else None
        if number is not None:
            yield Sample({}, number)

    return samples


def device(value: Callable[[HealthMessage], float | None]) -> Samples:
    return of(lambda message: message, value)


def info(labels: Callable[[HealthMessage], Mapping[str, str]]) -> Samples:
    """Always 1: what counts are its labels."""
    return lambda message: [Sample(labels(message), 1)]


def each(label: str, rows: Callable[[HealthMessage], Mapping[str, T]], value: Callable[[T], float | None]) -> Samples:
    """A value of every camera, output, ... by its name."""

    def samples(message: HealthMessage) -> Iterator[Sample]:
        for name, row in rows(message).items():
            number = value(row)
            if number is not None:
                yield Sample({label: name}, number)

    return samples


def camera(value: Callable[[CameraHealth], float | None]) -> Samples:
    return each("camera", lambda message: message.cameras, value)


def output(value: Callable[[OutputHealth], float | None]) -> Samples:
    return each("output", lambda message: message.outputs, value)


def queue(value: Callable[[QueueHealth], float | None]) -> Samples:
    return each("output", lambda message: message.queues, value)


def by(
    label: str, rows: Callable[[HealthMessage], Mapping[str, T]], word: str, counts: Callable[[T], Mapping[str, int]]
) -> Samples:
    """Several counts of every camera, output, ..., each with a word of its own."""

    def samples(message: HealthMessage) -> Iterator[Sample]:
        for name, row in rows(message).items():
            for key, count in counts(row).items():
                yield Sample({label: name, word: key}, count)

    return samples


def one_of(words: Iterable[str], label: str, found: Callable[[CameraHealth], str | None]) -> Samples:
    """1 for the word that holds, 0 for the others."""

    def samples(message: HealthMessage) -> Iterator[Sample]:
        for name, camera in message.cameras.items():
            word = found(camera)
            for row in words if word is not None else ():
                yield Sample({"camera": name, label: row}, word == row)

    return samples


def quantiles(
    label: str, rows: Callable[[HealthMessage], Mapping[str, T]], found: Callable[[T], Percentiles | None]
) -> Samples:
    def samples(message: HealthMessage) -> Iterator[Sample]:
        for name, row in rows(message).items():
            told = found(row)
            if told is not None:
                for quantile, ms in (("0.5", told.p50), ("0.95", told.p95), ("0.99", told.p99)):
                    yield Sample({label: name, "quantile": quantile}, ms / 1000)

    return samples


def named(label: str, values: Callable[[HealthMessage], Mapping[str, float]]) -> Samples:
    return each(label, values, lambda value: value)
