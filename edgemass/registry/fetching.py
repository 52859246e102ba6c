"""The files of one bundle from a registry: only those that are wanted and not here yet, each in the least bytes.

A layer comes whole, compressed, or as a delta from one that is here: whatever is smallest. What counts is the digest of
the result; where a delta does not give it, the layer comes whole.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgemass import manifest as manifests
from edgemass import oci
from edgemass.errors import BundleError, DigestMismatchError, EdgemassError, NoRoomError, RegistryError
from edgemass.manifest import Manifest
from edgemass.oci import Descriptor, ImageManifest
from edgemass.progress import Progress, untold
from edgemass.registry import deltas
from edgemass.registry.deltas import Offer
from edgemass.registry.part_file import PartFile
from edgemass.registry.protocol import Registry

logger = logging.getLogger(__name__)

SPARE_BYTES = 16 * 1024 * 1024
"""Stay free on the disk beside what is fetched."""


@dataclass(frozen=True)
class Fetched:
    """manifest: OCI's. files: digest -> where the file lies now. wire_bytes: of all that was read for it."""

    manifest: bytes
    files: Mapping[str, Path]
    wire_bytes: int


@dataclass
class _Plan:
    """How one layer comes. offer: None = whole."""

    layer: Descriptor
    offer: Offer | None = None

    @property
    def size(self) -> int:
        return self.layer.size if self.offer is None else self.offer.descriptor.size


def fetch(
    registry: Registry,
    digest: str,
    *,
    choose: Callable[[Manifest], Collection[str]],
    have: Callable[[str], Path | None],
    incoming: Path,
    progress: Progress = untold,
) -> Fetched:
    """Fetch what is missing of a bundle into `incoming`; what a cut left there is where the next call goes on.

    choose: names of the files that are wanted, of those that the manifest tells. have: where content of a digest lies
    on this device, checked; it is not fetched again, and deltas begin from it.

    Raises:
        BundleError: what came is no bundle, or nothing of it is wanted here; DigestMismatchError: it is damaged.
        NoRoomError: the disk has too little room, found before anything is fetched.
        RegistryError, RegistryUnavailableError: see protocol.Registry.
    """
    return _Fetching(registry, have, incoming, progress).run(digest, choose)


@dataclass
class _Fetching:
    registry: Registry
    have: Callable[[str], Path | None]
    incoming: Path
    progress: Progress
    files: dict[str, Path] = field(default_factory=dict)
    wire_bytes: int = 0

    def run(self, digest: str, choose: Callable[[Manifest], Collection[str]]) -> Fetched:
        data = self._manifest(digest)
        made = oci.parse(data, where=digest)
        if made.artifact_type != oci.ARTIFACT or made.config.size > oci.MAX_MANIFEST_BYTES:
            raise BundleError(f"{digest} is no bundle but {made.artifact_type[:100]!r}; push one with edgemass")
        self._make_room([_Plan(made.config)])
        config = self._get(_Plan(made.config)).read_bytes()
        manifest = manifests.from_json(config, where=digest)
        if oci.oci_manifest(manifest) != data:
            raise BundleError(f"{digest}: its files are not those of its manifest; it was made by another version")
        plans = self._plans(digest, self._wanted(made, choose(manifest)))
        self._make_room(plans)
        done, total = 0, sum(plan.size for plan in plans)
        self.progress(0, total)
        for plan in plans:
            self._layer(plan, lambda size, before=done: self.progress(before + size, total))  # type: ignore[misc]
            done += plan.size
            self.progress(done, total)
        return Fetched(data, self.files, self.wire_bytes)

    def _manifest(self, digest: str) -> bytes:
        data = self.registry.manifest(digest)
        self.wire_bytes += len(data)
        if oci.sha256(data) != digest:
            raise DigestMismatchError("the manifest", digest, oci.sha256(data))
        return data

    def _wanted(self, made: ImageManifest, names: Collection[str]) -> list[Descriptor]:
        """Layers to fetch, each once; what is here is noted."""
        wanted: dict[str, Descriptor] = {}
        for layer in made.layers:
            if layer.annotations.get(oci.FILE_PATH) in names and layer.digest not in wanted:
                place = self._place(layer.digest)
                if place is None:
                    wanted[layer.digest] = layer
                elif place.parent == self.incoming:
                    self.files[layer.digest] = place
        return list(wanted.values())

    def _place(self, digest: str) -> Path | None:
        """Where the content lies already: in the store, or whole in `incoming` from a call before."""
        place = self.have(digest)
        waiting = self.incoming / digest.removeprefix("sha256:")
        if place is None and waiting.is_file() and not waiting.is_symlink() and oci.sha256_of(waiting) == digest:
            return waiting
        return place

    def _plans(self, digest: str, layers: Iterable[Descriptor]) -> list[_Plan]:
        """The smallest way for every layer. Without referrers, or with bad ones, all come whole."""
        plans = [_Plan(layer) for layer in layers]
        if not plans:
            return plans
        try:
            offers, read = deltas.offers(self.registry, digest)
            self.wire_bytes += read
        except EdgemassError as error:
            logger.info("no deltas: %s", error)
            return plans
        for plan in plans:
            for offer in offers:
                usable = offer.base is None or self.have(offer.base) is not None
                if offer.target == plan.layer.digest and usable and offer.descriptor.size < plan.size:
                    plan.offer = offer
        return plans

    def _make_room(self, plans: Collection[_Plan]) -> None:
        wanted = sum(plan.layer.size + (plan.size if plan.offer else 0) for plan in plans)
        there = sum(_size(self.incoming / f".{_hex(plan.layer)}.part") for plan in plans)
        free = shutil.disk_usage(self.incoming).free
        if plans and free < wanted - there + SPARE_BYTES:
            raise NoRoomError(
                f"the disk of {self.incoming} has {free / 1e6:.1f} MB free, wanted "
                f"{(wanted - there + SPARE_BYTES) / 1e6:.1f} MB; free some, see `edgemass model prune`"
            )

    def _layer(self, plan: _Plan, progress: Callable[[int], None]) -> None:
        if plan.offer is not None:
            try:
                self._patched(plan, plan.offer, progress)
                return
            except (BundleError, RegistryError, OSError) as error:
                logger.warning("a delta is of no use, the whole file is fetched: %s", error)
        self._get(_Plan(plan.layer), progress)

    def _patched(self, plan: _Plan, offer: Offer, progress: Callable[[int], None]) -> None:
        patch = self._get(_Plan(offer.descriptor), progress)
        target = self.incoming / _hex(plan.layer)
        base = self.have(offer.base) if offer.base is not None else None
        try:
            deltas.apply(patch, base, target, size=plan.layer.size, digest=plan.layer.digest)
        finally:
            self.files.pop(offer.descriptor.digest, None)
            patch.unlink(missing_ok=True)
        self.files[plan.layer.digest] = target

    def _get(self, plan: _Plan, progress: Callable[[int], None] = lambda _done: None) -> Path:
        """One blob as it is, into `incoming`, or where it is already."""
        descriptor = plan.layer
        place = self._place(descriptor.digest)
        if place is not None:
            if place.parent == self.incoming:
                self.files[descriptor.digest] = place
            return place
        target = self.incoming / _hex(descriptor)
        with PartFile(target) as part:
            before = part.size
            self.registry.read_blob(descriptor, part, progress)
            self.wire_bytes += descriptor.size - before
            if f"sha256:{part.sha256()}" != descriptor.digest:
                found = part.sha256()
                part.restart()
                raise DigestMismatchError(descriptor.digest, descriptor.digest, f"sha256:{found}")
            part.finish()
        self.files[descriptor.digest] = target
        return target


def _hex(descriptor: Descriptor) -> str:
    return descriptor.digest.removeprefix("sha256:")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
