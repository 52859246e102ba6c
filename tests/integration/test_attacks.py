"""What a board refuses, one test for each attack; after every one of them the honest repository still works.

Attacks on what comes over the wire (tampered blobs, deltas, bombs, partial bundles, cuts) are in test_fetching.py,
test_registry_misbehaving.py and test_registry_cuts.py; on the store in test_store.py; on orders over MQTT in
test_fleet_updates.py too.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata

from edgemass import manifest
from edgemass.agent.proving import How, prove
from edgemass.bundles import Bundle, load_bundle
from edgemass.bundles.fingerprint import fingerprint
from edgemass.errors import BundleError, EdgemassError, RegistryUnavailableError, TrustError
from edgemass.registry.trust import Trust, check_release, device
from tests.simulators import bad_models
from tests.simulators.attacker import NOW, BoardClock, Honest, Victim, misbehaving, online_takeover, release, resign

IN_1970 = datetime(1970, 1, 1, 0, 5, tzinfo=timezone.utc)


@pytest.fixture
def honest(tmp_path: Path) -> Honest:
    return Honest(tmp_path / "honest")


@pytest.fixture
def victim(honest: Honest, tmp_path: Path) -> Victim:
    return Victim(tmp_path / "victim", honest.root)


def refuses(attack: Callable[[], object], reason: str, kind: type[EdgemassError] = TrustError) -> None:
    with pytest.raises(kind, match=reason):
        attack()


def still_works(honest: Honest, victim: Victim, number: int = 7) -> Trust:
    """The owner publishes something new, and the board takes it."""
    honest.publish(release(number))
    trust = victim.refresh(honest.folder)
    assert trust.newest("door", ()).release == number
    return trust


def test_arbitrary_software(honest: Honest, victim: Victim, tmp_path: Path) -> None:
    """A bundle that the offline role never signed, in metadata that a stranger signed."""
    evil = Honest(tmp_path / "evil")
    evil.publish(release(99))
    refuses(lambda: victim.refresh(evil.folder), "signed by 0/1 keys")
    trust = still_works(honest, victim)
    refuses(lambda: trust.release("door", release(99).digest), "not signed by the offline key")


def test_targets_signed_by_a_wrong_key(honest: Honest, victim: Victim, tmp_path: Path) -> None:
    forged = honest.copy(tmp_path / "forged")
    newest = max(forged.glob("*.targets.json"), key=lambda path: int(path.name.split(".")[0]))
    resign(forged, newest.name, [CryptoSigner.generate_ed25519()])
    refuses(lambda: victim.refresh(forged), "targets was signed by 0/1 keys")
    still_works(honest, victim)


def test_tampered_metadata(honest: Honest, victim: Victim, tmp_path: Path) -> None:
    forged = honest.copy(tmp_path / "forged")
    newest = max(forged.glob("*.targets.json"), key=lambda path: int(path.name.split(".")[0]))
    document = json.loads(newest.read_bytes())
    path = next(path for path in document["signed"]["targets"] if path.startswith("door/"))
    document["signed"]["targets"][path]["custom"]["older_allowed"] = True
    newest.write_bytes(json.dumps(document).encode())
    refuses(lambda: victim.refresh(forged), "signed by 0/1 keys")
    still_works(honest, victim)


def test_rollback(honest: Honest, victim: Victim, tmp_path: Path) -> None:
    old = honest.copy(tmp_path / "old")
    still_works(honest, victim, 2)
    refuses(lambda: victim.refresh(old), "version")
    still_works(honest, victim)


def test_rollback_with_a_torn_cache(honest: Honest, victim: Victim, tmp_path: Path) -> None:
    """Without what is cached only the floor of versions tells that there was something newer."""
    old = honest.copy(tmp_path / "old")
    still_works(honest, victim, 2)
    victim.tear_cache()
    refuses(lambda: victim.refresh(old), "rolled back: timestamp has version")
    still_works(honest, victim)


@pytest.mark.parametrize("left", [b'{"marks":{', b'{"marks":{"\xff":'])
@pytest.mark.parametrize("torn", ["floor.json", "floor.copy.json"])
def test_rollback_with_a_torn_floor(honest: Honest, victim: Victim, tmp_path: Path, torn: str, left: bytes) -> None:
    """One copy of the floor is enough."""
    old = honest.copy(tmp_path / "old")
    still_works(honest, victim, 2)
    victim.tear_cache()
    (victim.folder / torn).write_bytes(left)
    refuses(lambda: victim.refresh(old), "rolled back")
    still_works(honest, victim)


def test_a_fresh_client_is_shown_an_old_repository(tmp_path: Path) -> None:
    """It has seen nothing yet; but what it is shown has expired, even by a clock that was never set."""
    past = Honest(tmp_path / "honest", now=NOW - timedelta(days=40))
    old = past.copy(tmp_path / "old")
    past.now = NOW
    for clock in (BoardClock(), BoardClock(IN_1970)):
        fresh = Victim(tmp_path / f"fresh-{clock.now.year}", past.root, clock)
        refuses(lambda fresh=fresh: fresh.refresh(old), "expired")  # type: ignore[misc]
        past.refresh()
        still_works(past, fresh, 3 if clock.now is NOW else 4)


def test_freeze(honest: Honest, victim: Victim, tmp_path: Path) -> None:
    """Somebody goes on showing what was newest once."""
    frozen = honest.copy(tmp_path / "frozen")
    victim.refresh(frozen)
    victim.clock.now = honest.now = NOW + timedelta(days=3)
    refuses(lambda: victim.refresh(frozen), "expired")
    still_works(honest, victim)


def test_freeze_with_the_clock_at_1970(honest: Honest, victim: Victim, tmp_path: Path) -> None:
    """The board has seen later signatures; a power cut throws its clock back, and its cache away."""
    frozen = honest.copy(tmp_path / "frozen")
    honest.now = victim.clock.now = NOW + timedelta(days=30)
    still_works(honest, victim, 2)
    victim.clock.now = IN_1970
    victim.tear_cache()
    refuses(lambda: victim.refresh(frozen), "expired")
    still_works(honest, victim)


def test_endless_data(honest: Honest, victim: Victim) -> None:
    with misbehaving(honest.folder, "endless") as address:
        refuses(lambda: victim.refresh(address), "exceeding the maximum allowed length")
    still_works(honest, victim)


def test_slow_retrieval(honest: Honest, victim: Victim) -> None:
    """A byte now and then keeps every connection alive; the least speed does not."""
    with misbehaving(honest.folder, "slow") as address:
        refuses(
            lambda: victim.refresh(address, stall_s=0.5, total_s=5.0), "too slow|timed out", RegistryUnavailableError
        )
    still_works(honest, victim)


def test_mix_and_match(honest: Honest, victim: Victim, tmp_path: Path) -> None:
    """Files of different moments, each signed well."""
    mixed = honest.copy(tmp_path / "mixed")
    still_works(honest, victim, 2)
    old_targets = max(mixed.glob("*.targets.json"), key=lambda path: int(path.name.split(".")[0])).read_bytes()
    mixed = honest.copy(tmp_path / "mixed-2")
    newest = max(mixed.glob("*.targets.json"), key=lambda path: int(path.name.split(".")[0]))
    newest.write_bytes(old_targets)
    victim.tear_cache()
    refuses(lambda: victim.refresh(mixed), "Expected targets v3, got v2")
    still_works(honest, victim)


def test_wrong_hardware(honest: Honest, victim: Victim) -> None:
    for_others = release(2, hardware=("raspberrypi,5-model-b",))
    honest.publish(for_others)
    trust = victim.refresh(honest.folder)
    found = trust.release("door", for_others.digest)
    refuses(lambda: check_release(found, hardware=("x86_64",), confirmed_release=1), "signed for raspberrypi,5-model-b")
    assert trust.newest("door", ("x86_64",)).release == 1
    check_release(found, hardware=("aarch64", "raspberrypi,5-model-b"), confirmed_release=1)
    still_works(honest, victim)


def test_an_older_release_unless_the_offline_role_allowed_it(honest: Honest, victim: Victim) -> None:
    trust = victim.refresh(honest.folder)
    found = trust.release("door", release(1).digest)
    refuses(lambda: check_release(found, hardware=(), confirmed_release=2), "older than release 2")
    honest.publish(release(1, older_allowed=True))
    found = victim.refresh(honest.folder).release("door", release(1).digest)
    check_release(found, hardware=(), confirmed_release=2)


def test_key_rotation(honest: Honest, victim: Victim, tmp_path: Path) -> None:
    """After it the old key signs for nothing."""
    stolen = honest.keys["targets"][0]
    victim.refresh(honest.folder)
    honest.keys["targets"] = [CryptoSigner.generate_ed25519()]
    honest.repository.rotate("targets", honest.keys["targets"][0].public_key)
    honest.repository.sign(honest.all_keys)
    still_works(honest, victim, 3)
    forged = honest.copy(tmp_path / "forged")
    newest = max(forged.glob("*.targets.json"), key=lambda path: int(path.name.split(".")[0]))
    resign(forged, newest.name, [stolen])
    victim.tear_cache()
    refuses(lambda: victim.refresh(forged), "targets was signed by 0/1 keys")
    still_works(honest, victim)


def test_recovery_from_fast_forward(honest: Honest, victim: Victim, tmp_path: Path) -> None:
    """A thief of the online keys signs versions that the owner would never reach; new keys begin anew."""
    ahead = honest.copy(tmp_path / "ahead")
    newest = max(ahead.glob("*.targets.json"), key=lambda path: int(path.name.split(".")[0]))
    online_takeover(honest, ahead, targets=newest.read_bytes(), timestamp_version=2**31 - 1)
    victim.refresh(ahead)
    honest.refresh()
    refuses(lambda: victim.refresh(honest.folder), "version")
    for role in ("snapshot", "timestamp"):
        honest.keys[role] = [CryptoSigner.generate_ed25519()]
        honest.repository.rotate(role, honest.keys[role][0].public_key)
    honest.repository.sign(honest.all_keys)
    still_works(honest, victim)


def test_a_stolen_online_key_adds_nothing_and_goes_back_to_nothing(
    honest: Honest, victim: Victim, tmp_path: Path
) -> None:
    old_targets = max(honest.folder.glob("*.targets.json"), key=lambda path: int(path.name.split(".")[0])).read_bytes()
    still_works(honest, victim, 2)
    thief = honest.copy(tmp_path / "thief")
    forged = Metadata.from_bytes(old_targets)
    forged.signed.version = 50
    forged.signatures.clear()
    for role in ("snapshot", "timestamp"):
        forged.sign(honest.keys[role][0], append=True)
    online_takeover(honest, thief, targets=forged.to_bytes())
    refuses(lambda: victim.refresh(thief), "targets was signed by 0/1 keys")
    victim.tear_cache()
    shutil.rmtree(thief)
    thief = honest.copy(thief)
    online_takeover(honest, thief, targets=old_targets, timestamp_version=1001)
    refuses(lambda: victim.refresh(thief), "rolled back: targets has version")
    for role in ("snapshot", "timestamp"):
        honest.keys[role] = [CryptoSigner.generate_ed25519()]
        honest.repository.rotate(role, honest.keys[role][0].public_key)  # type: ignore[arg-type]
    honest.repository.sign(honest.all_keys)
    still_works(honest, victim)


def test_a_root_signed_by_one_of_two(honest: Honest, victim: Victim, tmp_path: Path) -> None:
    forged = honest.copy(tmp_path / "forged")
    shutil.copy(forged / "1.root.json", forged / "2.root.json")
    resign(forged, "2.root.json", honest.keys["root"][:1], version=2)
    refuses(lambda: victim.refresh(forged), "root was signed by 1/2 keys")
    still_works(honest, victim)


def test_a_root_that_waits_for_its_second_signature_is_published_by_nobody(honest: Honest, victim: Victim) -> None:
    key = CryptoSigner.generate_ed25519()
    honest.repository.rotate("targets", key.public_key)
    assert honest.repository.sign([honest.keys["root"][0], key]) == []
    assert victim.refresh(honest.folder).newest("door", ()).release == 1
    assert "root 2" in honest.repository.sign([honest.keys["root"][1], key, *honest.all_keys])
    honest.keys["targets"] = [key]
    still_works(honest, victim)


# Orders of the fleet.


def order_of(honest: Honest, victim: Victim, envelope: bytes, last_sequence: int = 0) -> object:
    return victim.refresh(honest.folder).desired(envelope, device="pi", slot="main", last_sequence=last_sequence)


def test_a_replayed_order(honest: Honest, victim: Victim) -> None:
    envelope = honest.order(release(1).digest, sequence=3)
    assert order_of(honest, victim, envelope, 2)
    refuses(lambda: order_of(honest, victim, envelope, 4), "sequence 3, one with 4 was followed")
    still_works(honest, victim)


def test_an_order_for_another_device_or_slot(honest: Honest, victim: Victim) -> None:
    for more in ({"device": "another"}, {"slot": "other"}):
        envelope = honest.order(release(1).digest, **more)
        refuses(lambda envelope=envelope: order_of(honest, victim, envelope), "the order is for slot")  # type: ignore[misc]
    assert order_of(honest, victim, honest.order(release(1).digest))


def test_an_expired_order(honest: Honest, victim: Victim) -> None:
    envelope = honest.order(release(1).digest, expires=f"{NOW - timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}")
    refuses(lambda: order_of(honest, victim, envelope), "expired")
    victim.clock.now = IN_1970
    refuses(lambda: order_of(honest, victim, envelope), "expired")


def test_an_order_that_the_fleet_did_not_sign(honest: Honest, victim: Victim, tmp_path: Path) -> None:
    stranger = Honest(tmp_path / "stranger")
    refuses(lambda: order_of(honest, victim, stranger.order(release(1).digest)), "no key of the fleet")
    stranger.fleet = honest.keys["timestamp"][0]
    refuses(lambda: order_of(honest, victim, stranger.order(release(1).digest)), "no key of the fleet")


def test_a_tampered_order(honest: Honest, victim: Victim) -> None:
    document = json.loads(honest.order(release(1).digest, sequence=1))
    other = json.loads(honest.order(release(1).digest, sequence=2))
    document["payload"] = other["payload"]
    refuses(lambda: order_of(honest, victim, json.dumps(document).encode()), "signature of the order is wrong")
    wrong = {**json.loads(honest.order(release(1).digest)), "payloadType": "application/json"}
    refuses(lambda: order_of(honest, victim, json.dumps(wrong).encode()), "type 'application/json'")


@pytest.mark.parametrize("envelope", [b"", b"[]", b'{"payload":1}', b"\xff", b"{" * 9000, b'{"signatures":[{}]}'])
def test_what_is_no_order(honest: Honest, victim: Victim, envelope: bytes) -> None:
    refuses(lambda: order_of(honest, victim, envelope), "no signed envelope")


def test_a_fleet_key_that_was_withdrawn(honest: Honest, victim: Victim) -> None:
    envelope = honest.order(release(1).digest)
    assert order_of(honest, victim, envelope)
    honest.repository.withdraw_fleet_key(honest.fleet.public_key.keyid)
    honest.repository.sign(honest.all_keys)
    refuses(lambda: order_of(honest, victim, envelope), "no key of the fleet")


# What a bundle may hold.


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/b", "..", "", "manifest.toml"])
def test_path_traversal_in_a_manifest(name: str) -> None:
    bundle = load_bundle(bad_models.PERSON)
    document = json.loads(manifest.to_json(bundle.manifest))
    document["golden"][0]["image"] = name or "\0"
    refuses(lambda: manifest.from_json(json.dumps(document).encode(), where="test"), "golden: file", BundleError)
    document = json.loads(manifest.to_json(bundle.manifest))
    document["variants"][0]["file"] = name
    refuses(lambda: manifest.from_json(json.dumps(document).encode(), where="test"), "variants: file", BundleError)


@pytest.mark.runtime
@pytest.mark.parametrize("location", ["../outside.bin", "{absolute}"])
def test_path_traversal_by_external_data_of_an_onnx_file(tmp_path: Path, location: str) -> None:
    """The weights of a signed file lie in another one, outside of the store, that anybody may write."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(bad_models.PERSON / "edgemass-person.int8.onnx")
    weights = next(tensor for tensor in model.graph.initializer if len(tensor.raw_data) > 1024)
    outside = tmp_path / "outside.bin"
    outside.write_bytes(weights.raw_data)
    onnx.external_data_helper.set_external_data(
        weights, location.format(absolute=outside), offset=0, length=len(weights.raw_data)
    )
    weights.ClearField("raw_data")
    folder = tmp_path / "bundle"
    folder.mkdir()
    path = folder / "evil.onnx"
    path.write_bytes(model.SerializeToString())
    made = load_bundle(bad_models.PERSON).manifest
    sha256, size = fingerprint(path)
    variant = msgspec.structs.replace(made.reference, file=path.name, sha256=sha256, size_bytes=size)
    evil = Bundle(msgspec.structs.replace(made, variants=(variant,), golden=(), documents=()), folder)
    verdict = prove(evil, None, how=How())
    assert not verdict.ok
    assert re.search("escapes model directory|Absolute path not allowed", verdict.reason), verdict.reason


@pytest.mark.parametrize("synced", [True, False])
def test_a_thief_of_the_online_keys_moves_the_time_and_new_keys_move_it_back(
    honest: Honest, victim: Victim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synced: bool
) -> None:
    """He signs that it is 2089: what the owner signs today would have expired for ever."""
    monkeypatch.setattr(device, "clock_synced", lambda: synced)
    thief = honest.copy(tmp_path / "thief")
    timestamp = Metadata.from_bytes((thief / "timestamp.json").read_bytes())
    in_2089 = datetime(2089, 1, 1, tzinfo=timezone.utc)
    timestamp.signed.version += 1
    timestamp.signed.expires = in_2089 + timedelta(days=365)
    timestamp.signed.unrecognized_fields[device.ISSUED] = int(in_2089.timestamp())
    timestamp.signatures.clear()
    timestamp.sign(honest.keys["timestamp"][0], append=True)
    (thief / "timestamp.json").write_bytes(timestamp.to_bytes())
    assert victim.refresh(thief).floor_s < (NOW + timedelta(days=366)).timestamp()
    honest.refresh()
    for role in ("snapshot", "timestamp"):
        honest.keys[role] = [CryptoSigner.generate_ed25519()]
        honest.repository.rotate(role, honest.keys[role][0].public_key)
    honest.repository.sign(honest.all_keys)
    assert still_works(honest, victim).floor_s < (NOW + timedelta(days=2)).timestamp()
