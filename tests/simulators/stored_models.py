"""Bundles of some hundred bytes, for what keeps models and never loads them."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import final

from edgemass import manifest as manifests
from edgemass import oci
from edgemass.manifest import Variant
from edgemass.registry.part_file import PartFile
from edgemass.store import ModelStore
from tests.simulators.bundles import made_of


@final
class StoredModel:
    """Weights that nothing can run, and the manifests that name them. number: of its seed, its version."""

    def __init__(self, number: int, size_bytes: int = 300, name: str = "toy") -> None:
        self.weights = random.Random(number).randbytes(size_bytes)
        self.hex = hashlib.sha256(self.weights).hexdigest()
        variant = Variant(name="fp32", file="toy.onnx", runtime="onnx", sha256=self.hex, size_bytes=size_bytes)
        made = made_of(variant, name=f"{name}{number}").manifest
        self.config = manifests.to_json(made)
        self.manifest = oci.oci_manifest(made)
        self.digest = oci.sha256(self.manifest)
        self.files = {f"sha256:{self.hex}": self.weights, oci.sha256(self.config): self.config}

    def put_into(self, store: ModelStore) -> str:
        """All at once; its digest."""
        return store.add(self.manifest, self.files)

    def fetch(self, store: ModelStore, most_bytes: int | None = None) -> Path | None:
        """As from a registry that is cut off after so many bytes: into `incoming`, going on where the last one ended.

        Returns the finished file, None where it is not finished.
        """
        place = store.incoming / self.hex
        with PartFile(place) as part:
            left = self.weights[part.size :][:most_bytes]
            for start in range(0, len(left), 100):
                part.append(left[start : start + 100])
            if part.size < len(self.weights):
                return None
            if part.sha256() != self.hex:  # what an earlier call left is damaged
                part.restart()
                part.append(self.weights)
            part.finish()
        return place

    def add_fetched(self, store: ModelStore, place: Path) -> str:
        return store.add(self.manifest, {**self.files, f"sha256:{self.hex}": place})
