"""The power goes at any moment: the board comes back by itself with a whole model that is not known to be bad."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edgemass import durable
from edgemass.agent import orders
from edgemass.store import ModelStore, SlotState
from tests.simulators.crash_fs import Cut, Recorder, Tree, aftermaths, build, killed
from tests.simulators.manual_clock import ManualClock
from tests.simulators.stored_models import StoredModel

SLOT = "main"
MODELS = [StoredModel(number) for number in range(1, 6)]
SEED = int(os.environ.get("EDGEMASS_SEED", "1"))


@pytest.fixture(autouse=True)
def _no_real_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model of the disk sees them; the real one, where each takes milliseconds, is not to survive anything."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # noqa: ARG005 (as os.fsync)


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is such a place: thousands of folders are made and removed."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        yield Path(folder)


@dataclass
class Life:
    """What a board did, and what it may rely on after each step.

    states: of the slot, after so many steps. here: digests of models that are in the store for good, likewise.
    ordered: sequence of the newest order that was left.
    """

    cuts: list[Cut] = field(default_factory=list)
    states: list[SlotState] = field(default_factory=lambda: [SlotState()])
    here: list[frozenset[str]] = field(default_factory=lambda: [frozenset()])
    ordered: list[int] = field(default_factory=lambda: [0])


def live(folder: Path, *, deaf_to: str = "") -> Life:
    """Fetch with a cut between, add, try, confirm; the next; one that fails; another; one refused; prune; end."""
    life = Life()
    sequence = itertools.count(1)
    clock = ManualClock()
    with Recorder(folder, deaf_to=deaf_to) as recorder:
        store = ModelStore(folder / "store")

        def step(call: Callable[[], object], *, added: StoredModel | None = None, removes: bool = False) -> None:
            result = call()
            here = life.here[-1] | ({added.digest} if added else set())
            if removes and isinstance(result, tuple):
                assert len(result) == 3, "a failed one, a refused one, and the oldest of three that were confirmed"
                here -= set(result)
                life.here[-1] -= set(result)  # in the middle of it they may be gone already
            life.here.append(frozenset(here))
            life.states.append(store.slot(SLOT))
            life.ordered.append(ordered[0])
            recorder.step()

        def order(model: StoredModel) -> None:
            ordered[0] = orders.leave(
                folder, store, device="pi", slot=SLOT, name="toy", digest=model.digest, clock=clock
            )

        ordered = [0]
        step(store.hold)
        for model, what in zip(MODELS, ("confirm", "confirm", "roll back", "refuse", "confirm"), strict=True):
            _take(store, model, step)
            step(lambda model=model: order(model))  # type: ignore[misc]
            number = next(sequence)
            if what == "refuse":
                step(lambda: store.refuse(SLOT, model.digest, "crashes", number, "local"))  # noqa: B023
                continue
            step(
                lambda: store.begin_trial(SLOT, model.digest, sequence=number, origin="local", boot_id="boot-1")  # noqa: B023
            )
            step(lambda: store.confirm(SLOT) if what == "confirm" else store.roll_back(SLOT, "slow"))  # noqa: B023
        step(lambda: store.prune(2), removes=True)
        step(lambda: store.end_cleanly(SLOT))
        store.close()
    life.cuts = recorder.cuts
    return life


def _take(store: ModelStore, model: StoredModel, step: Callable[..., None]) -> None:
    """The fetch is cut off in the middle, and goes on."""
    step(lambda: model.fetch(store, 150))
    place = store.incoming / model.hex
    step(lambda: model.fetch(store))
    step(lambda: model.add_fetched(store, place), added=model)


def check(life: Life, cut: Cut, root: Path) -> None:
    """What the board promised before the cut holds after it, and it needs no help."""
    before = life.states[cut.step]
    after = life.states[min(cut.step + 1, len(life.states) - 1)]
    store = ModelStore(root / "store")
    assert store.slot(SLOT) in (before, after), "the state is the one before or the one after"
    store.hold()
    here = set(store.digests())
    assert life.here[cut.step] <= here, "what was added is there"
    for digest in here:
        assert store.damaged(digest) == (), "what is named is whole"
    start = store.start(SLOT, "boot-2")
    assert (start.digest is not None) or not before.confirmed
    assert start.digest is None or start.digest in here
    assert start.digest not in before.refused
    _check_order(life, cut, root)
    for model in MODELS:  # whatever was left of a fetch, the next one succeeds
        place = model.fetch(store)
        assert place is not None
        assert store.damaged(model.add_fetched(store, place)) == ()
    store.close()


def _check_order(life: Life, cut: Cut, root: Path) -> None:
    place = root / orders.FOLDER / f"{SLOT}.json"
    if life.ordered[cut.step] or place.exists():
        found = orders.read(place.read_bytes(), local=True).claimed.sequence
        assert found in {life.ordered[cut.step], life.ordered[min(cut.step + 1, len(life.ordered) - 1)]}


def check_again(life: Life, cut: Cut, tree: Tree, scratch: Path, chance: random.Random) -> None:
    """The power goes once more, while the board is coming back."""
    root = build(tree, scratch / "again")
    with Recorder(root) as recorder:
        store = ModelStore(root / "store")
        store.hold()
        store.start(SLOT, "boot-2")
        store.close()
    before = life.states[cut.step]
    for second in recorder.cuts:
        for found in aftermaths(second, chance, 3):
            place = build(found, scratch / "twice")
            store = ModelStore(place / "store")
            store.hold()
            start = store.start(SLOT, "boot-3")
            assert (start.digest is not None) or not before.confirmed
            assert start.digest is None or store.damaged(start.digest) == ()
            assert start.digest not in before.refused
            assert [kept for kept in before.confirmed[:2] if kept not in store.slot(SLOT).confirmed] == []
            store.close()
            shutil.rmtree(place)
    shutil.rmtree(root)


def cut_everywhere(folder: Path, *, most: int, chance: random.Random | None, deaf_to: str = "", again: int = 40) -> int:
    """Live once, and come back from everything that a cut at each moment may leave; how many states that were.

    again: one in so many is cut a second time.
    """
    lived = folder / "lived"
    lived.mkdir()
    life = live(lived, deaf_to=deaf_to)
    count = 0
    for cut in life.cuts:
        for tree in aftermaths(cut, chance, most):
            count += 1
            root = build(tree, folder / "found")
            try:
                check(life, cut, root)
                if count % again == 0:
                    check_again(life, cut, tree, folder, chance or random.Random(count))
            except Exception as error:
                raise AssertionError(
                    f"cut in step {cut.step} before {cut.before!r}: {error}; found {sorted(tree)}"
                ) from error
            shutil.rmtree(root)
    return count


def test_a_power_cut_at_any_moment_leaves_a_model_that_runs(scratch: Path) -> None:
    assert cut_everywhere(scratch, most=10, chance=random.Random(SEED)) > 1000


def test_a_process_killed_at_any_moment_goes_on_without_the_model_that_was_on_trial(scratch: Path) -> None:
    lived = scratch / "lived"
    lived.mkdir()
    life = live(lived)
    went_back = 0
    for number, cut in enumerate(life.cuts):
        root = build(killed(cut), scratch / str(number))
        store = ModelStore(root / "store")
        store.hold()
        trial = store.slot(SLOT).trial
        start = store.start(SLOT, "boot-1")  # the same boot: nothing but the model is to blame
        state = store.slot(SLOT)
        assert start.digest == (state.confirmed[0].digest if state.confirmed else None)
        if trial is not None:
            assert "took the process down" in state.refused[trial.digest]
            went_back += 1
        store.close()
    assert went_back > 20


@pytest.mark.slow
def test_a_power_cut_at_any_moment_and_any_byte_leaves_a_model_that_runs(scratch: Path) -> None:
    (scratch / "every").mkdir()
    (scratch / "random").mkdir()
    assert cut_everywhere(scratch / "every", most=10_000, chance=None, again=400) > 100_000
    assert cut_everywhere(scratch / "random", most=200, chance=random.Random(SEED), again=10) > 4_000


@pytest.mark.parametrize("deaf_to", ["file", "folder"])
def test_a_disk_that_is_not_told_to_sync_is_found_out(scratch: Path, deaf_to: str) -> None:
    with pytest.raises(AssertionError, match="cut in step"):
        cut_everywhere(scratch, most=40, chance=random.Random(SEED), deaf_to=deaf_to)


def test_writing_in_place_is_found_out(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_place(path: Path, data: bytes, *, mode: int = 0o644) -> None:  # noqa: ARG001 (as durable.write_bytes)
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        durable.sync_folder(path.parent)

    monkeypatch.setattr(durable, "write_bytes", in_place)
    with pytest.raises(AssertionError, match="cut in step"):
        cut_everywhere(scratch, most=40, chance=random.Random(SEED))
