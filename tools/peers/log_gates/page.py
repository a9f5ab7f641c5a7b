"""Writes the page of the comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tools.peers.log_gates.counting import TOOLS
from tools.peers.log_gates.pairs import CELLS, SPOILED
from tools.peers.log_gates.tool import Tool
from tools.simulations.page import TARGET, compute_standard_error, format_percent, format_table

_TIME_HEADER = [
    "tool",
    "version",
    "CPU seconds per verdict",
    "same verdict by functions and command",
    "reads",
]
_HEAD = """\
# Judging logs: slimgate compared with four tools

    python -m tools.peers.log_gates TOOLS --draws {draws} --seed {seed}

This page compares tools that judge two logs: they decide whether the scores in the target log are worse than
the scores in the base log. The margin is the drop that the user accepts. In this test the drop is known: the
target loses exactly the margin, or nothing. Each row of the first three tables has {draws} simulated pairs
of logs, and all tools judge the same pairs. If a rate is 5 %, its standard error is {error:.1f} percentage
points. The pairs are drawn as in the [simulations](simulations/README.md): with rows that change together,
with whole groups that are lost, and with several runs on the same samples.
"""
_KNOWN = """
Some logs have groups of questions, several epochs or several runs. The tools get this information as
follows:

- **Ten questions about one text**: slimgate gets the text as `group`, evalsig as `--cluster`, errorbars as
  `cluster_id`. statgate and illate-parity have no option for groups.
- **Epochs**: slimgate gets the epoch as `epoch`, statgate as `run_index`, errorbars as `sample`. statgate
  and errorbars use the mean over the epochs of a question. evalsig uses only the first epoch. illate-parity
  refuses logs in which an id is repeated.
- **Runs**: slimgate gets one log for each run. statgate and errorbars get the runs as repeats. evalsig uses
  only the first run. illate-parity accepts only one file for the base and one for the target.

If whole texts are lost, the equal target gives the same answers as the base to all questions. In the rows
with several runs, the score of each run moves by a random number from a normal distribution with the given
standard deviation. To save time, evalsig's bootstrap over clusters uses 1,000 resamples instead of 10,000.
"""
_AT_MARGIN = """
## PASS of a target that lost exactly the margin, %

If a target lost exactly the margin, a PASS is wrong. A rate is bold if it is above 6 % by more than two
standard errors. `-` means that the tool refuses such logs.
"""
_EQUAL = """
## PASS of an equal target, %

If a target is equal to the base, a PASS is right. The rate of these PASS verdicts is the power of the tool.
"""
_BLOCKED = """
## FAIL of an equal target, %

If a target is equal to the base, a FAIL is wrong. A rate is bold if it is above 6 % by more than two
standard errors.
"""
_TIME = """
## Time and formats

The table gives the median CPU time of the command of each tool, on files of 300 to 1,000 samples. The time
includes the start of the process. The times were measured on a shared machine, so compare them only within
this table. For the tables above, the Python functions of each tool judged the logs. For the first five pairs
of each row, the command of the tool judged the logs too. The fourth column counts how often functions and
command gave the same verdict.
"""
_SPOILED = """
## Logs that do not compare

In this table, the logs have 500 samples and an error that makes a comparison meaningless. In the first three
rows, the error is in 30 samples. In the last row, the error is in all samples. "Judged" means that the
command gives its figures or its verdict without a warning. illate-parity reads labels instead of scores, so
it gets a null label instead of NaN.
"""


def write_page(counts: Mapping[str, Any]) -> str:
    """The markdown page of everything that was counted, by the name of the tool."""
    draws, seed = (min(of_tool[name] for of_tool in counts.values()) for name in ("draws", "seed"))
    tools = [tool for name, tool in TOOLS.items() if name in counts]
    rules = [[tool.name, *tool.rule] for tool in TOOLS.values()]
    times = [
        [
            tool.name,
            counts[tool.name]["version"],
            f"{counts[tool.name]['seconds']:.1f}",
            "{} of {}".format(*counts[tool.name]["agreed"]),
            tool.formats,
        ]
        for tool in tools
    ]
    spoiled = [
        [name, *(_describe_outcome(tool, counts[tool.name]["spoiled"][name]) for tool in tools)]
        for name in SPOILED
    ]
    return "".join(
        (
            _HEAD.format(draws=draws, seed=seed, error=100 * compute_standard_error(0.05, draws)),
            format_table(["tool", "has a margin", "counted as PASS", "designed share of wrong PASS"], rules),
            _KNOWN,
            _AT_MARGIN,
            _tabulate_shares(counts, "ships_at_margin", draws, limit=TARGET),
            _EQUAL,
            _tabulate_shares(counts, "ships_equal", draws),
            _BLOCKED,
            _tabulate_shares(counts, "blocks_equal", draws, limit=TARGET),
            _TIME,
            format_table(_TIME_HEADER, times),
            _SPOILED,
            format_table(["the target's log", *(tool.name for tool in tools)], spoiled),
        )
    )


def _tabulate_shares(counts: Mapping[str, Any], name: str, draws: int, limit: float | None = None) -> str:
    """A table of one share of `Count`: a line for each cell, a column for each rule of each tool."""
    rules = [(tool, rule) for tool in TOOLS if tool in counts for rule in counts[tool]["cells"]]
    lines = []
    for cell in CELLS:
        shares = [counts[tool]["cells"][rule][cell.name][name] for tool, rule in rules]
        margin = f"{100 * cell.margin:g}"
        lines.append(
            [cell.name, margin, *(format_percent(share, limit=limit, reps=draws) for share in shares)]
        )
    return format_table(["logs", "margin, points", *(f"{tool}: {rule}" for tool, rule in rules)], lines)


def _describe_outcome(tool: Tool, outcome: str) -> str:
    """What a command made of a log that does not compare, in a word or two."""
    code, _, text = outcome.partition(": ")
    if "Traceback" in text:
        return "refused, with a traceback"
    if code == str(tool.refusal):
        return "refused"
    notes = ("30 baseline-only", '"n_only_a": 30', "coverage")
    return "judged, with a note" if any(note in text for note in notes) else "judged"
