"""Mutation testing: makes small changes to the code, one at a time. Do the nearest tests detect each change?

    python -m tools.trust.mutants --sample 250 slimgate.judge      a seeded sample of the judge's mutants
    python -m tools.trust.mutants slimgate.judge.slices              every mutant of one module
    tox -e mutants -- slimgate.store.store                            the same in a separate environment

mutmut (https://mutmut.readthedocs.io) makes and runs the mutants; `[tool.mutmut]` in pyproject.toml names the
modules and the tests. Each mutant runs only the tests that call its function. Everything is written to
mutants/, which git ignores. A mutant that has run does not run again until its function changes.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

FOLDER = Path("mutants")
# The smallest module. When mutmut runs its mutants, it makes the mutants of all modules, and finds the
# functions that each test calls.
SMALLEST = "slimgate.judge.figures"
KILLED, SURVIVED, UNTESTED, TIMEOUT = "killed", "survived", "no tests", "timeout"
NOT_RUN = "not run"
# Exit codes of a mutant's tests, as mutmut 3.8 notes them: pytest's, its own, and those of a time limit.
OUTCOMES = {
    1: KILLED,
    3: KILLED,
    0: SURVIVED,
    5: UNTESTED,
    33: UNTESTED,
    36: TIMEOUT,
    37: KILLED,  # by the type checker
    24: TIMEOUT,
    -24: TIMEOUT,
    152: TIMEOUT,
    255: TIMEOUT,
}


def read_exit_codes(modules: Sequence[str]) -> dict[str, int | None]:
    """The exit code of every mutant of the modules, by name; None if it has not run."""
    files = sorted(FOLDER.rglob("*.meta"))
    codes = {
        name: code
        for file in files
        for name, code in json.loads(file.read_text("utf-8"))["exit_code_by_key"].items()
    }
    return {
        name: code for name, code in codes.items() if any(_is_in_module(name, module) for module in modules)
    }


def _is_in_module(name: str, module: str) -> bool:
    return name.startswith(f"{module}.")


def run(names: Sequence[str], *, processes: int) -> None:
    """Runs the mutants that have not run yet."""
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(processes), *names]
    subprocess.run(command, check=True, stdout=sys.stderr)


def format_report(codes: dict[str, int | None]) -> str:
    """A table with a line for each module, then the names of the mutants that no test detected."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name, code in codes.items():
        outcome = NOT_RUN if code is None else OUTCOMES.get(code, f"exit code {code}")
        counts[name.rpartition(".")[0]][outcome] += 1
        counts["all"][outcome] += 1
    columns = list(counts["all"])
    lines = [
        [module, *(counts[module][column] for column in columns), f"{_compute_score(counts[module]):.1f} %"]
        for module in sorted(counts, key=lambda module: (module == "all", module))
    ]
    missed = [
        name
        for name, code in codes.items()
        if code is not None and OUTCOMES.get(code) in (SURVIVED, UNTESTED)
    ]
    table = tabulate(lines, headers=["module", *columns, "noticed"])
    shown = "\n".join(f"{OUTCOMES[codes[name] or 0]}: mutmut show {name}" for name in missed)
    return f"{table}\n\n{shown}"


def _compute_score(counts: Counter[str]) -> float:
    """The percentage of the mutants that ran for which a test failed or timed out."""
    return 100 * (counts[KILLED] + counts[TIMEOUT]) / max(1, counts.total() - counts[NOT_RUN])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "modules", nargs="*", default=["slimgate.judge"], help="Modules or packages (default: slimgate.judge)"
    )
    parser.add_argument("--sample", type=int, help="Number of mutants, drawn by --seed (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    run([f"{SMALLEST}.*"], processes=options.processes)
    names = sorted(read_exit_codes(options.modules))
    if not names:
        parser.error(f"no mutants of {', '.join(options.modules)}: see [tool.mutmut] in pyproject.toml")
    if options.sample is not None and options.sample < len(names):
        names = random.Random(options.seed).sample(names, options.sample)
    run(names, processes=options.processes)
    codes = read_exit_codes(options.modules)
    table_text = format_report({name: codes[name] for name in names})
    sys.stdout.write(f"{len(names)} of {len(codes)} mutants\n\n{table_text}\n")


if __name__ == "__main__":
    main()
