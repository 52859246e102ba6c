"""Events as a scene tells them."""

from __future__ import annotations

from typing import Any

from edgemass.messages import EventMessage


def event(number: int, *, camera: str = "door", **changes: Any) -> EventMessage:
    """Of a person that came into view; later numbers are later."""
    usual: dict[str, Any] = {
        "type": "new",
        "kind": "object",
        "id": f"{camera}-{number}",
        "device": "pi-7f3a",
        "camera": camera,
        "seq": number + 1,
        "run_id": "5f0c",
        "boot_id": "00000000-0000-0000-0000-000000000000",
        "mono_ns": number,
        "time": "2026-11-22T10:15:02.118Z",
        "clock_synced": True,
        "started": f"2026-11-22T10:{number // 60 % 60:02d}:{number % 60:02d}.000Z",
        "duration_s": 4.0,
        "label": "person",
        "top_score": 0.9,
    }
    return EventMessage(**{**usual, **changes})
