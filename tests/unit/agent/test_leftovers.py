"""What cameras left on brokers is taken back: by whom it was left, how long ago, and whether the broker was there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

from edgemass.agent.leftovers import Leftovers
from edgemass.config import CameraConfig
from edgemass.config.scene import ZoneConfig
from edgemass.pipeline.ledger import Entry
from edgemass.sinks import Channel
from tests.simulators.manual_clock import ManualClock

SEEN = Entry(known={"": ["person"], "yard": ["cat"]}, lines={"gate": {"in": {"person": 1}, "out": {}}})
YARD = ZoneConfig(points=((0, 0), (1, 0), (1, 1)))
PLAIN = CameraConfig(source="0", zones={"yard": YARD})


class Broker:
    """Keeps what was cleared, and the earlier names that are to be left with what says that it is done."""

    def __init__(self) -> None:
        self.cleared: set[str] = set()
        self.vacated: dict[str, Callable[[], None]] = {}

    def vacate(self, device: str, shown: str, done: Callable[[], None]) -> None:
        assert shown == f"homeassistant/{device}"
        self.vacated[device] = done

    def clear(self, *levels: str) -> None:
        self.cleared.add("/".join(levels))


def board(folder: Path, device: str = "pi") -> tuple[Leftovers, Broker]:
    broker = Broker()
    channels = [cast("Channel", broker)]
    return Leftovers(folder, channels, ManualClock(), device=device, shown="homeassistant/{}".format), broker


def test_a_camera_that_is_taken_out_leaves_nothing(tmp_path: Path) -> None:
    leftovers, broker = board(tmp_path)
    leftovers.begin({"door": SEEN})
    leftovers.gone("door", SEEN)
    below = "camera/door"
    assert broker.cleared == {
        f"{below}/state",
        f"{below}/settings",
        f"{below}/snapshot",
        f"{below}/snapshot/person",
        f"{below}/snapshot/cat",
        f"{below}/count/person",
        f"{below}/zone/yard/count/cat",
        f"{below}/line/gate/in/person",
    }


def test_it_is_taken_back_again_by_the_next_process_since_the_broker_may_have_been_away(tmp_path: Path) -> None:
    leftovers, _ = board(tmp_path)
    leftovers.begin({"door": SEEN, "yard": Entry()})
    leftovers.gone("door", SEEN)
    again, broker = board(tmp_path)
    again.begin({"yard": Entry()})
    assert "camera/door/count/person" in broker.cleared
    back, broker = board(tmp_path)
    back.begin({"yard": Entry(), "door": Entry()})
    assert not broker.cleared, "a camera that came back speaks for itself"


def test_one_that_went_while_nothing_ran_is_known_too(tmp_path: Path) -> None:
    leftovers, _ = board(tmp_path)
    leftovers.begin({"reader": Entry()})  # of a classifier: nothing is counted
    again, broker = board(tmp_path)
    again.begin({})
    assert {"camera/reader/state", "camera/reader/settings"} <= broker.cleared


def test_pictures_go_where_nobody_may_see_them_any_more_and_numbers_of_zones_that_are_gone(tmp_path: Path) -> None:
    leftovers, broker = board(tmp_path)
    leftovers.begin({"door": SEEN})
    leftovers.here("door", PLAIN, SEEN)
    assert broker.cleared == {"camera/door/line/gate/in/person"}
    private = CameraConfig(source="0", zones={"yard": YARD}, privacy="counts-only")
    leftovers.here("door", private, Entry())
    assert {"camera/door/snapshot", "camera/door/snapshot/person", "camera/door/snapshot/cat"} <= broker.cleared
    assert "camera/door/count/person" not in broker.cleared


def test_earlier_names_of_the_device_are_left_until_the_broker_has_done_so(tmp_path: Path) -> None:
    for name in ("attic", "cellar"):
        leftovers, broker = board(tmp_path, name)
        leftovers.begin({})
    assert broker.vacated.keys() == {"attic"}
    leftovers, broker = board(tmp_path, "garden")
    leftovers.begin({})
    assert broker.vacated.keys() == {"attic", "cellar"}, "the first broker was away"
    broker.vacated["attic"]()
    leftovers.tick()
    leftovers, broker = board(tmp_path, "garden")
    leftovers.begin({})
    assert broker.vacated.keys() == {"cellar"}


def test_a_device_that_gets_an_earlier_name_back_does_not_leave_it(tmp_path: Path) -> None:
    for name in ("attic", "cellar", "attic"):
        leftovers, broker = board(tmp_path, name)
        leftovers.begin({})
    assert broker.vacated.keys() == {"cellar"}
