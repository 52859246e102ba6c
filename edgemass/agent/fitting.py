"""Whether the configuration and a model fit: pictures or texts, and the labels that have thresholds."""

from __future__ import annotations

from edgemass import sources
from edgemass.config import CameraConfig, Config
from edgemass.errors import ConfigError, UsageError
from edgemass.manifest import Manifest

_FOR_PICTURES = "snapshots:"


def check_fits(config: Config, manifest: Manifest) -> None:
    """Refuse a model that the cameras, sinks or thresholds of this board are not for.

    Raises:
        UsageError: a camera gives texts to a model that reads pictures, or the other way round, or something that is
            for pictures is asked of texts.
        ConfigError: a camera's score, zone, line, rule or events name a label that the model does not have, or ask for
            what only a detector finds; or its `leave` lies above the model's score.
    """
    _check_senses(config, manifest)
    where = f"{config.file}: " if config.file else ""
    for name, camera in config.cameras.items():
        if camera.has_scene and manifest.task != "detection":
            raise ConfigError(
                f"{where}camera {name}: events, zones, lines and counts need a model that finds boxes, "
                f"{manifest.name} does {manifest.task}; give another model, or leave them out"
            )
        try:
            camera.check_model(manifest.name, manifest.labels, manifest.score)
        except ValueError as error:
            raise ConfigError(f"{where}camera {name}: {error}") from error


def _check_senses(config: Config, manifest: Manifest) -> None:
    reads_texts = manifest.input.text is not None
    for name, camera in config.cameras.items():
        gives_texts = sources.scheme(camera.source) in sources.GIVE_TEXTS
        if gives_texts and not reads_texts:
            raise UsageError(f"camera {name} gives texts, but {manifest.name} reads pictures; give it a model of texts")
        if reads_texts and not gives_texts:
            raise UsageError(
                f"camera {name} gives pictures, but {manifest.name} reads texts; give text:FILE or text:- as the camera"
            )
        if asked := _of_pictures(camera) * gives_texts:
            raise UsageError(f"camera {name} gives texts, but {asked} is for pictures; leave it out")
    if reads_texts and any(sink.startswith(_FOR_PICTURES) for sink in config.sinks):
        raise UsageError(f"{_FOR_PICTURES} draws pictures, but {manifest.name} reads texts; leave it out")


def wanted_labels(config: Config) -> tuple[str, ...]:
    """Labels that the configuration names."""
    named = [label for camera in config.cameras.values() for _, label in camera.named_labels()]
    return tuple(dict.fromkeys(named))


def _of_pictures(camera: CameraConfig) -> str:
    """What the configuration asks of pictures only, "" where nothing."""
    asked = {"rotate": camera.rotate, "crop": camera.crop, "motion": camera.motion}
    return next((key for key, value in asked.items() if value), "")
