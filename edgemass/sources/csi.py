"""Cameras on a board's ribbon cable: `csi://0`, or `csi:///base/soc/i2c0mux/i2c@1/imx219@10` by libcamera's own name.

On a Jetson the number is the sensor-id of nvarguscamerasrc; elsewhere it counts libcamera's cameras as
`rpicam-hello --list-cameras` does. Which of the two is used is decided by which element GStreamer has.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from edgemass.clock import Clock
from edgemass.errors import SourceError, SourceNotFoundError, UsageError
from edgemass.sources import CaptureOptions
from edgemass.sources.gstreamer import GstCamera, check, load, with_appsink

ARGUS, LIBCAMERA = "nvarguscamerasrc", "libcamerasrc"
# libcamerasrc left to itself takes the format with the lowest FourCC, which may be grey or raw; these carry colour, and
# NV12, the lowest of them, is what the Raspberry Pi's ISPs give.
LIBCAMERA_FORMATS = "{NV12,YUY2,BGRx,RGBx}"

_ADDRESS = re.compile(r"csi:(?:(?://)?(?P<number>\d{1,3})|//(?P<name>/[\w@.,:+-][\w/@.,:+-]*))", re.IGNORECASE)


def open(uri: str, options: CaptureOptions, clock: Clock) -> GstCamera:  # noqa: A001 (the plug-ins' own word)
    """A camera that need not answer yet. Width, height and rate of `options` are asked of it.

    Raises:
        UsageError: the address names no camera, or one by name on a Jetson.
        SourceNotFoundError: PyGObject, GStreamer or both elements are not installed.
    """
    match = _ADDRESS.fullmatch(uri)
    if match is None:
        raise UsageError(f"cannot read {uri!r}; wanted csi://0, csi://1 or csi:///base/... with libcamera's name")
    number = None if match["number"] is None else int(match["number"])
    gst = load(uri)
    if gst.ElementFactory.find(ARGUS) is not None:
        if number is None:
            raise UsageError(f"cannot take {uri!r} on a Jetson; wanted its sensor-id: csi://0")
        text = argus(number, options)
        check(text, uri)
        return GstCamera(uri, lambda: text, clock)
    if gst.ElementFactory.find(LIBCAMERA) is None:
        raise SourceNotFoundError(
            f'{uri}: no element "{ARGUS}" (of a Jetson) and no element "{LIBCAMERA}"; '
            "on a Raspberry Pi and others: sudo apt-get install gstreamer1.0-libcamera"
        )
    check(libcamera("any", options), uri)
    return GstCamera(uri, lambda: libcamera(match["name"] or camera_name(_listed(gst), number or 0), options), clock)


def argus(sensor_id: int, options: CaptureOptions) -> str:
    """The pipeline for a Jetson: pictures stay in the GPU's memory until nvvidconv has made BGRx of them."""
    caps = ",".join(["video/x-raw(memory:NVMM)", *_asked(options)])
    return with_appsink(f"{ARGUS} sensor-id={sensor_id} ! {caps} ! nvvidconv ! video/x-raw,format=BGRx")


def libcamera(name: str, options: CaptureOptions) -> str:
    """The pipeline for libcamera. name: the camera's id."""
    caps = ",".join(["video/x-raw", f"format=(string){LIBCAMERA_FORMATS}", *_asked(options)])
    return with_appsink(f'{LIBCAMERA} camera-name="{name}" ! {caps}')


def _asked(options: CaptureOptions) -> list[str]:
    fields = [f"{key}={value}" for key, value in (("width", options.width), ("height", options.height)) if value]
    if options.fps:
        rate = _rate(options.fps)
        fields.append(f"framerate={rate.numerator}/{rate.denominator}")
    return fields


def _rate(fps: float) -> Fraction:
    """What a sensor calls this rate: 29.97 is 30000/1001, as NTSC has it."""
    ntsc = Fraction(round(fps * 1.001) * 1000, 1001)
    exact = Fraction(fps).limit_denominator(100)
    return ntsc if exact.denominator != 1 and abs(ntsc - exact) < Fraction(1, 100) else exact


def camera_name(listed: Sequence[str], number: int) -> str:
    """The id that `number` stands for, counted as rpicam-apps count: without USB cameras, from Z to A.

    Raises:
        SourceError: there are fewer cameras.
    """
    names = sorted((name for name in listed if "/usb" not in name), reverse=True)
    if number >= len(names):
        found = ", ".join(f"csi://{index} = {name}" for index, name in enumerate(names)) or "none"
        raise SourceError(f"csi://{number} is not there; libcamera lists {found}; is the ribbon cable seated?")
    return names[number]


def _listed(gst: Any) -> list[str]:
    provider = gst.DeviceProviderFactory.get_by_name("libcameraprovider")
    return [] if provider is None else [str(device.get_display_name()) for device in provider.get_devices()]
