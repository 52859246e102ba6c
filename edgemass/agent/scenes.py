"""What cameras need to tell more than boxes: scenes, pictures, counts on disk, recordings, and the actions of rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgemass import config as configuration
from edgemass.agent.actions import Actions, Order
from edgemass.clock import Clock
from edgemass.config import CameraConfig, Config
from edgemass.counters import Counters
from edgemass.errors import ConfigError
from edgemass.pipeline.album import Album, Picture
from edgemass.pipeline.ledger import Entry, Ledger
from edgemass.pipeline.moment import Identity, Moment
from edgemass.pipeline.outlets import Outlets
from edgemass.pipeline.recording import RecordedCamera, Recorder
from edgemass.pipeline.reporting import Attachments, SceneReporter
from edgemass.scene.rules import Firing
from edgemass.sinks import Channel, Sink

STOP_S = 5.0
COUNTS_S = 1.0


class Scenes:
    """The reporters of one board.

    reporters: by camera, those that were opened.
    """

    def __init__(self, config: Config, outputs: Sequence[Sink], *, identity: Identity, clock: Clock) -> None:
        self.reporters: dict[str, SceneReporter] = {}
        self._config = config
        self._outputs = outputs
        self._channels = [sink for sink in outputs if isinstance(sink, Channel)]
        self._identity = identity
        self._clock = clock
        self._actions = Actions(self._channels)
        self._actions.start()
        self._recorder: Recorder | None = None

    def open(self, cameras: Mapping[str, bool], task: str) -> None:
        """Make a reporter for every camera that needs one.

        cameras: name -> whether it is live: its counts outlive the process; those of a file begin at 0 every time.

        Raises:
            ConfigError: a camera is to be recorded that must not be.
            UsageError: the recording cannot be written.
        """
        config = self._config
        wanted = {name: live for name, live in cameras.items() if self._wanted(config.cameras[name], task)}
        ledgers = {name: self._ledger(name) for name, live in wanted.items() if live}
        kept = {name: (ledgers[name].read() if name in ledgers else None) or Entry() for name in wanted}
        if config.record is not None:
            self._recorder = self._open_recorder(wanted, kept)
        for name, live in wanted.items():
            self.reporters[name] = self._reporter(name, kept[name], ledgers.get(name), live=live)

    def tick(self) -> None:
        for reporter in self.reporters.values():
            reporter.tick(self._now())

    def end(self) -> None:
        """The cameras have ended: end what they saw, and do what rules still ask for."""
        for reporter in self.reporters.values():
            reporter.close(moment=self._now())
        self.close()

    def close(self) -> None:
        self._actions.close(STOP_S)
        if self._recorder is not None:
            self._recorder.close()

    def _now(self) -> Moment:
        return Moment.of(self._clock.monotonic_ns(), self._clock.time_ns())

    def _wanted(self, camera: CameraConfig, task: str) -> bool:
        """Where that is asked for, and where there is a broker that somebody may watch."""
        if camera.has_scene or self._config.record is not None:
            return True
        return camera.events is None and task == "detection" and bool(self._channels)

    def _ledger(self, camera: str) -> Ledger[Entry]:
        path = configuration.state_folder(self._config.state) / "scene" / f"{camera}.counts.json"
        return Ledger(path, Entry, "counts", self._clock, every_s=COUNTS_S)

    def _open_recorder(self, cameras: Mapping[str, bool], kept: Mapping[str, Entry]) -> Recorder:
        record = self._config.record
        assert record is not None
        for name in cameras:
            if self._config.cameras[name].counts_only:
                raise ConfigError(f"camera {name}: privacy = counts-only does not go with a recording: it holds places")
        headers = {name: RecordedCamera(self._config.cameras[name], live, kept[name]) for name, live in cameras.items()}
        return Recorder(record.folder, headers, self._identity, frames=record.frames)

    def _reporter(self, name: str, kept: Entry, ledger: Ledger[Entry] | None, *, live: bool) -> SceneReporter:
        camera = self._config.cameras[name]
        shows = camera.events_config.snapshots != "none" or any(rule.snapshot for rule in camera.rules.values())

        def act(firing: Firing, fields: dict[str, str], picture: Picture | None) -> None:
            self._actions.order(Order(camera.rules[firing.rule], fields, picture))

        reporter = SceneReporter(
            name,
            camera,
            Outlets(name, self._outputs, Counters()),
            identity=self._identity,
            live=live,
            kept=kept,
            attached=Attachments(
                ledger=ledger,
                album=Album(camera.events_config) if shows and not camera.counts_only else None,
                recorder=self._recorder.cameras[name] if self._recorder is not None else None,
                act=act,
            ),
        )
        if live:
            reporter.begin(self._now())
        return reporter
