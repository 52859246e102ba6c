"""Makes tests/data/recording: a minute of a yard, as `edgemass run --record` would have taken it down.

    python -m tests.data.make_recording

People walk, a car parks, the detector flickers, and the camera is away for a while. What was told is kept beside it, so
that a replay on any Python, NumPy and machine can be held to it byte for byte. To be made anew when a change of what is
told is meant.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from edgemass.clock import rfc3339
from edgemass.config import camera_config
from edgemass.counters import Counters
from edgemass.messages import CameraState, ModelRef
from edgemass.pipeline.ledger import Entry
from edgemass.pipeline.moment import Identity, Moment
from edgemass.pipeline.outlets import Outlets
from edgemass.pipeline.recording import Known, RecordedCamera, Recorder
from edgemass.pipeline.reporting import Attachments, SceneReporter
from edgemass.scene.rules import LocalTime
from tests.simulators.manual_clock import START_UNIX_NS
from tests.simulators.walkers import FLICKERING, LABELS, START_NS, frames, parked, person

FOLDER = Path(__file__).with_name("recording")
CAMERA = "yard"
CONFIG = {
    "source": "rtsp://127.0.0.1/yard",
    "zones": {
        "door": {"points": [[0.6, 0.3], [0.95, 0.3], [0.95, 1.0], [0.6, 1.0]], "labels": ["person"], "dwell_s": 1}
    },
    "lines": {"gate": {"points": [[0.4, 0.1], [0.45, 1.0]]}},
}
MODEL = Known(ModelRef("walkers", "1", "sha256:" + "0" * 64, "simulated"), LABELS, 0.5)
AWAY_S = (30.0, 45.0)


def moment(mono_ns: int) -> Moment:
    time_ns = START_UNIX_NS + mono_ns - START_NS
    return Moment(mono_ns, time_ns, synced=True, local=LocalTime(3, 615))


def make(folder: Path) -> None:
    """Record the yard into a folder."""
    identity = Identity("pi-7f3a", "00000000-0000-0000-0000-000000000000", "0123456789abcdef0123456789abcdef")
    config = camera_config(CONFIG, "the yard")
    recorder = Recorder(folder, {CAMERA: RecordedCamera(config, live=True, counts=Entry())}, identity, frames=False)
    reporter = SceneReporter(
        CAMERA,
        config,
        Outlets(CAMERA, [], Counters()),
        identity=identity,
        attached=Attachments(recorder=recorder.cameras[CAMERA]),
    )
    things = [
        parked((0.25, 0.7), since=4),
        person((0.1, 0.9), (0.9, 0.9), since=2, until=20),
        person((0.95, 0.95), (0.2, 0.95), since=8, until=24),
        person((0.75, 0.8), (0.7, 0.8), since=15, until=28),
        person((0.5, 0.9), (0.8, 0.9), since=48, until=58),
    ]
    reporter.begin(moment(START_NS))
    reporter.camera_state(CameraState("online", "", rfc3339(START_UNIX_NS)), moment(START_NS))
    away = False
    for mono_ns, found in frames(things, 60, fps=5, detector=FLICKERING, seed=7, drops=0.1):
        second = (mono_ns - START_NS) / 1e9
        if (AWAY_S[0] <= second < AWAY_S[1]) != away:
            away = not away
            state = CameraState("offline" if away else "online", "no answer" if away else "", moment(mono_ns).text)
            reporter.camera_state(state, moment(mono_ns))
        if not away:
            observation = reporter.observe(found, MODEL, moment(mono_ns), (1280, 720))
            if observation is not None:
                reporter.report(observation, moment(mono_ns), (1280, 720))
    reporter.close()
    recorder.close()


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    make(FOLDER)


if __name__ == "__main__":
    main()
