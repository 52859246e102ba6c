"""What cameras need to tell more than boxes: scenes, sight, pictures, clips, counts on disk, recordings, rules."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from edgemass import config as configuration
from edgemass.agent.actions import Actions, Order
from edgemass.clock import Clock
from edgemass.config import CameraConfig, Config
from edgemass.config.integrity import IntegrityConfig
from edgemass.counters import Counters
from edgemass.errors import ConfigError, SinkError, UsageError
from edgemass.messages import CameraState
from edgemass.pipeline.album import Album, Picture
from edgemass.pipeline.clips import ClipRecorder
from edgemass.pipeline.ledger import Entry, Ledger
from edgemass.pipeline.moment import Identity, Moment
from edgemass.pipeline.outlets import Outlets
from edgemass.pipeline.recording import RecordedCamera, Recorder
from edgemass.pipeline.reporting import Attachments, SceneReporter
from edgemass.pipeline.sight import Sight
from edgemass.redact import redact, redact_address
from edgemass.scene.integrity import Integrity, Memory
from edgemass.scene.rules import Firing
from edgemass.scene.scene import FRAME
from edgemass.sinks import Channel, Sink
from edgemass.sinks.snapshots import SnapshotSink
from edgemass.sources import Recordable, Source

logger = logging.getLogger(__name__)

STOP_S = 5.0
COUNTS_S = 1.0
"""A crossing may be lost by a crash within so long."""
VIEWS_S = 600.0


class Scenes:
    """Of one board. reporters, sights: by camera; cameras that follow no objects have no reporter."""

    def __init__(self, config: Config, outputs: Sequence[Sink], *, identity: Identity, clock: Clock) -> None:
        self.reporters: dict[str, SceneReporter] = {}
        self.sights: dict[str, Sight] = {}
        self._config = config
        self._outputs = outputs
        self._channels = [sink for sink in outputs if isinstance(sink, Channel)]
        self._identity = identity
        self._clock = clock
        self._ended: set[str] = set()
        self._clips: list[ClipRecorder] = []
        self._recorder: Recorder | None = None
        self._actions = Actions(self._channels)
        self._actions.start()

    def open(self, cameras: Mapping[str, Source], counters: Mapping[str, Counters], task: str) -> None:
        """Make what every camera needs.

        Counts and views of a live camera outlive the process; those of a file begin anew every time.

        Raises:
            ConfigError: a camera is to be recorded, or clips are wanted of it, and that cannot be.
            UsageError: the recording cannot be written, or the model finds no boxes that could be recorded.
        """
        self._check_brokers()
        if self._config.record is not None and task != "detection":
            raise UsageError(f"--record takes down boxes, but this model does {task}; leave it out, or give a detector")
        self._warn_of_silent_sinks()
        wanted = [name for name in cameras if self._wants_scene(self._config.cameras[name], task)]
        ledgers = {name: self._counts_file(name) for name in wanted if cameras[name].live}
        kept = {name: (ledgers[name].read() if name in ledgers else None) or Entry() for name in wanted}
        if self._config.record is not None:
            live = {name: cameras[name].live for name in wanted}
            self._recorder = self._open_recorder(live, kept)
        self._clear_leftovers(wanted, kept)
        for name in wanted:
            clips = self._open_clips(name, cameras[name], counters[name])
            self.reporters[name] = self._reporter(name, kept[name], ledgers.get(name), clips, cameras[name])
        for name, source in cameras.items():
            self.sights[name] = self._sight(name, source)

    def tick(self) -> None:
        """What is to be done now and then."""
        for name in self.sights:
            try:
                if name in self.reporters and name not in self._ended:
                    self.reporters[name].tick(self._now())
                self.sights[name].keep()
            except Exception:  # one camera's trouble must not end the others
                logger.exception("a camera's scene failed", extra={"camera": name})

    def camera_ended(self, name: str, failure: Exception | None) -> None:
        """A camera gives no more frames while others go on: end what it saw."""
        if name in self._ended:
            return
        self._ended.add(name)
        if failure is not None:
            self.sights[name].captured(CameraState("offline", redact(str(failure)), self._now().text))
        if name in self.reporters:
            self.reporters[name].close(moment=self._now())

    def end(self) -> None:
        """The cameras have ended: end what they saw, and do what rules still ask for."""
        for name, reporter in self.reporters.items():
            if name not in self._ended:
                reporter.close(moment=self._now())
        for sight in self.sights.values():
            sight.keep(now=True)
        self.close()

    def close(self) -> None:
        for clips in self._clips:
            clips.close(STOP_S)
        self._clips.clear()
        self._actions.close(STOP_S)
        if self._recorder is not None:
            self._recorder.close()

    def _now(self) -> Moment:
        return Moment.of(self._clock.monotonic_ns(), self._clock.time_ns())

    def _check_brokers(self) -> None:
        for name, camera in self._config.cameras.items():
            for rule, wanted in camera.rules.items():
                if wanted.mqtt is not None and not self._channels:
                    raise ConfigError(
                        f"{self._config.file or 'the configuration'}: camera {name}: rules.{rule}: mqtt needs a broker "
                        "among the sinks; give --mqtt mqtt://host"
                    )

    def _clear_leftovers(self, wanted: Sequence[str], kept: Mapping[str, Entry]) -> None:
        """Take from the brokers what an earlier run left there and this one will not replace: pictures that nobody may
        see any more, and numbers of zones and lines that are gone.
        """
        for name in wanted:
            camera, entry = self._config.cameras[name], kept[name]
            labels = sorted({label for known in entry.known.values() for label in known})
            gone: list[tuple[str, ...]] = []
            if camera.counts_only or camera.masks or camera.events_config.snapshots == "none":
                gone += [("snapshot", label) for label in labels]
            gone += [
                ("zone", zone, "count", label)
                for zone, known in entry.known.items()
                if zone not in (FRAME, *camera.zones)
                for label in known
            ]
            gone += [
                ("line", line, way, label)
                for line, total in entry.lines.items()
                if line not in camera.lines
                for way, crossed in total.items()
                for label in crossed
            ]
            for channel in self._channels:
                for levels in gone:
                    channel.clear("camera", name, *levels)

    def _warn_of_silent_sinks(self) -> None:
        """Whoever waits for pictures of a camera of counts only shall not look for a fault."""
        private = sorted(name for name, camera in self._config.cameras.items() if camera.counts_only)
        for sink in self._outputs if private else ():
            if isinstance(sink, SnapshotSink):
                logger.warning("%s gets no picture of %s: privacy = counts-only", sink.name, ", ".join(private))

    def _wants_scene(self, camera: CameraConfig, task: str) -> bool:
        """Where that is asked for, and where there is a broker that somebody may watch."""
        if camera.has_scene or self._config.record is not None:
            return True
        return camera.events is None and task == "detection" and bool(self._channels)

    def _reporter(
        self, name: str, kept: Entry, ledger: Ledger[Entry] | None, clips: ClipRecorder | None, source: Source
    ) -> SceneReporter:
        camera = self._config.cameras[name]
        shows = camera.events_config.snapshots != "none" or any(rule.snapshot for rule in camera.rules.values())

        def act(firing: Firing, fields: dict[str, str], picture: Picture | None) -> None:
            self._actions.order(Order(camera.rules[firing.rule], fields, picture))

        reporter = SceneReporter(
            name,
            camera,
            Outlets(name, self._audience(name), Counters()),
            identity=self._identity,
            live=source.live,
            kept=kept,
            attached=Attachments(
                ledger=ledger,
                album=Album(camera.events_config) if shows and not camera.counts_only else None,
                clips=clips,
                recorder=self._recorder.cameras[name] if self._recorder is not None else None,
                act=act,
            ),
        )
        if source.live:
            reporter.begin(self._now())
        return reporter

    def _audience(self, camera: str) -> Sequence[Sink]:
        """Where a camera's events go: everywhere if they were asked for, nowhere if they were refused, else only to
        brokers, where nobody has to read them.
        """
        if self._config.cameras[camera].events is False:
            return ()  # followed for the recording only
        asked = self._config.cameras[camera].has_scene or self._config.record is not None
        return self._outputs if asked else self._channels

    def _sight(self, name: str, source: Source) -> Sight:
        """Files are not judged: what they show is over, and nobody can take a cloth away."""
        wanted = self._config.cameras[name].integrity
        reporter = self.reporters.get(name)
        audience = self._audience(name) if reporter is not None else ()
        others = [sink for sink in self._outputs if sink not in audience]

        def tell(state: CameraState) -> None:
            if reporter is not None:
                reporter.camera_state(state, self._now())
            for sink in others:
                with contextlib.suppress(SinkError):  # the next document meets the same trouble and tells it
                    sink.camera_state(name, state)

        if wanted is False or (wanted is None and not source.live):
            return Sight(name, None, tell, self._clock)
        options = wanted if isinstance(wanted, IntegrityConfig) else IntegrityConfig()
        keeps = source.live and not self._config.cameras[name].counts_only  # views show what the camera sees
        ledger = self._views_file(name) if keeps else None
        return Sight(name, Integrity(options, ledger.read() if ledger is not None else None), tell, self._clock, ledger)

    def _open_clips(self, name: str, source: Source, counters: Counters) -> ClipRecorder | None:
        wanted = self._config.cameras[name].clips
        if wanted is None:
            return None
        if not isinstance(source, Recordable):
            raise ConfigError(
                f"camera {name}: clips are copies of coded video, which {source.name} does not give; "
                "take them out, or use an rtsp:// camera"
            )
        recorder = ClipRecorder(name, wanted, clock=self._clock, counters=counters)
        self._clips.append(recorder)
        source.tap(recorder.take)
        return recorder

    def _open_recorder(self, cameras: Mapping[str, bool], kept: Mapping[str, Entry]) -> Recorder:
        record = self._config.record
        assert record is not None
        for name in cameras:
            if self._config.cameras[name].counts_only:
                raise ConfigError(f"camera {name}: privacy = counts-only does not go with a recording: it holds places")
        headers = {
            name: RecordedCamera(_without_secrets(self._config.cameras[name]), live, kept[name])
            for name, live in cameras.items()
        }
        return Recorder(record.folder, headers, self._identity, frames=record.frames)

    def _counts_file(self, camera: str) -> Ledger[Entry]:
        return Ledger(self._path(f"{camera}.counts.json"), Entry, "counts", self._clock, every_s=COUNTS_S)

    def _views_file(self, camera: str) -> Ledger[Memory]:
        return Ledger(self._path(f"{camera}.views.json"), Memory, "views", self._clock, every_s=VIEWS_S)

    def _path(self, name: str) -> Path:
        return configuration.state_folder(self._config.state) / "scene" / name


def _without_secrets(camera: CameraConfig) -> CameraConfig:
    """Fit for a bug report: no password of the camera, and no rules, whose texts and commands may hold others."""
    return msgspec.structs.replace(camera, source=redact_address(camera.source), rules={})
