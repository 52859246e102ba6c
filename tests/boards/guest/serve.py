"""The one program of the emulated machine that the host talks to: it runs commands and tells how they ended.

Requests and replies are JSON, one a line, over the virtio port `/dev/vport*`:
    {"run": [...], "input": "", "timeout_s": 30}   -> {"code", "out", "err"}; code None: it did not end in time
    {"start": [...], "log": "/run/x", "user": ""}  -> {"pid"}; both outputs go to the log
    {"end": pid, "signal": 15, "timeout_s": 30}    -> {"code"}; None: it did not end in time. Signal 0 only waits
    {"power_off": true}                            -> nothing
As process 1 it never returns: the machine is powered off instead.
"""

from __future__ import annotations

import glob
import json
import subprocess
import time
from typing import Any

ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONPATH": "/repository:/opt/site",
    "PYTHONDONTWRITEBYTECODE": "1",
    "HOME": "/tmp",
}
GROUPS = {"edgemass": 990, "video": 44}  # as the root's /etc/group says
PORT_S = 20.0

_started: dict[int, subprocess.Popen[bytes]] = {}


def run(request: dict[str, Any]) -> dict[str, Any]:
    try:
        done = subprocess.run(
            request["run"],
            input=request["input"],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=request["timeout_s"],
            env=ENVIRONMENT,
        )
    except subprocess.TimeoutExpired as error:
        return {"code": None, "out": _text(error.stdout), "err": _text(error.stderr)}
    return {"code": done.returncode, "out": done.stdout, "err": done.stderr}


def start(request: dict[str, Any]) -> dict[str, Any]:
    user: dict[str, Any] = {}
    if request["user"]:
        user = {"user": GROUPS["edgemass"], "group": GROUPS["edgemass"], "extra_groups": [GROUPS["video"]]}
    with open(request["log"], "wb") as log:  # noqa: PTH123 (the guest starts faster without pathlib)
        process = subprocess.Popen(request["start"], stdout=log, stderr=log, env=ENVIRONMENT, **user)
    _started[process.pid] = process
    return {"pid": process.pid}


def end(request: dict[str, Any]) -> dict[str, Any]:
    process = _started[request["end"]]
    if request["signal"] and process.poll() is None:
        process.send_signal(request["signal"])
    try:
        return {"code": process.wait(request["timeout_s"])}
    except subprocess.TimeoutExpired:
        return {"code": None}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        for name, verb in (("run", run), ("start", start), ("end", end)):
            if name in request:
                return verb(request)
        return {"error": f"unknown request {sorted(request)}"}
    except Exception as error:  # noqa: BLE001 (the loop's outermost line: the host gets to know)
        return {"error": f"{type(error).__name__}: {error}"}


def serve() -> None:
    deadline = time.monotonic() + PORT_S
    while not (ports := glob.glob("/dev/vport*")):  # noqa: PTH207 (as above)
        if time.monotonic() > deadline:
            raise TimeoutError("no virtio port")
        time.sleep(0.05)
    with open(ports[0], "r+b", buffering=0) as port:  # noqa: PTH123 (as above)
        port.write(b'{"ready": true}\n')
        received = b""
        while chunk := port.read(65536):
            received += chunk
            while b"\n" in received:
                line, received = received.split(b"\n", 1)
                request = json.loads(line)
                if "power_off" in request:
                    return
                reply = json.dumps(answer(request)).encode() + b"\n"
                while reply:
                    reply = reply[port.write(reply) :]


def _text(output: bytes | str | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""


if __name__ == "__main__":
    try:
        serve()
    except BaseException as error:  # noqa: BLE001 (process 1 must not end)
        print(f"serve.py: {type(error).__name__}: {error}", flush=True)
    subprocess.run(["/bin/busybox", "poweroff", "-f"], check=False)
    while True:
        time.sleep(60)
