"""A board whose models are managed: its state folder, its daemon, and the orders that a person gives it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, final

import msgspec

from edgemass.bundles import Bundle, load_bundle
from edgemass.bundles.stored import add_to_store
from edgemass.durable import write_bytes
from edgemass.messages import Desired, to_json
from edgemass.store import ModelStore, SlotState
from tests.simulators.broker import wait_until
from tests.simulators.daemon import Daemon

PERSON = Path(__file__).resolve().parents[2] / "models" / "edgemass-person"
CAMERA = "synthetic:?width=320&height=240&fps=20"
DEVICE = "pi"
PATIENCE_S = 90.0


def person(version: str, release: int = 1) -> Bundle:
    """The embedded detector under another version: the same files and another digest."""
    bundle = load_bundle(PERSON)
    return Bundle(msgspec.structs.replace(bundle.manifest, version=version, release=release), bundle.folder)


@final
class Board:
    """folder: of everything. updates: lines of the table [updates]; more: lines before it.

    max_slowdown: as in [updates]; by default a busy machine makes no model too slow.
    """

    def __init__(
        self, folder: Path, *updates: str, more: str = "", camera: str = CAMERA, max_slowdown: float = 10.0
    ) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.out = folder / "documents.jsonl"
        self.config = folder / "edgemass.toml"
        folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            f'device = "{DEVICE}"\nstate = "{self.state}"\ntune = false\nsinks = ["jsonl:{self.out}"]\n{more}\n'
            + "\n".join(
                [
                    "[updates]",
                    f"max_slowdown = {max_slowdown}",
                    *updates,
                    "[cameras.cam]",
                    f'source = "{camera}"',
                    "realtime = true",
                    "",
                ]
            ),
            encoding="utf-8",
        )
        self._sequence = 0

    def daemon(self) -> Daemon:
        """`edgemass run` on this board, not started yet; it proves models briefly."""
        return Daemon(self.folder, "--config", str(self.config), module="tests.simulators.brief_proving")

    def add(self, bundle: Bundle) -> str:
        """Put a bundle into the store; its digest."""
        return add_to_store(ModelStore(self.state / "store"), bundle)

    def order(self, digest: str, name: str = "edgemass-person") -> int:
        """Leave a local order; its sequence."""
        self._sequence += 1
        desired = Desired(
            device=DEVICE,
            slot="main",
            sequence=self._sequence,
            issued="2026-11-26T00:00:00Z",
            expires="2126-11-26T00:00:00Z",
            name=name,
            digest=digest,
        )
        place = self.state / "desired"
        place.mkdir(parents=True, exist_ok=True)
        write_bytes(place / "main.json", to_json(desired))
        return self._sequence

    @property
    def slot(self) -> SlotState:
        return ModelStore(self.state / "store").slot("main")

    @property
    def reported(self) -> dict[str, Any]:
        """The last report, {} before the first."""
        try:
            found = json.loads((self.state / "reported" / "main.json").read_bytes())
        except FileNotFoundError:
            return {}
        return dict(found)

    def wait_for(self, *phases: str, sequence: int | None = None) -> dict[str, Any]:
        """The report of the first of these phases (of this order)."""
        found: dict[str, Any] = {}

        def arrived() -> bool:
            nonlocal found
            found = self.reported
            return found.get("phase") in phases and sequence in (None, found.get("sequence", 0))

        wait_until(arrived, lambda: f"{phases} of order {sequence}; the last report was {self.reported}", PATIENCE_S)
        return found

    def documents(self) -> list[dict[str, Any]]:
        """What was detected so far; a line that is being written is left out."""
        if not self.out.exists():
            return []
        lines = self.out.read_text(encoding="utf-8").split("\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
