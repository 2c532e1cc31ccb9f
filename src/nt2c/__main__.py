"""Run the command line: `python -m nt2c`."""

import sys

from nt2c.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
