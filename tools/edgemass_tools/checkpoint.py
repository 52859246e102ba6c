"""What a training run leaves: the weights, the net they belong to, and the record of how they came about.

One file, `*.pt`, written by PyTorch and read without running code from it (`weights_only`).
"""

from __future__ import annotations

import io
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgemass import durable
from edgemass.errors import UsageError

if TYPE_CHECKING:
    import torch

FORMAT = "edgemass.checkpoint/1"
_PACKAGES = ("edgemass", "torch", "numpy", "opencv-python-headless", "onnx", "litert-torch", "torch-pruning", "optuna")


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was done to a model, for its card.

    verb: train, distill, prune, quantize, ... data: what it saw, one line each. settings: as they were given.
    results: name -> figure. hours: of work, interruptions not counted. machine: processor and cores.
    """

    verb: str
    data: tuple[str, ...] = ()
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    results: dict[str, float] = msgspec.field(default_factory=dict)
    versions: dict[str, str] = msgspec.field(default_factory=dict)
    machine: str = ""
    hours: float = 0.0
    date: str = ""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """See the module.

    net: kind, a row of NETS. options: of the net, as its module declares them. labels: by class id.
    width, height: of the picture that it was trained on, in pixels; 0 for nets that take none.
    weights: name -> tensor, the averaged ones where there is an average. record: oldest step first.
    """

    net: str
    options: dict[str, Any]
    labels: tuple[str, ...]
    width: int
    height: int
    weights: dict[str, Any]
    record: tuple[Step, ...] = ()


def step(verb: str, **fields: Any) -> Step:
    """A step of now, on this machine, with the versions that are installed."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return Step(verb=verb, versions=versions, machine=machine(), date=time.strftime("%Y-%m-%d"), **fields)


def machine() -> str:
    """Processor and how many cores of it."""
    import os  # noqa: PLC0415 (beside its only use)

    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    return f"{model}, {os.cpu_count()} cores"


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write it whole or not at all.

    Raises:
        UsageError: the disk is full or the folder cannot be written; what was there before is untouched.
    """
    body = {"format": FORMAT, **msgspec.structs.asdict(checkpoint)}
    body["labels"] = list(checkpoint.labels)
    body["record"] = msgspec.to_builtins(checkpoint.record)
    write(body, path)


def write(body: dict[str, Any], path: Path) -> None:
    """Write what PyTorch can pickle, whole or not at all; raises as `save` does."""
    import torch  # noqa: PLC0415 (heavy, and absent on devices)

    buffer = io.BytesIO()
    torch.save(body, buffer)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.write_bytes(path, buffer.getvalue())
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; what was there before is intact") from error


def read(path: Path) -> dict[str, Any]:
    """What `write` wrote.

    Raises:
        UsageError: no such file, or not one of ours.
    """
    import torch  # noqa: PLC0415

    try:
        body = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # PyTorch raises whatever its unpickler met
        raise UsageError(f"{path} is no checkpoint of edgemass-tools, or a damaged one") from error
    if not isinstance(body, dict):
        raise UsageError(f"{path} is no checkpoint of edgemass-tools: it holds a {type(body).__name__}")
    return body


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        UsageError: no such file, or not one of ours.
    """
    body = read(path)
    if body.pop("format", None) != FORMAT:
        raise UsageError(f"{path} is no checkpoint of edgemass-tools, wanted a file with format {FORMAT!r}")
    weights = body.pop("weights")
    try:
        return msgspec.structs.replace(msgspec.convert({**body, "weights": {}}, Checkpoint), weights=weights)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path} is a damaged checkpoint: {error}") from error


def only(checkpoint: Checkpoint, labels: tuple[str, ...]) -> Checkpoint:
    """The same net for some of its classes, the others cut off.

    Raises:
        UsageError: it does not know one of them.
    """
    from edgemass_tools import nets  # noqa: PLC0415 (imports torch)

    unknown = [label for label in labels if label not in checkpoint.labels]
    if unknown:
        raise UsageError(f"the checkpoint does not know {', '.join(unknown)}; it knows {', '.join(checkpoint.labels)}")
    net, _ = nets.migrate(checkpoint.net, checkpoint.options, (checkpoint.labels, labels), checkpoint.weights)
    return msgspec.structs.replace(checkpoint, labels=labels, weights=net.state_dict())


def module(checkpoint: Checkpoint) -> torch.nn.Module:
    """The net with its weights, ready to answer (`eval`).

    Raises:
        UsageError: the weights are not those of such a net.
    """
    from edgemass_tools import nets  # noqa: PLC0415 (imports torch)

    net = nets.build(checkpoint.net, checkpoint.options, len(checkpoint.labels))
    nets.fit(net, checkpoint.weights)
    return net.eval()
