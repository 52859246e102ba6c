"""A result for people: one HTML file that needs nothing else, or one PNG."""

from __future__ import annotations

from pathlib import Path

from edgemass import durable
from edgemass.errors import UsageError
from edgemass_tools.evaluating.result import Result


def check(path: Path) -> None:
    """Refuse a file that cannot be written, before anything is measured.

    Raises:
        UsageError: another suffix, or no such folder.
        ConfigError: a PNG, and matplotlib is not installed.
    """
    if path.suffix.lower() not in (".html", ".png"):
        raise UsageError(f"--report writes .html or .png, found {path.name!r}")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--report: there is no folder {path.parent}")
    if path.suffix.lower() == ".png":
        from edgemass_tools.evaluating.report.png import new_figure  # noqa: PLC0415 (matplotlib is an extra)

        new_figure(1, 1)


def write(result: Result, path: Path) -> None:
    """Draw and write.

    Raises:
        UsageError: the file cannot be written.
    """
    if path.suffix.lower() == ".png":
        from edgemass_tools.evaluating.report.png import draw  # noqa: PLC0415 (as above)

        data = draw(result)
    else:
        from edgemass_tools.evaluating.report.html import page  # noqa: PLC0415 (only who asks for it)

        data = page(result).encode()
    try:
        durable.write_bytes(path, data)
    except OSError as error:
        raise UsageError(f"--report: cannot write {path}: {error.strerror}") from error
