from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgemass.health.metrics import METRICS
from edgemass.health.prometheus import render
from edgemass.messages.health import Board, OutputHealth
from tests.documents import health_message

DOCS = Path(__file__).resolve().parents[3] / "docs" / "health.md"


def values(text: str) -> dict[str, float]:
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[:1] != "#"}


def test_names_keep_to_the_conventions() -> None:
    for metric in METRICS:
        assert re.fullmatch(r"edgemass(_[a-z0-9]+)+", metric.name)
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert metric.help.endswith(".")
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_numbers_are_those_of_the_document_in_base_units() -> None:
    found = values(render(health_message()))
    assert found['edgemass_camera_frames_dropped_total{camera="door",cause="max_fps"}'] == 790
    assert found['edgemass_camera_latency_seconds{camera="door",quantile="0.95"}'] == 0.02025
    assert found['edgemass_camera_state{camera="door",state="online"}'] == 1
    assert found['edgemass_output_dropped_total{output="mqtt",reason="offline"}'] == 4
    assert found['edgemass_output_dropped_total{output="mqtt",reason="other"}'] == 1
    assert found["edgemass_health_timestamp_seconds"] == 1795312800


def test_a_histogram_adds_up() -> None:
    found = values(render(health_message()))
    name = "edgemass_inference_duration_seconds"
    labels = 'camera="door",slot="main"'
    buckets = [found[f'{name}_bucket{{{labels},le="{le}"}}'] for le in ("0.01", "0.1", "+Inf")]
    assert buckets == [150, 199, 200]
    assert (found[f"{name}_count{{{labels}}}"], found[f"{name}_sum{{{labels}}}"]) == (200, 2.5)


def test_what_a_device_has_not_is_not_there() -> None:
    text = render(health_message())
    assert "edgemass_temperature" not in text
    assert "edgemass_governor" not in text
    assert 'edgemass_output_connected{output="jsonl"}' not in render(health_message(outputs={"jsonl": OutputHealth()}))


def test_labels_are_escaped() -> None:
    text = render(health_message(board=Board("odd", 'a "board"\\\nof two lines')))
    assert r'model="a \"board\"\\\nof two lines"' in text


@pytest.mark.parametrize("secret", ["hunter2", "rtsp://", "mqtt://", "pid="])
def test_no_address_and_no_process_number_is_a_label(secret: str) -> None:
    problem = "camera door is offline: rtsp://me:hunter2@camera/1"
    assert secret not in render(health_message(problems=(problem,)))


def test_the_documentation_has_the_same_table() -> None:
    rows = re.findall(r"^\| `(edgemass_\w+)` \| (\w+) \| (.*) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [(metric.name, metric.kind, metric.help) for metric in METRICS], (
        "docs/health.md must hold the table of edgemass.health.metrics; write it with `python -m tests.metrics_table`"
    )
