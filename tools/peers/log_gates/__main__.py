"""slimgate and four tools that judge evaluation logs: the same pairs of logs with a known drop, one page.

    python -m tools.peers.log_gates TOOLS [--draws N] [--seed S] [--only TOOL …] [--counts FILE] [--out FILE]

TOOLS is a folder with a virtual environment for each tool, so that none of them is installed beside slimgate:

    for tool in evalsig statgate illate-parity errorbars; do
        python -m venv TOOLS/$tool && TOOLS/$tool/bin/pip install $tool
    done

Each tool judges all draws of a cell in one process, by the functions that its own command calls. A few draws
also go through its command, for the time and to check that both decide alike. `--counts` keeps what was
counted, so that a tool can be run again alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tools.peers.log_gates.counting import TOOLS, count_tool, decide_all


def main() -> int:
    """Runs the tools that are asked for, and writes the page."""
    parser = argparse.ArgumentParser(prog="python -m tools.peers.log_gates")
    parser.add_argument("tools", type=Path, nargs="?", help="folder with an environment for each tool")
    parser.add_argument("--draws", type=int, default=200, help="draws of a cell (default 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=TOOLS, default=TOOLS, help="tools to run")
    parser.add_argument("--counts", type=Path, help="JSON file that keeps the counts of each tool")
    parser.add_argument("--out", type=Path, help="markdown file to write")
    parser.add_argument("--inside", nargs=2, metavar=("TOOL", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        name, file = options.inside
        sys.stdout.write(json.dumps(decide_all(TOOLS[name], Path(file))))
        return 0
    from tools.peers.log_gates.page import write_page  # the environments of other tools lack its packages

    counts = json.loads(options.counts.read_text()) if options.counts and options.counts.exists() else {}
    for name in options.only:
        environment = options.tools.absolute() / name
        python = Path(sys.executable) if name == "slimgate" else environment / "bin" / "python"
        counts[name] = count_tool(TOOLS[name], python, options.draws, options.seed)
        if options.counts:
            options.counts.write_text(json.dumps(counts, indent=1))
    page = write_page(counts)
    sys.stdout.write(page)
    if options.out:
        options.out.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
