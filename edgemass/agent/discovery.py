"""The device as Home Assistant's MQTT discovery describes it: one document, many components. Values only.

Device discovery needs Home Assistant 2024.11 or newer. A component with nothing but its platform is one that is gone:
Home Assistant removes it then (https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgemass import __version__
from edgemass.config.camera import MAX_FPS, MIN_FPS
from edgemass.sinks.mqtt import PREFIX, topic_level

MOST_LABELS = 20
"""Of each place; a model that knows a thousand classes must not make a thousand entities."""
URL = "https://github.com/edgemass/edgemass"

Component = dict[str, Any]
Parts = tuple[str, ...]
"""What a component is about, from which its key is made."""
_UNFIT = re.compile(r"[^A-Za-z0-9]")


@dataclass(frozen=True, kw_only=True)
class CameraFacts:
    """labels: of what may be counted in the whole picture; zones, lines: the same by name. pictures: may leave it."""

    name: str
    labels: Sequence[str] = ()
    zones: Mapping[str, Sequence[str]] = field(default_factory=dict)
    lines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    pictures: bool = True


@dataclass(frozen=True, kw_only=True)
class DeviceFacts:
    """slots: whose models may be exchanged. readings: what collectors of the board found. page: address of its page."""

    device: str
    cameras: Sequence[CameraFacts]
    model: str = ""
    slots: Sequence[str] = ()
    readings: Sequence[str] = ()
    updates: bool = False
    page: str = ""


def topic(prefix: str, device: str) -> str:
    """Where the document belongs."""
    name = re.sub(
        r"[^A-Za-z0-9_-]", lambda match: f"_{ord(match[0]):x}_", device
    )  # no dots, as Home Assistant wants it
    return f"{prefix.strip('/')}/device/{name}/config"


def document(facts: DeviceFacts, gone: Mapping[str, str]) -> dict[str, Any]:
    """What is announced. gone: component -> platform, of those that there were and are no more."""
    base = f"{PREFIX}/{topic_level(facts.device)}"
    found = components(facts)
    device: dict[str, Any] = {
        "identifiers": [f"edgemass_{facts.device}"],
        "name": facts.device,
        "manufacturer": "edgemass",
        "sw_version": __version__,
    }
    if facts.model:
        device["model"] = facts.model
    if facts.page:
        device["configuration_url"] = facts.page
    return {
        "device": device,
        "origin": {"name": "edgemass", "sw_version": __version__, "support_url": URL},
        "availability": [{"topic": f"{base}/availability"}],
        "qos": 1,
        "components": {**found, **{key: {"platform": platform} for key, platform in gone.items() if key not in found}},
    }


def components(facts: DeviceFacts) -> dict[str, Component]:
    """Every entity, by a key that stays the same."""
    base = f"{PREFIX}/{topic_level(facts.device)}"
    named = [*_of_device(facts, base), *(row for camera in facts.cameras for row in _of_camera(camera, base))]
    made = {_key(*parts): component for parts, component in named}
    for key, component in made.items():
        component["unique_id"] = f"{_key(facts.device)}-{key}"
    return made


def _key(*parts: str) -> str:
    """Names as one word of letters, digits, `_` and `-`, which tells them apart whatever they are."""
    return "-".join(_UNFIT.sub(lambda match: f"_{ord(match[0]):x}_", part) for part in parts)


def _of_device(facts: DeviceFacts, base: str) -> Iterator[tuple[Parts, Component]]:
    health = {"state_topic": f"{base}/health", "entity_category": "diagnostic"}
    yield (
        ("problems",),
        {
            "platform": "binary_sensor",
            "name": "Problems",
            "device_class": "problem",
            "value_template": "{{ 'ON' if value_json.problems else 'OFF' }}",
            "json_attributes_topic": f"{base}/health",
            "json_attributes_template": "{{ {'problems': value_json.problems} | tojson }}",
            **health,
        },
    )
    for key, component in _READINGS.items():
        if key.split("_")[0] in facts.readings:
            yield (key,), {**component, **health}
    yield (
        ("restart",),
        {
            "platform": "button",
            "name": "Restart",
            "device_class": "restart",
            "entity_category": "config",
            "command_topic": f"{base}/command/restart",
        },
    )
    for slot in facts.slots:
        yield ("model", slot), _update(slot, base, installs=facts.updates)


_READINGS: dict[str, Component] = {
    "temperature": {
        "platform": "sensor",
        "name": "Temperature",
        "device_class": "temperature",
        "unit_of_measurement": "°C",
        "state_class": "measurement",
        "value_template": "{{ value_json.system.temperature.hottest_c if value_json.system.temperature else none }}",
    },
    "throttling": {
        "platform": "binary_sensor",
        "name": "Throttled",
        "device_class": "problem",
        "value_template": "{{ 'ON' if value_json.system.throttling and value_json.system.throttling.throttled"
        " else 'OFF' }}",
    },
    "throttling_undervoltage": {
        "platform": "binary_sensor",
        "name": "Undervoltage",
        "device_class": "problem",
        "value_template": "{{ 'ON' if value_json.system.throttling and value_json.system.throttling.undervoltage"
        " else 'OFF' }}",
    },
    "cpu": {
        "platform": "sensor",
        "name": "CPU",
        "unit_of_measurement": "%",
        "state_class": "measurement",
        "value_template": "{{ (value_json.system.cpu.used_ratio * 100) | round(1) if value_json.system.cpu and"
        " value_json.system.cpu.used_ratio is number else none }}",
    },
    "memory": {
        "platform": "sensor",
        "name": "Memory of edgemass",
        "device_class": "data_size",
        "unit_of_measurement": "MB",
        "state_class": "measurement",
        "value_template": "{{ (value_json.system.memory.rss_bytes / 1e6) | round(1) if value_json.system.memory"
        " else none }}",
    },
    "disk": {
        "platform": "sensor",
        "name": "Free disk",
        "device_class": "data_size",
        "unit_of_measurement": "MB",
        "state_class": "measurement",
        "value_template": "{{ (value_json.system.disk.free_bytes / 1e6) | round if value_json.system.disk else none }}",
    },
}
"""Key, which begins with the name of its collector -> component."""


def _update(slot: str, base: str, *, installs: bool) -> Component:
    """The model of a slot. A wanted one has no version before it is fetched, so that its digest stands for it."""
    made = {
        "platform": "update",
        "name": "Model" if slot == "main" else f"Model {slot}",
        "entity_category": "config",
        "state_topic": f"{base}/slot/{topic_level(slot)}/reported",
        "value_template": "{{ {'installed_version': value_json.version, "
        "'latest_version': (value_json.wanted | default(''))[7:19] or value_json.version, "
        "'title': value_json.name, "
        "'in_progress': value_json.phase in ['fetching', 'verifying', 'proving', 'swapping'], "
        "'update_percentage': (value_json.progress * 100) | round if value_json.progress is number else none}"
        " | tojson }}",
    }
    if installs:
        made |= {"command_topic": f"{base}/command/update", "payload_install": "newest"}
    return made


def _of_camera(camera: CameraFacts, base: str) -> Iterator[tuple[Parts, Component]]:
    at, title = f"{base}/camera/{topic_level(camera.name)}", camera.name.replace("_", " ").capitalize()
    yield from _well_being(camera.name, at, title)
    yield ("camera", camera.name, "fps"), _frames(camera.name, base, title)
    yield from _settings(camera.name, at, title)
    if camera.pictures:
        yield from _pictures(camera, at, title)
    yield from _counts(camera, at, title, [{"topic": f"{base}/availability"}, _seeing(at)])


def _well_being(name: str, at: str, title: str) -> Iterator[tuple[Parts, Component]]:
    """Whether the camera is there, and sees."""
    state = {"platform": "binary_sensor", "entity_category": "diagnostic", "state_topic": f"{at}/state"}
    yield (
        ("camera", name, "online"),
        {
            **state,
            "name": f"{title} online",
            "device_class": "connectivity",
            "value_template": "{{ 'ON' if value_json.state in ('online', 'blind') else 'OFF' }}",
            "json_attributes_topic": f"{at}/state",
        },
    )
    yield (
        ("camera", name, "blind"),
        {
            **state,
            "name": f"{title} blind",
            "device_class": "problem",
            "value_template": "{{ 'ON' if value_json.state == 'blind' else 'OFF' }}",
        },
    )


def _frames(name: str, base: str, title: str) -> Component:
    return {
        "platform": "sensor",
        "name": f"{title} frames",
        "unit_of_measurement": "fps",
        "state_class": "measurement",
        "entity_category": "diagnostic",
        "state_topic": f"{base}/health",
        "value_template": f"{{{{ value_json.cameras['{name}'].fps_processed | round(1)"
        f" if '{name}' in value_json.cameras else none }}}}",
    }


def _settings(name: str, at: str, title: str) -> Iterator[tuple[Parts, Component]]:
    """What commands change of the camera."""
    settings = {"state_topic": f"{at}/settings"}
    yield (
        ("camera", name, "enabled"),
        {
            **settings,
            "platform": "switch",
            "name": title,
            "icon": "mdi:cctv",
            "command_topic": f"{at}/command/enabled",
            "value_template": "{{ 'ON' if value_json.enabled else 'OFF' }}",
        },
    )
    # Home Assistant refuses a state outside of the range; nobody can slide from one in days to a million.
    for key, label, least, most, mode, unit in (
        ("score", "threshold", 0, 1, "slider", {}),
        ("max_fps", "most frames", MIN_FPS, MAX_FPS, "box", {"unit_of_measurement": "fps"}),
    ):
        yield (
            ("camera", name, key),
            {
                **settings,
                **unit,
                "platform": "number",
                "name": f"{title} {label}",
                "entity_category": "config",
                "command_topic": f"{at}/command/{key}",
                "value_template": f"{{{{ value_json.{key} }}}}",
                "min": least,
                "max": most,
                "step": 0.01,
                "mode": mode,
            },
        )


def _pictures(camera: CameraFacts, at: str, title: str) -> Iterator[tuple[Parts, Component]]:
    button = {"platform": "button", "name": f"{title} snapshot", "command_topic": f"{at}/command/snapshot"}
    yield ("camera", camera.name, "take", "snapshot"), button
    image = {"platform": "image", "content_type": "image/jpeg"}
    yield ("camera", camera.name, "snapshot"), {**image, "name": f"{title} snapshot", "image_topic": f"{at}/snapshot"}
    for label in camera.labels[:MOST_LABELS]:
        topic = f"{at}/snapshot/{topic_level(label)}"
        yield ("camera", camera.name, "last", label), {**image, "name": f"{title} last {label}", "image_topic": topic}


def _seeing(at: str) -> dict[str, str]:
    """Availability of what nobody can know while the camera does not see."""
    return {
        "topic": f"{at}/state",
        "value_template": "{{ 'online' if value_json.state == 'online' else 'offline' }}",
    }


def _counts(
    camera: CameraFacts, at: str, title: str, availability: list[dict[str, str]]
) -> Iterator[tuple[Parts, Component]]:
    shared: Component = {"availability": availability, "availability_mode": "all"}
    places = [("", at, camera.labels)]
    places += [(zone, f"{at}/zone/{topic_level(zone)}", labels) for zone, labels in camera.zones.items()]
    for zone, place, labels in places:
        key: Parts = ("camera", camera.name, "zone", zone) if zone else ("camera", camera.name)
        where = f"{title} {zone}" if zone else title
        for label in labels[:MOST_LABELS]:
            source = {"state_topic": f"{place}/count/{topic_level(label)}", **shared}
            yield (
                (*key, "count", label),
                {
                    "platform": "sensor",
                    "name": f"{where} {label} count",
                    "state_class": "measurement",
                    "value_template": "{{ value if value != 'unavailable' else none }}",
                    **source,
                },
            )
            yield (
                (*key, "there", label),
                {
                    "platform": "binary_sensor",
                    "name": f"{where} {label}",
                    "device_class": "occupancy",
                    "value_template": "{{ 'ON' if value | int(0) > 0 else 'OFF' }}",
                    **source,
                },
            )
    for line, labels in camera.lines.items():
        for label in labels[:MOST_LABELS]:
            for way in ("in", "out"):
                yield (
                    ("camera", camera.name, "line", line, way, label),
                    {
                        "platform": "sensor",
                        "name": f"{title} {line} {label} {way}",
                        "state_class": "total_increasing",
                        "state_topic": f"{at}/line/{topic_level(line)}/{way}/{topic_level(label)}",
                    },
                )
