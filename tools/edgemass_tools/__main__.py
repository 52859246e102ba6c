"""`python -m edgemass_tools`."""

import sys

from edgemass_tools.cli import main

if __name__ == "__main__":
    sys.exit(main())
