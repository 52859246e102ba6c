"""The distribution's PyGObject for the Python that runs the tests, and elements that stand for hardware."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import TracebackType
from typing import Any, final

SYSTEM_PYTHON = "/usr/bin/python3"
_PLACE = (
    "import gi; gi.require_version('Gst', '1.0'); from gi.repository import Gst; Gst.init(None); "
    "assert Gst.ElementFactory.find('videotestsrc') and Gst.ElementFactory.find('jpegenc'); print(gi.__path__[0])"
)


class MissingError(Exception):
    """No PyGObject with GStreamer here. installable: whether tests/install-servers.sh would bring it."""

    def __init__(self, message: str, *, installable: bool) -> None:
        super().__init__(message)
        self.installable = installable


def provide(folder: Path) -> None:
    """Put a link to the package `gi`, and to nothing else of the distribution, into `folder`.

    Raises:
        MissingError: it is not installed, or is built for another Python than this one.
    """
    place = ""
    with suppress(OSError, subprocess.CalledProcessError):
        done = subprocess.run([SYSTEM_PYTHON, "-c", _PLACE], capture_output=True, check=True, text=True, timeout=60)
        place = done.stdout.strip()
    if not place:
        raise MissingError("no GStreamer with PyGObject: run tests/install-servers.sh", installable=True)
    if not any(Path(place, f"_gi{suffix}").exists() for suffix in EXTENSION_SUFFIXES):
        raise MissingError(
            f"PyGObject in {place} is not built for this Python; run the tests with {SYSTEM_PYTHON}", installable=False
        )
    (folder / "gi").symlink_to(place)


@final
class FakeElement:
    """Registers a GStreamer element under a name that hardware has, as long as it is entered.

    source, sink: the elements behind its pads, without any way from one to the other; no sink means no sink pad.
    set_to: the values that its own properties were given, by name, over all instances.
    """

    def __init__(self, name: str, *, source: str, sink: str | None = None, properties: tuple[str, ...] = ()) -> None:
        self.set_to: dict[str, list[str]] = {key: [] for key in properties}
        self._name = name
        self._behind = {"src": source} if sink is None else {"src": source, "sink": sink}

    def __enter__(self) -> FakeElement:
        from gi.repository import GObject, Gst

        fake = self

        def begin(self: Any) -> None:
            Gst.Bin.__init__(self)
            for pad, description in fake._behind.items():
                behind = Gst.parse_bin_from_description(description, ghost_unlinked_pads=True)
                self.add(behind)
                self.add_pad(Gst.GhostPad.new(pad, behind.get_static_pad(pad)))

        def set_property(_self: Any, key: Any, value: str) -> None:
            fake.set_to[key.name].append(value)

        own = {key: (str, key, key, "", GObject.ParamFlags.WRITABLE) for key in self.set_to}
        members = {"__init__": begin, "do_set_property": set_property, "__gproperties__": own}
        kind: Any = type(f"Fake_{self._name}_{id(self)}", (Gst.Bin,), members)
        assert Gst.Element.register(None, self._name, 0, kind.__gtype__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from gi.repository import Gst

        Gst.Registry.get().remove_feature(Gst.ElementFactory.find(self._name))
