"""`python -m slimgate`: the command `slimgate` of this Python, if another environment's is first on PATH."""

from __future__ import annotations

import sys

from slimgate.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
