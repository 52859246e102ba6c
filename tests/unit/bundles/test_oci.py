"""The digest of a bundle."""

from __future__ import annotations

import hashlib
import json

import msgspec

from edgemass import manifest as manifests
from edgemass import oci
from edgemass.manifest import Manifest


def test_the_digest_of_a_manifest_never_changes(manifest: Manifest) -> None:
    # Messages, stores and registries name bundles by it: another value here renames every bundle ever published.
    assert oci.digest(manifest) == "sha256:54f327b61cb236da8ffbe1603943bcebad4404bc415a7f7d8a408c24ec51d519"


def test_the_digest_survives_the_way_through_toml_and_json(manifest: Manifest) -> None:
    through_toml = manifests.from_toml(manifests.to_toml(manifest), where="test")
    through_json = manifests.from_json(manifests.to_json(manifest), where="test")
    assert oci.digest(manifest) == oci.digest(through_toml) == oci.digest(through_json)


def test_every_field_and_every_file_counts(manifest: Manifest) -> None:
    changed = [
        msgspec.structs.replace(manifest, version="1"),
        msgspec.structs.replace(manifest, labels=("cat", "???", "cow")),
        msgspec.structs.replace(manifest, variants=(msgspec.structs.replace(manifest.variants[0], sha256="0" * 64),)),
    ]
    assert len({oci.digest(manifest), *map(oci.digest, changed)}) == 4


def test_it_is_an_oci_image_manifest_of_the_config_and_the_files(manifest: Manifest) -> None:
    document = json.loads(oci.oci_manifest(manifest))
    config = manifests.to_json(manifest)
    assert document["schemaVersion"] == 2
    assert document["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert document["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    assert document["config"]["digest"] == f"sha256:{hashlib.sha256(config).hexdigest()}"
    assert document["config"]["size"] == len(config)
    assert document["layers"] == [
        {
            "mediaType": "application/vnd.cncf.model.weight.v1.raw",
            "digest": f"sha256:{manifest.reference.sha256}",
            "size": manifest.reference.size_bytes,
            "annotations": {"org.cncf.model.filepath": "tiny.onnx"},
        }
    ]
