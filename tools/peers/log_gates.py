"""slimgate and four tools that judge evaluation logs: the same pairs of logs with a known drop, one table.

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
import csv
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Decision = Literal["ship", "block", "neither"]
SHIP, BLOCK, NEITHER = "ship", "block", "neither"
PEERS = ("evalsig", "statgate", "illate-parity", "errorbars")
TOOLS = ("slimgate", *PEERS)
# What evalsig's README gates on: the gain that a candidate must show.
MIN_DELTA = 0.005
# Of evalsig's bootstrap over clusters in the draws; its command has 10,000, which take 2 s a verdict.
RESAMPLES = 1_000
# Draws of a cell that also go through the command of each tool.
COMMANDS = 5
RIGHT = 0.85


@dataclass(frozen=True)
class Cell:
    """Pairs of logs of one kind.

    runs: of each side. repeats: whether the runs are epochs in one log, and not logs of their own. groups:
    of questions, 0 where each stands alone; they change together with the chance `follow`, or are lost whole
    where it is None. changes: the share of answers that differ. correlation, shift: of runs, as in
    `tools.simulations.run_verdicts`.
    """

    name: str
    rows: int
    margin: float
    changes: float = 0.0
    groups: int = 0
    follow: float | None = 0.0
    runs: int = 1
    repeats: bool = False
    correlation: str = "none"
    shift: float = 0.0

    def draw(self, rng: np.random.Generator, drop: float) -> tuple[Floats, Floats]:
        """(runs, rows) scores of base and target; the target's true drop is `drop`, a fraction."""
        from tools.simulations import run_verdicts

        if self.runs > 1:
            runs = (self.runs, self.runs)
            margin = 100 * self.margin
            return run_verdicts.draw(
                rng, run_verdicts.Cell("0/1", runs, self.rows, margin, self.correlation, self.shift), drop
            )
        return self._draw_pair(rng, drop)

    def _draw_pair(self, rng: np.random.Generator, drop: float) -> tuple[Floats, Floats]:
        from tools.simulations.groups import draw, draw_lost_groups, group_sizes

        sizes = group_sizes(rng, self.rows, self.groups or self.rows, spread=0.0)
        if self.follow is None:
            counts = draw_lost_groups(rng, sizes, drop, by_size=False, runs=1)
        else:
            counts = draw(rng, sizes, self.changes, drop, self.follow, runs=1)
        group = np.repeat(np.arange(len(sizes)), sizes)
        place = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        lost, won = counts.lost[0][group], counts.won[0][group]
        is_lost, is_won = place < lost, (place >= lost) & (place < lost + won)
        same = (rng.random(len(group)) < RIGHT).astype(np.float64)
        base = np.where(is_lost, 1.0, np.where(is_won, 0.0, same))
        target = np.where(is_lost, 0.0, np.where(is_won, 1.0, same))
        return base[None], target[None]

    def clusters(self) -> npt.NDArray[np.int64] | None:
        """(rows,) the group of each question; groups are equally large."""
        return np.arange(self.rows) * self.groups // self.rows if self.groups else None


CELLS = (
    Cell("300 questions, 1 % change", 300, 0.01, changes=0.01),
    Cell("500 questions, 5 % change", 500, 0.02, changes=0.05),
    Cell("1,000 questions, 10 % change", 1000, 0.02, changes=0.10),
    Cell("50 texts of 10 questions, which change together", 500, 0.05, changes=0.10, groups=50, follow=0.7),
    Cell("100 texts of 10 questions, some lost whole", 1000, 0.05, groups=100, follow=None),
    Cell("200 questions, 4 epochs", 200, 0.05, runs=4, repeats=True, correlation="medium"),
    Cell(
        "500 questions, 3 runs a side that move by 1 point", 500, 0.04, runs=3, correlation="full", shift=1.0
    ),
    Cell(
        "500 questions, 5 runs a side that move by 2 points", 500, 0.04, runs=5, correlation="full", shift=2.0
    ),
)


@dataclass(frozen=True)
class Row:
    """One answer as a log has it."""

    id: str
    score: float
    cluster: str | None = None
    epoch: int = 0
    prompt: str = ""


def rows_of(cell: Cell, scores: Floats) -> list[Row]:
    """All rows of one log: of every epoch, where the runs are epochs."""
    clusters = cell.clusters()
    return [
        Row(f"q{at:05}", score, None if clusters is None else f"t{clusters[at]}", epoch, f"question {at}")
        for epoch, line in enumerate(scores.tolist())
        for at, score in enumerate(line)
    ]


# What runs inside the environment of a tool.


def decide_all(tool: str, file: Path) -> dict[str, list[str]]:
    """By rule the decision on each draw of a file; `refused: …` where the tool gives none."""
    with np.load(file) as stored:
        cell = Cell(**json.loads(str(stored["cell"])))
        base, target = stored["base"], stored["target"]
    decisions: dict[str, list[str]] = {}
    for before, after in zip(base, target, strict=True):
        for rule, decision in JUDGES[tool](cell, before, after).items():
            decisions.setdefault(rule, []).append(decision)
    return decisions


def decide_slimgate(cell: Cell, base: Floats, target: Floats) -> dict[str, str]:
    from slimgate.judge import QualityBudget, Verdict
    from slimgate.logs.budgets import LogBudgets
    from slimgate.logs.rules import Rules
    from slimgate.logs.several_runs import join_logs
    from slimgate.logs.verdicts import judge_logs
    from slimgate.plugins.reader import Log, TaskLog, name_epoch
    from slimgate.plugins.reader import Row as LogRow

    def read(name: str, rows: Sequence[Row]) -> Log:
        def lines() -> Iterator[LogRow]:
            for row in rows:
                id, cluster = row.id, row.cluster
                if cell.repeats:
                    id, cluster = name_epoch(row.id, row.epoch + 1), row.id
                yield LogRow(id, {"score": row.score}, cluster=cluster)

        return Log("table", name, {"": TaskLog(lines)})

    def side(name: str, scores: Floats) -> Log:
        if cell.repeats:
            return read(name, rows_of(cell, scores))
        return join_logs([read(f"{name}{at}", rows_of(cell, line[None])) for at, line in enumerate(scores)])

    budgets = LogBudgets((("*", (QualityBudget("drop_points", 100 * cell.margin),)),))
    judged = judge_logs(side("base", base), side("target", target), budgets, Rules())
    (comparison,) = judged.comparisons
    verdict = comparison.judged.verdict
    return {"PASS": SHIP if verdict is Verdict.PASS else BLOCK if verdict is Verdict.FAIL else NEITHER}


def decide_statgate(cell: Cell, base: Floats, target: Floats) -> dict[str, str]:
    statgate, records = import_module("statgate"), import_module("statgate.records")
    words = {"SHIP": SHIP, "BLOCK": BLOCK}

    def read(scores: Floats) -> list[Any]:
        return [
            records.EvalRecord(case_id=row.id, score=row.score, run_index=row.epoch)
            for row in rows_of(cell, scores)
        ]

    def decide(alpha: float) -> str:
        # The permutation test is shown and decides nothing.
        settings = statgate.GateSettings(margin=cell.margin, alpha=alpha, seed=42, permutations=100)
        report = statgate.evaluate_gate(read(base), read(target), settings)
        return words.get(str(report.verdict.value), NEITHER)

    return {"SHIP": decide(0.05), "SHIP, --alpha 0.1": decide(0.10)}


def decide_evalsig(cell: Cell, base: Floats, target: Floats) -> dict[str, str]:
    evalsig, types = import_module("evalsig"), import_module("evalsig.types")
    words = {"ALLOW": SHIP, "REJECT": BLOCK}

    def read(name: str, scores: Floats) -> Any:
        items = [types.ItemResult(row.id, row.score, row.cluster, row.epoch) for row in rows_of(cell, scores)]
        return types.RunFrame(name, name, "task", "accuracy", items)

    report = evalsig.gate(
        read("base", base),
        read("target", target),
        min_delta=MIN_DELTA,
        cluster="cluster_id" if cell.groups else None,
        n_resamples=RESAMPLES,
    )
    decision = words.get(str(report.verdict.value), NEITHER)
    return {"ALLOW": decision, "all but REJECT": SHIP if decision == NEITHER else decision}


def decide_parity(cell: Cell, base: Floats, target: Floats) -> dict[str, str]:
    bootstrap, parity = import_module("illate_parity.bootstrap"), import_module("illate_parity.parity")
    rows = rows_of(cell, base if cell.repeats else base[:1])
    if len({row.id for row in rows}) < len(rows):
        return {"PASS": "refused: an id twice"}
    # As `check`: the gold label is 0, a wrong answer 1; the seed is its default and 2.
    difference = bootstrap.fast_paired_accuracy(
        np.zeros(cell.rows, np.int64), 1 - base[0].astype(np.int64), 1 - target[0].astype(np.int64), seed=2
    )
    verdict = parity.verdict(difference["low"], difference["high"], cell.margin)
    return {"PASS": {"PASS": SHIP, "FAIL": BLOCK}.get(verdict, NEITHER)}


def decide_errorbars(cell: Cell, base: Floats, target: Floats) -> dict[str, str]:
    compare = import_module("errorbars.compare")
    compared = compare.paired_compare(base.mean(axis=0), target.mean(axis=0), clusters=cell.clusters())
    return read_errorbars(cell, compared.as_dict())


def read_errorbars(cell: Cell, compared: Mapping[str, Any]) -> dict[str, str]:
    """Two rules that a reader of its table may have; base minus target is the drop."""
    suffix = "_clustered" if compared.get("se_clustered") is not None else ""
    low, high = compared["ci_low" + suffix], compared["ci_high" + suffix]
    by_hand = SHIP if high < cell.margin else BLOCK if low > cell.margin else NEITHER
    return {
        "no significant loss": BLOCK if low > 0 else SHIP,
        "interval inside the margin, by hand": by_hand,
    }


JUDGES: Mapping[str, Callable[[Cell, Floats, Floats], dict[str, str]]] = {
    "slimgate": decide_slimgate,
    "statgate": decide_statgate,
    "evalsig": decide_evalsig,
    "illate-parity": decide_parity,
    "errorbars": decide_errorbars,
}


# The command of each tool, on files as it reads them.


@dataclass(frozen=True)
class Command:
    """What a tool was called with, and what came of it."""

    code: int
    output: str
    seconds: float


def run_command(python: Path, tool: str, cell: Cell, base: Sequence[Row], target: Sequence[Row]) -> Command:
    """seconds: of the CPU, of the process with all that it starts."""
    with tempfile.TemporaryDirectory() as scratch:
        arguments = WRITERS[tool](Path(scratch), cell, base, target)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        program = [str(python.with_name(tool)), *arguments]
        done = subprocess.run(program, capture_output=True, text=True, check=False, cwd=scratch)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Command(done.returncode, done.stdout + done.stderr, seconds)


def write_slimgate(folder: Path, cell: Cell, base: Sequence[Row], target: Sequence[Row]) -> list[str]:
    for name, rows in (("base", base), ("target", target)):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            columns = ["group"] if cell.groups else ["epoch"] if cell.repeats else []
            writer.writerow(["id", "score", "prompt", *columns])
            for row in rows:
                more = [row.cluster] if cell.groups else [row.epoch + 1] if cell.repeats else []
                writer.writerow([row.id, row.score, row.prompt, *more])
    return ["judge", "base.csv", "target.csv", "--drop-points", f"{100 * cell.margin:g}"]


def write_statgate(folder: Path, cell: Cell, base: Sequence[Row], target: Sequence[Row]) -> list[str]:
    for name, rows in (("base", base), ("target", target)):
        lines = [
            {"case_id": row.id, "score": row.score, "run_index": row.epoch, "prompt": row.prompt}
            for row in rows
        ]
        write_lines(folder / f"{name}.jsonl", lines)
    return ["compare", "base.jsonl", "target.jsonl", "--margin", f"{cell.margin:g}", "--seed", "42"]


def write_evalsig(folder: Path, cell: Cell, base: Sequence[Row], target: Sequence[Row]) -> list[str]:
    for name, rows in (("base", base), ("target", target)):
        items = [
            {
                "item_id": row.id,
                "score": row.score,
                "cluster_id": row.cluster,
                "epoch": row.epoch,
                "metadata": {"prompt": row.prompt},
            }
            for row in rows
        ]
        frame = {"run_id": name, "model_id": name, "task_id": "task", "metric_name": "accuracy"}
        (folder / f"{name}.json").write_text(json.dumps({**frame, "items": items}))
    clusters = ["--cluster", "cluster_id"] if cell.groups else []
    files = ["--baseline", "base.json", "--candidate", "target.json"]
    return ["gate", *files, "--min-delta", f"{MIN_DELTA:g}", *clusters]


def write_parity(folder: Path, cell: Cell, base: Sequence[Row], target: Sequence[Row]) -> list[str]:
    gold = [{"id": row.id, "text": row.prompt, "label": "right"} for row in base]
    write_lines(folder / "gold.jsonl", gold)
    for name, rows in (("base", base), ("target", target)):
        labels = [
            {"id": row.id, "label": "right" if row.score == 1 else "wrong" if row.score == 0 else None}
            for row in rows
        ]
        write_lines(folder / f"{name}.jsonl", labels)
    files = ["--gold", "gold.jsonl", "--current", "base.jsonl", "--candidate", "target.jsonl"]
    return ["check", *files, "--margin", f"{cell.margin:g}", "--out", "out"]


def write_errorbars(folder: Path, _: Cell, base: Sequence[Row], target: Sequence[Row]) -> list[str]:
    with (folder / "both.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["question_id", "model", "score", "cluster_id", "sample", "prompt"])
        for name, rows in (("base", base), ("target", target)):
            for row in rows:
                writer.writerow([row.id, name, row.score, row.cluster or row.id, row.epoch, row.prompt])
    return ["compare", "both.csv", "--model-a", "base", "--model-b", "target", "--json"]


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


WRITERS: Mapping[str, Callable[[Path, Cell, Sequence[Row], Sequence[Row]], list[str]]] = {
    "slimgate": write_slimgate,
    "statgate": write_statgate,
    "evalsig": write_evalsig,
    "illate-parity": write_parity,
    "errorbars": write_errorbars,
}


def read_decision(tool: str, cell: Cell, command: Command) -> str:
    """What the command decided by the first rule of its tool."""
    if tool == "errorbars":
        return next(iter(read_errorbars(cell, json.loads(command.output)).values()))
    if tool == "slimgate":
        words = {"PASS": SHIP, "FAIL": BLOCK, "INCONCLUSIVE": NEITHER}
        last_line = command.output.rstrip().rpartition("\n")[2]
        return next(decision for word, decision in words.items() if last_line.startswith(word))
    if tool == "illate-parity":
        return SHIP if command.code == 0 else BLOCK if "FAIL" in command.output else NEITHER
    return {0: SHIP, 1: BLOCK, 2: NEITHER}[command.code]


# Logs that do not compare, each from a good pair.


def spoil_missing(rows: list[Row]) -> list[Row]:
    return rows[:-30]


def spoil_twice(rows: list[Row]) -> list[Row]:
    return [*rows, *(replace(row, score=1.0) for row in rows[:30])]


def spoil_nan(rows: list[Row]) -> list[Row]:
    return [replace(row, score=float("nan")) if at < 30 else row for at, row in enumerate(rows)]


def spoil_questions(rows: list[Row]) -> list[Row]:
    return [replace(row, prompt=f"another {row.prompt}") for row in rows]


SPOILED: Mapping[str, Callable[[list[Row]], list[Row]]] = {
    "30 of 500 samples are missing in the target's log": spoil_missing,
    "30 samples occur twice in the target's log": spoil_twice,
    "30 scores of the target are NaN": spoil_nan,
    "other questions under the same ids": spoil_questions,
}


def judge_spoiled(python: Path, tool: str) -> dict[str, str]:
    """What each command does with logs that do not compare: its last line, and its exit code."""
    cell = CELLS[1]
    base, target = cell.draw(np.random.default_rng(0), 0.0)
    outcomes = {}
    for name, spoil in SPOILED.items():
        command = run_command(python, tool, cell, rows_of(cell, base), spoil(rows_of(cell, target)))
        outcomes[name] = f"{command.code}: {' / '.join(command.output.split(chr(10)))[-1500:]}"
    return outcomes


# Counting, and the page.


@dataclass(frozen=True)
class Count:
    """Of the draws of one cell by one rule: shares of decisions at the margin and at no drop."""

    ships_at_margin: float
    ships_equal: float
    blocks_equal: float
    refused: str = ""


def draw_cell(cell: Cell, number: int, draws: int, seed: int, drop: float) -> tuple[Floats, Floats]:
    """(draws, runs, rows) of base and target: the same for every tool."""
    rng = np.random.default_rng([seed, number, int(1e4 * drop)])
    pairs = [cell.draw(rng, drop) for _ in range(draws)]
    return np.stack([base for base, _ in pairs]), np.stack([target for _, target in pairs])


def decide_within(python: Path, tool: str, cell: Cell, base: Floats, target: Floats) -> dict[str, list[str]]:
    """All decisions of a tool, by a process of its environment."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "draws.npz"
        np.savez(file, base=base, target=target, cell=json.dumps(asdict(cell)))
        program = [str(python), "-m", "tools.peers.log_gates", "--inside", tool, str(file)]
        done = subprocess.run(program, capture_output=True, text=True, check=True)
    decisions: dict[str, list[str]] = json.loads(done.stdout)
    return decisions


def count_tool(python: Path, tool: str, draws: int, seed: int) -> dict[str, Any]:
    """Everything that the page says of one tool."""
    cells: dict[str, dict[str, Any]] = {}
    seconds: list[float] = []
    agreed = called = 0
    for number, cell in enumerate(CELLS):
        at_margin, equal = (draw_cell(cell, number, draws, seed, drop) for drop in (cell.margin, 0.0))
        decisions = decide_within(python, tool, cell, *at_margin)
        decisions_equal = decide_within(python, tool, cell, *equal)
        for rule, of_margin in decisions.items():
            cells.setdefault(rule, {})[cell.name] = asdict(count(of_margin, decisions_equal[rule]))
        first = next(iter(decisions_equal.values()))
        if (cell.runs > 1 and not cell.repeats) or first[0].startswith("refused"):
            continue
        for at in range(min(COMMANDS, draws)):
            sides = [rows_of(cell, side[at]) for side in equal]
            command = run_command(python, tool, cell, *sides)
            called, agreed = called + 1, agreed + (read_decision(tool, cell, command) == first[at])
            seconds.append(command.seconds)
        sys.stderr.write(f"{tool}: {cell.name}\n")
    return {
        "version": read_version(python, tool),
        "cells": cells,
        "seconds": float(np.median(seconds)),
        "agreed": [agreed, called],
        "spoiled": judge_spoiled(python, tool),
        "draws": draws,
        "seed": seed,
    }


def count(at_margin: Sequence[str], equal: Sequence[str]) -> Count:
    if at_margin[0].startswith("refused"):
        return Count(float("nan"), float("nan"), float("nan"), at_margin[0])
    draws = len(at_margin)
    return Count(at_margin.count(SHIP) / draws, equal.count(SHIP) / draws, equal.count(BLOCK) / draws)


def read_version(python: Path, tool: str) -> str:
    if tool == "slimgate":
        return version(tool)
    program = f"from importlib.metadata import version; print(version({tool!r}))"
    return subprocess.run([python, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def write_page(counts: Mapping[str, Any]) -> str:
    """The markdown page of everything that was counted."""
    from tools.simulations.page import TARGET, percent, standard_error, table

    draws, seed = (min(of_tool[name] for of_tool in counts.values()) for name in ("draws", "seed"))
    error = 100 * standard_error(0.05, draws)
    rules = [(tool, rule) for tool in TOOLS if tool in counts for rule in counts[tool]["cells"]]

    def shares(name: str, limit: float | None) -> str:
        lines = []
        for cell in CELLS:
            of_rules = [counts[tool]["cells"][rule][cell.name] for tool, rule in rules]
            points = f"{100 * cell.margin:g}"
            lines.append(
                [cell.name, points, *(percent(of[name], limit=limit, reps=draws) for of in of_rules)]
            )
        return table(["logs", "margin, points", *(f"{tool}: {rule}" for tool, rule in rules)], lines)

    commands = [
        [
            tool,
            of["version"],
            f"{of['seconds']:.1f}",
            f"{of['agreed'][0]} of {of['agreed'][1]}",
            FORMATS[tool],
        ]
        for tool, of in ((tool, counts[tool]) for tool in TOOLS if tool in counts)
    ]
    spoiled = [
        [name, *(describe_outcome(tool, counts[tool]["spoiled"][name]) for tool in TOOLS if tool in counts)]
        for name in SPOILED
    ]
    shown = [tool for tool in TOOLS if tool in counts]
    rule_header = ["tool", "has a margin", "counted as PASS", "designed share of wrong PASS"]
    time_header = [
        "tool",
        "version",
        "CPU seconds per verdict",
        "same verdict by functions and command",
        "reads",
    ]
    return "".join(
        (
            _HEAD.format(draws=draws, seed=seed, error=error),
            table(rule_header, _RULES),
            _KNOWN,
            _AT_MARGIN,
            shares("ships_at_margin", TARGET),
            _EQUAL,
            shares("ships_equal", None),
            _BLOCKED,
            shares("blocks_equal", TARGET),
            _TIME,
            table(time_header, commands),
            _SPOILED,
            table(["the target's log", *shown], spoiled),
        )
    )


def describe_outcome(tool: str, outcome: str) -> str:
    """What a command made of a log that does not compare, in a word or two."""
    code, _, text = outcome.partition(": ")
    if "Traceback" in text:
        return "refused, with a traceback"
    if code == REFUSALS[tool]:
        return "refused"
    notes = ("30 baseline-only", '"n_only_a": 30', "coverage")
    return "judged, with a note" if any(note in text for note in notes) else "judged"


# The exit code of each command for files that it does not judge.
REFUSALS = {"slimgate": "4", "statgate": "3", "evalsig": "65", "illate-parity": "2", "errorbars": "1"}
FORMATS = {
    "slimgate": "logs of 20 tools, tables (csv, JSON lines, parquet)",
    "statgate": "its own JSON lines, JSON and csv; promptfoo",
    "evalsig": "its own JSON and parquet; lm-eval (samples with the score at the top of a row), "
    "Inspect (JSON with one score per sample), HELM (result.success or result.stats)",
    "illate-parity": "its own JSON lines of labels",
    "errorbars": "its own csv and JSON lines; lm-eval samples, Inspect logs",
}
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
_RULES = (
    ("slimgate", "yes", "PASS", "5 %"),
    (
        "statgate",
        "yes",
        "SHIP; in a second column SHIP with `--alpha 0.1`, the level of slimgate",
        "2.5 %; 5 %",
    ),
    (
        "evalsig",
        "no: `--min-delta` is the gain that the target must show",
        "ALLOW, as its README says; in a second column ALLOW and all other verdicts except REJECT",
        "5 % at a drop of 0; none",
    ),
    ("illate-parity", "yes", "PASS", "2.5 %"),
    (
        "errorbars",
        "no: it compares and gives no verdict",
        "no significant loss in its comparison; in a second column a rule that a user adds by hand: "
        "the 95 % interval is inside the margin",
        "none; 2.5 %",
    ),
)
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
        sys.stdout.write(json.dumps(decide_all(options.inside[0], Path(options.inside[1]))))
        return 0
    counts = json.loads(options.counts.read_text()) if options.counts and options.counts.exists() else {}
    for tool in options.only:
        python = (
            Path(sys.executable) if tool == "slimgate" else options.tools.absolute() / tool / "bin" / "python"
        )
        counts[tool] = count_tool(python, tool, options.draws, options.seed)
        if options.counts:
            options.counts.write_text(json.dumps(counts, indent=1))
    page = write_page(counts)
    sys.stdout.write(page)
    if options.out:
        options.out.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
