"""One camera's events and counts as documents: numbered, stamped with names and times that never go back."""

from __future__ import annotations

from typing import Any

from edgemass.messages import CameraState, CountsMessage, EventMessage, InOut, ModelRef
from edgemass.pipeline.album import Picture
from edgemass.pipeline.moment import Identity, Moment
from edgemass.pipeline.numbering import Numbering
from edgemass.pipeline.outlets import Outlets
from edgemass.pipeline.recording import CameraRecorder
from edgemass.scene.happening import Counts, Happening, Type


class Documents:
    """Hands each document to the recorder and the sinks. Used by one thread at a time.

    last: when the newest document says that it was made.
    """

    def __init__(
        self,
        camera: str,
        outlets: Outlets,
        *,
        identity: Identity,
        numbering: Numbering,
        recorder: CameraRecorder | None,
    ) -> None:
        self.last: Moment | None = None
        self._camera = camera
        self._outlets = outlets
        self._identity = identity
        self._numbering = numbering
        self._recorder = recorder
        self._trouble_ns: int | None = None  # since when the camera has been away or blind

    def event_id(self, number: int) -> str:
        """Of the object with this number."""
        return f"{self._camera}-{self._identity.run_id[:8]}-{number}"

    def event(self, said: Happening, model: ModelRef, moment: Moment, picture: Picture | None, clip: str) -> None:
        """Tell what happened in the scene. clip: name of the one that shows it, or nothing."""
        event = EventMessage(
            type=said.type,
            kind=said.kind,
            id=self.event_id(said.number),
            label=said.label,
            class_id=said.class_id,
            track_id=said.track_id,
            score=said.score,
            top_score=said.top_score,
            box=said.box,
            path=said.path or (),  # the one empty tuple: Python 3.10 has others, which msgspec would not leave out
            zones=said.zones or (),
            entered=said.entered or (),
            dwell_s=said.dwell_s,
            stationary=said.stationary,
            object=self.event_id(said.object) if said.object else "",
            zone=said.zone,
            line=said.line,
            direction=said.direction,
            reason=said.reason,
            model=model,
            snapshot=picture.ref if picture is not None else None,
            clip=clip,
            **self._stamp(moment, said.started_ns, said.until_ns),
        )
        self._send(event, picture)

    def counts(self, known: Counts | None, moment: Moment) -> None:
        """None: they are as they were told last."""
        if known is None:
            return
        moment = self._in_order(moment)
        message = CountsMessage(
            device=self._identity.device,
            camera=self._camera,
            mono_ns=moment.mono_ns,
            time=moment.text,
            clock_synced=moment.synced,
            available=known.available,
            labels=known.labels,
            zones=known.zones,
            lines={name: InOut(total["in"], total["out"]) for name, total in known.lines.items()},
        )
        if self._recorder is not None:
            self._recorder.tell(message)
        self._outlets.hand(lambda sink: sink.counts(message))

    def trouble(self, state: CameraState, moment: Moment) -> None:
        """A camera that is away or blind is an event, from then until it sees again."""
        if state.state == "online":
            self.end_trouble(state, moment)
            return
        type_: Type = "new" if self._trouble_ns is None else "update"
        if self._trouble_ns is None:
            self._numbering.troubles += 1
            self._trouble_ns = moment.mono_ns
        self._send_trouble(type_, state, moment, self._trouble_ns)

    def end_trouble(self, state: CameraState, moment: Moment) -> None:
        """The camera sees again, or nobody looks any more; nothing is told where it was fine."""
        since_ns, self._trouble_ns = self._trouble_ns, None
        if since_ns is not None:
            self._send_trouble("end", state, moment, since_ns)

    def _send_trouble(self, type_: Type, state: CameraState, moment: Moment, since_ns: int) -> None:
        event = EventMessage(
            type=type_,
            kind="camera",
            id=f"{self.event_id(self._numbering.troubles)}-camera",
            state=state.state,
            reason=state.reason,
            **self._stamp(moment, since_ns),
        )
        self._send(event, None)

    def _send(self, event: EventMessage, picture: Picture | None) -> None:
        if self._recorder is not None:
            self._recorder.tell(event)
        self._outlets.hand(lambda sink: sink.event(event, picture.jpeg if picture is not None else None))

    def _stamp(self, moment: Moment, started_ns: int, until_ns: int | None = None) -> dict[str, Any]:
        """What every event says. until_ns: its duration ends; None = now."""
        moment = self._in_order(moment)
        self._numbering.events += 1
        return {
            "device": self._identity.device,
            "camera": self._camera,
            "seq": self._numbering.events,
            "run_id": self._identity.run_id,
            "boot_id": self._identity.boot_id,
            "mono_ns": moment.mono_ns,
            "time": moment.text,
            "clock_synced": moment.synced,
            "started": moment.at(started_ns),
            "duration_s": round(((moment.mono_ns if until_ns is None else until_ns) - started_ns) / 1e9, 3),
        }

    def _in_order(self, moment: Moment) -> Moment:
        """This one, or that of the document before: a frame may be done when the loss of its camera has been told."""
        if self.last is None or moment.mono_ns >= self.last.mono_ns:
            self.last = moment
        return self.last
