from __future__ import annotations

from pathlib import Path

import pytest

from edgemass import config
from edgemass.agent.governing import Limits
from edgemass.agent.governor import limits
from edgemass.config import Config, GovernorConfig
from edgemass.errors import ConfigError

BOARDS = Path(__file__).resolve().parents[2] / "data" / "boards"


def of(board: str, **asked: float) -> Limits:
    return limits(Config(cameras={}, root=str(BOARDS / board), governor=GovernorConfig(**asked)))  # type: ignore[arg-type]


def test_the_limits_are_those_of_the_board_where_nobody_asks() -> None:
    assert of("raspberry-pi-4") == Limits(78, 85, ("cpu-thermal",))
    assert of("raspberry-pi-4", soft_c=60) == Limits(60, 85, ("cpu-thermal",))
    assert of("raspberry-pi-4", soft_c=95) == Limits(95, 96, ("cpu-thermal",))
    assert of("raspberry-pi-4", hard_c=70) == Limits(69, 70, ("cpu-thermal",))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("soft_c = 90\nhard_c = 80", "soft_c must be below hard_c"),
        ("soft_c = 900", "soft_c must lie between 20 and 120"),
        ("hard_c = nan", "hard_c must lie between"),
        ("softc = 70", "softc"),
    ],
)
def test_a_wrong_limit_is_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "edgemass.toml"
    file.write_text(f'[cameras.door]\nsource = "0"\n[governor]\n{text}\n')
    with pytest.raises(ConfigError, match=told):
        config.load(file)


def test_the_root_is_no_key(tmp_path: Path) -> None:
    file = tmp_path / "edgemass.toml"
    file.write_text('root = "/"\n[cameras.door]\nsource = "0"\n')
    with pytest.raises(ConfigError, match="unknown key `root`"):
        config.load(file)
