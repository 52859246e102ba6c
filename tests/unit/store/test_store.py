"""The store in a real folder: what others leave in it, and who else uses it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgemass import durable
from edgemass.errors import DigestMismatchError, RegistryError, StoreError
from edgemass.store import ModelStore
from tests.simulators.stored_models import StoredModel

A, B, C, D = (StoredModel(number) for number in range(1, 5))
DAY_NS = 86400 * 10**9


class Clock:
    """Wall clock of a store that a test moves: `store = ModelStore(root, now_ns=clock)`."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def __call__(self) -> int:
        return time.time_ns() + self.ahead_ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[ModelStore]:
    store = ModelStore(tmp_path / "store", now_ns=clock)
    store.hold()
    yield store
    store.close()


def confirm(store: ModelStore, *models: StoredModel, slot: str = "main") -> None:
    """Each is put in, tried and confirmed."""
    for number, model in enumerate(models, 1):
        model.put_into(store)
        store.begin_trial(slot, model.digest, sequence=number, origin="local", boot_id="x")
        store.confirm(slot)


def state_file(store: ModelStore, name: str = "main.json") -> Path:
    return store.root / "slots" / name


# Damage.


def test_a_slot_file_torn_anywhere_falls_back_to_the_one_before(store: ModelStore) -> None:
    confirm(store, A, B)
    before = state_file(store, "main.json.before").read_bytes()
    whole = state_file(store).read_bytes()
    assert store.slot("main").running == B.digest
    for size in range(len(whole) - 1):  # without the newline it is whole
        state_file(store).write_bytes(whole[:size])
        state = store.slot("main")
        assert state.trial is not None
        assert (state.trial.digest, state.confirmed[0].digest) == (B.digest, A.digest)
    state_file(store).unlink()
    assert store.slot("main").confirmed[0].digest == A.digest
    assert state_file(store, "main.json.before").read_bytes() == before


def test_where_all_that_was_known_is_lost_the_models_that_are_whole_are_tried(store: ModelStore) -> None:
    confirm(store, A, B)
    (store.blob_folder / B.hex).write_bytes(b"rotten")
    for name in ("main.json", "main.json.before"):
        state_file(store, name).write_bytes(b"\0" * 500)
    start = store.start("main", "y")
    assert (start.digest, start.trial) == (A.digest, True)
    assert [line.what for line in store.slot("main").history] == ["rebuilt", "trial"]


def test_damage_is_told_file_by_file(store: ModelStore) -> None:
    A.put_into(store)
    assert store.damaged(A.digest) == ()
    (store.blob_folder / A.hex).write_bytes(b"rotten")
    assert "toy.onnx): another content" in store.damaged(A.digest)[0]
    assert store.intact(f"sha256:{A.hex}") is None
    (store.blob_folder / A.hex).unlink()
    assert store.damaged(A.digest) == ("none of its variants is here",)
    (store.root / "bundles" / A.digest[7:]).write_bytes(b"{}")
    assert "the manifest is damaged" in store.damaged(A.digest)[0]
    with pytest.raises(StoreError, match="not in the store"):
        store.damaged(B.digest)


def test_adding_again_repairs_a_damaged_file(store: ModelStore) -> None:
    A.put_into(store)
    (store.blob_folder / A.hex).write_bytes(b"rotten")
    A.put_into(store)
    assert store.damaged(A.digest) == ()


def test_a_model_whose_manifest_is_damaged_is_left_out_and_still_named(store: ModelStore) -> None:
    A.put_into(store)
    B.put_into(store)
    (store.root / "bundles" / A.digest[7:]).write_bytes(b"{}")
    assert [bundle.digest for bundle in store.bundles()] == [B.digest]
    assert set(store.digests()) == {A.digest, B.digest}


# Adding.


def test_other_bytes_than_the_digest_says_are_not_taken(store: ModelStore) -> None:
    place = store.incoming / A.hex
    place.write_bytes(A.weights[:-1] + b"!")
    with pytest.raises(DigestMismatchError, match="is damaged"):
        A.add_fetched(store, place)
    assert store.digests() == ()
    assert store.blob(f"sha256:{A.hex}") is None


def test_a_bundle_without_its_manifest_is_not_taken(store: ModelStore) -> None:
    with pytest.raises(StoreError, match="was not given"):
        store.add(A.manifest, {f"sha256:{A.hex}": A.weights})
    with pytest.raises(RegistryError, match="no OCI image manifest"):
        store.add(b"<html>", {})
    assert store.digests() == ()


def test_what_lies_in_incoming_is_moved_and_other_files_are_copied(store: ModelStore, tmp_path: Path) -> None:
    fetched = A.fetch(store)
    assert fetched is not None
    A.add_fetched(store, fetched)
    assert not fetched.exists()
    own = tmp_path / "weights"
    own.write_bytes(B.weights)
    B.add_fetched(store, own)
    assert own.exists()
    assert store.damaged(A.digest) == store.damaged(B.digest) == ()


def test_a_file_that_the_manifest_does_not_name_is_passed_over(store: ModelStore) -> None:
    store.add(A.manifest, {**A.files, f"sha256:{B.hex}": B.weights})
    assert store.blob(f"sha256:{B.hex}") is None


# Symbolic links.


def test_links_in_the_store_are_not_followed(store: ModelStore, tmp_path: Path) -> None:
    confirm(store, A)
    outside = tmp_path / "outside"
    outside.write_bytes(A.weights)
    (store.blob_folder / A.hex).unlink()
    (store.blob_folder / A.hex).symlink_to(outside)
    assert store.blob(f"sha256:{A.hex}") is None
    assert "follows no links" in store.damaged(A.digest)[0]
    A.put_into(store)
    assert not (store.blob_folder / A.hex).is_symlink()
    assert outside.read_bytes() == A.weights


def test_a_linked_slot_file_is_taken_for_a_damaged_one(store: ModelStore, tmp_path: Path) -> None:
    confirm(store, A, B)
    outside = tmp_path / "outside"
    state_file(store).rename(outside)
    state_file(store).symlink_to(outside)
    before = outside.read_bytes()
    assert store.slot("main").trial is not None, "the one before"
    store.confirm("main")
    assert outside.read_bytes() == before
    assert store.slot("main").running == B.digest


@pytest.mark.parametrize("folder", ["blobs", "bundles", "slots", "incoming"])
def test_a_linked_folder_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "store" / folder).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="symbolic link"):
        ModelStore(tmp_path / "store")


def test_no_digest_leaves_the_folder(store: ModelStore) -> None:
    with pytest.raises(StoreError, match="no digest"):
        store.blob("sha256:../../etc/passwd")
    with pytest.raises(StoreError, match="no name of a slot"):
        store.slot("../main")


# Several processes.


def test_one_process_changes_slots_while_others_read_and_add(store: ModelStore) -> None:
    confirm(store, A)
    other = ModelStore(store.root)
    assert other.in_use()
    with pytest.raises(StoreError, match="in use by another edgemass"):
        other.hold()
    B.put_into(other)
    assert other.slot("main").running == A.digest
    assert store.damaged(B.digest) == ()
    with pytest.raises(StoreError, match="not held"):
        other.begin_trial("main", B.digest, sequence=2, origin="local", boot_id="x")
    with pytest.raises(StoreError, match="not held"):
        other.prune()
    store.close()
    assert not other.in_use()
    other.hold()
    other.close()


def test_a_daemon_starts_while_somebody_adds(store: ModelStore) -> None:
    store.close()
    (store.blob_folder / B.hex).write_bytes(b"half")
    with durable.alone(store.root / "content.lock") as alone:
        assert alone
        store.hold()
    assert (store.blob_folder / B.hex).exists()


ADD = """
import sys
from pathlib import Path
from edgemass.store import ModelStore
from tests.simulators.stored_models import StoredModel
store = ModelStore(Path(sys.argv[1]))
for _ in range(25):
    for number in (1, 2, 3):
        StoredModel(number).put_into(store)
"""


def test_what_is_added_while_others_are_removed_is_whole(store: ModelStore) -> None:
    repository = Path(__file__).resolve().parents[3]
    adding = [subprocess.Popen([sys.executable, "-c", ADD, str(store.root)], cwd=repository) for _ in range(2)]
    removed = 0
    while any(process.poll() is None for process in adding):
        for model in (A, B, C):
            store.refuse("main", model.digest, "slow", 1, "local")
        try:
            removed += len(store.prune())
        except StoreError as error:
            assert "is putting a model" in str(error)  # noqa: PT017 (not always)
        for digest in store.digests():
            assert store.document(digest) is not None
    assert [process.wait() for process in adding] == [0, 0]
    for model in (A, B, C):
        if model.digest in store.digests():
            assert store.damaged(model.digest) == ()
    assert removed > 0


# Room.


def test_the_newest_two_and_the_trial_stay_and_the_refused_go(store: ModelStore) -> None:
    confirm(store, A, B, C)
    D.put_into(store)
    store.begin_trial("main", D.digest, sequence=9, origin="local", boot_id="x")
    refused, unused = StoredModel(8), StoredModel(9)
    refused.put_into(store)
    unused.put_into(store)
    store.refuse("main", refused.digest, "NaN", 10, "local")
    assert set(store.prune(keep=0)) == {A.digest, refused.digest}
    assert set(store.digests()) == {B.digest, C.digest, D.digest, unused.digest}
    assert [kept.digest for kept in store.slot("main").confirmed] == [C.digest, B.digest]
    assert store.blob(f"sha256:{A.hex}") is None
    assert store.prune(keep=0) == ()


def test_what_another_slot_needs_stays(store: ModelStore) -> None:
    confirm(store, A, slot="door")
    confirm(store, A, B, C)
    assert store.prune() == ()
    assert store.blob(f"sha256:{A.hex}") is not None


def test_files_that_two_models_share_stay_with_the_other(store: ModelStore) -> None:
    twin, other = StoredModel(1), StoredModel(1, name="other")
    twin.put_into(store)
    other.put_into(store)
    store.refuse("main", twin.digest, "slow", 1, "local")
    assert store.prune() == (twin.digest,)
    assert store.damaged(other.digest) == ()


def test_what_was_never_used_goes_only_for_room_and_not_at_once(store: ModelStore, clock: Clock) -> None:
    A.put_into(store)
    assert store.prune(free_bytes=1 << 62) == (), "it was just added, and may be ordered next"
    clock.ahead_ns = DAY_NS
    assert store.prune() == ()
    assert store.prune(free_bytes=1 << 62) == (A.digest,)


def test_left_overs_go_when_they_are_old(store: ModelStore, clock: Clock) -> None:
    A.put_into(store)
    B.fetch(store, 100)
    (store.blob_folder / C.hex).write_bytes(C.weights)
    for folder in ("bundles", "slots"):
        (store.root / folder / ".x.1.part").write_bytes(b"half")
    (store.blob_folder / "lost+found").mkdir()
    store.close()
    clock.ahead_ns = DAY_NS
    store.hold()
    assert [path.name for path in store.incoming.iterdir()] == [f".{B.hex}.part"]
    assert store.blob(f"sha256:{C.hex}") is None
    assert not (store.root / "bundles" / ".x.1.part").exists()
    assert not (store.root / "slots" / ".x.1.part").exists()
    assert store.damaged(A.digest) == ()
    store.close()
    clock.ahead_ns = 8 * DAY_NS
    store.hold()
    assert list(store.incoming.iterdir()) == []


def test_a_start_that_cannot_be_counted_starts_no_trial(store: ModelStore) -> None:
    confirm(store, A)
    B.put_into(store)
    store.begin_trial("main", B.digest, sequence=2, origin="local", boot_id="x")
    store.end_cleanly("main")
    (store.root / "slots" / f".main.json.{os.getpid()}.part").mkdir()  # nothing can be written there now
    start = store.start("main", "y")
    assert (start.digest, start.trial) == (A.digest, False)
    assert "not started" in start.reason
    (store.root / "slots" / f".main.json.{os.getpid()}.part").rmdir()
    assert store.start("main", "z").digest == B.digest


def test_a_store_that_nothing_was_activated_in_starts_nothing(store: ModelStore) -> None:
    A.put_into(store)
    assert store.start("main", "x").digest is None
    assert store.slots() == {}
