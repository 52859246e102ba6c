"""Recognition on trees of /proc, /sys and /lib as the boards show them.

They are made after the device trees of the kernel and its /proc documentation, not recorded on the boards. An empty
/lib/ld-linux-* stands for the dynamic linker of the system's programs.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgemass import device_profile
from edgemass.device_profile import Board, choose, profiles, recognise
from edgemass.device_profile.profile import Match
from edgemass.errors import ConfigError

BOARDS = Path(__file__).resolve().parents[2] / "data" / "boards"

RECOGNISED = {
    "raspberry-pi-3": "raspberry-pi-3",
    "raspberry-pi-3-32bit": "raspberry-pi-3",
    "raspberry-pi-zero-2-w": "raspberry-pi-zero-2-w",
    "raspberry-pi-zero-2-w-32bit": "raspberry-pi-zero-2-w",
    "raspberry-pi-2-rev-1.2": "raspberry-pi-zero-2-w",
    "raspberry-pi-4": "raspberry-pi-4",
    "raspberry-pi-4-32bit-programs": "raspberry-pi-4",
    "raspberry-pi-4-container": "raspberry-pi-4",
    "raspberry-pi-400": "raspberry-pi-4",
    "raspberry-pi-cm4": "raspberry-pi-4",
    "raspberry-pi-5": "raspberry-pi-5",
    "raspberry-pi-5-rev-1.1": "raspberry-pi-5",
    "raspberry-pi-cm5": "raspberry-pi-5",
    "jetson-nano": "jetson-nano",
    "jetson-orin-nano": "jetson-orin-nano",
    "jetson-orin-nx": "jetson-orin-nano",
    "jetson-agx-orin": "jetson-agx-orin",
    "coral-dev-board": "coral-dev-board",
    "rock-5": "rock-5",
    "unknown-arm64": "generic-arm64",
    "unknown-arm64-32bit-programs": "generic-arm32",
    "unknown-arm32": "generic-arm32",
    "unknown-riscv64": "generic",
    "mini-pc": "generic-x86",
}


@pytest.mark.parametrize(("tree", "profile"), RECOGNISED.items())
def test_every_board_is_recognised(tree: str, profile: str) -> None:
    found = recognise(BOARDS / tree)
    assert found.profile.name == profile
    assert found.reasons


def test_every_profile_has_a_board_that_shows_it() -> None:
    assert set(RECOGNISED.values()) == set(profiles())


@pytest.mark.parametrize("tree", RECOGNISED)
def test_no_two_profiles_claim_what_a_board_says(tree: str) -> None:
    """Without the profile that was found, no other one knows the board by name; only by its chip or its machine."""
    found = recognise(BOARDS / tree)
    others = {
        name: msgspec.structs.replace(profile, match=msgspec.structs.replace(profile.match, soc=(), machine=()))
        for name, profile in profiles().items()
        if name in ("generic", *(profiles().keys() - {found.profile.name}))
    }
    assert choose(found.board, others).profile.name == "generic"


@pytest.mark.parametrize("tree", [tree for tree, name in RECOGNISED.items() if not name.startswith("generic")])
def test_the_name_alone_is_enough_where_it_is_in_a_profile(tree: str) -> None:
    """As in a container, which hides the device tree."""
    board = recognise(BOARDS / tree).board
    alone = Board(machine=board.machine, bits=board.bits, model=board.model)
    by_its_chip = "chip" in recognise(BOARDS / tree).reasons[-1]
    assert choose(alone, profiles()).profile.name == ("generic-arm64" if by_its_chip else RECOGNISED[tree])


def test_the_reasons_name_the_file_and_what_it_says() -> None:
    assert recognise(BOARDS / "raspberry-pi-cm4").reasons == (
        "proc/device-tree/compatible says raspberrypi,4-compute-module",
    )
    assert recognise(BOARDS / "jetson-orin-nx").reasons == (
        "proc/device-tree/compatible says nvidia,tegra234: another board with the same chip",
    )
    assert recognise(BOARDS / "raspberry-pi-4-container").reasons == (
        "proc/cpuinfo says Raspberry Pi 4 Model B Rev 1.4",
    )


def test_an_unknown_board_is_generic_and_says_what_nobody_knew() -> None:
    assert recognise(BOARDS / "unknown-arm64-32bit-programs").reasons == (
        "proc/device-tree/compatible says hardkernel,odroid-c4, amlogic,sm1, which no profile knows",
        "proc/device-tree/model says Hardkernel ODROID-C4, which no profile knows",
        "proc/sys/kernel/arch says aarch64, and lib/ld-linux-armhf.so.3 that programs have 32 bits",
    )
    assert recognise(BOARDS / "unknown-riscv64").reasons[-1] == (
        "proc/sys/kernel/arch says riscv64, which no profile knows"
    )


def test_a_pc_says_what_it_is_by_its_firmware() -> None:
    found = recognise(BOARDS / "mini-pc")
    assert found.board.model == "ASUSTeK COMPUTER INC. MINIPC PN50"
    assert found.reasons == (
        "sys/class/dmi/id/product_name says ASUSTeK COMPUTER INC. MINIPC PN50, which no profile knows",
        "proc/sys/kernel/arch says x86_64",
    )
    own = msgspec.structs.replace(profiles()["generic-x86"], name="pn50", match=Match(dmi=("ASUSTeK* MINIPC PN5?",)))
    assert choose(found.board, {**profiles(), "pn50": own}).profile.name == "pn50"


def test_32_bit_programs_get_the_runtimes_that_there_are() -> None:
    wide, narrow = (recognise(BOARDS / name) for name in ("raspberry-pi-4", "raspberry-pi-4-32bit-programs"))
    assert wide.defaults.backends == ("tflite", "onnx")
    assert narrow.defaults.backends == ("tflite",)
    assert (narrow.board.machine, narrow.board.userland) == ("aarch64", "armv7l")


def test_less_memory_than_the_profile_reckons_with_means_smaller_models() -> None:
    found = recognise(BOARDS / "raspberry-pi-zero-2-w")
    assert found.model_bytes == 436592 * 1024 // 16 < found.profile.model_bytes


def test_a_profile_that_is_asked_for_is_taken_whatever_the_board_says() -> None:
    found = recognise(BOARDS / "raspberry-pi-4", "jetson-nano")
    assert (found.profile.name, found.board.model) == ("jetson-nano", "Raspberry Pi 4 Model B Rev 1.4")
    with pytest.raises(ConfigError, match="did you mean raspberry-pi-4"):
        recognise(BOARDS / "raspberry-pi-4", "raspbery-pi-4")


def test_a_board_that_says_nothing_or_nonsense_is_this_machine(tmp_path: Path) -> None:
    here = recognise().profile.name
    assert recognise(tmp_path / "empty").profile.name == here
    tree = tmp_path / "nonsense" / "proc" / "device-tree"
    tree.mkdir(parents=True)
    (tree / "model").write_bytes(bytes(range(256)) * 1000)
    (tree / "compatible").write_bytes(b"\xff\0\0\0" * 100)
    (tree.parent / "meminfo").write_text("MemTotal: lots\n")
    found = recognise(tmp_path / "nonsense")
    assert (found.profile.name, found.board.memory_bytes) == (here, None)


def test_the_board_is_that_of_this_process_at_the_real_root() -> None:
    assert device_profile.recognise().board.sources["machine"] == "uname -m"
