from __future__ import annotations

import numpy as np
import pytest

from edgemass.config.motion import MotionConfig
from edgemass.frame import Frame, Luma
from edgemass.scene.motion import BACKGROUND_S, MotionGate, brightness

NS = 1_000_000_000
FPS = 10


def scene(level: float = 90.0, *, width: int = 1280, height: int = 720) -> Luma:
    """A still picture with some structure."""
    columns = np.linspace(0, 60, width)[None, :]
    rows = np.linspace(0, 30, height)[:, None]
    return np.clip(level + columns + rows, 0, 255).astype(np.uint8)


def with_person(x: int, *, width: int = 24, height: int = 60, level: int = 60) -> Luma:
    """Someone far away, darker than what is behind: at 720p a twelfth of the picture tall."""
    picture = scene()
    picture[400 : 400 + height, x : x + width] -= np.uint8(level)
    return picture


def passed(gate: MotionGate, pictures: list[Luma], *, start_s: float = 0.0) -> list[bool]:
    return [gate.passes(picture, round((start_s + n / FPS) * NS)) for n, picture in enumerate(pictures)]


def gate(**changes: float) -> MotionGate:
    return MotionGate(MotionConfig(**{"linger_s": 0.0, "heartbeat_s": 3600.0, **changes}))


def test_a_still_scene_passes_once_and_then_with_every_heartbeat() -> None:
    found = passed(gate(heartbeat_s=5.0), [scene()] * (12 * FPS))
    assert [n for n, passes in enumerate(found) if passes] == [0, 5 * FPS, 10 * FPS]


@pytest.mark.parametrize("sigma", [2.0, 8.0])
def test_the_noise_of_a_sensor_is_no_motion(sigma: float) -> None:
    random = np.random.default_rng(0)
    pictures = [
        np.clip(scene() + random.normal(0, sigma, (720, 1280)), 0, 255).astype(np.uint8) for _ in range(2 * FPS)
    ]
    assert sum(passed(gate(), pictures)) == 1


def test_a_small_person_who_walks_passes_in_every_frame() -> None:
    watching = gate()
    passed(watching, [scene()])
    walk = [with_person(100 + 6 * n) for n in range(5 * FPS)]  # 60 pixels a second: a slow walk so far away
    assert all(passed(watching, walk, start_s=1.0))


def test_a_person_who_stands_is_taken_for_the_scene_after_a_while_and_so_is_the_empty_place() -> None:
    watching = gate()
    pictures = [scene()] * 5 + [with_person(600)] * (20 * FPS) + [scene()] * (20 * FPS)
    found = passed(watching, pictures)
    arrives, leaves = 5, 5 + 20 * FPS
    assert all(found[arrives : arrives + FPS])
    assert not any(found[arrives + round(4 * BACKGROUND_S * FPS) : leaves])
    assert all(found[leaves : leaves + FPS])
    assert not any(found[leaves + round(4 * BACKGROUND_S * FPS) :])


def test_frames_go_on_passing_for_the_time_to_linger() -> None:
    watching = gate(linger_s=2.0)
    passed(watching, [scene()])
    flash = [scene(), with_person(600), *[scene()] * (4 * FPS)]
    found = passed(watching, flash, start_s=10.0)
    assert [n for n, passes in enumerate(found) if passes] == list(range(1, 1 + 2 * FPS))


def test_light_that_drifts_slowly_is_no_motion() -> None:
    found = passed(gate(), [scene(90 + 5 * n / FPS) for n in range(15 * FPS)])  # five steps a second: a cloud
    assert sum(found) == 1


def test_a_jump_of_the_light_passes_and_begins_a_new_background() -> None:
    found = passed(gate(), [scene(40)] * FPS + [scene(120)] * FPS)
    assert [n for n, passes in enumerate(found) if passes] == [0, FPS]


def test_with_no_least_area_any_place_will_do_but_a_still_scene_is_still() -> None:
    watching = gate(min_area=0.0)
    assert passed(watching, [scene(), scene(), with_person(600, width=16, height=16)]) == [True, False, True]


def test_another_size_passes() -> None:
    found = passed(gate(), [scene(), scene(), scene(width=640, height=360), scene(width=640, height=360)])
    assert found == [True, False, True, False]


def test_after_forgetting_the_next_frame_passes() -> None:
    watching = gate()
    assert passed(watching, [scene(), scene()]) == [True, False]
    watching.forget()
    assert passed(watching, [scene(), scene()], start_s=1.0) == [True, False]


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3), (160, 120), (7680, 4320)])
def test_any_size_of_picture_can_be_compared(size: tuple[int, int]) -> None:
    dark, light = (np.full((size[1], size[0]), level, np.uint8) for level in (10, 200))
    assert passed(gate(), [dark, dark, light]) == [True, False, True]


def test_any_strides_will_do_and_nothing_is_written_or_kept() -> None:
    padded = np.ascontiguousarray(np.pad(scene(), ((0, 0), (0, 64)), mode="edge"))
    padded.flags.writeable = False
    watching = gate()
    assert passed(watching, [padded[:, :1280], scene()]) == [True, False]
    assert passed(watching, [np.rot90(scene(), -1), np.rot90(padded[:, :1280], -1)], start_s=1.0) == [True, False]


def test_time_that_stands_still_is_no_motion() -> None:
    watching = gate()
    assert [watching.passes(scene(), 5 * NS) for _ in range(3)] == [True, False, False]


def test_without_brightness_of_its_own_a_frame_is_looked_at_by_its_green() -> None:
    image = np.dstack([np.full((4, 6), value, np.uint8) for value in (10, 20, 30)])
    plain = Frame(lambda: image, width=6, height=4, mono_ns=0, time_ns=0, arrived_ns=0)
    np.testing.assert_array_equal(brightness(plain), np.full((4, 6), 20, np.uint8))
    luma = np.full((4, 6), 99, np.uint8)
    looked = Frame(lambda: image, width=6, height=4, mono_ns=0, time_ns=0, arrived_ns=0, look=lambda: luma)
    assert brightness(looked) is luma
