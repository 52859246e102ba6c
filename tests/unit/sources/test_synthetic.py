from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgemass.errors import UsageError
from edgemass.sources import CaptureOptions, synthetic
from edgemass.sources.synthetic import PHASES, Synthetic
from tests.simulators.manual_clock import NS, START_MONO_NS, ManualClock


def opened(uri: str, options: CaptureOptions | None = None) -> Synthetic:
    return synthetic.open(uri, options or CaptureOptions(), ManualClock(jump=True))


def test_the_same_address_gives_the_same_moving_pixels() -> None:
    address = "synthetic:?width=160&height=90&frames=10"
    first, second = ([frame.image for frame in opened(address).frames()] for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(not np.array_equal(a, b) for a, b in itertools.pairwise(first))
    assert first[0].shape == (90, 160, 3)


def test_with_frames_it_is_a_file_that_ends() -> None:
    source = opened("synthetic:?width=32&height=32&fps=10&frames=5")
    assert (source.live, source.realtime) == (False, False)
    frames = list(source.frames())
    assert [frame.mono_ns - START_MONO_NS for frame in frames] == [n * NS // 10 for n in range(5)]
    assert {frame.arrived_ns for frame in frames} == {START_MONO_NS}


def test_without_frames_it_is_a_camera_that_goes_on_at_its_rate() -> None:
    source = opened("synthetic:", CaptureOptions(width=64, height=48, fps=20))
    assert (source.live, source.realtime) == (True, True)
    frames = list(itertools.islice(source.frames(), 3 * PHASES))
    assert [frame.arrived_ns - START_MONO_NS for frame in frames] == [n * NS // 20 for n in range(3 * PHASES)]
    assert (frames[-1].width, frames[-1].height) == (64, 48)


def test_pixels_that_frames_share_cannot_be_drawn_on() -> None:
    image = next(opened("synthetic:?frames=1").frames()).image
    with pytest.raises(ValueError, match="read-only"):
        image[0, 0] = 0


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("synthetic:?width=0", "width"),
        ("synthetic:?fps=fast", "fps"),
        ("synthetic:?frame=3", "frame"),
        ("synthetic:?frames", "wanted synthetic:.width=1280"),
        ("synthetic:?fps=0", "`fps` must be a number > 0.0"),
        ("synthetic:clip.mp4", "cannot read"),
    ],
)
def test_options_that_make_no_sense_are_refused(uri: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        opened(uri)
