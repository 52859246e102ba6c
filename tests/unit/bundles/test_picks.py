from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgemass import cache
from edgemass.bundles import Bundle, describe, describe_json, picks
from edgemass.bundles.picks import Pick
from edgemass.manifest import Manifest


@pytest.fixture
def bundle(tmp_path: Path, manifest: Manifest) -> Bundle:
    return Bundle(manifest, tmp_path)


@pytest.fixture
def pick(bundle: Bundle) -> Pick:
    return Pick(
        digest=bundle.digest,
        variant="onnx-fp32",
        backend="onnx",
        threads=2,
        p95_ms=30.0,
        reference_p95_ms=40.0,
        f1=1.0,
        compared=21,
        reason="it agrees",
        measured="2026-11-22T10:15:02.118Z",
    )


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_chosen", [tmp_path / "cache"])


def kept_file() -> Path:
    (path,) = cache.folder(picks.KIND).iterdir()
    return path


def test_what_was_kept_is_found_again_until_it_is_forgotten(bundle: Bundle, pick: Pick) -> None:
    assert picks.load(bundle) is None
    picks.keep(bundle, pick)
    assert picks.load(bundle) == pick
    assert picks.forget(bundle)
    assert not picks.forget(bundle)
    assert picks.load(bundle) is None


@pytest.mark.parametrize("what", ["versions", "board"])
def test_an_update_of_a_runtime_or_another_board_makes_it_stale(
    bundle: Bundle, pick: Pick, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    picks.keep(bundle, pick)
    monkeypatch.setattr(picks, what, lambda: ("something else",))
    assert picks.load(bundle) is None


def test_another_bundle_does_not_find_it(bundle: Bundle, pick: Pick) -> None:
    picks.keep(bundle, pick)
    other = Bundle(msgspec.structs.replace(bundle.manifest, release=1), bundle.folder)
    assert picks.load(other) is None


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"schema":"edgemass.pick/1"}', b"\xff\xfe", b'{"digest":"\xff"}', None]
)
def test_a_damaged_or_unreadable_pick_is_ignored(bundle: Bundle, pick: Pick, damage: bytes | None) -> None:
    picks.keep(bundle, pick)
    path = kept_file()
    if damage is None:
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(damage)
    assert picks.load(bundle) is None


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"digest": "sha256:0"}, {"schema": "x"}, {"reference_p95_ms": 0.0}])
def test_a_pick_that_says_something_impossible_is_ignored(bundle: Bundle, pick: Pick, wrong: dict[str, object]) -> None:
    picks.keep(bundle, msgspec.structs.replace(pick, **wrong))
    assert picks.load(bundle) is None


def test_inspect_shows_it(bundle: Bundle, pick: Pick) -> None:
    assert "  pick " not in describe(bundle)
    assert msgspec.json.decode(describe_json(bundle))["pick"] is None
    picks.keep(bundle, pick)
    assert "onnx-fp32 on onnx with 2 threads: p95 30.0 ms, 0.75 of the reference's; it agrees" in describe(bundle)
    assert msgspec.json.decode(describe_json(bundle))["pick"]["threads"] == 2


def test_a_board_is_told_by_its_processor(tmp_path: Path) -> None:
    (tmp_path / "proc" / "device-tree").mkdir(parents=True)
    (tmp_path / "proc" / "device-tree" / "model").write_text("Raspberry Pi 4 Model B Rev 1.4\0")
    (tmp_path / "proc" / "cpuinfo").write_text(
        "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\nprocessor\t: 1\nCPU implementer\t: 0x41\n"
        "CPU part\t: 0xd08\nSerial\t\t: 1000\n"
    )
    assert picks.board(tmp_path)[1:3] == ("Raspberry Pi 4 Model B Rev 1.4", "0x41 0xd08")
    assert picks.board(tmp_path / "nothing")[1:3] == ("", "")
