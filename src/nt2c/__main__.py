"""Run the command line: `python -m nt2c`."""

import sys

from nt2c.cli.app import main

sys.exit(main())
