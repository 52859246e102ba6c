"""What shall happen when something happens: a few lines of TOML for each rule."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from edgemass.config.ranges import MAX_SECONDS, check_ranges
from edgemass.config.scene import Filters

_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_TOPIC_UNFIT = re.compile(r"[+#{}\x00]")

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
FIELDS = (
    "device",
    "camera",
    "rule",
    "label",
    "zone",
    "line",
    "direction",
    "state",
    "time",
    "duration_s",
    "score",
    "event",
)
"""What may stand in braces in a text of a rule."""


class MqttAction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message to every broker among the sinks. topic: as it is; payload: see FIELDS."""

    topic: str
    payload: str = "{label}"
    qos: Literal[0, 1, 2] = 1
    retain: bool = False

    def __post_init__(self) -> None:
        if not self.topic or len(self.topic.encode()) > 65535 or _TOPIC_UNFIT.search(self.topic):
            raise ValueError(f"topic must be one topic without +, # and braces, found {self.topic!r}")
        check_text("payload", self.payload)


class SerialAction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line to a serial device. line: see FIELDS; a newline is added."""

    port: str
    line: str
    baud: Annotated[int, msgspec.Meta(ge=50, le=4_000_000)] = 115_200

    def __post_init__(self) -> None:
        check_text("line", self.line)


class RuleConfig(Filters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When what is described here happens, the actions are done: for an object once while it stays.

    zone: while an object is in this zone; line: when one crosses this line, direction: this way;
    state: when the camera becomes so; none of them: while an object is in view.
    for_s: it must have been so for so long, without the time for which the camera was away. between: two local times
        of day, from the first to the second, over midnight too. days: on which the span begins; empty = all. While the
        clock cannot be right, both count as met.
    every_s: at most once in so many seconds, whatever happens.
    mqtt, serial, command, snapshot: what is done, in this order. command: a program and its arguments, started without
        a shell, with the fields as EDGEMASS_RULE_... in its environment. snapshot: a folder for the picture.
    """

    zone: str | None = None
    line: str | None = None
    direction: Literal["in", "out"] | None = None
    state: Literal["offline", "blind", "online"] | None = None
    for_s: float = 0.0
    between: tuple[str, str] | None = None
    days: tuple[Day, ...] = ()
    every_s: float = 0.0
    mqtt: MqttAction | None = None
    serial: SerialAction | None = None
    command: tuple[str, ...] | None = None
    snapshot: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges("", ("for_s", self.for_s, 0.0, MAX_SECONDS), ("every_s", self.every_s, 0.0, MAX_SECONDS))
        if len([place for place in (self.zone, self.line, self.state) if place is not None]) > 1:
            raise ValueError("zone, line and state exclude each other; make a rule for each")
        if self.direction is not None and self.line is None:
            raise ValueError("direction needs a line")
        if self.line is not None and self.for_s:
            raise ValueError("for_s does not go with line: a crossing is over at once")
        self._check_state()
        for time in self.between or ():
            if not _TIME.fullmatch(time):
                raise ValueError(f'between must be two times of day such as ["22:00", "06:00"], found {time!r}')
        if self.between is not None and self.between[0] == self.between[1]:
            raise ValueError(f"between must be two different times, found {list(self.between)}")
        if not (self.mqtt or self.serial or self.command or self.snapshot):
            raise ValueError("a rule needs an action: mqtt, serial, command or snapshot")
        if self.command is not None and not (self.command and self.command[0]):
            raise ValueError(f"command must begin with a program, found {list(self.command)}")
        for text in self.command or ():
            check_text("command", text)

    def _check_state(self) -> None:
        """A rule of the camera's state has no object that could be filtered or shown."""
        if self.state is None:
            return
        if self.snapshot:
            raise ValueError("snapshot does not go with state: there is no picture of it")
        for key in Filters.__struct_fields__:
            if getattr(self, key) != getattr(_NO_FILTERS, key):
                raise ValueError(f"{key} does not go with state, which is the camera's and no object's; take one out")


_NO_FILTERS = Filters()


def check_text(field: str, text: str) -> None:
    """Raises ValueError: a word that is none of FIELDS stands in braces. JSON, and a shell's ${NAME}, may be there."""
    for named in re.findall(r"(?<!\$)\{( *\w* *)\}", text):
        if named not in FIELDS:
            raise ValueError(f"{field}: unknown {{{named}}}; known are {', '.join(f'{{{name}}}' for name in FIELDS)}")
