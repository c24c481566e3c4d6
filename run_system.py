"""The command line: `callboard …`, or `python run_system.py …`."""

import sys

from callboard.cli import main

if __name__ == "__main__":
    sys.exit(main())
