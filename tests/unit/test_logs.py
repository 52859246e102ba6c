from __future__ import annotations

import subprocess
import sys

import pytest

SECRET = "rtsp://me:hunter2@camera/1"
SAY = {
    "a log record": f"logging.getLogger('edgemass.x').warning('%s', '{SECRET}', extra={{'source': '{SECRET}'}})",
    "another library's": f"logging.getLogger('libav').error('cannot open {SECRET}')",
    "a traceback": f"\ntry: int('{SECRET}')\nexcept ValueError: logging.getLogger('edgemass').exception('failed')",
    "a warning": f"warnings.warn('{SECRET}', stacklevel=1)",
    "what ends a thread": f"t = threading.Thread(target=lambda: int('{SECRET}')); t.start(); t.join()",
    "what ends the program": f"int('{SECRET}')",
}


@pytest.mark.parametrize("what", SAY)
def test_no_password_leaves_by_whatever_way_it_is_said(what: str) -> None:
    begin = "import logging, threading, warnings; from edgemass.cli.logs import set_up_logging"
    program = f"{begin}; set_up_logging(verbose=False); {SAY[what]}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert "rtsp://me:***@camera/1" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


def test_a_name_that_others_gave_makes_no_line_of_the_log() -> None:
    begin = "import logging; from edgemass.cli.logs import set_up_logging; set_up_logging(verbose=False)"
    say = "logging.getLogger('edgemass.x').warning('refused', extra={'command': 'x\\n<3>all is lost\\x1b[2J é'})"
    done = subprocess.run([sys.executable, "-c", f"{begin}; {say}"], capture_output=True, check=True, timeout=60)
    (line,) = done.stderr.decode().splitlines()
    assert line.endswith(r"refused command=x\n<3>all is lost\x1b[2J é")
