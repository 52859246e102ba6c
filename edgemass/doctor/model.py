"""EM801: whether the model that is asked for verifies, loads, and still knows what its bundle says it knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgemass.doctor import configuration
from edgemass.doctor.finding import MEND_FIRST, Finding, Status, split_advice
from edgemass.doctor.machine import Machine, answered
from edgemass.doctor.model_trial import ModelTrial
from edgemass.doctor.system import available_bytes

DEFAULT_MODEL = "edgemass-person"
TRIAL_S = 100.0
"""A large model from a worn SD card takes half a minute; engines of TensorRT are built by the daemon, not here."""
BESIDE_BYTES = 300 << 20
"""A second copy is only loaded beside a running daemon where so much memory is left."""


def model(machine: Machine) -> Sequence[Finding]:
    """Only where the user named a model, or a configuration."""
    argument = _asked(machine)
    if argument is None:
        return []
    name = str(argument["model"])
    available = available_bytes(machine)
    if machine.daemon and available is not None and available < BESIDE_BYTES:
        return [
            Finding(
                Status.NOTE,
                f"{name} is in use by the daemon, and too little memory is left to try a second copy",
                "to have it tried, end the daemon first",
            )
        ]
    answer = machine.ask("edgemass.doctor.model_trial:trial", argument, TRIAL_S)
    trial = answered(answer, ModelTrial)
    if trial is None:
        found, fix = split_advice(answer.failure)
        if answer.missing:
            fix = MEND_FIRST
        return [Finding(Status.FAIL, found if name in found else f"{name}: {found}", fix or _anew(name))]
    found = f"{trial.name} {trial.version} ({trial.variant}) runs on {trial.backend}, {1000 * trial.run_s:.0f} ms a run"
    if trial.missed:
        wrong = f"{len(trial.missed)} of its {trial.samples} golden samples come out wrong: {trial.missed[0]}"
        return [Finding(Status.FAIL, f"{found}, but {wrong}", _anew(name))]
    if trial.degraded:
        return [Finding(Status.WARN, f"{found}: {trial.degraded}", "see EM301 to EM321 for the accelerator")]
    known = f"its {trial.samples} golden samples come out right" if trial.samples else "it has no golden samples"
    return [Finding(Status.OK, f"{found}; {known}")]


def _asked(machine: Machine) -> Mapping[str, object] | None:
    """What `model_trial.trial` takes; beside a daemon its accelerator is left alone."""
    config = configuration.loaded(machine)
    if machine.model_asked is None and config is None:
        return None
    asked: dict[str, object] = {"model": machine.model_asked or (config and config.model) or DEFAULT_MODEL}
    if config is not None and not machine.daemon:
        asked.update(backend=config.backend, threads=config.threads, variant=config.variant)
    return asked


def _anew(name: str) -> str:
    return f"get it anew: edgemass model pull {name}, or import the file again; `edgemass model verify` tells more"
