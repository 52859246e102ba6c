"""Several files as one configuration, and what is shown of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edgemass import cli, config
from edgemass.config import shown
from edgemass.config.reading import read_toml
from edgemass.errors import ConfigError

DOCS = Path(__file__).parents[3] / "docs"
MAIN = """
model = "demo:"
sinks = ["mqtt://me:hunter2@broker"]
[cameras.door]
source = "rtsp://admin:hunter2@camera/1?token=hunter2"
motion = { threshold = 20 }
"""


def write(folder: Path, **drops: str) -> Path:
    (folder / "conf.d").mkdir(exist_ok=True)
    (folder / config.NAME).write_text(MAIN)
    for name, text in drops.items():
        (folder / "conf.d" / f"{name}.toml").write_text(text)
    return folder / config.NAME


def test_files_of_conf_d_are_joined_key_by_key_and_the_last_one_counts(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        **{
            "10-door": '[cameras.door]\nmax_fps = 5\nrotate = 90\n[cameras.yard]\nsource = "0"\n',
            "20-door": "[cameras.door]\nmax_fps = 2\nmotion = { linger_s = 9 }\n",
        },
    )
    read = config.load(path)
    door = read.cameras["door"]
    assert (door.max_fps, door.rotate) == (2, 90)
    assert (door.motion.threshold, door.motion.linger_s) == (20, 9)  # type: ignore[union-attr]
    assert list(read.cameras) == ["door", "yard"]
    assert config.load(tmp_path) == read, "a folder stands for the file in it"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("modell = 1", "10-bad.toml: unknown key `modell`; did you mean `model`?"),
        ("[cameras.door]\nrotat = 90", "10-bad.toml: camera door: unknown key `rotat`; did you mean `rotate`?"),
        ("[cameras.door]\nrotate = 45", "10-bad.toml: camera door: `rotate` must be one of 0, 90, 180, 270, found 45"),
        ("threads = 0", "10-bad.toml: threads must lie between 1 and 1024, found 0"),
        ("[delivery]\nnothing = 0", "10-bad.toml: unknown key `nothing` of `delivery`"),
        ("cameras = 3", "10-bad.toml: cameras must be tables"),
        ("model = ", "10-bad.toml is not TOML"),
        ('file = "x"', "10-bad.toml: unknown key `file`"),
        ("model = 3", "10-bad.toml: `model` must be text in quotes, found a whole number"),
        ("sinks = 'mqtt://x'", "10-bad.toml: `sinks` must be a list in [ ], found text"),
        ("[http]\nlisten = 8088", "10-bad.toml: `http.listen` must be text in quotes, found a whole number"),
        ("[cameras.yard]", "camera yard: the key `source` is missing"),
        ("[cameras.door]\nsource = 0", "camera door: `source` must be text in quotes, found a whole number"),
        ("[cameras.door]\nmotion = 3", "camera door: `motion` must be true or false or a table, found a whole number"),
        (
            "[cameras.door.rules.r]\ndays = ['monday']",
            "must be one of mon, tue, wed, thu, fri, sat, sun, found 'monday'",
        ),
        (
            "[cameras.door.rules.r]\nmqtt = { topic = 'a', qos = 3 }",
            "rules.r: `mqtt.qos` must be one of 0, 1, 2, found 3",
        ),
    ],
)
def test_what_is_wrong_names_the_file_that_says_it(tmp_path: Path, text: str, told: str) -> None:
    path = write(tmp_path, **{"10-bad": text})
    with pytest.raises(ConfigError, match=re.escape(told)):
        config.load(path)


def test_a_bad_file_ends_with_78_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, **{"10-bad": "[cameras.door]\nsource = 'nope://x'"})
    assert cli.main(["config", "check", str(path)]) == 78
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "camera door: unknown camera scheme 'nope'" in said


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sinks = ['nope://x']", "50-night.toml: sinks: unknown sink 'nope://x'"),
        ("sinks = ['mqtt://b?ca=/not/there.pem']", "50-night.toml: sinks: cannot use ca=/not/there.pem"),
        ("sinks = ['mqtt://b', 'mqtt://B:1883']", "50-night.toml: sinks: mqtt://b and mqtt://B:1883 are one"),
        ("[cameras.door]\nsource = 'nope://x'", "50-night.toml: camera door: unknown camera scheme 'nope'"),
        ("[cameras.gate]\nsource = 'rtsp://'", "50-night.toml: camera gate: cannot read 'rtsp://'"),
    ],
)
def test_a_bad_address_is_blamed_on_the_file_that_says_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    path = write(tmp_path, **{"50-night": text, "60-later": "[cameras.door]\nmax_fps = 5"})
    assert cli.main(["config", "check", str(path)]) == 78
    assert f"conf.d/{told}" in capsys.readouterr().err


def test_a_good_one_is_said_to_be_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path)
    assert cli.main(["config", "check", str(path)]) == 0
    assert "good; cameras: door; sinks: 1" in capsys.readouterr().out


@pytest.mark.parametrize("options", [[], ["--defaults"], ["--json"]])
def test_no_password_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    assert cli.main(["config", "show", str(write(tmp_path)), *options]) == 0
    out = capsys.readouterr().out
    assert "hunter2" not in out
    assert "rtsp://admin:***@camera/1?token=***" in out


def test_what_is_shown_says_the_same_when_it_is_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, **{"10-zone": "[cameras.door.zones.yard]\npoints = [[0, 0], [1, 0], [1, 1]]\n"})
    again = tmp_path / "again.toml"
    (tmp_path / "conf.d").rename(tmp_path / "elsewhere")
    for options in ([], ["--defaults"]):
        (tmp_path / "elsewhere").rename(tmp_path / "conf.d")
        whole = config.load(path)
        capsys.readouterr()
        assert cli.main(["config", "show", str(path), *options]) == 0
        again.write_text(capsys.readouterr().out)
        (tmp_path / "conf.d").rename(tmp_path / "elsewhere")
        read = config.load(again)
        assert read.cameras["door"].zones == whole.cameras["door"].zones
        assert read.cameras["door"].motion == whole.cameras["door"].motion
        assert read.model == whole.model


def schema() -> Any:
    document = shown.schema()
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


def test_the_schema_takes_what_is_taken_and_refuses_unknown_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = read_toml(write(tmp_path))
    assert not list(schema().iter_errors(table))
    table["cameras"]["door"]["rotat"] = 90
    assert [error.message for error in schema().iter_errors(table)]
    assert not list(schema().iter_errors({})), "a file of conf.d need not name cameras"
    assert cli.main(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(shown.schema()))


@pytest.mark.parametrize("page", sorted(page.name for page in DOCS.glob("*.md")))
def test_every_table_that_a_page_shows_is_taken(tmp_path: Path, page: str) -> None:
    text = (DOCS / page).read_text()
    for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL):
        (tmp_path / "block.toml").write_text(block)
        table = read_toml(tmp_path / "block.toml")
        if table.keys() & {"cameras", "updates", "sinks", "delivery", "health", "http", "governor"}:
            assert not list(schema().iter_errors(table)), page


def test_credentials_that_only_the_service_is_given_are_taken_for_good(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / config.NAME
    path.write_text(
        'sinks = ["mqtts://device@broker?ca=credential:ca&password_file=credential:mqtt-password&version=5"]\n'
        '[cameras.door]\nsource = "rtsp://admin:{credential:door}@camera/1"\n'
    )
    monkeypatch.setattr("edgemass.config.credentials.FOLDER", tmp_path / "nowhere")
    assert cli.main(["config", "check", str(path)]) == 0
    given = tmp_path / "given"
    given.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given))
    assert cli.main(["config", "check", str(path)]) == 78
    assert "there is no credential door" in capsys.readouterr().err


def test_a_place_that_cannot_be_looked_into_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    """The service is not started anew for ever, and no file of conf.d is silently left out."""
    with pytest.raises(ConfigError, match=r"cannot read x+: File name too long"):
        config.load(Path("x" * 300))
    path = write(tmp_path)
    (tmp_path / "conf.d").rmdir()
    (tmp_path / "conf.d").symlink_to("conf.d")
    with pytest.raises(ConfigError, match=r"cannot read .*conf\.d: Too many levels of symbolic links; let this user"):
        config.load(path)
    path.unlink()
    with pytest.raises(ConfigError, match=r"cannot read .*edgemass\.toml: No such file"):
        config.load(path)
