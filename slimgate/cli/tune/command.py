"""`slimgate tune SUITE`: searches the suite's [tune] for the fastest variants within a budget."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from slimgate._system.processor import require_device
from slimgate.cli.parser import choose_store_root, parse_positive, parse_seed
from slimgate.errors import SuiteError

if TYPE_CHECKING:
    from slimgate.cli.tune.clock import Clock
    from slimgate.cli.tune.measuring import Bench, Trial
    from slimgate.cli.tune.search import Chosen, Searched
    from slimgate.run.progress import Watch
    from slimgate.suite.suite import Suite

DESCRIPTION = """\
Tries the lists of steps that the suite's [tune] table describes. tune builds each list, judges its drop on
the selection rows, and times it against the teacher. It prints the variants that no other variant beats in
both quality and speed. For each budget, it writes the fastest variant inside the budget to a new suite, which
pytest then judges on the gate. The store keeps what was built and measured, so the same command continues a
search. Ctrl-C ends the search and keeps its results. Exit codes: 0 every budget has a variant inside it on
selection; 1 a budget has none; 4 wrong usage or input.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = DESCRIPTION
    add = parser.add_argument
    add("suite", type=Path, metavar="SUITE", help="A suite file with a [tune] table")
    add(
        "--max-minutes",
        type=_parse_minutes,
        metavar="N",
        help="Time limit in minutes (default: tune.max_minutes of the suite, or 30)",
    )
    add(
        "--max-trials",
        type=_parse_count,
        metavar="N",
        help="Largest number of trials (default: tune.max_trials of the suite, or 40)",
    )
    add(
        "--out",
        type=Path,
        metavar="FILE",
        help="Suite to write (default: SUITE_tuned.toml in the folder of SUITE)",
    )
    add(
        "--seed",
        type=parse_seed,
        default=0,
        help="Seed of the search (default 0); the seed of the models is in the suite",
    )
    add(
        "--slimgate-store",
        "--store",
        dest="store",
        metavar="DIR",
        help="Folder of the store (default: .slimgate)",
    )
    add("--slimgate-device", "--device", dest="device", default="cpu", help="Device: cpu (default), cuda, …")
    add(
        "--time-again",
        action="store_true",
        help="Measure speed-ups again instead of reusing the speed-ups of an earlier search",
    )
    add("--all", action="store_true", help="Show every trial, including failed trials")
    add("--json", action="store_true", help="Print all trials as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Searches, writes the suite and prints the result. Raises SlimgateError for wrong input."""
    from slimgate._system.files import write_atomically
    from slimgate.cli.tune.clock import Clock
    from slimgate.cli.tune.output import check_free, choose_names, format_tuned_suite
    from slimgate.cli.tune.proposing import Proposer
    from slimgate.cli.tune.search import choose_trials, holds_by_budget, search
    from slimgate.suite.file import read_suite_text
    from slimgate.suite.reader import Reader

    suite = _read_suite(options.suite)
    assert suite.tuning is not None
    tuning, shown = suite.tuning, str(options.suite)
    out = options.out or options.suite.with_name(f"{options.suite.stem}_tuned.toml")
    check_free(out.absolute(), suite.path)
    require_device(options.device)
    reader = Reader(read_suite_text(suite.path, shown), check_data=True)
    clock = Clock(60 * (options.max_minutes or tuning.max_minutes))
    trials = options.max_trials or tuning.max_trials
    proposer = Proposer(tuning.spaces, seed=options.seed, trials=trials)
    progress = _ProgressLines()
    bench = _make_bench(options, suite, clock, progress)
    try:
        searched = search(suite, reader, bench, proposer, max_trials=trials, on_trial=progress.print_trial)
    finally:
        bench.close()
    chosen = choose_trials(searched.trials, tiers=len(tuning.tiers), keep=tuning.keep)
    names = choose_names(chosen, suite)
    if chosen:
        summary = f"{len(searched.trials)} step lists, seed {options.seed}, {searched.stopped}"
        text = format_tuned_suite(suite, reader, chosen, out.absolute(), rows=bench.rows, summary=summary)
        write_atomically(out.absolute(), text)
    _print_result(options, suite, searched, dict(zip(names, chosen, strict=True)), out)
    return 0 if all(holds_by_budget(chosen, tiers=len(tuning.tiers))) else 1


def _make_bench(options: argparse.Namespace, suite: Suite, clock: Clock, progress: _ProgressLines) -> Bench:
    """The bench on the store of the options; --time-again gives the duels a store without results."""
    from slimgate._system.timestamps import format_now
    from slimgate.cli.tune.measuring import Bench
    from slimgate.store.store import Store

    root = choose_store_root(options).resolve()
    return Bench(
        suite,
        Store(root),
        clock,
        device=options.device,
        duels=Store(root, rebuild=format_now("microseconds")) if options.time_again else None,
        watch=progress.watch,
    )


def _read_suite(path: Path) -> Suite:
    """The suite with its [tune]. Raises SuiteError if it has none."""
    from slimgate.suite.reader import load_suite

    suite = load_suite(path.absolute(), str(path))
    if suite.tuning is None:
        raise SuiteError(
            f"{path}: has no [tune] table, which says what to search; write [[tune.space]] with lists of "
            "choices, such as steps = [{ keep_layers = { choices = [[0, 2, 5], [0, 5]] } }, { distill = {} }]"
        )
    return suite


def _print_result(
    options: argparse.Namespace, suite: Suite, searched: Searched, chosen: Mapping[str, Chosen], out: Path
) -> None:
    from slimgate.cli.tune.output import format_search, format_search_json

    if options.json:
        text = format_search_json(suite, searched, chosen, out)
    else:
        text = format_search(suite, searched, chosen, out, everything=options.all)
    sys.stdout.write(text + "\n")


class _ProgressLines:
    """Progress on standard error: a line for each trial, and more on a watched terminal."""

    def __init__(self) -> None:
        from slimgate.report.terminal.live import LiveLines, can_draw
        from slimgate.report.terminal.progress import PlainLines

        if sys.stderr.isatty() and can_draw(os.environ):
            self.watch: Watch = LiveLines(
                sys.stderr.fileno(), lambda: 0, colour=not os.environ.get("NO_COLOR")
            )
        else:
            self.watch = PlainLines(_write_line_to_stderr, _write_line_to_stderr, quiet=True)

    def print_trial(self, trial: Trial) -> None:
        """Prints a trial that has ended."""
        from slimgate._system.escape import escape_invisible
        from slimgate.cli.tune.output import format_trial

        _write_to_stderr(escape_invisible(format_trial(trial)) + "\n")


def _write_line_to_stderr(line: str) -> None:
    _write_to_stderr(f"{line}\n")


def _write_to_stderr(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _parse_minutes(text: str) -> float:
    return parse_positive(text, "minutes as a number above 0")


def _parse_count(text: str) -> int:
    """Raises argparse's error, with the expected form."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} was given, expected a whole number of 1 or more")
    return int(text)
