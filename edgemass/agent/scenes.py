"""What cameras need to tell more than boxes: scenes, sight, pictures, clips, counts on disk, recordings, rules."""

from __future__ import annotations

import contextlib
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from edgemass import config as configuration
from edgemass.agent import discovery
from edgemass.agent.actions import Actions, Order
from edgemass.agent.ending import all_at_once
from edgemass.agent.leftovers import Leftovers
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
from edgemass.pipeline.numbering import Numbering
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
COUNTS, VIEWS = ".counts.json", ".views.json"
"""Ends of names of files, behind that of the camera."""


class Scenes:
    """Of one board. reporters, sights: by camera; cameras that follow no objects have no reporter.

    readers: those of the outputs beside the brokers where nobody has to read what is told, such as the device page.
    """

    def __init__(
        self, config: Config, outputs: Sequence[Sink], *, identity: Identity, clock: Clock, readers: Sequence[Sink] = ()
    ) -> None:
        self.reporters: dict[str, SceneReporter] = {}
        self.sights: dict[str, Sight] = {}
        self._config = config
        self._outputs = outputs
        self._channels = [sink for sink in outputs if isinstance(sink, Channel)]
        self._readers = [sink for sink in outputs if isinstance(sink, Channel) or sink in readers]
        self._identity = identity
        self._clock = clock
        self._states: dict[str, CameraState] = {}
        self._numberings: defaultdict[str, Numbering] = defaultdict(Numbering)
        self._ended: set[str] = set()
        self._clips: dict[str, ClipRecorder] = {}
        self._leftovers = Leftovers(
            self._path(""),
            self._channels,
            clock,
            device=identity.device,
            shown=partial(discovery.topic, config.home_assistant.prefix),
        )
        self._task = ""
        self._recorder: Recorder | None = None
        self._actions = Actions(self._channels)
        self._actions.start()

    def open(self, cameras: Mapping[str, Source], counters: Mapping[str, Counters], task: str) -> None:
        """Make what every camera needs, those that are switched off left out.

        Counts and views of a live camera outlive the process; those of a file begin anew every time.

        Raises:
            ConfigError: a camera is to be recorded, or clips are wanted of it, and that cannot be.
            UsageError: the recording cannot be written, or the model finds no boxes that could be recorded.
        """
        self._check_brokers()
        self._task = task
        if self._config.record is not None and task != "detection":
            raise UsageError(f"--record takes down boxes, but this model does {task}; leave it out, or give a detector")
        self._warn_of_silent_sinks()
        wanted = [name for name in cameras if self._wants_scene(self._config.cameras[name], task)]
        ledgers = {name: self._counts_file(name) for name in wanted if cameras[name].live}
        kept = {name: (ledgers[name].read() if name in ledgers else None) or Entry() for name in wanted}
        if self._config.record is not None:
            live = {name: cameras[name].live for name in wanted}
            self._recorder = self._open_recorder(live, kept)
        self._leftovers.begin({name: kept.get(name, Entry()) for name in self._config.cameras})
        for name, source in cameras.items():
            if name in wanted:
                self._join(name, source, counters[name], kept[name], ledgers.get(name))
            self._leftovers.here(name, self._config.cameras[name], kept.get(name, Entry()))
            self.sights[name] = self._sight(name, source)
        for name in self._config.cameras.keys() - cameras.keys():  # switched off
            self._leftovers.here(name, self._config.cameras[name], Entry())

    def use(self, config: Config, opened: Mapping[str, Source]) -> None:
        """From now on this is asked; `add` and `exchange` go by it. opened: sources that begin with it.

        Raises:
            ConfigError: it cannot be done.
        """
        before, self._config = self._config, config
        try:
            self._check_brokers()
            for name, source in opened.items():
                self._check_clips(name, source)
        except ConfigError:
            self._config = before
            raise

    def add(self, name: str, source: Source, counters: Counters) -> None:
        """Make what one more camera needs, or one that comes back.

        Raises:
            ConfigError: clips are wanted of it, and that cannot be.
        """
        self._ended.discard(name)
        if self._wants_scene(self._config.cameras[name], self._task):
            ledger = self._counts_file(name) if source.live else None
            kept = (ledger.read() if ledger is not None else None) or Entry()
            self._join(name, source, counters, kept, ledger)
        self._leftovers.here(name, self._config.cameras[name], self.kept(name))
        self.sights[name] = self._sight(name, source)

    def exchange(self, name: str, source: Source) -> SceneReporter | None:
        """Another reporter for a camera that goes on, by the configuration of now; hand it to the line, then `retire`
        the one before. None where nothing is to be followed any more.
        """
        camera, before = self._config.cameras[name], self.reporters.pop(name, None)
        if not self._wants_scene(camera, self._task):
            return None
        ledger = self._counts_file(name) if source.live else None
        kept = (before.kept if before is not None else None) or (ledger.read() if ledger is not None else None)
        entry = _with_named(kept or Entry(), camera)
        self.reporters[name] = self._reporter(name, entry, ledger, self._clips.get(name), source)
        return self.reporters[name]

    def retire(self, name: str, reporter: SceneReporter | None) -> None:
        """End what it tells, for another has taken its place; then take back what will not be said again."""
        if reporter is not None:
            reporter.close("configuration", self._now())
        kept = reporter.kept if reporter is not None else Entry()
        self._leftovers.here(name, self._config.cameras[name], kept)

    def remove(self, name: str, *, forget: bool) -> None:
        """A camera gives no more frames, for it was switched off or taken out; forget: for good, so nothing is to stay
        on the brokers.
        """
        reporter = self.reporters.pop(name, None)
        if reporter is not None and name not in self._ended:
            reporter.close(moment=self._now())
        clips = self._clips.pop(name, None)
        if clips is not None:
            clips.close(STOP_S)
        if sight := self.sights.pop(name, None):
            sight.keep(now=True)
        kept = (reporter.kept if reporter is not None else self._counts_file(name).read()) or Entry()
        if not forget:
            self._leftovers.here(name, self._config.cameras[name], kept)  # what it asks holds while it is off too
            return
        self._leftovers.gone(name, kept)
        self._states.pop(name, None)
        for file in (f"{name}{COUNTS}", f"{name}{VIEWS}"):
            with contextlib.suppress(OSError):
                self._path(file).unlink(missing_ok=True)

    def disabled(self, name: str, reason: str) -> None:
        """Tell that a camera is switched off."""
        self._tell(name, CameraState("disabled", reason, self._now().text))

    def failed(self, name: str, reason: str) -> None:
        """Tell that a camera cannot be started."""
        self._tell(name, CameraState("offline", redact(reason), self._now().text))

    def _tell(self, name: str, state: CameraState) -> None:
        self._states[name] = state
        for sink in self._outputs:
            with contextlib.suppress(SinkError):
                sink.camera_state(name, state)

    def kept(self, name: str) -> Entry:
        """What was counted of a camera so far."""
        reporter = self.reporters.get(name)
        return reporter.kept if reporter is not None else Entry()

    def state(self, name: str) -> CameraState | None:
        """Of a camera, as it was told last."""
        return self._states.get(name)

    def numbering(self, name: str) -> Numbering:
        """Of a camera, for as long as this process lives."""
        return self._numberings[name]

    def _join(self, name: str, source: Source, counters: Counters, kept: Entry, ledger: Ledger[Entry] | None) -> None:
        clips = self._open_clips(name, source, counters)
        if clips is not None:
            self._clips[name] = clips
        self.reporters[name] = self._reporter(
            name, _with_named(kept, self._config.cameras[name]), ledger, clips, source
        )

    def tick(self) -> None:
        """What is to be done now and then."""
        self._leftovers.tick()
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
        all_at_once([partial(clips.close, STOP_S) for clips in self._clips.values()])
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

    def _warn_of_silent_sinks(self) -> None:
        """Whoever waits for pictures of a camera of counts only shall not look for a fault."""
        private = sorted(name for name, camera in self._config.cameras.items() if camera.counts_only)
        for sink in self._outputs if private else ():
            if isinstance(sink, SnapshotSink):
                logger.warning("%s gets no picture of %s: privacy = counts-only", sink.name, ", ".join(private))

    def _wants_scene(self, camera: CameraConfig, task: str) -> bool:
        """Where that is asked for, and where there is a broker or a page that somebody may watch."""
        if camera.has_scene or self._config.record is not None:
            return True
        return camera.events is None and task == "detection" and bool(self._readers)

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
            numbering=self._numberings[name],
            state=self._states.get(name),
            attached=Attachments(
                ledger=ledger,
                album=Album(camera.events_config) if shows and not camera.counts_only else None,
                clips=clips,
                recorder=self._recorder.cameras.get(name) if self._recorder is not None else None,
                act=act,
            ),
        )
        if source.live:
            reporter.begin(self._now())
        return reporter

    def _audience(self, camera: str) -> Sequence[Sink]:
        """Where a camera's events go: everywhere if they were asked for, nowhere if they were refused, else only to
        brokers and the page, where nobody has to read them.
        """
        config = self._config.cameras.get(camera)
        if config is None or config.events is False:
            return ()  # taken out at this moment, or followed for the recording only
        asked = config.has_scene or self._config.record is not None
        return self._outputs if asked else self._readers

    def _sight(self, name: str, source: Source) -> Sight:
        """Files are not judged: what they show is over, and nobody can take a cloth away."""
        wanted = self._config.cameras[name].integrity

        def tell(state: CameraState) -> None:
            self._states[name] = state
            reporter = self.reporters.get(name)
            if reporter is not None:
                reporter.camera_state(state, self._now())
            told = self._audience(name) if reporter is not None else ()
            for sink in [sink for sink in self._outputs if sink not in told]:
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
        self._check_clips(name, source)
        assert isinstance(source, Recordable)
        recorder = ClipRecorder(name, wanted, clock=self._clock, counters=counters)
        source.tap(recorder.take)
        return recorder

    def _check_clips(self, name: str, source: Source) -> None:
        if self._config.cameras[name].clips is not None and not isinstance(source, Recordable):
            raise ConfigError(
                f"camera {name}: clips are copies of coded video, which {source.name} does not give; "
                "take them out, or use an rtsp:// camera"
            )

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
        return Ledger(self._path(f"{camera}{COUNTS}"), Entry, "counts", self._clock, every_s=COUNTS_S)

    def _views_file(self, camera: str) -> Ledger[Memory]:
        return Ledger(self._path(f"{camera}{VIEWS}"), Memory, "views", self._clock, every_s=VIEWS_S)

    def _path(self, name: str) -> Path:
        return configuration.state_folder(self._config.state) / "scene" / name


def _with_named(kept: Entry, camera: CameraConfig) -> Entry:
    """With the labels that the configuration names, which are counted as none before the first is seen."""
    known = {place: list(labels) for place, labels in kept.known.items()}
    lines = {line: {way: dict(crossed) for way, crossed in total.items()} for line, total in kept.lines.items()}
    named = [(FRAME, camera.events_config.labels), *((zone, table.labels) for zone, table in camera.zones.items())]
    for place, labels in named:
        known[place] = list(dict.fromkeys([*known.get(place, ()), *labels]))
    for line, table in camera.lines.items():
        total = lines.setdefault(line, {"in": {}, "out": {}})
        for crossed in total.values():
            for label in table.labels:
                crossed.setdefault(label, 0)
    return Entry(lines=lines, known={place: labels for place, labels in known.items() if labels})


def _without_secrets(camera: CameraConfig) -> CameraConfig:
    """Fit for a bug report: no password of the camera, and no rules, whose texts and commands may hold others."""
    return msgspec.structs.replace(camera, source=redact_address(camera.source), rules={})
