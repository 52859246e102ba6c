"""`edgemass bench`: frames a second of the whole line beside those of the bare runtime."""

from __future__ import annotations

import argparse

import msgspec

from edgemass.errors import UsageError

DEFAULT_FRAMES = "synthetic:?width=1280&height=720&frames=1000000"

EPILOG = """\
bare      the stock file on the plain runtime, same threads, on one prepared tensor
pipeline  capture, resize, inference, decoding, NMS, JSON: everything but the network
Both run in turn in one process; the ratio is the median over the pairs.

example: edgemass bench yolov8n.onnx --camera clip.mp4
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "bench",
        help="measure a model's speed on this board",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="a name of `model list`, a bundle folder, a bare .onnx or .tflite, demo:")
    add(
        "--camera",
        default=DEFAULT_FRAMES,
        metavar="SOURCE",
        help="frames to use (default: made-up 720p)",
    )
    add("--threads", type=int, metavar="T", help="threads of the runtime (default: cores minus one for decoding)")
    add("--seconds", type=float, default=10.0, metavar="S", help="how long to measure (default: 10)")
    add("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    from edgemass import bench

    if not options.seconds > 0:  # nor NaN
        raise UsageError(f"--seconds must be above 0, found {options.seconds}")
    result = bench.measure(options.model, options.camera, threads=options.threads, seconds=options.seconds)
    if options.json:
        print(msgspec.json.encode(result).decode())
        return 0
    runtime = f"{result.backend} {result.runtime_version}, {result.threads} thread(s)"
    spread = f"({result.ratio_min:.3f} to {result.ratio_max:.3f} over {result.rounds} rounds)"
    print(f"bare runtime     {result.bare_fps:9.1f} fps   {runtime}")
    print(
        f"whole line       {result.pipeline_fps:9.1f} fps   {result.frame_width}x{result.frame_height} {options.camera}"
    )
    print(f"ratio            {result.ratio:9.3f}       {spread}")
    print(f"first detection  {result.first_detection_s:9.2f} s     from the start of a new process")
    print(f"memory           {result.rss_bytes / 1e6:9.0f} MB    peak resident set of that process")
    return 0
