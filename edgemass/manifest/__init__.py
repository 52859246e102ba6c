"""A model bundle's manifest: all that one must know to feed a model and read its answer, so that nothing is guessed.

`manifest.toml` while a person writes it, canonical JSON on the wire. People get strict: an unknown key is an error.
"""

from edgemass.manifest.files import FILE, Accuracy, Document, Golden, RuntimeName, Variant
from edgemass.manifest.input import MAX_SIDE, ColorOrder, InputSpec, Layout, Resize, TextRule
from edgemass.manifest.manifest import Manifest, Needs, Task
from edgemass.manifest.output import MAX_DETECTIONS, Nms, OutputSpec
from edgemass.manifest.tensors import AuxiliaryInput, StateTensor
from edgemass.manifest.writing import from_json, from_toml, to_json, to_toml

__all__ = [
    "FILE",
    "MAX_DETECTIONS",
    "MAX_SIDE",
    "Accuracy",
    "AuxiliaryInput",
    "ColorOrder",
    "Document",
    "Golden",
    "InputSpec",
    "Layout",
    "Manifest",
    "Needs",
    "Nms",
    "OutputSpec",
    "Resize",
    "RuntimeName",
    "StateTensor",
    "Task",
    "TextRule",
    "Variant",
    "from_json",
    "from_toml",
    "to_json",
    "to_toml",
]
