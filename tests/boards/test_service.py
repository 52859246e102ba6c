"""The service under a real systemd, from the Debian package of `make deb`: installed, started, broken, removed.

The tests of this file go through the life of one system, in their order.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import final

import pytest

from tests.boards import container, roots
from tests.boards.container import Container

UNIT = "edgemass.service"
BUILD_S = 900
FRAME_AND_WATCHDOG_S = 180.0  # a frame may take 30 s, the watchdog then 30 s more, and this machine is slow
CONFIG = """
sinks = ["mqtt://device@127.0.0.1?password_file=credential:mqtt-password"]
{top}
[cameras.door]
source = "synthetic:?fps=5&width=320&height=240"
"""
BROKER = "listener 1883 127.0.0.1\npassword_file /etc/mosquitto/passwords\npersistence false\n"
PASSWORD = "correct horse battery"
FAULTS = "[Service]\nEnvironment=PYTHONPATH=/mnt/faults\nRestartSec=1\n"

pytestmark = [pytest.mark.systemd, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with edgemass.deb, and the same as a later version."""
    folder = tmp_path_factory.mktemp("packages")
    built = folder / "built"
    environment = {
        "DEB_COMPRESSION": "-Znone",
        "DEB_WORK": str(folder / "work"),
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    }
    command = ["sh", "systemd/debian/build.sh", sys.executable, str(built)]
    done = subprocess.run(
        command,
        cwd=roots.REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_S,
    )
    assert done.returncode == 0, done.stderr
    (package,) = built.glob("*.deb")
    package.rename(folder / "edgemass.deb")
    root = folder / "work" / "root"
    control = root / "DEBIAN" / "control"
    control.write_text(control.read_text().replace("\nVersion: ", "\nVersion: 1000."))
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Znone", "--build", root, folder / "later.deb"],
        check=True,
        capture_output=True,
        timeout=BUILD_S,
    )
    shutil.rmtree(folder / "work")
    yield folder
    shutil.rmtree(folder)  # a gigabyte


@final
class Board:
    """A booted system, and the service on it."""

    def __init__(self, system: Container) -> None:
        self.system = system

    def show(self, name: str) -> str:
        return self.system.run("systemctl", "show", "--value", "-p", name, UNIT).strip()

    @property
    def pid(self) -> int:
        return int(self.show("MainPID"))

    def ready(self) -> bool:
        return self.show("ActiveState") == "active"

    def wait_ready(self) -> int:
        self.system.wait_until(self.ready, "not ready")
        return self.pid

    def wait_new_pid(self, old: int, patience_s: float = container.PATIENCE_S) -> int:
        self.system.wait_until(lambda: self.ready() and self.pid not in (0, old), "no new process", patience_s)
        return self.pid

    def wait_fps(self) -> None:
        self.system.wait_until(lambda: "1 of 1 cameras up" in self.show("StatusText"), "no frames")

    def configure(self, top: str = "") -> None:
        self.system.write("/etc/edgemass/edgemass.toml", CONFIG.format(top=top))

    def fault(self, words: str) -> None:
        self.system.write("/run/fault", words)

    def restart_afresh(self) -> None:
        """Without any fault, and without anything that earlier tests left behind."""
        self.fault("")
        self.system.run("systemctl", "stop", UNIT)
        self.system.shell("rm -f /var/lib/edgemass/starts.json; systemctl reset-failed")
        self.system.run("systemctl", "start", UNIT)

    def journal_since(self, cursor: str) -> str:
        return self.system.run("journalctl", "--no-pager", "-o", "cat", "-u", UNIT, f"--after-cursor={cursor}")

    def cursor(self) -> str:
        told = self.system.run("journalctl", "-n", "1", "--show-cursor", "-o", "cat")
        return told.rsplit("-- cursor: ", 1)[1].strip()


@pytest.fixture(scope="module")
def board(
    board_root: Callable[[Callable[[], Path], str], Path], packages: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Board]:
    root = board_root(roots.systemd, container.missing())
    faults = Path(__file__).with_name("faults")
    with Container(
        root, tmp_path_factory.mktemp("board"), {packages: "/mnt/packages", faults: "/mnt/faults"}
    ) as system:
        yield Board(system)


def test_the_package_installs_and_the_service_is_ready_without_camera_and_broker(board: Board) -> None:
    board.system.run("dpkg", "-i", "/mnt/packages/edgemass.deb")
    pid = board.wait_ready()
    assert board.system.run("systemctl", "is-enabled", UNIT).strip() == "enabled"
    assert board.system.run("ps", "-o", "user=", "-p", str(pid)).strip() == "edgemass"
    assert "0 of 1 cameras up" in board.show("StatusText")
    assert "/dev/video0 is not there" in board.system.journal()


def test_systemd_has_nothing_to_say_against_the_unit(board: Board) -> None:
    verified = board.system.attempt("systemd-analyze", "verify", UNIT)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    told = board.system.run("systemd-analyze", "security", "--no-pager", UNIT)
    score = float(told.rsplit("exposure level for edgemass.service: ", 1)[1].split()[0])
    assert score <= 2.0


def test_a_password_comes_as_a_credential_and_is_seen_nowhere(board: Board) -> None:
    system = board.system
    system.write("/etc/mosquitto/conf.d/test.conf", BROKER)
    system.run("mosquitto_passwd", "-c", "-b", "/etc/mosquitto/passwords", "device", PASSWORD)
    system.shell("chown mosquitto /etc/mosquitto/passwords; systemctl restart mosquitto")
    system.write("/etc/edgemass/credentials/mqtt-password", f"{PASSWORD}\n", mode="600")
    board.configure()
    system.run("systemctl", "restart", UNIT)
    pid = board.wait_ready()
    heard = system.run(
        *("mosquitto_sub", "-h", "127.0.0.1", "-u", "device", "-P", PASSWORD, "-W", "60", "-C", "1"),
        *("-t", "edgemass/v1/+/camera/door/detections"),
    )
    assert '"schema":"edgemass.detection/1"' in heard
    anybody = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "edgemass", "status")
    system.wait_until(lambda: "door" in system.attempt(*anybody).stdout, "no status for everybody")
    assert PASSWORD not in system.attempt(*anybody).stdout
    assert PASSWORD not in system.journal()
    assert PASSWORD not in system.shell(f"tr '\\0' '\\n' </proc/{pid}/cmdline; tr '\\0' '\\n' </proc/{pid}/environ")
    as_the_user = system.attempt("setpriv", "--reuid=edgemass", "--clear-groups", "ls", "/etc/edgemass/credentials")
    assert "Permission denied" in as_the_user.stderr


def test_a_credential_that_is_missing_ends_it_for_good_and_says_which(board: Board) -> None:
    system = board.system
    system.run("mv", "/etc/edgemass/credentials/mqtt-password", "/srv/kept")
    system.attempt("systemctl", "restart", UNIT)
    system.wait_until(lambda: board.show("ActiveState") == "failed", "not given up")
    assert board.show("ExecMainStatus") == "78"
    assert "there is no credential mqtt-password; put it into /etc/edgemass/credentials" in system.journal()
    system.run("mv", "/srv/kept", "/etc/edgemass/credentials/mqtt-password")
    system.run("systemctl", "start", UNIT)
    board.wait_ready()


def test_a_folder_of_credentials_that_somebody_removed_keeps_nothing_from_starting(board: Board) -> None:
    system = board.system
    system.run("mv", "/etc/edgemass/credentials", "/srv/credentials")
    system.write("/etc/edgemass/edgemass.toml", CONFIG.format(top="").replace("sinks", "# sinks", 1))
    system.run("systemctl", "restart", UNIT)
    board.wait_ready()
    system.run("mv", "/srv/credentials", "/etc/edgemass/credentials")
    board.configure()
    system.run("systemctl", "restart", UNIT)
    board.wait_ready()


def test_a_reload_changes_the_cameras_of_the_running_process(board: Board) -> None:
    system, pid = board.system, board.wait_ready()
    board.wait_fps()
    board.configure('[cameras.yard]\nsource = "synthetic:?fps=5"')
    system.run("systemctl", "reload", UNIT)
    system.wait_until(lambda: "of 2 cameras up" in board.show("StatusText"), "the second camera is not there")
    board.configure("colour = 'red'")
    cursor = board.cursor()
    system.run("systemctl", "reload", UNIT)
    system.wait_until(lambda: "unknown" in board.journal_since(cursor), "a bad file is not told of")
    assert board.ready()
    assert board.pid == pid
    board.configure()


def test_kill_9_is_followed_by_a_new_process(board: Board) -> None:
    board.restart_afresh()
    pid = board.wait_ready()
    board.system.run("systemctl", "kill", "-s", "KILL", "--kill-whom=main", UNIT)
    board.wait_new_pid(pid)
    board.wait_fps()


def test_a_detector_that_hangs_is_killed_by_the_watchdog_and_told_of(board: Board) -> None:
    system = board.system
    system.write(f"/etc/systemd/system/{UNIT}.d/faults.conf", FAULTS)
    system.run("systemctl", "daemon-reload")
    board.restart_afresh()
    pid = board.wait_ready()
    board.wait_fps()
    cursor = board.cursor()
    board.fault("hang")
    system.wait_until(lambda: board.pid != pid, "the hanging process lives on", FRAME_AND_WATCHDOG_S)
    board.fault("")
    board.wait_new_pid(pid)
    board.wait_fps()
    told = board.journal_since(cursor)
    assert "the detect loop of camera door has not moved for" in told
    assert "Watchdog timeout" in told
    assert "sitecustomize.py" in told, "the trace of the thread that hangs is missing"


def test_a_crash_loop_of_an_accelerator_ends_on_the_cpu(board: Board) -> None:
    board.configure('backend = "onnx:cuda"')
    board.restart_afresh()
    board.wait_fps()
    cursor = board.cursor()
    board.fault("crash-fast")
    wanted = "the model runs plainly on the CPU"
    board.system.wait_until(lambda: wanted in board.show("StatusText"), "the accelerator is not left out")
    board.wait_fps()
    told = board.journal_since(cursor)
    assert told.count("status=11/SEGV") == 3
    assert f"3 starts in a row did not last: {wanted}" in told


def test_a_crash_loop_of_a_model_ends_with_another_one(board: Board) -> None:
    models = "/usr/lib/edgemass/lib/python3.*/site-packages/edgemass/_data/models"
    board.system.shell(f"rm -rf /opt/crasher; cp -r {models}/edgemass-person /opt/crasher")
    board.configure('model = "/opt/crasher"')
    board.restart_afresh()
    board.wait_fps()
    cursor = board.cursor()
    board.fault("crash crasher")
    wanted = "another model runs, plainly on the CPU"
    board.system.wait_until(lambda: wanted in board.show("StatusText"), "the model is not left out")
    board.wait_fps()
    told = board.journal_since(cursor)
    board.system.wait_until(lambda: wanted in board.system.attempt("edgemass", "status").stdout, "no problem in health")
    assert told.count("status=11/SEGV") == 6
    assert f"3 starts in a row did not last: {wanted}" in told
    board.configure()
    board.system.shell(f"rm -r /etc/systemd/system/{UNIT}.d; systemctl daemon-reload")
    board.restart_afresh()


def test_an_upgrade_keeps_configuration_and_state_and_runs_the_new_one(board: Board) -> None:
    system, pid = board.system, board.wait_ready()
    system.shell("echo kept >/var/lib/edgemass/kept; echo '# mine' >>/etc/edgemass/edgemass.toml")
    system.run("dpkg", "-i", "/mnt/packages/later.deb")
    board.wait_new_pid(pid)
    board.wait_fps()
    assert system.run("dpkg-query", "-W", "-f", "${Version}", "edgemass").startswith("1000.")
    assert "# mine" in system.run("cat", "/etc/edgemass/edgemass.toml")
    assert system.run("cat", "/var/lib/edgemass/kept") == "kept\n"


def test_removal_leaves_configuration_and_state_and_purge_nothing_but_the_user(board: Board) -> None:
    system = board.system
    system.shell("cp -a /usr/lib/edgemass /opt/venv; sed -i '1s|.*|#!/opt/venv/bin/python3|' /opt/venv/bin/edgemass")
    system.shell("rm /opt/venv/bin/python3; ln -s /usr/bin/python3 /opt/venv/bin/python3")
    system.run("dpkg", "--remove", "edgemass")
    assert not system.attempt("pgrep", "-u", "edgemass").stdout
    system.shell("test -e /etc/edgemass/edgemass.toml -a -e /var/lib/edgemass/kept -a ! -e /usr/lib/edgemass")
    system.run("dpkg", "--purge", "edgemass")
    left = system.shell("find / -xdev -path /opt -prune -o -name '*edgemass*' -print").split()
    assert [path for path in left if not path.startswith(("/var/log/", "/run/", "/tmp/"))] == []
    assert system.attempt("systemctl", "cat", UNIT).returncode != 0


def test_an_installation_of_one_s_own_becomes_a_service_and_goes_again(board: Board) -> None:
    system, program = board.system, "/opt/venv/bin/edgemass"
    system.run(program, "service", "install", "--dry-run")
    assert system.attempt("systemctl", "cat", UNIT).returncode != 0
    system.run(program, "service", "install")
    pid = board.wait_ready()
    assert "/opt/venv/" in system.run("ps", "-o", "args=", "-p", str(pid))
    assert system.attempt("systemd-analyze", "verify", UNIT).stderr == ""
    assert "nothing to change" in system.run(program, "service", "install")
    assert board.pid == pid
    system.run(program, "service", "remove", "--purge")
    left = system.shell("find / -xdev -path /opt -prune -o -name '*edgemass*' -print").split()
    assert [path for path in left if not path.startswith(("/var/log/", "/run/", "/tmp/"))] == []
    assert system.attempt("id", "edgemass").returncode != 0
