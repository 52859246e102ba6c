"""Two outputs that would throw each other out of one broker for ever are refused before the first connects."""

from __future__ import annotations

import pytest

from edgemass import cli, sinks
from edgemass.errors import UsageError


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
    with pytest.raises(UsageError, match=r"are one broker.*\?client_id=NAME") as refused:
        sinks.check_together(uris)
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
    sinks.check_together(uris)


def test_a_run_with_two_such_outputs_ends_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--camera", "demo:", "--model", "demo:", "--mqtt", "mqtt://localhost", "--sink", "mqtt://127.0.0.1:1883"]
    assert cli.main(["run", *given]) == 2
    assert "are one broker" in capsys.readouterr().err
