"""``python -m mfa_watcher``: the command line."""

import sys

from mfa_watcher.cli import main

if __name__ == "__main__":
    sys.exit(main())
