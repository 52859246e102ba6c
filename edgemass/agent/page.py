"""Joins the agent and its page: what the page shows, who may look, and where it listens."""

from __future__ import annotations

import logging
import secrets
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgemass import __version__, durable
from edgemass import config as configuration
from edgemass.agent.recent import RecentSink
from edgemass.clock import Clock
from edgemass.config import CameraConfig, Config
from edgemass.config.http import HttpConfig, address
from edgemass.errors import ConfigError
from edgemass.messages.health import HealthMessage
from edgemass.pipeline.line import CameraLine
from edgemass.pipeline.moment import Identity
from edgemass.web.access import MIN_TOKEN, Key
from edgemass.web.artist import Artist
from edgemass.web.gallery import Gallery, View
from edgemass.web.given import CameraNow, Given, Status

logger = logging.getLogger(__name__)

TOKEN_FILE = "http-token"  # noqa: S105 (the name of a file)
STOP_S = 5.0
COUNTS_ONLY = "privacy = counts-only: no picture of this camera leaves the device"
OFF = "the camera is switched off"


@dataclass(frozen=True, kw_only=True)
class Told:
    """What others in the agent tell the page; None or the default where nobody does.

    health: the newest. metrics: text for Prometheus. alive: the daemon makes progress.
    """

    health: Callable[[], HealthMessage | None] = lambda: None
    metrics: Callable[[], str] | None = None
    alive: Callable[[], bool] = lambda: True


class Page:
    """sink: sees what the cameras tell; it is one of the agent's outputs."""

    def __init__(self, config: Config, http: HttpConfig, *, identity: Identity, clock: Clock, told: Told) -> None:
        """Listen and serve from now on; cameras follow with `show`.

        Raises:
            ConfigError: the extra is not installed, the address is none of this machine's, or the token cannot be had.
            EdgemassError: another program listens there.
        """
        try:
            from edgemass.web.app import app  # noqa: PLC0415 (an extra that not every device has)
            from edgemass.web.server import PageServer, bind  # noqa: PLC0415
        except ImportError as error:
            missing = (error.name or "").partition(".")[0]
            raise ConfigError(
                f"the device page needs {missing}; pip install 'edgemass[http]', or leave --http out"
            ) from error
        self.sink = RecentSink(identity.run_id)
        self._config = config
        self._http = http
        self._identity = identity
        self._clock = clock
        self._told = told
        self._shown: dict[str, tuple[CameraLine, CameraConfig]] = {}
        self._gallery = Gallery(viewers=http.viewers)
        self._key = _key(http, configuration.state_folder(config.state) / TOKEN_FILE)
        given = Given(
            status=self._status,
            events=self.sink.events_since,
            picture=self.sink.picture_of,
            gallery=self._gallery,
            live=told.alive,
            ready=self._ready,
            metrics=told.metrics,
            command=lambda: self.sink.handle,
        )
        names = {"localhost", *_own_names(), *(name.lower() for name in http.hosts)}
        wanted = address(http.listen)
        listening = bind(wanted)
        self.port: int = listening.getsockname()[1]
        self._server = PageServer(app(given, key=self._key, names=names, clock=clock), listening)
        self._server.start()
        self._at = wanted._replace(port=self.port)
        others = f", for others at {self.address}" if self._anywhere else ""
        logger.info("the device page is at http://%s/%s", self._at, others)

    @property
    def address(self) -> str:
        """Where others find it; "" where they cannot."""
        if self._at.loopback:
            return ""
        return f"http://{self._at._replace(host=_short_name() + '.local') if self._anywhere else self._at}/"

    @property
    def _anywhere(self) -> bool:
        """Whether it listens on every address of the machine."""
        return self._at.host in ("0.0.0.0", "::")  # noqa: S104 (a question, not a wish)

    def show(self, lines: Iterable[CameraLine], cameras: Mapping[str, CameraConfig]) -> None:
        """These cameras from now on; to be called now and then, it does nothing while they are the same.

        lines: of those that are switched on. cameras: all, by name.
        """
        now = {line.camera: (line, cameras[line.camera]) for line in lines if line.camera in cameras}
        if now == self._shown and list(cameras) == self._gallery.cameras:
            return
        for name, (_, before) in self._shown.items():
            after = now.get(name, (None, cameras.get(name)))[1]
            if after is None or _seen_otherwise(before, after):
                self.sink.forget(name)  # what was kept shows what may no longer be seen
        self._shown = now
        hidden = {name: OFF for name in cameras if name not in now}
        for name, (line, camera) in now.items():
            if camera.counts_only or line.private:
                hidden[name] = COUNTS_ONLY
                self.sink.forget(name)
        views = {name: self._view(*joined) for name, joined in now.items() if name not in hidden}
        self._gallery.show(list(cameras), views, hidden)

    def close(self) -> None:
        self._gallery.close()
        self._server.close(STOP_S)

    def _view(self, line: CameraLine, camera: CameraConfig) -> View:
        name = line.camera
        artist = Artist(
            camera,
            counts=lambda: self.sink.counts_of(name),
            state=lambda: self.sink.state_of(name),
            width=self._http.width,
            quality=self._http.quality,
        )
        return View(line, artist.draw, fps=self._http.fps, clock=self._clock)

    def _status(self) -> Status:
        return Status(
            device=self._identity.device,
            version=__version__,
            run_id=self._identity.run_id,
            commands=self.sink.handle is not None,
            token=self._key is not None,
            health=self._told.health(),
            cameras={name: self._camera(name) for name in self._gallery.cameras},
        )

    def _camera(self, name: str) -> CameraNow:
        return CameraNow(
            state=self.sink.state_of(name),
            view=name in self._gallery,
            why=self._gallery.hidden.get(name, ""),
            counts=self.sink.counts_of(name),
            latest=self.sink.latest_of(name),
        )

    def _ready(self) -> bool:
        """Every camera gives frames to a model: as health says, or where nobody tells it, by what was seen here."""
        health = self._told.health()
        if health is not None:
            return health.ready
        states = [self.sink.state_of(name) for name in tuple(self._shown)]
        return bool(states) and all(state is not None and state.state == "online" for state in states)


def _key(http: HttpConfig, kept: Path) -> Key | None:
    """What opens the page; None where only this machine can reach it and nothing else is asked for.

    Raises:
        ConfigError: the token cannot be read or made, or is too short.
    """
    if http.token_file is not None:
        return _read(Path(http.token_file))
    if address(http.listen).loopback:
        return None
    if not kept.exists() or _is_damaged(kept):
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            durable.write_bytes(kept, f"{secrets.token_urlsafe(24)}\n".encode(), mode=0o600)
        except OSError as error:
            raise ConfigError(
                f"cannot write the token of the device page to {kept}: {error.strerror}; give http.token_file"
            ) from error
    logger.info("the device page asks for the token in %s", kept)
    return _read(kept)


def _is_damaged(kept: Path) -> bool:
    """Whether the token that was made here is none any more, as a disk may leave it: no reason to see nothing."""
    try:
        token = kept.read_text(encoding="utf-8").strip()
        damaged = len(token) < MIN_TOKEN or not token.isprintable()
    except UnicodeDecodeError:
        damaged = True
    except OSError:  # said by who reads it
        damaged = False
    if damaged:
        logger.warning("the token in %s is damaged; another one is made", kept)
    return damaged


def _read(path: Path) -> Key:
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the token of the device page from {path}: {error}") from error
    if len(token) < MIN_TOKEN:
        raise ConfigError(
            f"the token in {path} has {len(token)} characters; wanted at least {MIN_TOKEN}, as `openssl rand -hex 16` "
            "makes them"
        )
    return Key(token)


def _seen_otherwise(before: CameraConfig, after: CameraConfig) -> bool:
    """Whether pictures from before would show what those of now do not."""
    return (before.masks, before.crop, before.privacy, before.source) != (
        after.masks,
        after.crop,
        after.privacy,
        after.source,
    )


def _own_names() -> set[str]:
    """Under which a network knows this machine."""
    short = _short_name()
    return {socket.gethostname().lower(), short, f"{short}.local", f"{short}.lan"} - {""}


def _short_name() -> str:
    return socket.gethostname().lower().partition(".")[0]
