"""``python -m upstare``: the command line without an installed script."""

import sys

from upstare.cli import main

if __name__ == "__main__":
    sys.exit(main())
