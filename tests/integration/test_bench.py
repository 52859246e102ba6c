"""`edgemass bench` as a user runs it."""

from __future__ import annotations

import json

import pytest

from tests.simulators.daemon import edgemass

pytestmark = [pytest.mark.assets, pytest.mark.runtime]


def test_json_has_what_scripts_read_and_the_ratio_is_that_of_the_two_rates() -> None:
    done = edgemass(
        "bench", "demo:", "--camera", "synthetic:?width=320&height=240&frames=99", "--seconds", "1", "--json"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {"bare_fps", "pipeline_fps", "ratio", "first_detection_s", "rss_bytes", "backend"} <= found.keys()
    assert found["ratio_min"] <= found["ratio"] <= found["ratio_max"]
    assert found["backend"] == "litert/xnnpack"
    assert min(found["bare_fps"], found["pipeline_fps"], found["first_detection_s"], found["rss_bytes"]) > 0


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--camera", "nowhere.mp4"], 1, "edgemass: error: cannot read nowhere.mp4: "),
        (["--camera", "ftp://host/x"], 2, "edgemass: error: unknown camera scheme "),
        (["--threads", "-3"], 2, "edgemass: error: --threads must be above 0"),
        (["--seconds", "nan"], 2, "edgemass: error: --seconds must be above 0"),
    ],
)
def test_a_mistake_is_told_as_run_tells_it(arguments: list[str], code: int, told: str) -> None:
    done = edgemass("bench", "demo:", *arguments)
    assert done.returncode == code
    assert done.stderr.startswith(told)
    assert len(done.stderr.splitlines()) == 1
