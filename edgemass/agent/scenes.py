"""What a camera needs to tell more than boxes: its scene, pictures, counts on disk, and the actions of its rules."""

from __future__ import annotations

from collections.abc import Sequence

from edgemass import config as configuration
from edgemass.agent.actions import Actions, Order
from edgemass.clock import Clock
from edgemass.config import CameraConfig, Config
from edgemass.counters import Counters
from edgemass.pipeline.album import Album, Picture
from edgemass.pipeline.ledger import Ledger
from edgemass.pipeline.moment import Identity, Moment
from edgemass.pipeline.outlets import Outlets
from edgemass.pipeline.reporting import SceneReporter
from edgemass.scene.rules import Firing
from edgemass.sinks import Channel, Sink


def wants_scene(camera: CameraConfig, sinks: Sequence[Sink], task: str) -> bool:
    """Whether objects are followed: where that is asked for, and where there is a broker that somebody may watch."""
    if task != "detection" or camera.events is False:
        return camera.has_scene
    return camera.has_scene or any(isinstance(sink, Channel) for sink in sinks)


def open_scene(
    name: str,
    config: Config,
    sinks: Sequence[Sink],
    actions: Actions,
    *,
    live: bool,
    identity: Identity,
    clock: Clock,
    counters: Counters,
) -> SceneReporter:
    """One camera's reporter. live: its counts outlive the process; those of a file begin at 0 every time."""
    camera = config.cameras[name]
    ledger = Ledger(configuration.state_folder(config.state) / "scene" / f"{name}.json", clock) if live else None
    shows = camera.events_config.snapshots != "none" or any(rule.snapshot for rule in camera.rules.values())

    def act(firing: Firing, fields: dict[str, str], picture: Picture | None) -> None:
        actions.order(Order(camera.rules[firing.rule], fields, picture))

    reporter = SceneReporter(
        name,
        camera,
        Outlets(name, sinks, counters),
        identity=identity,
        live=live,
        ledger=ledger,
        album=Album(camera.events_config) if shows and not camera.counts_only else None,
        act=act,
    )
    if live:
        reporter.begin(Moment.of(clock.monotonic_ns(), clock.time_ns()))
    return reporter
