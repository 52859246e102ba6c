"""`python -m edgemass_tools`."""

import sys

from edgemass_tools.cli import main

sys.exit(main())
