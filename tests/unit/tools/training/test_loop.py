"""Promises of the loop: it resumes to the same weights, and neither NaN nor a full disk costs a checkpoint."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra train of edgemass-tools")

from torch import Tensor, nn  # noqa: E402

from edgemass import durable  # noqa: E402
from edgemass.errors import UsageError  # noqa: E402
from edgemass.progress import Progress, untold  # noqa: E402
from edgemass_tools.training import loop  # noqa: E402
from edgemass_tools.training.loop import Settings, TrainingError  # noqa: E402

SETTINGS = Settings(epochs=4, lr=0.05, measure_every=2, precision="fp32")


def quiet(_what: str) -> Progress:
    return untold


def seeded() -> nn.Module:
    torch.manual_seed(3)
    return nn.Linear(1, 1)


@dataclass
class LineJob:
    """Learns y = 2x + 1 from points that are drawn for each epoch. bad_from: epoch whose loss is no number."""

    net: nn.Module = field(default_factory=seeded)
    key: str = "error"
    bad_from: int = 10**9
    seen: list[int] = field(default_factory=list)

    def steps(self, epoch: int) -> int:  # noqa: ARG002
        return 20

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        rng = torch.Generator().manual_seed(epoch)
        self.seen.append(epoch)
        for _ in range(20):
            x = torch.rand(16, 1, generator=rng)
            yield x, 2 * x + 1 + (float("nan") if epoch >= self.bad_from else 0.0)

    def loss(self, net: nn.Module, batch: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
        return {"square": (net(batch[0]) - batch[1]).square().mean()}

    def measure(self, net: nn.Module) -> dict[str, float]:
        with torch.no_grad():
            return {"error": float((net(torch.ones(1, 1)) - 3).abs())}


def test_it_learns_and_leaves_checkpoint_history_and_curves(tmp_path: Path) -> None:
    made = loop.run(
        LineJob(), Settings(epochs=20, lr=0.1, measure_every=10, precision="fp32"), tmp_path, quiet, loop.NEVER
    )
    assert made.finished
    assert made.results["error"] < 0.3
    rows = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, 21))
    assert rows[-1]["loss_square"] < rows[0]["loss_square"]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_an_interrupted_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = loop.run(LineJob(), SETTINGS, tmp_path / "whole", quiet, loop.NEVER)
    first = loop.run(LineJob(), SETTINGS, tmp_path / "parts", quiet, loop.Stop(after_s=0.0))
    assert not first.finished
    job = _Interrupted(after_epochs=2)
    with pytest.raises(KeyboardInterrupt):
        loop.run(job, SETTINGS, tmp_path / "parts", quiet, loop.NEVER)
    again = LineJob()
    parts = loop.run(again, SETTINGS, tmp_path / "parts", quiet, loop.NEVER)
    assert again.seen == [2, 3]
    for name, value in whole.weights.items():
        assert torch.equal(parts.weights[name], value)
    assert parts.results == whole.results


class _Interrupted(LineJob):
    """Ctrl-C in the middle of an epoch."""

    def __init__(self, after_epochs: int) -> None:
        super().__init__()
        self._left = after_epochs

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        for number, batch in enumerate(super().batches(epoch)):
            if epoch >= self._left and number == 5:
                raise KeyboardInterrupt
            yield batch


def test_other_settings_are_refused_and_say_what_was_begun(tmp_path: Path) -> None:
    loop.run(LineJob(), SETTINGS, tmp_path, quiet, loop.NEVER)
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(UsageError, match=r"begun with other settings.*\"lr\": 0.05.*\"lr\": 0.01"):
        loop.run(LineJob(), Settings(epochs=4, lr=0.01, measure_every=2, precision="fp32"), tmp_path, quiet, loop.NEVER)
    assert (tmp_path / "last.pt").read_bytes() == before


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_epoch(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no number in 11 steps in a row of epoch 3.*holds epoch 2"):
        loop.run(LineJob(bad_from=2), SETTINGS, tmp_path, quiet, loop.NEVER)
    made = loop.run(LineJob(), SETTINGS, tmp_path, quiet, loop.NEVER)
    assert all(bool(torch.isfinite(value).all()) for value in made.weights.values())


def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        loop.run(_Interrupted(after_epochs=1), SETTINGS, tmp_path, quiet, loop.NEVER)

    def full(path: Path, *_data: object, **_mode: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(durable, "write_bytes", full)
        with pytest.raises(UsageError, match="No space left on device; what was there before is intact"):
            loop.run(LineJob(), SETTINGS, tmp_path, quiet, loop.NEVER)
    again = LineJob()
    loop.run(again, SETTINGS, tmp_path, quiet, loop.NEVER)
    assert again.seen == [1, 2, 3]


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(UsageError, match="is no checkpoint of edgemass-tools"):
        loop.run(LineJob(), SETTINGS, tmp_path, quiet, loop.NEVER)
