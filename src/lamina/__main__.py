"""`python -m lamina` and the `lamina` command."""

import sys

from lamina.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
