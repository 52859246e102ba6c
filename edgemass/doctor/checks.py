"""The table of checks. A code never changes its meaning, and is not used again after its check is gone."""

from __future__ import annotations

from typing import NamedTuple


class Check(NamedTuple):
    """where: `module:function`, imported when it is run, so that a broken library breaks its own check only."""

    title: str
    where: str


CHECKS = {  # code -> check, in the order of the report; docs/doctor.md explains each
    "EM101": Check("Python", "edgemass.doctor.board:python"),
    "EM102": Check("platform", "edgemass.doctor.board:platform"),
    "EM103": Check("board", "edgemass.doctor.board:board"),
    "EM201": Check("NumPy", "edgemass.doctor.libraries:numpy"),
    "EM202": Check("OpenCV", "edgemass.doctor.libraries:opencv"),
    "EM203": Check("PyAV", "edgemass.doctor.libraries:av"),
    "EM204": Check("paho-mqtt", "edgemass.doctor.libraries:paho"),
    "EM205": Check("msgspec", "edgemass.doctor.libraries:msgspec"),
    "EM206": Check("pyserial", "edgemass.doctor.libraries:pyserial"),
    "EM207": Check("one OpenCV", "edgemass.doctor.libraries:one_opencv"),
    "EM301": Check("runtime", "edgemass.doctor.runtimes:any_runtime"),
    "EM302": Check("ONNX Runtime", "edgemass.doctor.onnxruntime:installed"),
    "EM303": Check("one ONNX Runtime", "edgemass.doctor.onnxruntime:one_package"),
    "EM304": Check("providers", "edgemass.doctor.onnxruntime:providers"),
    "EM311": Check("LiteRT", "edgemass.doctor.litert:installed"),
    "EM312": Check("NumPy for tflite", "edgemass.doctor.litert:numpy_fits"),
    "EM313": Check("XNNPACK", "edgemass.doctor.litert:xnnpack"),
    "EM321": Check("Edge TPU", "edgemass.doctor.edgetpu:edgetpu"),
    "EM322": Check("GPU driver", "edgemass.doctor.drivers:gpu"),
    "EM401": Check("local cameras", "edgemass.doctor.cameras:local"),
    "EM402": Check("camera access", "edgemass.doctor.cameras:access"),
    "EM403": Check("CSI cameras", "edgemass.doctor.csi:csi"),
    "EM404": Check("GStreamer", "edgemass.doctor.csi:gstreamer"),
    "EM411": Check("--camera", "edgemass.doctor.cameras:asked"),
    "EM412": Check("cameras of the file", "edgemass.doctor.cameras:configured"),
    "EM501": Check("broker", "edgemass.doctor.broker:broker"),
    "EM502": Check("brokers of the file", "edgemass.doctor.outputs:brokers"),
    "EM503": Check("serial ports", "edgemass.doctor.outputs:serial_ports"),
    "EM504": Check("HTTP port", "edgemass.doctor.outputs:http_port"),
    "EM601": Check("clock", "edgemass.doctor.system:clock"),
    "EM602": Check("disk", "edgemass.doctor.system:disk"),
    "EM603": Check("temporary files", "edgemass.doctor.system:temporary"),
    "EM604": Check("memory", "edgemass.doctor.system:memory"),
    "EM605": Check("temperature", "edgemass.doctor.heat:temperature"),
    "EM606": Check("throttling", "edgemass.doctor.heat:throttling"),
    "EM607": Check("power", "edgemass.doctor.heat:power"),
    "EM611": Check("disk writable", "edgemass.doctor.storage:writable"),
    "EM612": Check("inodes", "edgemass.doctor.storage:inodes"),
    "EM613": Check("disk wear", "edgemass.doctor.storage:wear"),
    "EM701": Check("configuration", "edgemass.doctor.configuration:file"),
    "EM702": Check("secrets", "edgemass.doctor.configuration:secrets"),
    "EM711": Check("service", "edgemass.doctor.service:unit"),
    "EM712": Check("service's groups", "edgemass.doctor.service:groups"),
    "EM801": Check("model", "edgemass.doctor.model:model"),
}
