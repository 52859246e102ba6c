"""Bundles in the device's store."""

from __future__ import annotations

from edgemass import manifest, oci
from edgemass.bundles.folder import Bundle
from edgemass.bundles.packing import pack
from edgemass.errors import BundleError
from edgemass.store import ModelStore


def load_stored(store: ModelStore, digest: str) -> Bundle:
    """A bundle of the store, with the variants that are there; the content of a file is checked when it is loaded.

    Raises:
        BundleError: it is not there, or none of its variants is, or what is there is no bundle.
    """
    data = store.document(digest)
    if data is None:
        raise BundleError(f"{digest} is not in the store {store.root}; fetch it with `edgemass model pull`")
    config = store.document(oci.parse(data, where=digest).config.digest)
    if config is None:
        raise BundleError(f"the manifest of {digest} is not in the store {store.root}; fetch the model again")
    bundle = Bundle(manifest.from_json(config, where=digest), store.blob_folder, blobs=store.blob_folder)
    if bundle.digest != digest:
        raise BundleError(f"{digest} was not packed by edgemass: its manifest gives {bundle.digest}; push it again")
    if not any(bundle.has(variant) for variant in bundle.manifest.variants):
        raise BundleError(f"no variant of {digest} is in the store {store.root}; fetch the model again")
    return bundle


def add_to_store(store: ModelStore, bundle: Bundle) -> str:
    """Put a bundle of a folder into the store; returns its digest.

    Raises:
        BundleError: a file of it is missing or damaged.
        StoreError: the store cannot be written.
    """
    packed = pack(bundle, whole=False)
    return store.add(packed.manifest, packed.blobs)
