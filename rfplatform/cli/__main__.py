"""`python -m rfplatform.cli`."""

import sys

from rfplatform.cli import main

if __name__ == "__main__":
    sys.exit(main())
