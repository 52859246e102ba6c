"""The `edgemass` command, for which `python -m edgemass` stands too."""

import sys


def main() -> int:
    """As `cli.main`; Ctrl-C while that is being loaded, which takes a small board seconds, leaves no trace either."""
    try:
        from edgemass.cli import main as run  # noqa: PLC0415 (that is the point)
    except KeyboardInterrupt:
        return 0
    return run()


if __name__ == "__main__":
    sys.exit(main())
