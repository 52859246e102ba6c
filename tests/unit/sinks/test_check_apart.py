"""Two outputs that would throw each other out of one broker for ever are refused before the first connects."""

from __future__ import annotations

import pytest

from edgemass import sinks
from edgemass.errors import ConfigError


@pytest.mark.parametrize(
    "uris",
    [
        ["mqtt://broker", "mqtt://broker"],
        ["mqtt://broker", "jsonl:-", "mqtt://BROKER:1883?version=5"],
        ["mqtt://localhost", "mqtt://127.0.0.1"],
        ["mqtt://[::1]:1884", "mqtt://localhost:1884"],
        ["mqtts://broker", "mqtt://broker.:8883"],
        ["mqtt://one@broker", "mqtt://two:secret@broker"],
        ["mqtt://broker?client_id=a", "mqtt://other", "mqtt://broker?client_id=a"],
    ],
)
def test_two_clients_of_one_broker_with_one_client_id_are_refused(uris: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"are one broker.*another client_id") as refused:
        sinks.check_apart(uris)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "uris",
    [
        [],
        ["jsonl:-", "jsonl:-", "console:"],
        ["mqtt://broker", "mqtt://other"],
        ["mqtt://broker", "mqtt://broker:1884"],
        ["mqtt://broker", "mqtts://broker"],
        ["mqtt://broker", "mqtt://broker?client_id=second"],
    ],
)
def test_outputs_that_do_not_disturb_each_other_are_taken(uris: list[str]) -> None:
    sinks.check_apart(uris)
