"""The device page in a real Chromium: it renders, says nothing on the console, and asks nobody else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgemass.frame import Frame
from edgemass.messages import CameraState, CountsMessage, FrameMessage, InOut
from edgemass.sinks import Answer, Command, Reply
from tests import documents
from tests.integration.test_device_page import TOKEN, frames_given
from tests.simulators import browser
from tests.simulators.browser import Browser
from tests.simulators.device_page import DevicePage, Line, health
from tests.simulators.events import event

PHONE, DESKTOP = 390, 1280
XSS = "<img src=x onerror=console.error(1)>"
COUNTS = CountsMessage(
    device="pi-7f3a",
    camera="door",
    mono_ns=0,
    time="2026-11-22T10:15:02.118Z",
    clock_synced=True,
    available=True,
    labels={"person": 2, "dog": None},
    zones={"path": {"person": 1}},
    lines={"gate": InOut({"person": 3}, {"person": 1})},
)


@pytest.fixture(autouse=True)
def _chromium() -> None:
    """Without it these skip and say so; under CI its absence is a failure."""
    if browser.program() is None:
        reason = "no Chromium: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def jpeg(shade: int) -> bytes:
    done, data = cv2.imencode(".jpg", np.full((90, 160, 3), shade, np.uint8))
    assert done
    return data.tobytes()


def draw(message: FrameMessage, frame: Frame) -> bytes:  # noqa: ARG001 (as the artist's)
    return jpeg(60 + message.seq % 2 * 120)


@pytest.fixture
def lines() -> Iterator[dict[str, Line]]:
    made = {"door": Line("door"), "hall": Line("hall")}
    with frames_given(made["door"]):
        yield made


def furnished(lines: dict[str, Line], **given: object) -> DevicePage:
    page = DevicePage(lines=lines, hidden={"hall": "privacy = counts-only"}, draw=draw, fps=20.0)
    for name, value in given.items():
        setattr(page, name, value)
    return page


def furnish(page: DevicePage) -> None:
    page.sink.camera_state("door", documents.ONLINE)
    page.sink.camera_state("hall", CameraState("blind", "covered: light 0", ""))
    page.sink.counts(COUNTS)
    page.sink.publish(documents.detections("person"), documents.frame())
    page.sink.event(event(1, type="end"), jpeg(200))
    page.sink.event(event(2, label=XSS), None)


@pytest.mark.parametrize(("width", "dark"), [(DESKTOP, False), (PHONE, True)])
def test_the_page_shows_everything_without_a_word_on_the_console(
    lines: dict[str, Line], tmp_path: Path, width: int, dark: bool
) -> None:
    with furnished(lines, health=health(problems=("the broker is away", XSS))) as page:
        furnish(page)
        with Browser(tmp_path, width=width, dark=dark) as chromium:
            chromium.open(page.address)
            chromium.wait_until("document.querySelectorAll('.events img').length == 1")
            chromium.wait_until("document.querySelector('.view img').naturalWidth == 160")
            text = chromium.evaluate("document.body.innerText")
            wide = chromium.evaluate("document.documentElement.scrollWidth")
            ground = chromium.evaluate("getComputedStyle(document.body).backgroundColor")
            assert chromium.console == []
            asked = [address for address in chromium.requests if not address.startswith(page.address)]
    assert asked in ([], ["about:blank"])
    for wanted in (
        *(
            "pi-7f3a",
            "2 problems",
            "the broker is away",
            XSS,
            "2 person, 1 out of sight",
            "? dog",
            "path: 1 inside",
            "3 in, 1 out",
        ),
        *("privacy = counts-only", "covered", "person", "14.9", "31 ms", "61.3 °C", "too little voltage"),
        *("edgemass-person 1", "abababababab", "int8", "onnxruntime/cpu", "p50 24.0 ms, p95 31.0 ms", "3 waiting"),
        *("synchronised", "12.4 GB of 31.0 GB free", "1 d 2 h"),
    ):
        assert wanted in text, wanted
    assert wide <= width, "nothing is cut off or scrolls sideways"
    assert ground == ("rgb(17, 23, 28)" if dark else "rgb(243, 245, 246)")


def test_a_tab_that_nobody_sees_costs_nothing(lines: dict[str, Line], tmp_path: Path) -> None:
    with furnished(lines) as page, Browser(tmp_path) as chromium:
        chromium.open(page.address)
        chromium.wait_until("document.querySelector('.view img')?.naturalWidth == 160")
        assert lines["door"].watchers
        chromium.evaluate(
            "Object.defineProperty(document, 'hidden', {get: () => true, configurable: true});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        chromium.wait_until("!document.querySelector('.view img').hasAttribute('src')")
        for _ in range(100):
            if not lines["door"].watchers:
                break
            chromium.evaluate("new Promise((done) => setTimeout(done, 50))")
        assert not lines["door"].watchers
        chromium.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
        chromium.wait_until("document.querySelector('.view img').naturalWidth == 160")


def test_one_logs_in_and_out_and_presses_buttons(lines: dict[str, Line], tmp_path: Path) -> None:
    taken: list[Command] = []

    def obey(command: Command, reply: Reply) -> None:
        taken.append(command)
        reply(Answer(ok=True))

    with furnished(lines, token=TOKEN, handle=obey) as page, Browser(tmp_path) as chromium:
        chromium.open(page.address)
        chromium.wait_until("location.pathname == '/login' && document.querySelector('#token') != null")
        chromium.evaluate(f"document.querySelector('#token').value = {TOKEN!r}")
        chromium.evaluate("document.querySelector('form button').click()")
        chromium.wait_until("[...document.querySelectorAll('button')].some((b) => b.textContent == 'Take snapshot')")
        assert chromium.evaluate("document.cookie") == "", "no script reads the cookie"
        chromium.evaluate("[...document.querySelectorAll('button')].find((b) => b.textContent == 'Disable').click()")
        chromium.wait_until("document.body.innerText.includes('Done')")
        assert taken == [Command("enabled", "door", "OFF")]
        chromium.evaluate("document.querySelector('#logout button').click()")
        chromium.wait_until("location.pathname == '/login'")
