"""`slimgate power`: can this many rows decide a budget, and what does a constant threshold get wrong?"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from slimgate._system.number_text import format_percent, format_points
from slimgate.cli.parser import parse_points

if TYPE_CHECKING:
    from slimgate.judge.power import Plan, VerdictShares

DESCRIPTION = """\
Checks before a run whether a benchmark with scores of 0 and 1 can decide a budget. --flip-rate is the share
of samples whose score differs between the two models, in either direction. `slimgate judge --repeat` measures
this share between two runs of the base; expect at least as much between two models. Exit codes: 0 an equal
model passes at least 80 % of the time; 1 it passes less often; 4 wrong usage.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "--rows",
        type=int,
        required=True,
        metavar="N",
        help="Number of samples in the benchmark, or in a slice. Epochs of a sample count once, and samples "
        "that share a document count as one",
    )
    parser.add_argument(
        "--flip-rate",
        type=float,
        required=True,
        metavar="X",
        help="Share of samples whose score differs between the two models, from 0 to 1",
    )
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument(
        "--drop-points", type=parse_points, metavar="X", help="Largest drop in percentage points"
    )
    budget.add_argument(
        "--equivalent-points",
        type=parse_points,
        metavar="X",
        help="Largest change in percentage points, worse or better",
    )
    parser.add_argument(
        "--analyses",
        type=int,
        default=1,
        metavar="K",
        help="Number of times that `slimgate judge --analyses` judges the growing log (default 1)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints the plan. Raises SuiteError for numbers out of range."""
    from slimgate.errors import SuiteError
    from slimgate.judge.decision import POWER
    from slimgate.judge.family import MOST_ANALYSES
    from slimgate.judge.power import make_plan
    from slimgate.suite.budget_units import SMALL_POINTS, format_points_question

    if options.rows < 1:
        raise SuiteError(f"--rows {options.rows}: expected at least 1")
    if not 0 < options.flip_rate <= 1:
        raise SuiteError(
            f"--flip-rate {options.flip_rate:g}: expected a share above 0, at most 1, such as 0.08"
        )
    two_sided = options.equivalent_points is not None
    limit = options.equivalent_points if two_sided else options.drop_points
    flag = "--equivalent-points" if two_sided else "--drop-points"
    if not 0 < limit < 100:
        raise SuiteError(f"{flag} {limit:g}: expected percentage points above 0 and under 100")
    if not 1 <= options.analyses <= min(MOST_ANALYSES, options.rows):
        raise SuiteError(f"--analyses {options.analyses}: expected 1 to {min(MOST_ANALYSES, options.rows)}")
    if limit < SMALL_POINTS:
        sys.stderr.write(f"slimgate power: {flag} {limit:g}: {format_points_question(flag, limit)}\n")
    planned = make_plan(
        options.rows, options.flip_rate, limit / 100, analyses=options.analyses, two_sided=two_sided
    )
    sys.stdout.write("\n".join(_format_plan(planned, options.analyses, two_sided=two_sided)) + "\n")
    return int(planned.equal.passes < POWER)


def _format_plan(planned: Plan, analyses: int, *, two_sided: bool) -> list[str]:
    from tabulate import tabulate

    from slimgate.judge.decision import POWER

    verb, sign = ("loses or gains", "±") if two_sided else ("loses", "")
    kinds = (
        (f"{verb} nothing", planned.equal),
        (f"{verb} the budget", planned.at_budget),
        (f"{verb} twice the budget", planned.twice),
    )
    rows = [_make_row(name, shares, analyses) for name, shares in kinds if shares is not None]
    table = tabulate(rows, headers="keys", tablefmt="simple", disable_numparse=True)
    can = "can" if planned.equal.passes >= POWER else "cannot"
    head = (
        f"{planned.rows:,} rows {can} decide a budget of {sign}{format_points(100 * planned.margin)} "
        f"if {100 * planned.flip_rate:g} % of the samples change: "
        f"an equal model passes {format_percent(planned.equal.passes)} of the time."
    )
    if planned.margin * planned.rows < 1:
        head += " The budget is less than one sample."
    return [head, "", table, "", *_format_needed(planned)]


def _make_row(name: str, shares: VerdictShares, analyses: int) -> dict[str, str]:
    return {
        "a model that": name,
        "PASS": format_percent(shares.passes),
        "FAIL": format_percent(shares.fails),
        "INCONCLUSIVE": format_percent(shares.undecided),
        **({"rows until then, mean": f"{shares.rows:,.0f}"} if analyses > 1 else {}),
        "a constant threshold passes it": format_percent(shares.point_passes),
    }


def _format_needed(planned: Plan) -> list[str]:
    lines = [f"With about {planned.rows_needed:,} rows, an equal model passes 80 % of the time."]
    if planned.rows_needed > planned.rows:
        repeats = -(-planned.rows_needed // planned.rows)
        lines.append(
            f"If every change is noise of the generation, {repeats:,} repeats of each sample do the same. "
            "Repeats do not replace rows for changes that are the model's."
        )
    return lines
