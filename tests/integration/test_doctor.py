"""`edgemass doctor` as a user runs it: real runtimes, a real broker, child processes that crash and hang."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemass.doctor import CHECKS, Machine, child, probes
from edgemass.doctor.broker import broker as check_broker
from tests.simulators import fake_broker, tiny_models
from tests.simulators.broker import Broker, free_port
from tests.simulators.daemon import edgemass
from tests.simulators.fake_broker import FakeBroker

REPOSITORY = Path(__file__).resolve().parents[2]
HERE = "tests.integration.test_doctor"
ABSENT = ("numpy", "cv2", "onnxruntime", "ai_edge_litert", "tflite_runtime")


def crash() -> None:
    """In a child process only."""
    os.abort()


def hang() -> None:
    time.sleep(600)


def chatter() -> str:
    os.write(1, b'{"value": "printed by native code"}')
    os.write(2, b"native error\n")
    return "answer"


def leave() -> None:
    raise SystemExit(3)


def report(*arguments: str) -> tuple[int, dict[str, Any]]:
    done = edgemass("doctor", "--json", *arguments)
    document: dict[str, Any] = json.loads(done.stdout)
    assert done.stderr == ""
    return done.returncode, document


def of(document: dict[str, Any], code: str) -> list[dict[str, str]]:
    return [check for check in document["checks"] if check["code"] == code]


class TestChild:
    def test_a_crash_is_an_answer(self) -> None:
        assert child.ask(f"{HERE}:crash", {}, 30).failure == "it crashed (SIGABRT)"

    def test_a_hang_is_an_answer_at_the_deadline(self) -> None:
        answer = child.ask(f"{HERE}:hang", {}, 1)
        assert answer.late
        assert answer.failure == "no answer within 1 s"

    def test_what_native_code_prints_does_not_get_into_the_answer(self) -> None:
        answer = child.ask(f"{HERE}:chatter", {}, 30)
        assert answer.value == "answer"
        assert answer.said.endswith("native error")

    def test_a_module_that_is_not_installed_is_named(self) -> None:
        assert child.ask("edgemass.doctor.probes:library", {"module": "no_such_module"}, 30).missing == "no_such_module"

    def test_an_early_end_is_an_answer(self) -> None:
        assert "ended with code 3" in child.ask(f"{HERE}:leave", {}, 30).failure

    def test_an_interpreter_that_cannot_be_started_is_an_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        assert "cannot be started" in child.ask(f"{HERE}:hang", {}, 30).failure


@pytest.mark.runtime
class TestRuntimes:
    def test_the_convolution_and_the_addition_are_what_their_makers_make(self, tmp_path: Path) -> None:
        import onnx

        convolution = onnx.load(probes.CONVOLUTION)
        onnx.checker.check_model(convolution, full_check=True)
        assert [node.op_type for node in convolution.graph.node] == ["Conv"]
        (weights,) = (onnx.numpy_helper.to_array(item) for item in convolution.graph.initializer)
        np.testing.assert_array_equal(weights, np.ones((4, 3, 3, 3), np.float32))
        made = tiny_models.tflite_add(tmp_path / "made", (1, 8))
        assert made.read_bytes() == probes.ADDITION.read_bytes()

    def test_every_runtime_that_is_installed_runs_a_model(self) -> None:
        _, document = report()
        assert [check["status"] for check in of(document, "EM301")] == ["OK"]
        assert "CPU" in of(document, "EM304")[0]["found"]
        assert "ai-edge-litert" in of(document, "EM311")[0]["found"]
        assert [check["status"] for check in of(document, "EM313")] == ["OK"]

    def test_a_model_that_computes_wrongly_is_no_provider_that_works(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import onnx

        model = onnx.load(probes.CONVOLUTION)
        model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.zeros((4, 3, 3, 3), np.float32), "weights"))
        onnx.save(model, tmp_path / "zeros.onnx")
        monkeypatch.setattr(probes, "CONVOLUTION", tmp_path / "zeros.onnx")
        troubles = {provider["name"]: provider["trouble"] for provider in probes.onnxruntime()["providers"]}
        assert troubles["CPUExecutionProvider"] == "it computes 0 instead of 27"


class TestReport:
    def test_the_document_has_every_field_and_only_known_codes(self) -> None:
        code, document = report()
        assert document.keys() == {"checks", "worst"}
        assert all(check.keys() == {"code", "title", "status", "found", "fix"} for check in document["checks"])
        assert {check["code"] for check in document["checks"]} <= CHECKS.keys()
        assert code == (1 if document["worst"] == "FAIL" else 0)

    def test_a_camera_that_works_is_watched_and_an_absent_one_fails(self) -> None:
        _, document = report("--camera", "synthetic:?width=320&height=240")
        (good,) = of(document, "EM411")
        assert good["status"] == "OK"
        assert "320x240" in good["found"]
        code, document = report("--camera", "/dev/video250")
        (absent,) = of(document, "EM411")
        assert (code, absent["status"], document["worst"]) == (1, "FAIL", "FAIL")

    def test_the_text_names_code_and_fix_and_keeps_the_passwords(self) -> None:
        done = edgemass(
            "doctor", "--camera", f"rtsp://u:geheim@127.0.0.1:{free_port()}/x", "--mqtt", "ftp://u:geheim@h"
        )
        assert done.returncode == 1
        assert "geheim" not in done.stdout + done.stderr
        lines = done.stdout.splitlines()
        told = next(number for number, line in enumerate(lines) if line.startswith("FAIL  EM411  --camera"))
        assert lines[told + 1].strip().startswith("fix: ")

    def test_no_numpy_and_no_runtime_is_a_report_and_no_traceback(self) -> None:
        """A module that is None cannot be imported; the same is done in every child."""
        block = f"import sys; sys.modules.update(dict.fromkeys({ABSENT!r}))\n"
        script = (
            f"{block}from edgemass.cli import main; from edgemass.doctor import child\n"
            f"child._PROGRAM = {block!r} + child._PROGRAM\n"
            "sys.exit(main(['doctor', '--json', '--camera', 'demo:']))"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=100, cwd=REPOSITORY
        )
        document = json.loads(done.stdout)
        assert (done.returncode, done.stderr) == (1, "")
        for code in ("EM201", "EM202", "EM301", "EM411"):
            assert [check["status"] for check in of(document, code)] == ["FAIL"], code
        assert of(document, "EM602")[0]["found"]


@pytest.mark.broker
class TestBroker:
    @pytest.fixture
    def users(self, tmp_path: Path) -> Any:
        with Broker(tmp_path / "broker", users={"me": "right"}) as started:
            yield started

    def test_a_broker_that_takes_us_is_told_with_its_version(self, users: Broker, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("right\n")
        (finding,) = check_broker(Machine(mqtt=f"mqtt://me@127.0.0.1:{users.port}?password_file={secret}"))
        assert finding.status.value == "OK"
        assert "as me: MQTT 5" in finding.found

    def test_a_wrong_password_is_told_as_such_and_not_shown(self, users: Broker) -> None:
        code, document = report("--mqtt", f"mqtt://me:geheim@127.0.0.1:{users.port}")
        (finding,) = of(document, "EM501")
        assert (code, finding["status"]) == (1, "FAIL")
        assert "refuses user 'me'" in finding["found"]
        assert "check user and password" in finding["fix"]
        assert "geheim" not in json.dumps(document)

    def test_a_running_edgemass_of_the_same_address_is_not_thrown_out(self, users: Broker, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("right\n")
        check_broker(Machine(mqtt=f"mqtt://me@127.0.0.1:{users.port}?password_file={secret}&client_id=door"))
        assert "as door-doctor" in users.log

    @pytest.mark.parametrize(
        ("behaviour", "told"),
        [
            pytest.param(fake_broker.hangs_up, "closes the connection without an answer", id="hangs up"),
            pytest.param(fake_broker.speaks_tls, "does not speak MQTT", id="TLS"),
            pytest.param(fake_broker.dismisses(0x87), "withdrawn access", id="thrown out after CONNACK"),
        ],
    )
    def test_a_broker_that_misbehaves_is_told_with_the_reason(
        self, behaviour: fake_broker.Behaviour, told: str
    ) -> None:
        with FakeBroker(behaviour) as broken:
            (finding,) = check_broker(Machine(mqtt=broken.url))
        assert finding.status.value == "FAIL"
        assert told in finding.found
        assert finding.fix

    def test_nobody_who_listens_is_a_failure_with_a_fix(self) -> None:
        (finding,) = check_broker(Machine(mqtt=f"mqtt://127.0.0.1:{free_port()}"))
        assert (finding.status.value, finding.fix) == ("FAIL", "is the MQTT broker running?")
