"""Installing the service into the root of an image, and removing it again; programs of the system are not run."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgemass import config, service
from edgemass.cli import main
from edgemass.config import credentials
from edgemass.errors import UsageError
from edgemass.service import CONFIG, FILES, FOLDERS, UNIT, System

PROGRAM = ("/opt/edge mass/50%/bin/edgemass",)


class Image(System):
    """An image whose programs are only noted."""

    def __init__(self, root: Path, *, dry_run: bool = False) -> None:
        self.said: list[str] = []
        self.ran: list[tuple[str, ...]] = []
        super().__init__(root, dry_run=dry_run, say=self.said.append)

    def run(self, *command: str, needed: bool = True) -> None:
        assert needed
        self.ran.append(command)


def everything(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_an_image_gets_every_file_and_the_service_enabled(tmp_path: Path) -> None:
    system = Image(tmp_path)
    service.install(system, PROGRAM)
    assert everything(tmp_path).keys() == {*FILES.values(), CONFIG}
    assert ("systemctl", f"--root={tmp_path}", "enable", UNIT) in system.ran
    assert {name: (tmp_path / name).stat().st_mode & 0o777 for name in FOLDERS} == FOLDERS
    unit = (tmp_path / FILES[UNIT]).read_text()
    assert 'ExecStart="/opt/edge mass/50%%/bin/edgemass" run --config /etc/edgemass/edgemass.toml\n' in unit
    assert service.PACKAGED_PROGRAM not in unit


def test_the_unit_gives_the_folder_of_credentials_and_starts_without_it(tmp_path: Path) -> None:
    """A folder that is missing is an error for systemd, unless something takes the place of its name."""
    service.install(Image(tmp_path), PROGRAM)
    lines = (tmp_path / FILES[UNIT]).read_text().splitlines()
    name = credentials.PREFIX.removesuffix("_")
    assert f"LoadCredential={name}:{credentials.FOLDER}" in lines
    assert any(line.startswith(f"SetCredential={name}:") and not line.endswith(":") for line in lines)


def test_a_second_time_changes_nothing_and_keeps_the_configuration(tmp_path: Path) -> None:
    service.install(Image(tmp_path), PROGRAM)
    (tmp_path / CONFIG).write_text("# mine\n")
    before, again = everything(tmp_path), Image(tmp_path)
    service.install(again, PROGRAM)
    assert not again.changed
    assert everything(tmp_path) == before


def test_removal_leaves_configuration_and_state_and_purge_nothing(tmp_path: Path) -> None:
    service.install(Image(tmp_path), PROGRAM)
    (tmp_path / "var/lib/edgemass").mkdir(parents=True)
    (tmp_path / "var/lib/edgemass/starts.json").write_text("{}")
    service.remove(Image(tmp_path))
    assert everything(tmp_path).keys() == {CONFIG, "var/lib/edgemass/starts.json"}
    service.remove(Image(tmp_path), purge=True)
    assert not everything(tmp_path)
    assert not (tmp_path / "etc/edgemass").exists()


def test_a_dry_run_writes_nothing_and_tells_all(tmp_path: Path) -> None:
    system = Image(tmp_path, dry_run=True)
    service.install(system, PROGRAM)
    assert not list(tmp_path.iterdir())
    assert {f"write /{name}" for name in (*FILES.values(), CONFIG)} <= set(system.said)


def test_the_package_s_service_is_left_to_the_package(tmp_path: Path) -> None:
    unit = tmp_path / service.PACKAGED_UNITS[0]
    unit.parent.mkdir(parents=True)
    unit.write_text("")
    for action in (service.install, service.remove):
        with pytest.raises(UsageError, match="apt"):
            action(Image(tmp_path))


def test_an_installation_that_others_cannot_reach_is_refused(tmp_path: Path) -> None:
    private = tmp_path / "private"
    (private / "venv").mkdir(parents=True)
    private.chmod(0o700)
    with pytest.raises(UsageError, match="keeps others out"):
        service.check_reachable(private / "venv")


def test_a_home_is_seen_only_where_the_program_lies_there() -> None:
    unit = "ExecStart=/usr/bin/edgemass run\nProtectHome=yes\n"
    assert "ProtectHome=yes" in service.unit_for(["/opt/x"], unit)
    assert "ProtectHome=read-only" in service.unit_for(["/home/pi/x"], unit)


def test_the_first_configuration_can_be_read() -> None:
    first = config.load(service._files() / "edgemass.toml")
    assert {name: camera.source for name, camera in first.cameras.items()} == {"cam0": "0"}


def test_every_line_that_is_commented_out_there_is_valid_too(tmp_path: Path) -> None:
    text = (service._files() / "edgemass.toml").read_text()
    told = "".join(
        line.removeprefix("# ") if " = " in line and line.startswith("# ") else line
        for line in text.splitlines(keepends=True)
    )
    path = tmp_path / "edgemass.toml"
    path.write_text(told)
    full = config.load(path)
    assert full.model
    assert full.sinks
    assert full.cameras["cam0"].max_fps


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--root", "/nowhere", "--dry-run"], "--root /nowhere is no folder"),
        (["--program", "/nowhere", "--dry-run"], "--program /nowhere is no file"),
    ],
)
def test_a_place_that_is_not_there_is_refused(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["service", "install", *arguments]) == 2
    assert says in capsys.readouterr().err
