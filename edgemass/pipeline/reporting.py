"""One camera's scene and what goes with it: documents, pictures, clips, counts on disk, and the rules that fire."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edgemass.config.camera import CameraConfig
from edgemass.detections import Detections
from edgemass.frame import Frame
from edgemass.messages import CameraState
from edgemass.pipeline.album import Album, Picture, Shown
from edgemass.pipeline.clips import ClipRecorder
from edgemass.pipeline.documents import Documents
from edgemass.pipeline.ledger import Entry, Ledger
from edgemass.pipeline.moment import Identity, Moment
from edgemass.pipeline.numbering import Numbering
from edgemass.pipeline.outlets import Outlets
from edgemass.pipeline.recording import (
    CameraRecorder,
    Given,
    GivenEnd,
    GivenFrame,
    GivenModel,
    GivenStart,
    GivenState,
    Known,
)
from edgemass.scene.crossings import Totals
from edgemass.scene.happening import Counts, Happening
from edgemass.scene.rules import Firing, Rules
from edgemass.scene.scene import FRAME, Observation, Scene, counts

DOUBTFUL = frozenset({"moved", "blurred"})
"""Causes of `blind` in which the pictures still show something: events go on, only the counts are not believed."""


@dataclass(frozen=True, kw_only=True)
class Attachments:
    """What a reporter may have beside its scene.

    ledger: where counts outlive the process. album: takes the pictures of events. clips: keeps the video around them.
    recorder: takes down what is given and told. act: told of rules that fire, with the fields of their texts and the
    picture of the moment; must not wait.
    """

    ledger: Ledger[Entry] | None = None
    album: Album | None = None
    clips: ClipRecorder | None = None
    recorder: CameraRecorder | None = None
    act: Callable[[Firing, dict[str, str], Picture | None], None] | None = None


class SceneReporter:
    """Runs one camera's scene and hands out what it tells. Frames come from one thread, states from any.

    live: the camera goes on by itself: a file that ends is no camera that is away. kept: what was counted before.
    numbering: goes on from there; None = from the beginning. state: of the camera, as it was told before.
    """

    def __init__(  # noqa: PLR0913 (what a reporter joins; all but three by name)
        self,
        camera: str,
        config: CameraConfig,
        outlets: Outlets,
        *,
        identity: Identity,
        live: bool = True,
        kept: Entry | None = None,
        numbering: Numbering | None = None,
        state: CameraState | None = None,
        attached: Attachments | None = None,
    ) -> None:
        self.camera = camera
        self.config = config
        self.outlets = outlets
        self._identity = identity
        self._live = live
        self._kept = kept or Entry()
        self._attached = attached or Attachments()
        self._rules = Rules(config.rules)
        self._lock = threading.RLock()
        self._last: Moment | None = None  # of the frames
        self._scene: Scene | None = None
        self._model: Known | None = None
        self._clips: dict[int, str] = {}
        self._numbering = numbering or Numbering()
        self._documents = Documents(
            camera, outlets, identity=identity, numbering=self._numbering, recorder=self._attached.recorder
        )
        self._state = state or CameraState("", "", "")
        self._state_since_ns = 0
        self._closed = False

    def begin(self, moment: Moment) -> None:
        """Say that nothing is known yet, so that nobody takes what an earlier run left behind for true."""
        self._give(GivenStart(moment))
        labels = {place: dict.fromkeys(known) for place, known in self._kept.known.items()}
        zones = {name: labels.get(name, {}) for name in self.config.zones}
        lines: Totals = {name: self._kept.lines.get(name, {"in": {}, "out": {}}) for name in self.config.lines}
        self._documents.counts(counts(labels.get(FRAME, {}), zones, lines, available=False), moment)

    @property
    def kept(self) -> Entry:
        """What is counted so far."""
        with self._lock:
            self._remember()
            return self._kept

    # For the detect loop

    def held(self) -> contextlib.AbstractContextManager[object]:
        """While a frame is observed, published and reported, so that no state of the camera comes in between."""
        return self._lock

    def observe(
        self, found: Detections, model: Known, moment: Moment, size: tuple[int, int], frame: Frame | None = None
    ) -> Observation | None:
        """Take in one frame; tell `report` when its own document is out. To be called within `held`, as `report` is.

        None where nobody believes what the camera shows: what was there is kept as it was, and no rule looks at it.
        found: boxes as fractions of the frame, from `usable_score` on. size: width and height of the frame in pixels.
        frame: for the recorder.
        """
        with self._lock:
            if self._attached.recorder is not None:
                if model != self._model:
                    self._attached.recorder.give(GivenModel(model))
                self._attached.recorder.give(GivenFrame.of(found, moment, size), frame)
            if self._closed or (
                self._live and self._state.state not in ("", "online") and not _is_doubtful(self._state)
            ):
                return None
            scene = self._scene_for(model, moment)
            self._last = moment
            return scene.observe(found, moment.mono_ns, aspect=size[0] / size[1])

    def report(
        self, observation: Observation, moment: Moment, size: tuple[int, int], shown: Shown | None = None
    ) -> None:
        """Hand out what a frame brought. shown: None where its pixels are not at hand, as in a replay."""
        with self._lock:
            if self._attached.album is not None and shown is not None:
                self._attached.album.look(observation.objects, shown)
            self._tell(observation.happenings, moment)
            self._documents.counts(observation.counts, moment)
            aspect = size[0] / size[1]
            fired = self._rules.look(observation.objects, observation.happenings, moment.local, moment.mono_ns, aspect)
            self._fire(fired, moment, shown)

    # For whoever knows of the camera

    def camera_state(self, state: CameraState, moment: Moment) -> None:
        """The camera came or went, or became blind or saw again."""
        with self._lock:
            self._give(GivenState(moment, state))
            self.outlets.hand(lambda sink: sink.camera_state(self.camera, state))
            if not self._live:
                return
            self._state = state
            self._state_since_ns = moment.mono_ns
            if self._scene is not None:
                self._documents.counts(self._change_sight(self._scene, state), moment)
            self._documents.trouble(state, moment)
            self._look_at_state(moment)

    def tick(self, moment: Moment) -> None:
        """To be called now and then: rules that wait for a state to last, and counts that are not on disk yet."""
        with self._lock:
            self._look_at_state(moment)
            self._remember()
        self._keep()

    def close(self, reason: str = "stopped", moment: Moment | None = None) -> None:
        """End what is going on: what was seen as of the last frame, an outage as of now.

        moment: now; None = as of the last frame too.
        """
        with self._lock:
            self._closed = True
            self._give(GivenEnd(reason, moment))
            last = self._documents.last or self._last
            if last is not None:
                self._close_scene(self._last or last, reason)
                self._documents.end_trouble(CameraState(self._state.state, reason, ""), moment or last)
        self._keep(now=True)

    # The scene

    def _scene_for(self, model: Known, moment: Moment) -> Scene:
        """The scene as it is; a new one where another model sees other things."""
        before = self._model
        same = before is not None and (before.labels, before.score) == (model.labels, model.score)
        if not same:
            self._close_scene(moment, "model")  # what it tells is the work of the model before
        self._model = model
        if self._scene is not None:
            return self._scene
        self._scene = scene = Scene(
            self.config,
            model.labels,
            score=model.score,
            totals=self._kept.lines,
            known=self._kept.known,
            first_number=self._numbering.objects,
        )
        if self._state.state not in ("", "online"):
            self._change_sight(scene, self._state)
        return scene

    def _close_scene(self, moment: Moment, reason: str) -> None:
        if self._scene is None:
            return
        told, counts = self._scene.close(moment.mono_ns, reason)
        self._tell(told, moment)
        self._documents.counts(counts, moment)
        self._remember()
        self._numbering.objects = self._scene.numbers
        self._scene = None
        if self._attached.album is not None:
            self._attached.album.clear()  # the next scene numbers its tracks from 1 again

    def _look_at_state(self, moment: Moment) -> None:
        if self._state.state:
            fired = self._rules.camera(self._state.state, self._state_since_ns, moment.local, moment.mono_ns)
            self._fire(fired, moment, None)

    def _change_sight(self, scene: Scene, state: CameraState) -> Counts | None:
        if state.state == "online":
            scene.back()
            return None
        return scene.doubt() if _is_doubtful(state) else scene.away()

    def _remember(self) -> None:
        if self._scene is not None:
            lines = {**self._kept.lines, **copy.deepcopy(self._scene.totals)}  # a line that is taken out may come back
            self._kept = Entry(lines=lines, known={**self._kept.known, **self._scene.known})

    def _keep(self, *, now: bool = False) -> None:
        """Not under the lock: frames need not wait for the disk."""
        if self._attached.ledger is not None:
            self._attached.ledger.write(self._kept, now=now)

    def _give(self, given: Given) -> None:
        if self._attached.recorder is not None:
            self._attached.recorder.give(given)

    # Documents

    def _tell(self, happenings: Iterable[Happening], moment: Moment) -> None:
        assert self._model is not None
        for said in () if self.config.counts_only else happenings:
            picture = self._attached.album.picture(said) if self._attached.album is not None else None
            self._documents.event(said, self._model.ref, moment, picture, self._clip(said))

    def _clip(self, said: Happening) -> str:
        """Name of the clip that shows an object; one is begun and ended with its event."""
        clips = self._attached.clips
        if clips is None or said.kind != "object":
            return ""
        event_id = self._documents.event_id(said.number)
        if said.type == "new":
            self._clips[said.number] = clips.begin(event_id, said.started_ns)
        if said.type == "end":
            clips.end(event_id, said.until_ns)
            return self._clips.pop(said.number, "")
        return self._clips.get(said.number, "")

    # Rules

    def _fire(self, fired: Sequence[Firing], moment: Moment, shown: Shown | None) -> None:
        for firing in fired:
            picture = None
            if self.config.rules[firing.rule].snapshot and self._attached.album is not None and shown is not None:
                picture = self._attached.album.now(shown)
            if self._attached.act is not None:
                self._attached.act(firing, self._fields(firing, moment), picture)

    def _fields(self, firing: Firing, moment: Moment) -> dict[str, str]:
        """What the texts of its actions may say; see config.rules.FIELDS."""
        return {
            "device": self._identity.device,
            "camera": self.camera,
            "rule": firing.rule,
            "label": firing.label,
            "zone": firing.zone,
            "line": firing.line,
            "direction": firing.direction,
            "state": firing.state,
            "time": moment.text,
            "duration_s": f"{firing.duration_s:.1f}",
            "score": f"{firing.score:.2f}",
            "event": self._documents.event_id(firing.number) if firing.number else "",
        }


def _is_doubtful(state: CameraState) -> bool:
    return state.state == "blind" and state.reason.split(":")[0] in DOUBTFUL
