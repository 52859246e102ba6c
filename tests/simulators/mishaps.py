"""What happens to a camera and what only looks like it, done to real pictures over time.

A mishap takes a picture (uint8 BGR) and for how many seconds it has gone on (from 0), and returns the picture as the
camera then delivers it; it may remember pictures, so each camera needs one of its own.

MISHAPS: name -> (maker, causes that are right). The first of the causes is the best; more than one where the picture
alone does not tell which it is. HARMLESS: name -> maker, after which a camera still sees its scene.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache, partial

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from edgemass.frame import Image

Mishap = Callable[[Image, float], Image]
Maker = Callable[[int], Mishap]
"""seed -> a mishap for one camera."""

Floats = NDArray[np.float32]

NOISES = 8  # fields of noise that are drawn once for a size; a picture takes one of them, shifted


def noisy(picture: Image, sigma: float, number: int) -> Image:
    """With the noise of a sensor, the same in all channels; number: which noise."""
    if sigma <= 0:
        return picture
    height, width = picture.shape[:2]
    which, down, across = (int(value) for value in np.random.default_rng((number, 77)).integers(NOISES, size=3))
    field = _noise(height + 2 * NOISES, width + 2 * NOISES, which, round(2 * sigma))
    cut = field[2 * down : 2 * down + height, 2 * across : 2 * across + width]
    return np.asarray(cv2.add(picture, cut, dtype=cv2.CV_8U), np.uint8)


@lru_cache(maxsize=128)
def _noise(height: int, width: int, which: int, halves: int) -> NDArray[np.int16]:
    """halves: twice the standard deviation."""
    values = np.random.default_rng((which, halves)).standard_normal((height, width)) * (halves / 2)
    return np.repeat(np.rint(values).astype(np.int16)[:, :, None], 3, axis=2)


def _as_picture(values: NDArray[np.floating]) -> Image:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _grains(seed: int, at_s: float) -> int:
    return (seed * 1_000_003 + round(at_s * 1000)) % 2**31


def _smooth_field(shape: tuple[int, int], seed: int, cells: int) -> Floats:
    """Random values about 0 with a standard deviation of 1 that vary over a cells-th of the picture."""
    coarse = np.random.default_rng(seed).standard_normal((cells, cells)).astype(np.float32)
    field = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray((field - field.mean()) / max(float(field.std()), 1e-6), np.float32)


# Something before the lens


def covering(kind: str, seed: int, *, over_s: float = 0.0, noise: float = 2.0) -> Mishap:
    """Something opaque comes down over the lens within `over_s`. kind: black, white, grey, textured, hand."""
    made: dict[tuple[int, ...], Floats] = {}

    def cover(picture: Image, at_s: float) -> Image:
        if picture.shape not in made:
            made[picture.shape] = _cover(kind, picture.shape, seed)
        cloth = noisy(_as_picture(made[picture.shape]), noise, _grains(seed, at_s))
        reach = picture.shape[0] if at_s >= over_s else round(picture.shape[0] * at_s / over_s)
        return np.concatenate([cloth[:reach], picture[reach:]])

    return cover


def _cover(kind: str, shape: tuple[int, ...], seed: int) -> Floats:
    height, width = shape[:2]
    broad = _smooth_field((height, width), seed, 3)
    brightness = {"black": 14.0, "white": 205.0, "grey": 110.0, "textured": 120.0, "hand": 75.0}[kind]
    field = brightness + {"hand": 22.0}.get(kind, 4.0) * broad
    if kind == "textured":  # a woven one, near enough to be seen sharp
        across, down = np.meshgrid(np.arange(width), np.arange(height))
        pitch = max(width / 40, 4)
        field = field + 25 * np.sin(2 * np.pi * across / pitch) * np.sin(2 * np.pi * down / pitch)
        field = field + 10 * _smooth_field((height, width), seed + 1, 24)
    tint = np.array([0.75, 0.95, 1.1] if kind == "hand" else [1.0, 1.0, 1.0], np.float32)
    return np.asarray(field[:, :, None] * tint, np.float32)


def half_transparent(seed: int, *, lets_through: float = 0.3, brightness: float = 150.0) -> Mishap:
    """A thin cloth or a plastic bag: little of the picture comes through, and not sharp."""

    def veil(picture: Image, at_s: float) -> Image:
        soft = cv2.GaussianBlur(picture, (0, 0), picture.shape[1] / 400)
        field = brightness + 6 * _smooth_field((picture.shape[0], picture.shape[1]), seed, 6)
        return noisy(_as_picture(lets_through * soft + (1 - lets_through) * field[:, :, None]), 2, _grains(seed, at_s))

    return veil


def black(seed: int, *, level: float = 2.0, noise: float = 1.0) -> Mishap:
    """A dead sensor, a cap on the lens, all light gone at once."""

    def dark(picture: Image, at_s: float) -> Image:
        return noisy(np.full_like(picture, round(level)), noise, _grains(seed, at_s))

    return dark


def overexposed(seed: int, *, gain: float = 4.0, lift: float = 60.0) -> Mishap:
    """The exposure has run away, or the sun shines into the lens."""

    def bright(picture: Image, at_s: float) -> Image:
        return noisy(_as_picture(picture * np.float32(gain) + np.float32(lift)), 1, _grains(seed, at_s))

    return bright


def glare(seed: int, *, size: float = 0.45) -> Mishap:
    """A light into the lens: a white disc as large as most of the picture, and a veil over the rest."""

    def shine(picture: Image, at_s: float) -> Image:
        height, width = picture.shape[:2]
        x, y = np.random.default_rng(seed).uniform(0.4, 0.6, 2)
        across, down = np.meshgrid(np.arange(width) / width - x, np.arange(height) / height - y)
        far = np.sqrt(across**2 + down**2) / size
        light = np.clip(1.6 - far, 0, 1)[:, :, None]
        return noisy(_as_picture(picture * (1 - 0.6 * light) + 290 * light), 1, _grains(seed, at_s))

    return shine


# The lens


def defocus(seed: int, *, of_width: float, over_s: float = 0.0, noise: float = 1.5) -> Mishap:
    """Out of focus: blurred with a standard deviation of so large a fraction of the width."""

    def blur(picture: Image, at_s: float) -> Image:
        sigma = of_width * picture.shape[1] * (min(at_s / over_s, 1.0) if over_s else 1.0)
        soft = cv2.GaussianBlur(picture, (0, 0), sigma) if sigma > 0.1 else picture
        return noisy(soft, noise, _grains(seed, at_s))

    return blur


def spray(seed: int, *, drops: int = 60) -> Mishap:
    """Drops of paint or water on the lens: most of the picture behind blurred spots."""
    made: dict[tuple[int, ...], Floats] = {}

    def spot(picture: Image, at_s: float) -> Image:
        height, width = picture.shape[:2]
        if picture.shape not in made:
            random = np.random.default_rng(seed)
            mask = np.zeros((height, width), np.float32)
            for _ in range(drops):
                centre = (int(random.integers(width)), int(random.integers(height)))
                cv2.circle(mask, centre, int(random.uniform(0.05, 0.13) * width), 1.0, -1)
            made[picture.shape] = cv2.GaussianBlur(mask, (0, 0), width / 80)[:, :, None]
        wet = made[picture.shape]
        soft = cv2.GaussianBlur(picture, (0, 0), width / 30) * np.float32(0.7) + 50
        return noisy(_as_picture(picture * (1 - wet) + soft * wet), 1.5, _grains(seed, at_s))

    return spot


def condensation(seed: int, *, over_s: float = 4.0) -> Mishap:
    """Breath on the lens: blurred, and a veil of grey."""

    def mist(picture: Image, at_s: float) -> Image:
        share = min(at_s / over_s, 1.0)
        soft = cv2.GaussianBlur(picture, (0, 0), max(picture.shape[1] / 90 * share, 0.1))
        return noisy(_as_picture(soft * (1 - 0.45 * share) + 75 * share), 1.5, _grains(seed, at_s))

    return mist


# The stream


def frozen(seed: int, *, clock: bool = False) -> Mishap:
    """The first picture again and again, bit for bit; clock: with the time still written over it."""
    first: list[Image] = []

    def stand(picture: Image, at_s: float) -> Image:
        if not first:
            first.append(picture.copy())
        if not clock:
            return first[0]
        height = picture.shape[0]
        text, scale = f"2026-11-26 10:{seed % 60:02}:{round(at_s) % 60:02}", height / 900
        return cv2.putText(
            first[0].copy(), text, (5, height // 18), cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1
        )

    return stand


def frozen_encoded(seed: int, *, fps: float = 5.0, gop: int = 10) -> Mishap:
    """The first picture again and again, through an encoder: what it repeats differs a little from picture to picture.

    The pictures from one look to the next are encoded too, at fps.
    """
    state: dict[str, Image] = {}
    codecs: dict[str, av.VideoCodecContext] = {}
    encoded = [0]

    def step(picture: Image) -> None:
        even = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
        if not codecs:
            made = av.CodecContext.create("libx264", "w")
            assert isinstance(made, av.VideoCodecContext)
            made.width, made.height, made.pix_fmt = even.shape[1], even.shape[0], "yuv420p"
            made.time_base = Fraction(1, round(fps))
            made.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(gop), "crf": "26"}
            reader = av.CodecContext.create("h264", "r")
            assert isinstance(reader, av.VideoCodecContext)
            codecs.update(out=made, back=reader)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="bgr24").reformat(format="yuv420p")
        frame.pts = encoded[0]
        encoded[0] += 1
        for packet in codecs["out"].encode(frame):
            for decoded in codecs["back"].decode(packet):
                state["last"] = decoded.to_ndarray(format="bgr24")

    def stand(picture: Image, at_s: float) -> Image:
        state.setdefault("first", picture.copy())
        for _ in range(max(round(at_s * fps) + 1 - encoded[0], 1)):
            step(state["first"])
        last = state.get("last", picture)
        whole = picture.copy()
        whole[: last.shape[0], : last.shape[1]] = last
        return whole

    del seed
    return stand


# The mount


def turned(
    seed: int,
    *,
    right: float = 0.0,
    down: float = 0.0,
    degrees: float = 0.0,
    zoom: float = 1.0,
    over_s: float = 0.3,
) -> Mishap:
    """The camera looks elsewhere: right, down in fractions of the frame. New to see is the picture mirrored."""

    def turn(picture: Image, at_s: float) -> Image:
        height, width = picture.shape[:2]
        share = min(at_s / over_s, 1.0) if over_s else 1.0
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees * share, zoom**share)
        matrix[:, 2] += (-right * width * share, -down * height * share)
        return cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)

    del seed
    return turn


def swayed(seed: int, *, pixels: float = 1.0) -> Mishap:
    """Wind in the mast: the picture moves about by less than it takes to notice."""

    def sway(picture: Image, at_s: float) -> Image:
        size = pixels * picture.shape[1] / 640
        right, down = size * math.sin(3.1 * at_s + seed), size * math.sin(2.3 * at_s)
        matrix = np.array([[1, 0, right], [0, 1, down]], np.float32)
        return cv2.warpAffine(picture, matrix, (picture.shape[1], picture.shape[0]), borderMode=cv2.BORDER_REFLECT_101)

    return sway


def shaken(seed: int, *, lasts_s: float = 1.2) -> Mishap:
    """A knock: it shakes, and looks where it looked before."""

    def shake(picture: Image, at_s: float) -> Image:
        size = 0.05 * max(1 - at_s / lasts_s, 0)
        right, down = np.random.default_rng(_grains(seed, at_s)).uniform(-size, size, 2)
        return turned(seed, right=right, down=down, over_s=0)(picture, at_s)

    return shake


# The light


def light(
    seed: int,
    gain: Callable[[float], float],
    *,
    noise: Callable[[float], float] = lambda _: 1.5,
    lift: Callable[[float], float] = lambda _: 0.0,
) -> Mishap:
    """All of the light times `gain` of the seconds passed; then the noise, which the camera's own gain makes larger."""

    def change(picture: Image, at_s: float) -> Image:
        lit = _as_picture(picture * np.float32(gain(at_s)) + np.float32(lift(at_s)))
        return noisy(lit, noise(at_s), _grains(seed, at_s))

    return change


def dusk(seed: int, *, lasts_s: float = 180.0, ends_at: float = 0.1, noise: float = 6.0) -> Mishap:
    """Day to night."""

    def share(at_s: float) -> float:
        return min(at_s / lasts_s, 1.0)

    return light(
        seed,
        lambda at_s: ends_at ** share(at_s),
        noise=lambda at_s: 1.5 + noise * share(at_s),
        lift=lambda at_s: 8 * share(at_s),
    )


def lamps_on(seed: int, *, before_s: float = 60.0) -> Mishap:
    """A night street: after a while of near darkness, three lamps."""
    dark = light(seed, lambda _: 0.18, noise=lambda _: 5.0)

    def shine(picture: Image, at_s: float) -> Image:
        if at_s < before_s:
            return dark(picture, at_s)
        height, width = picture.shape[:2]
        across, down = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
        lit = np.full((height, width), 0.15, np.float32)
        for x, y in np.random.default_rng(seed).uniform(0.15, 0.85, (3, 2)):
            lit += np.float32(0.7) * np.exp(-((across - x) ** 2 + (down - y) ** 2) / 0.03).astype(np.float32)
        return noisy(_as_picture(picture * lit[:, :, None]), 4, _grains(seed, at_s))

    return shine


def infrared(seed: int) -> Mishap:
    """The cut filter swings away: grey, other materials bright, lit from the camera, the corners dark."""

    def see(picture: Image, at_s: float) -> Image:
        height, width = picture.shape[:2]
        blue, green, red = (picture[:, :, channel].astype(np.float32) for channel in range(3))
        grey = 0.75 * red + 0.55 * green - 0.3 * blue
        across, down = np.meshgrid(np.arange(width) / width - 0.5, np.arange(height) / height - 0.5)
        spot = np.exp(-(across**2 + down**2) / 0.25).astype(np.float32)
        lit = 8 + 0.85 * grey * spot
        return noisy(_as_picture(np.repeat(lit[:, :, None], 3, axis=2)), 4, _grains(seed, at_s))

    return see


def clouds(seed: int) -> Mishap:
    """Shadows of clouds go over the scene."""

    def pass_over(picture: Image, at_s: float) -> Image:
        height, width = picture.shape[:2]
        field = _smooth_field((height, 3 * width), seed, 8)
        left = round(at_s / 60 * width) % (2 * width)
        shadow = 1 - 0.4 / (1 + np.exp(-3 * field[:, left : left + width]))
        return noisy(_as_picture(picture * shadow[:, :, None]), 1.5, _grains(seed, at_s))

    return pass_over


def passing(seed: int, *, of_width: float = 0.55, stays_s: float = 6.0, comes_s: float = 2.0) -> Mishap:
    """A lorry or a person close by: fills half of the picture for some seconds and goes on."""

    def go_by(picture: Image, at_s: float) -> Image:
        height, width = picture.shape[:2]
        size = round(of_width * width)
        if at_s < comes_s:
            left = round(-size + at_s / comes_s * (size + 0.2 * width))
        elif at_s < comes_s + stays_s:
            left = round(0.2 * width)
        else:
            left = round(0.2 * width + (at_s - comes_s - stays_s) / comes_s * width)
        changed = picture.copy()
        first, last = max(left, 0), min(left + size, width)
        if first < last:
            side = 95 + 12 * _smooth_field((height, size), seed, 10)
            side[:: max(height // 6, 1)] = 40
            shown = noisy(_as_picture(side), 2, _grains(seed, at_s))[:, first - left : last - left, None]
            changed[height // 12 :, first:last] = shown[height // 12 :]
        return changed

    return go_by


def rain(seed: int) -> Mishap:
    """Streaks, new ones in each picture."""

    def fall(picture: Image, at_s: float) -> Image:
        height, width = picture.shape[:2]
        random = np.random.default_rng(_grains(seed, at_s))
        streaks = np.zeros((height, width), np.uint8)
        for x, y, size in random.uniform(0, 1, (220, 3)):
            start = (int(x * width), int(y * height))
            cv2.line(streaks, start, (start[0] + 2, start[1] + int((0.02 + 0.06 * size) * height)), 60, 1)
        fallen = picture * np.float32(0.85) + 15 + cv2.GaussianBlur(streaks, (0, 0), 0.7)[:, :, None]
        return noisy(_as_picture(fallen), 3, _grains(seed, at_s))

    return fall


def hunting(seed: int) -> Mishap:
    """An automatic exposure that cannot make up its mind."""
    return light(seed, lambda at_s: 1 + 0.45 * math.sin(2 * math.pi * at_s / (2.5 + seed % 4)))


def headlights(seed: int) -> Mishap:
    """At night a car looks into the camera for two seconds, every twenty."""
    dark = light(seed, lambda _: 0.2, noise=lambda _: 4.0)
    shine = glare(seed, size=0.4)

    def drive(picture: Image, at_s: float) -> Image:
        night = dark(picture, at_s)
        return shine(night, at_s) if at_s % 20 > 18 else night

    return drive


def unchanged(_seed: int) -> Mishap:
    return lambda picture, _at_s: picture


MISHAPS: dict[str, tuple[Maker, tuple[str, ...]]] = {
    "black cloth": (partial(covering, "black"), ("covered", "black")),
    "black cloth within 2 s": (partial(covering, "black", over_s=2.0), ("covered", "black")),
    "white cloth": (partial(covering, "white"), ("covered", "overexposed")),
    "white cloth within 2 s": (partial(covering, "white", over_s=2.0), ("covered", "overexposed")),
    "grey cloth": (partial(covering, "grey"), ("covered",)),
    "textured cloth": (partial(covering, "textured"), ("covered", "moved")),
    "textured cloth within 2 s": (partial(covering, "textured", over_s=2.0), ("covered", "moved")),
    "hand": (partial(covering, "hand"), ("covered", "blurred")),
    "hand within 1 s": (partial(covering, "hand", over_s=1.0), ("covered", "blurred")),
    "thin cloth": (half_transparent, ("covered", "blurred")),
    "thin white cloth": (partial(half_transparent, lets_through=0.4, brightness=220.0), ("covered", "blurred")),
    "black": (black, ("black", "covered")),
    "black, no noise": (partial(black, noise=0.0), ("black", "covered", "frozen")),
    "black of limited range": (partial(black, level=16.0), ("black", "covered")),
    "overexposed": (overexposed, ("overexposed",)),
    "overexposed a lot": (partial(overexposed, gain=10.0, lift=120.0), ("overexposed",)),
    "glare": (glare, ("overexposed",)),
    "defocus 0.5 %": (partial(defocus, of_width=0.005), ("blurred",)),
    "defocus 1 %": (partial(defocus, of_width=0.01), ("blurred",)),
    "defocus 2 % within 3 s": (partial(defocus, of_width=0.02, over_s=3.0), ("blurred",)),
    "defocus 4 %": (partial(defocus, of_width=0.04), ("blurred", "covered")),
    "spray": (spray, ("blurred", "covered")),
    "condensation": (condensation, ("blurred", "covered")),
    "frozen": (frozen, ("frozen",)),
    "frozen, clock runs": (partial(frozen, clock=True), ("frozen",)),
    "frozen, encoded": (frozen_encoded, ("frozen",)),
    "pan 3 %": (partial(turned, right=0.03), ("moved",)),
    "pan 8 %": (partial(turned, right=-0.08), ("moved",)),
    "pan 30 %": (partial(turned, right=0.3, over_s=2.0), ("moved",)),
    "tilt 4 %": (partial(turned, down=0.04), ("moved",)),
    "tilt 40 %": (partial(turned, down=-0.4), ("moved",)),
    "turned 4 degrees": (partial(turned, degrees=4.0), ("moved",)),
    "turned 15 degrees": (partial(turned, degrees=-15.0), ("moved",)),
    "zoom 8 %": (partial(turned, zoom=1.08), ("moved",)),
    "zoom 30 %": (partial(turned, zoom=1.3), ("moved",)),
    "knocked askew": (partial(turned, right=0.06, down=-0.05, degrees=3.0, over_s=0.1), ("moved",)),
}

HARMLESS: dict[str, Maker] = {
    "unchanged": unchanged,
    "noise": lambda seed: light(seed, lambda _: 1.0, noise=lambda _: 7.0),
    "dusk": dusk,
    "dusk to darkness": partial(dusk, lasts_s=240.0, ends_at=0.02, noise=3.0),
    "lamps at night": lamps_on,
    "light switched off": lambda seed: light(seed, lambda _: 0.25, noise=lambda _: 4.0),
    "light switched on": lambda seed: light(seed, lambda at_s: 0.3 if at_s < 40 else 1.0),
    "infrared": infrared,
    "light drifts": lambda seed: light(seed, lambda at_s: 1 + 0.3 * math.sin(2 * math.pi * at_s / 120)),
    "clouds": clouds,
    "lorry": passing,
    "person close by": partial(passing, of_width=0.45, stays_s=9.0),
    "rain": rain,
    "exposure hunts": hunting,
    "headlights": headlights,
    "wind": swayed,
    "knock": shaken,
}
