"""Lets `python -m edgemass` stand for the `edgemass` command."""

import sys

from edgemass.cli import main

if __name__ == "__main__":
    sys.exit(main())
