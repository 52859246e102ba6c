"""Every file of device-profiles/."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from edgemass.backends.choice import parse
from edgemass.device_profile import profiles
from edgemass.device_profile.profile import FOLDERS, load
from edgemass.errors import ConfigError
from edgemass.health import throttling

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[3]
EVERY = sorted(profiles())
ONE = (ROOT / "device-profiles" / "raspberry-pi-4.toml").read_text()


@pytest.mark.parametrize("name", EVERY)
def test_what_a_profile_runs_on_is_what_backend_takes_accelerators_first(name: str) -> None:
    profile = profiles()[name]
    for backends in (profile.backends, profile.backends_32bit):
        choices = parse(backends) if backends else ()
        accelerated = [choice.accelerated for choice in choices]
        assert accelerated == sorted(accelerated, reverse=True)
        assert not choices or not choices[-1].accelerated


@pytest.mark.parametrize("name", EVERY)
def test_the_extra_of_a_profile_can_be_installed(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert profiles()[name].extra in project["project"]["optional-dependencies"]


@pytest.mark.parametrize("name", EVERY)
def test_a_profile_says_where_its_figures_are_from(name: str) -> None:
    profile, text = profiles()[name], (ROOT / "device-profiles" / f"{name}.toml").read_text()
    assert all(budget.fps > 0 and len(budget.source) > 20 for budget in profile.budget.values())
    assert profile.model_bytes >= 1_000_000
    thermal = text[text.index("[thermal]") :]
    assert re.search(r"^#|  # ", thermal, re.MULTILINE)


@pytest.mark.parametrize("name", [name for name in EVERY if name.startswith("raspberry")])
def test_the_bits_are_those_that_are_read(name: str) -> None:
    bits = profiles()[name].thermal.bits
    assert bits["undervoltage"] == throttling.UNDERVOLTAGE
    assert {bits[what] for what in ("capped", "throttled", "soft_limit")} == throttling.SLOWED.keys()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("title", "titel"), "titel"),
        (lambda text: text.replace("soft_c = 78", "soft_c = 90"), "soft_c must be above 0 and below hard_c"),
        (lambda text: text.replace('"csi"', '"cis"'), "cis"),
        (lambda text: "name = 'pi'\n" + text, "unknown key `name`"),
        (lambda text: text.replace("=", ":"), "one.toml"),
        (lambda _: "\0", "one.toml"),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, change: object, told: str) -> None:
    file = tmp_path / "one.toml"
    file.write_text(change(ONE))  # type: ignore[operator]
    with pytest.raises(ConfigError, match=told):
        load(file)


def test_two_profiles_cannot_claim_the_same_board(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / f"{name}.toml").write_text(ONE)
    with pytest.raises(ConfigError, match=r"one and other both claim 'raspberrypi,4-model-b'"):
        profiles((tmp_path,))


def test_without_profiles_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="install edgemass again"):
        profiles((tmp_path / "none",))


def test_a_wheel_takes_the_profiles_along() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included["device-profiles"] == "edgemass/_data/device-profiles"
    assert FOLDERS[0].parts[-3:] == ("edgemass", "_data", "device-profiles")
