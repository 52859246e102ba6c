"""What the verbs that train have in common: data, schedule, output, and how their options become a run."""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemass.cli.progress import Progress
from edgemass.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from edgemass_tools.training import runs
    from edgemass_tools.training.loop import Settings, Stop

SIDES = 2


def add_data(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--annotations", type=Path, action="append", default=[], metavar="JSON", help="COCO instances; may be repeated")
    add("--images", type=Path, action="append", default=[], metavar="DIR", help="the pictures of each --annotations")
    add("--labels", metavar="A,B", help="the classes to learn (default: all that have a box)")
    add("--val-annotations", type=Path, metavar="JSON", help="COCO instances to measure with; nothing is learnt from")
    add("--val-images", type=Path, metavar="DIR", help="the pictures of --val-annotations")
    add("--weight", action="append", default=[], metavar="SOURCE=W", help="draw pictures of a source W times as often")


def add_schedule(parser: argparse.ArgumentParser, *, epochs: int, lr: float, size: str | None = "320x320") -> None:
    """size: the default; None = that of a checkpoint or a net, which the verb fills in."""
    add = parser.add_argument
    add("--epochs", type=int, default=epochs, metavar="N", help=f"passes over the data (default: {epochs})")
    add("--lr", type=float, default=lr, metavar="R", help=f"highest learning rate (default: {lr:g})")
    add("--decay", type=float, default=0.02, metavar="D", help="of the weights, AdamW's (default: 0.02)")
    add("--augment", action="append", default=[], metavar="NAME=VALUE", help="how pictures are changed, such as flip=0")
    add("--loss", action="append", default=[], metavar="NAME=VALUE", help="of the loss, such as top=13, smoothing=0.2")
    add("--batch", type=int, default=32, metavar="N", help="pictures in a step (default: 32)")
    default = size or "that of the net or checkpoint"
    add("--size", default=size, metavar="WxH", help=f"pixels, for detectors multiples of 32 (default: {default})")
    add("--first-size", metavar="WxH", help="smaller pictures for the first epochs, which is faster")
    add("--first-epochs", type=int, default=0, metavar="N", help="how many epochs of --first-size")
    add("--plain-epochs", type=int, metavar="N", help="last epochs without mosaics (default: a sixth)")
    add("--per-epoch", type=int, default=0, metavar="N", help="pictures in an epoch (default: as many as there are)")
    add("--measure-every", type=int, default=5, metavar="N", help="epochs (default: 5)")
    add("--precision", choices=("fp32", "bf16"), help="of activations in training (default: bf16 where it is fast)")
    add("--seed", type=int, default=0, metavar="S", help="of all that is drawn (default: 0)")
    add("--workers", type=int, default=1, metavar="N", help="processes that prepare pictures (default: 1)")
    add("--threads", type=int, metavar="T", help="of PyTorch (default: all cores)")
    add("--until", type=int, metavar="N", help="end after epoch N of --epochs; go on with the same command")
    add(
        "--stop-after",
        type=float,
        metavar="MIN",
        help="end after the epoch that reaches this; go on with the same command",
    )


@dataclass(frozen=True)
class Prepared:
    """data, pictures: to learn from. settings: of the loop. described: settings for the card."""

    data: Any
    pictures: Any
    settings: Settings
    described: dict[str, Any]
    lines: tuple[str, ...]


def size(text: str, multiple: int = 32) -> tuple[int, int]:
    """`384x288` -> (384, 288).

    Raises:
        UsageError: not two multiples of that.
    """
    parts = text.lower().split("x")
    if len(parts) != SIDES or not all(part.isdigit() and int(part) and int(part) % multiple == 0 for part in parts):
        of = "pixels" if multiple == 1 else f"multiples of {multiple}"
        raise UsageError(f"a size is WxH in {of}, such as 384x288; found {text!r}")
    return int(parts[0]), int(parts[1])


def numbers(items: Sequence[str], what: str) -> dict[str, float]:
    """`name=1.5` pairs."""
    found = {}
    for item in items:
        name, _, value = item.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise UsageError(f"{what} wants NAME=NUMBER, found {item!r}") from None
    return found


def pairs(options: argparse.Namespace) -> list[tuple[Path, Path]]:
    """Annotations and their pictures.

    Raises:
        UsageError: one without the other.
    """
    if not options.annotations or len(options.annotations) != len(options.images):
        raise UsageError(
            f"give --images for each --annotations; found {len(options.annotations)} and {len(options.images)}"
        )
    return list(zip(options.annotations, options.images, strict=True))


def order(
    options: argparse.Namespace,
    verb: str,
    *,
    net: str,
    start: Path | None = None,
    annotated: bool = True,
    detects: bool = True,
) -> runs.Order:
    """What the options of `add_data` and `add_schedule` ask for.

    annotated: --annotations must be given. detects: it is a detector: sizes are multiples of 32.

    Raises:
        UsageError: options that do not go together, or numbers out of range.
    """
    from edgemass_tools.training import runs

    if options.epochs < 1 or options.batch < 1:
        raise UsageError("--epochs and --batch must be at least 1")
    if options.lr <= 0 or options.decay < 0:
        raise UsageError("--lr must be above 0, and --decay not below it")
    return runs.Order(
        verb=verb,
        net=net,
        net_options=runs.net_options(getattr(options, "option", [])),
        start=start,
        pairs=tuple(pairs(options)) if detects and (annotated or options.annotations) else (),
        labels=tuple(options.labels.split(",")) if options.labels else (),
        held=runs.held(options.val_annotations, options.val_images),
        weights=numbers(options.weight, "--weight"),
        size=size(options.size, 32 if detects else 1),
        first_size=size(options.first_size) if options.first_size else None,
        first_epochs=options.first_epochs,
        plain_epochs=options.epochs // 6 if options.plain_epochs is None else options.plain_epochs,
        batch=options.batch,
        per_epoch=options.per_epoch,
        workers=options.workers,
        soft=options.soft,
        settings=runs.Settings(
            epochs=options.epochs,
            lr=options.lr,
            decay=options.decay,
            measure_every=options.measure_every,
            precision=options.precision or precision(),
            seed=options.seed,
        ),
        output=options.output,
        stop=stop(options),
        augment=runs.net_options(options.augment, "--augment"),
        loss=runs.net_options(options.loss, "--loss"),
    )


def stop(options: argparse.Namespace) -> Stop:
    """When --stop-after or --until end a run."""
    from edgemass_tools.training.loop import Stop

    return Stop(None if options.stop_after is None else options.stop_after * 60, options.until)


def precision() -> str:
    """What this machine trains fastest in: bf16 where processor or GPU computes it, fp32 elsewhere.

    Measured on an AMX processor with two cores: 198 pictures a second of 288x224 in bf16, 109 in fp32.
    """
    import torch

    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("flags")[2].partition("\n")[0].split()
    except OSError:
        return "fp32"
    return "bf16" if {"amx_bf16", "avx512_bf16"}.intersection(flags) else "fp32"


def need_torch(threads: int | None) -> None:
    """Import PyTorch, the first time that somebody asks for training.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise ConfigError("this needs PyTorch: pip install 'edgemass-tools[train]'") from error
    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))


def need(module: str, package: str) -> None:
    """Look for a library that only some verbs need.

    Raises:
        ConfigError: it is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise ConfigError(f"this needs {package}: pip install 'edgemass-tools[train]'")


class Steps:
    """One line of progress after the other."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._now: Progress | None = None

    def __call__(self, what: str) -> Progress:
        self.end()
        self._now = Progress(f"{self._verb}, {what}")
        return self._now

    def end(self) -> None:
        if self._now is not None:
            self._now.end()


def figures(results: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.3f}" for name, value in results.items()) or "nothing was measured"
