"""A real Home Assistant Core with its MQTT integration alone; a process in an environment of its own.

Reads `states`, `call DOMAIN SERVICE JSON` and `stop` from standard input, and answers each with a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from types import MappingProxyType
from typing import Any

from homeassistant import auth, bootstrap, config_entries, loader
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry, entity_registry
from homeassistant.setup import async_setup_component


async def main(folder: str, port: int, http_port: int) -> None:
    hass = HomeAssistant(folder)
    hass.config.skip_pip = True
    loader.async_setup(hass)
    hass.config_entries = config_entries.ConfigEntries(hass, {})
    await bootstrap.async_load_base_functionality(hass)
    hass.auth = await auth.auth_manager_from_config(hass, [{"type": "homeassistant"}], [])
    await async_setup_component(hass, "homeassistant", {})
    await async_setup_component(hass, "http", {"http": {"server_host": "127.0.0.1", "server_port": http_port}})
    await hass.async_start()
    entry = config_entries.ConfigEntry(
        data={"broker": "127.0.0.1", "port": port, "discovery": True, "protocol": "5"},
        discovery_keys=MappingProxyType({}),
        domain="mqtt",
        minor_version=2,
        options={},
        source="user",
        title="broker",
        unique_id=None,
        version=1,
        subentries_data=(),
    )
    await hass.config_entries.async_add(entry)
    print(json.dumps({"entry": str(entry.state)}), flush=True)
    loop = asyncio.get_running_loop()
    while line := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        if line == "stop":
            break
        await hass.async_block_till_done(wait_background_tasks=False)
        if line.startswith("call "):
            _, domain, service, data = line.split(" ", 3)
            await hass.services.async_call(domain, service, json.loads(data), blocking=True)
            print(json.dumps({"called": True}), flush=True)
            continue
        print(json.dumps(told(hass)), flush=True)
    await hass.async_stop()


def told(hass: HomeAssistant) -> dict[str, Any]:
    entities = entity_registry.async_get(hass).entities
    return {
        "states": {state.entity_id: [state.state, dict(state.attributes)] for state in hass.states.async_all()},
        "entities": {entity.entity_id: entity.unique_id for entity in entities.values()},
        "devices": [device.name for device in device_registry.async_get(hass).devices.values()],
    }


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
