"""What others may ask of this board over MQTT, serial lines and its page, and what is done then."""

from __future__ import annotations

import contextlib
import logging
import math
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgemass.clock import Clock, left_s
from edgemass.config import CameraConfig
from edgemass.config.camera import MAX_FPS
from edgemass.config.explaining import nearest
from edgemass.errors import EdgemassError
from edgemass.frame import Frame
from edgemass.messages import Detection, DetectionMessage, FrameMessage
from edgemass.pipeline.album import Album, Picture, Shown
from edgemass.pipeline.line import CameraLine
from edgemass.redact import redact
from edgemass.sinks import Answer, Channel, Command, Reply

logger = logging.getLogger(__name__)

MOST_WAITING = 32
AT_ONCE = 4
"""Of the quick ones, each of which may wait some seconds for a frame; between them the agent looks after the rest."""
PICTURE_S = 10.0
"""A snapshot waits for a frame so long."""
DEFAULT = "default"
"""As a value: what the configuration says."""
_POLL_S = 0.5
_WORDS = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}


class CommandError(EdgemassError):
    """A command that cannot be done; the message goes back to who gave it."""


@dataclass(frozen=True)
class Board:
    """What commands may do. adjust: camera, changes; raises EdgemassError. camera: raises where there is none.

    line: None while the camera is off. doctor: a report as plain values. update: what it says when it has begun.
    """

    cameras: Callable[[], Mapping[str, CameraConfig]]
    line: Callable[[str], CameraLine | None]
    adjust: Callable[..., None]
    reload: Callable[[], None]
    restart: Callable[[], None]
    doctor: Callable[[], Any]
    update: Callable[[threading.Event], Any] | None


class Commands:
    """Takes commands from any thread; does quick ones in `tick`, and those that take time in a thread for each kind."""

    def __init__(self, board: Board, channels: Sequence[Channel], clock: Clock) -> None:
        self._board = board
        self._channels = channels
        self._clock = clock
        self._quick: queue.Queue[tuple[Command, Reply]] = queue.Queue(MOST_WAITING)
        self._stop = threading.Event()
        self._now: dict[str, Callable[[Command], Any]] = {
            "enabled": self._enabled,
            "score": self._score,
            "max_fps": self._max_fps,
            "reload": self._reload,
            "restart": self._restart,
        }
        self._later: dict[str, Callable[[Command], Any]] = {
            "snapshot": self._snapshot,
            "doctor": lambda _: board.doctor(),
        }
        if board.update is not None:
            update = board.update
            self._later["update"] = lambda _: update(self._stop)

        self._slow: dict[str, queue.Queue[tuple[Command, Reply]]] = {
            name: queue.Queue(MOST_WAITING) for name in self._later
        }
        self._threads = [
            threading.Thread(target=self._run, args=(name,), name=f"command-{name}", daemon=True)
            for name in self._later
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def handle(self, command: Command, reply: Reply) -> None:
        """Take one; never waits."""
        try:
            self._check(command)
            self._slow.get(command.name, self._quick).put_nowait((command, reply))
        except CommandError as error:
            _refuse(command, reply, str(error))
        except queue.Full:
            _refuse(command, reply, f"{MOST_WAITING} commands wait already; try again later")

    def tick(self) -> None:
        """Do what is quick; in the agent's thread."""
        for _ in range(AT_ONCE):
            try:
                command, reply = self._quick.get_nowait()
            except queue.Empty:
                return
            _do(command, reply, self._checked)

    def _checked(self, command: Command) -> Any:
        self._check(command)  # again: its camera may be gone since, and its time over
        return {**self._now, **self._later}[command.name](command)

    def close(self, timeout_s: float) -> None:
        self._stop.set()
        ends_ns = self._clock.monotonic_ns() + round(timeout_s * 1e9)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(left_s(self._clock, ends_ns))
        for waiting in (self._quick, *self._slow.values()):
            with contextlib.suppress(queue.Empty):  # a thread that still runs may take the last
                while True:
                    _refuse(*waiting.get_nowait(), "edgemass ends")

    def _run(self, name: str) -> None:
        while not self._stop.is_set():
            try:
                command, reply = self._slow[name].get(timeout=_POLL_S)
            except queue.Empty:
                continue
            _do(command, reply, self._checked)

    def _check(self, command: Command) -> None:
        late_s = self._clock.time_ns() / 1e9 - command.expires_s if command.expires_s is not None else -1
        if late_s >= 0:
            raise CommandError(f"it expired {late_s:.0f} s ago")
        known = {**self._now, **self._later}
        if command.name not in known:
            raise CommandError(f"there is no command {command.name[:64]!r}{nearest(command.name, list(known))}")
        of_camera = command.name in CAMERA
        if of_camera and not command.camera:
            raise CommandError(f"{command.name} is asked of a camera; name one")
        if command.camera and not of_camera:
            raise CommandError(f"{command.name} is asked of the whole device, not of a camera")
        cameras = self._board.cameras()
        if command.camera and command.camera not in cameras:
            raise CommandError(f"there is no camera {command.camera[:64]!r}{nearest(command.camera, list(cameras))}")

    # Each returns what the answer holds

    def _enabled(self, command: Command) -> Any:
        wanted = _WORDS.get(command.value.strip().lower())
        if wanted is None and command.value != DEFAULT:
            raise CommandError(f"enabled takes ON, OFF or {DEFAULT}, found {command.value[:64]!r}")
        self._board.adjust(command.camera, enabled=wanted)
        return self._settings(command.camera)

    def _score(self, command: Command) -> Any:
        self._board.adjust(command.camera, score=_number(command, 0.0, 1.0))
        return self._settings(command.camera)

    def _max_fps(self, command: Command) -> Any:
        self._board.adjust(command.camera, max_fps=_number(command, 0.01, MAX_FPS))
        return self._settings(command.camera)

    def _settings(self, camera: str) -> Any:
        return settings(self._board.cameras()[camera])

    def _reload(self, _: Command) -> None:
        self._board.reload()

    def _restart(self, _: Command) -> None:
        self._board.restart()

    def _snapshot(self, command: Command) -> Any:
        line = self._board.line(command.camera)
        if line is None:
            raise CommandError(f"camera {command.camera} is switched off")
        if line.private:
            raise CommandError(f"no picture leaves camera {command.camera}: its privacy is counts-only")
        picture = self._picture(line, self._board.cameras()[command.camera])
        for channel in self._channels:
            channel.show("camera", command.camera, "snapshot", jpeg=picture.jpeg)
        return {"width": picture.ref.width, "height": picture.ref.height, "size_bytes": picture.ref.size_bytes}

    def _picture(self, line: CameraLine, config: CameraConfig) -> Picture:
        """The next frame, with what is found in it."""
        waiting: queue.Queue[Shown] = queue.Queue(1)

        def see(message: FrameMessage, frame: Frame) -> None:
            found: Sequence[Detection] = message.detections if isinstance(message, DetectionMessage) else ()
            if not waiting.full():
                waiting.put_nowait(Shown(frame, found))

        line.watch(see)
        try:
            shown = _wait(waiting, self._stop)
        finally:
            line.unwatch(see)
        picture = Album(config.events_config).now(shown) if shown is not None else None
        if picture is None:
            raise CommandError(f"no frame came within {PICTURE_S:g} s")
        return picture


CAMERA = frozenset({"enabled", "score", "max_fps", "snapshot"})
"""Commands that are asked of a camera; the others are of the device."""


def settings(camera: CameraConfig) -> dict[str, Any]:
    """What commands can change of a camera, as it is now; null: the model's own score, every frame that comes."""
    score = camera.score if not isinstance(camera.score, dict) else camera.score.get("*")
    return {"enabled": camera.enabled, "score": score, "max_fps": camera.max_fps}


def _wait(waiting: queue.Queue[Shown], stop: threading.Event) -> Shown | None:
    for _ in range(int(PICTURE_S / _POLL_S)):
        try:
            return waiting.get(timeout=_POLL_S)
        except queue.Empty:
            if stop.is_set():
                break
    return None


def _number(command: Command, least: float, most: float) -> float | None:
    """None: what the configuration says."""
    if command.value == DEFAULT:
        return None
    try:
        number = float(command.value)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise CommandError(
            f"{command.name} takes a number from {least:g} to {most:g}, or {DEFAULT}, found {command.value[:64]!r}"
        )
    return number


def _do(command: Command, reply: Reply, call: Callable[[Command], Any]) -> None:
    try:
        result = call(command)
    except (EdgemassError, OSError) as error:
        _refuse(command, reply, redact(str(error)))
        return
    except Exception as error:  # what somebody asks for must not end the board
        logger.exception("a command failed", extra={"command": command.name})
        _refuse(command, reply, f"{type(error).__name__}; the log tells where")
        return
    logger.info("command done", extra=_names(command))
    reply(Answer(ok=True, result=result))


def _refuse(command: Command, reply: Reply, why: str) -> None:
    logger.warning("command not done: %s", why, extra=_names(command))
    reply(Answer(ok=False, error=why))


def _names(command: Command) -> dict[str, str]:
    return {"command": command.name[:64], **({"camera": command.camera[:64]} if command.camera else {})}
