"""python -m tools.attack --sequences 300 --seed 0."""

from __future__ import annotations

import argparse
import sys

from tools.attack import __doc__ as description
from tools.attack.search import run_sequences
from tools.attack.worlds import WORLDS


def main(arguments: list[str] | None = None) -> int:
    """Prints the report. Returns 1 if the oracle denied a PASS."""
    names = [world.name for world in WORLDS]
    parser = argparse.ArgumentParser(
        prog="python -m tools.attack",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sequences", type=int, default=300, help="How many (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the first; the next has the next number")
    parser.add_argument("--world", action="append", choices=names, help="Only this world; repeatable")
    parser.add_argument("--stop-after", type=float, metavar="SECONDS", help="Start no sequence after that")
    parser.add_argument("--verbose", action="store_true", help="Print each sequence, with its actions")
    options = parser.parse_args(arguments)
    worlds = [world for world in WORLDS if not options.world or world.name in options.world]

    def say(line: str) -> None:
        if options.verbose:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()

    seeds = range(options.seed, options.seed + options.sequences)
    report = run_sequences(seeds, worlds=worlds, say=say, stop_after=options.stop_after)
    sys.stdout.write(f"{report}\n")
    return int(bool(report.bugs))


if __name__ == "__main__":
    sys.exit(main())
