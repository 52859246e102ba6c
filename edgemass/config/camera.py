"""One camera: its source, and what is done with its frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from edgemass.config.clips import ClipsConfig
from edgemass.config.explaining import nearest
from edgemass.config.integrity import IntegrityConfig
from edgemass.config.motion import MotionConfig
from edgemass.config.names import NAME_WANTED, is_name
from edgemass.config.rules import RuleConfig
from edgemass.config.scene import EventsConfig, Filters, LineConfig, ZoneConfig
from edgemass.config.shapes import Point, check_polygon
from edgemass.config.tracking import TrackConfig

MAX_SIDE = 65535  # of a JPEG; no camera has more
MIN_FPS, MAX_FPS = 1e-6, 1e6  # one picture in eleven days; what nanoseconds still tell apart
MIN_AGE_MS, MAX_AGE_MS = 1.0, 3_600_000.0


class CameraConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One camera.

    source: an address as `--camera` takes it. enabled: false = it stays off until it is switched on.
    width, height, fps, fourcc: asked of the device; None leaves them to it.
    rotate: degrees clockwise, after crop. crop: x1, y1, x2, y2 as fractions of the captured picture.
    max_fps: frames a second offered to the detector; the camera itself may run faster.
    score: only detections above this; by label with "*" for all others; None = the model's own default.
    max_age_ms: a frame that is older when its run would begin is dropped; not for files that give every frame.
    motion: true, or a table of what counts as it: only frames with motion are run; false = all are.
    realtime: a file is played at its own speed, as a camera would, with drops.
    events: what is told of the objects, as a table or just true; None = where there is a broker, a zone, a line or a
        rule.
    tracking: how boxes are joined from frame to frame. zones, lines, rules: by name.
    integrity: whether the picture is watched for trouble, as a table or true or false; None = of live cameras.
    clips: the camera's own video around events; not with masks or counts-only, since it would show what they hide.
    masks: polygons that are blackened before anything else sees the picture; fractions of the frame.
    privacy: counts-only = no picture and no place of anything leaves the device, only counts and the camera's state.
    """

    source: str
    enabled: bool = True
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    fourcc: str | None = None
    rotate: Literal[0, 90, 180, 270] = 0
    crop: tuple[float, float, float, float] | None = None
    max_fps: float | None = None
    score: float | dict[str, float] | None = None
    max_age_ms: float = 1000.0
    motion: bool | MotionConfig = False
    realtime: bool = False
    events: bool | EventsConfig | None = None
    tracking: TrackConfig = TrackConfig()
    zones: dict[str, ZoneConfig] = {}
    lines: dict[str, LineConfig] = {}
    rules: dict[str, RuleConfig] = {}
    integrity: bool | IntegrityConfig | None = None
    clips: ClipsConfig | None = None
    masks: tuple[tuple[Point, ...], ...] = ()
    privacy: Literal["none", "counts-only"] = "none"

    def __post_init__(self) -> None:
        if self.crop is not None:
            x1, y1, x2, y2 = self.crop
            if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1):
                raise ValueError(
                    f"crop must be x1, y1, x2, y2 with 0 <= x1 < x2 <= 1 and y alike, found {list(self.crop)}"
                )
        self._check_numbers()
        if self.fourcc is not None and len(self.fourcc) != 4:
            raise ValueError(f"fourcc must have four characters such as MJPG, found {self.fourcc!r}")
        scores = self.score.values() if isinstance(self.score, dict) else [self.score]
        if not all(score is None or 0 <= score <= 1 for score in scores):
            raise ValueError(f"score must lie between 0 and 1, found {self.score}")
        self._check_scene()

    def score_of(self, label: str, default: float) -> float:
        """The score that a detection must have to be told. default: the model's."""
        if isinstance(self.score, dict):
            return self.score.get(label, self.score.get("*", default))
        return default if self.score is None else self.score

    @property
    def counts_only(self) -> bool:
        return self.privacy == "counts-only"

    @property
    def events_config(self) -> EventsConfig:
        """The table, or its defaults."""
        return self.events if isinstance(self.events, EventsConfig) else EventsConfig()

    @property
    def has_scene(self) -> bool:
        """Whether the configuration itself asks for tracks and counts."""
        return bool(self.events or self.zones or self.lines or self.rules or self.clips or self.counts_only)

    def named_labels(self) -> Iterator[tuple[str, str]]:
        """Key and label, wherever a label is named."""
        yield from (("score", label) for label in (self.score if isinstance(self.score, dict) else ()) if label != "*")
        yield from (("events", label) for label in self.events_config.labels)
        tables: tuple[tuple[str, Mapping[str, Filters]], ...] = (
            ("zones", self.zones),
            ("lines", self.lines),
            ("rules", self.rules),
        )
        for key, named in tables:
            for name, table in named.items():
                yield from ((f"{key}.{name}", label) for label in table.labels)

    def _check_scene(self) -> None:
        for mask in self.masks:
            try:
                check_polygon(mask)
            except ValueError as error:
                raise ValueError(f"masks: {error}") from error
        self._check_privacy()
        self._check_events()
        for kind, names in (("zone", self.zones), ("line", self.lines), ("rule", self.rules)):
            for name in names:
                if not is_name(name):
                    raise ValueError(f"{kind} name {name!r} {NAME_WANTED}")
        for name, rule in self.rules.items():
            for kind, wanted, known in (("zone", rule.zone, self.zones), ("line", rule.line, self.lines)):
                if wanted is not None and wanted not in known:
                    raise ValueError(f"rule {name}: there is no {kind} {wanted!r}{nearest(wanted, known)}")

    def _check_events(self) -> None:
        for key, value in (
            ("zones", self.zones),
            ("lines", self.lines),
            ("rules", self.rules),
            ("clips", self.clips),
            ("privacy = counts-only", self.counts_only),
        ):
            if self.events is False and value:
                raise ValueError(f"events = false does not go with {key}; take one of them out")
        events = self.events_config
        if events.stationary_s < self.tracking.still_s:
            raise ValueError(
                f"events: stationary_s must not be below tracking.still_s, found {events.stationary_s:g} and "
                f"{self.tracking.still_s:g}"
            )
        scores = [*self.score.values()] if isinstance(self.score, dict) else [self.score]
        self.check_leave([score for score in scores if score is not None])

    def check_model(self, name: str, labels: Sequence[str], score: float) -> None:
        """Refuse a model that lacks what is named here. score: from which the model believes itself.

        Raises:
            ValueError: it lacks a label, or believes itself below the score at which objects leave.
        """
        for key, label in self.named_labels():
            if label not in labels:
                raise ValueError(f"{key} names {label!r}, which {name} does not know{nearest(label, labels)}")
        self.check_leave(self.score_of(label, score) for label in labels)

    def check_leave(self, scores: Iterable[float]) -> None:
        """Refuse a score to leave at that lies above one to enter at; what enters would be gone at once.

        scores: to enter at, where `events.enter` names none.

        Raises:
            ValueError: it does; names both.
        """
        events = self.events_config
        least = min(scores, default=1.0) if events.enter is None else events.enter
        if events.leave is not None and events.leave > least:
            raise ValueError(
                f"events: leave must not be above the score from which objects are believed, found {events.leave:g} "
                f"and {least:g}"
            )

    def _check_numbers(self) -> None:
        for field, value, least, most in (
            ("width", self.width, 1, MAX_SIDE),
            ("height", self.height, 1, MAX_SIDE),
            ("fps", self.fps, MIN_FPS, MAX_FPS),
            ("max_fps", self.max_fps, MIN_FPS, MAX_FPS),
            ("max_age_ms", self.max_age_ms, MIN_AGE_MS, MAX_AGE_MS),
        ):
            if value is not None and value <= 0:
                raise ValueError(f"{field} must be above 0, found {value}")
            if value is not None and not least <= value <= most:
                raise ValueError(f"{field} must lie between {least} and {most}, found {value}")

    def _check_privacy(self) -> None:
        for key, value in (("masks", self.masks), ("privacy = counts-only", self.counts_only)):
            if value and self.clips is not None:
                raise ValueError(
                    f"{key} does not go with clips, which are copies of the camera's own video; take one of them out"
                )
        for name, rule in self.rules.items():
            if rule.snapshot and self.counts_only:
                raise ValueError(f"rule {name}: snapshot does not go with privacy = counts-only; take one of them out")
