"""`edgemass trust` and `edgemass update` as an operator types them."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgemass.clock import SystemClock
from edgemass.registry.transport import Transport
from edgemass.registry.trust import Trust
from tests.simulators.board import PERSON
from tests.simulators.daemon import edgemass
from tests.simulators.fleet import release


def trust(*arguments: object) -> str:
    done = edgemass("trust", *map(str, arguments))
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(*arguments: object, code: int = 2) -> str:
    done = edgemass("trust", *map(str, arguments))
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    return done.stderr


def status(folder: Path) -> dict[str, Any]:
    return dict(json.loads(trust("status", folder, "--json")))


def role(folder: Path, name: str) -> dict[str, Any]:
    return next(dict(item) for item in status(folder)["roles"] if item["role"] == name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "models"
    trust("init", made)
    return made


def test_init_makes_keys_that_only_their_owner_reads_outside_of_the_folder(folder: Path) -> None:
    keys = sorted(Path(f"{folder}.keys").glob("*.pem"))
    assert [path.name for path in keys] == [
        *("root-1.pem", "root-2.pem", "root-3.pem", "snapshot.pem", "targets.pem", "timestamp.pem")
    ]
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}
    assert not any(path.suffix == ".pem" for path in folder.rglob("*"))
    assert role(folder, "root")["threshold"] == 2
    assert "in use already" in refused("init", folder)


def test_what_is_signed_is_what_a_device_finds(folder: Path, tmp_path: Path) -> None:
    out = trust("sign", folder, PERSON, "--hardware", "aarch64", "--hardware", "x86_64")
    root = (folder / "trust" / "1.root.json").read_bytes()
    device = Trust(tmp_path / "device", root, str(folder / "trust"), Transport(), SystemClock())
    device.refresh()
    (found,) = device.releases()
    assert found.digest in out
    assert (found.name, found.release, found.hardware) == ("edgemass-person", 1, ("aarch64", "x86_64"))
    trust("sign", folder, PERSON, "--withdraw")
    device = Trust(tmp_path / "device", root, str(folder / "trust"), Transport(), SystemClock())
    device.refresh()
    assert device.releases() == ()


def test_a_root_is_published_when_its_second_key_has_signed(folder: Path, tmp_path: Path) -> None:
    """The keys of root lie in two drawers."""
    drawer = tmp_path / "drawer"
    drawer.mkdir()
    for name in ("root-2.pem", "root-3.pem"):
        shutil.move(Path(f"{folder}.keys") / name, drawer / name)
    assert "root waits for 1 more signature" in trust("rotate", folder, "targets")
    assert (role(folder, "root")["version"], role(folder, "root")["missing_signatures"]) == (1, 1)
    assert "waits for 1 more" in trust("status", folder)
    assert "published root 2, targets 2" in trust("sign", folder, "--key", drawer / "root-3.pem")
    assert role(folder, "root")["version"] == 2


def test_refresh_signs_anew_and_stays_if_it_is_told_to(folder: Path) -> None:
    before = role(folder, "timestamp")["version"]
    assert trust("refresh", folder) == f"signed timestamp {before + 1}\n"
    process = subprocess.Popen(
        [sys.executable, "-m", "edgemass", "trust", "refresh", str(folder), "--every", "0.2s"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.terminate()
        assert process.wait(20) == 0
    assert lines == [f"signed timestamp {version}\n" for version in range(before + 2, before + 5)]


def test_online_keys_alone_cannot_sign_a_release(folder: Path) -> None:
    keys = Path(f"{folder}.keys")
    for path in keys.glob("[rt][oa][or][tg]*.pem"):  # root-*, targets
        path.unlink()
    assert "targets waits for 1 more signature" in trust("sign", folder, PERSON)
    assert role(folder, "targets")["version"] == 1
    assert trust("refresh", folder).startswith("signed timestamp")


def test_a_passphrase_is_asked_for_by_file(tmp_path: Path) -> None:
    secret, wrong = tmp_path / "secret", tmp_path / "wrong"
    secret.write_text("correct horse\n", encoding="utf-8")
    wrong.write_text("battery staple\n", encoding="utf-8")
    folder = tmp_path / "models"
    trust("init", folder, "--passphrase-file", secret)
    assert "ENCRYPTED" in (Path(f"{folder}.keys") / "root-1.pem").read_text(encoding="utf-8")
    assert "is encrypted; give --passphrase-file" in refused("refresh", folder)
    assert "another passphrase" in refused("refresh", folder, "--passphrase-file", wrong)
    assert "no-such" in refused("refresh", folder, "--passphrase-file", tmp_path / "no-such")
    assert trust("refresh", folder, "--passphrase-file", secret).startswith("signed timestamp")


def test_a_key_of_the_fleet_is_withdrawn_by_the_beginning_of_its_id(folder: Path, tmp_path: Path) -> None:
    for name in ("stolen", "kept"):
        trust("add-key", folder, "fleet", tmp_path / f"{name}.pub")
    stolen, kept = status(folder)["fleet_keys"]
    shown = next(line.split()[1] for line in trust("status", folder).splitlines() if stolen[:8] in line)
    assert "published targets 4" in trust("withdraw-key", folder, shown)
    assert status(folder)["fleet_keys"] == [kept]
    assert f"0 keys '{shown}', wanted one" in refused("withdraw-key", folder, shown)
    assert "0 keys ''" in refused("withdraw-key", folder, "")


def test_mistakes_are_told_in_one_line(folder: Path, tmp_path: Path) -> None:
    assert "cannot be met" in refused("init", tmp_path / "x", "--threshold", "4")
    for verb, *more in (
        ("rotate", "root"),
        ("sign",),
        ("sign", PERSON),
        ("withdraw-key", "3f"),
        ("add-key", "fleet", tmp_path / "x.pub"),
    ):
        assert "has no trust metadata; begin with" in refused(verb, tmp_path / "nothing", *more), verb
    assert not (tmp_path / "x.pem").exists()
    assert "--instead-of" in refused("rotate", folder, "root")
    assert role(folder, "root")["threshold"] == 2
    assert "no key of timestamp" in refused("refresh", folder, "--keys", tmp_path / "empty")
    assert "no model" in refused("sign", folder, tmp_path / "no-bundle")
    assert "wanted a time" in refused("refresh", folder, "--every", "soon")
    assert "no public key" in refused("add-key", folder, "fleet", PERSON / "card.md")
    (Path(f"{folder}.keys") / "targets.pem").chmod(0o644)
    assert "can be read by others" in refused("refresh", folder)
    (folder / "trust" / "timestamp.json").write_bytes(b"{")
    assert "is no TUF metadata" in refused("status", folder, code=1)


def test_an_update_is_seen_and_taken_by_hand(folder: Path, tmp_path: Path) -> None:
    two = release(tmp_path / "v2", 2)
    done = edgemass("model", "push", str(two.folder), str(folder))
    assert done.returncode == 0, done.stderr
    trust("sign", folder, two.folder)
    config = tmp_path / "edgemass.toml"
    config.write_text(
        f'device = "pi"\nstate = "{tmp_path / "state"}"\n[updates]\nregistry = "{folder}"\n'
        f'trust = "{folder / "trust" / "1.root.json"}"\n[cameras.cam]\nsource = "synthetic:"\n',
        encoding="utf-8",
    )
    assert "no model is confirmed here yet" in edgemass("update", "check", "--config", str(config)).stderr
    found = json.loads(edgemass("update", "check", "edgemass-person", "--config", str(config), "--json").stdout)
    assert (found["running"], found["newest"]["digest"], found["update"]) == (None, two.digest, True)
    told = edgemass("update", "check", "edgemass-person", "--config", str(config)).stdout
    advised = shlex.split(told.partition("take it with: edgemass ")[2])
    done = edgemass(*advised)
    assert done.returncode == 0, done.stderr
    order = json.loads((tmp_path / "state" / "desired" / "main.json").read_bytes())
    assert (order["digest"], order["sequence"]) == (two.digest, 1)
    shutil.rmtree(folder / "trust")
    done = edgemass("update", "check", "edgemass-person", "--config", str(config))
    assert done.returncode == 78, done.stderr
    assert "cannot read" in done.stderr
