"""What `slimgate judge` found in load tests: a table of times, a line for each budget; or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from math import isfinite
from typing import Any

from tabulate import tabulate

from slimgate._system.escape import visible
from slimgate.cli.judge.judged_loads import JudgedLoads
from slimgate.judge.load_tests import TimeRatio
from slimgate.logs.load_tests import failures, length_notes
from slimgate.plugins.reader import LoadRun, Log
from slimgate.plugins.workloads import LoadPart
from slimgate.record.run_verdict import format_verdict
from slimgate.report.figures import count

_WORDS: Mapping[LoadPart, str] = {"answer": "answer", "ttft": "first token", "tpot": "later token"}
_ONE_RUN = (
    "the two were not measured by turns, and nothing tells how much two runs of one server differ: the "
    "intervals are of the requests alone, and no speed-up is decided. Give a second run of the base: --repeat"
)
_TWO_RUNS = (
    "the two were not measured by turns: each interval is widened by how much the base differs from its "
    "second run. A suite with loads measures by turns, which tells smaller differences"
)


def as_text(base: Log, judged: Mapping[str, JudgedLoads], *, repeated: bool) -> str:
    """For each target its table, lines, notes and verdict."""
    blocks = (
        block for name, target in judged.items() for block in _blocks(base, name, target, repeated=repeated)
    )
    return "\n\n".join(block for block in blocks if block)


def _blocks(base: Log, name: str, judged: JudgedLoads, *, repeated: bool) -> Iterator[str]:
    yield visible(f"{name} against {base.shown}, read as load tests of {base.tool}")
    yield _table(judged, repeated=repeated)
    yield "\n".join(visible(budget.line) for budget in judged.budgets)
    notes = [_TWO_RUNS if repeated else _ONE_RUN, *length_notes(judged.pairs), *_counts(judged)]
    yield "\n".join(f"note: {visible(note)}" for note in notes)
    yield format_verdict(judged.run_verdict)


def _table(judged: JudgedLoads, *, repeated: bool) -> str:
    rows = [
        {
            "load": visible(load),
            "time": f"{_WORDS[ratio.part]} p{100 * ratio.quantile:.0f}",
            "base, ms": _ms(ratio.base),
            "target, ms": _ms(ratio.target),
            "base / target [90 %]": _ratio(ratio, repeated=repeated),
            "counted as": f"{count(ratio.counted[0])} / {count(ratio.counted[1])}",
        }
        for load, ratios in judged.ratios.items()
        for ratio in ratios
    ]
    return tabulate(rows, headers="keys", tablefmt="simple", disable_numparse=True)


def _ms(value: float) -> str:
    return f"{value:.4g}" if isfinite(value) else "failed"


def _ratio(ratio_facts: TimeRatio, *, repeated: bool) -> str:
    low, high = ratio_facts.claimed_interval if repeated else ratio_facts.interval
    ratio = f"{ratio_facts.ratio:.2f}" if isfinite(ratio_facts.ratio) else "–"
    if low <= 0 and not isfinite(high):
        return f"{ratio}, too few for bounds"
    return f"{ratio} [{low:.2f}, {high:.2f}]" if isfinite(high) else f"{ratio} [{low:.2f}, no bound]"


def _counts(judged: JudgedLoads) -> Iterator[str]:
    """The requests of each load, and those without an answer."""
    for pair in judged.pairs:
        yield f"{pair.name}: base {_describe_run(pair.base)}; target {_describe_run(pair.target)}"


def _describe_run(run: LoadRun) -> str:
    answered = len(run.requests) - failures(run)
    words = f"{count(len(run.requests))} requests, {count(failures(run))} failed"
    words += f", {count(run.unfinished)} cut off by its end" if run.unfinished else ""
    return words + (f", {answered / run.seconds:.3g} answered a second" if run.seconds else "")


def as_json(base: Log, judged: Mapping[str, JudgedLoads], *, repeated: bool) -> str:
    """By target: loads with requests, ratios and budgets; null for what is not finite."""
    content = {
        "base": base.shown,
        "tool": base.tool,
        "repeated": repeated,
        "targets": {name: _json_of(loads) for name, loads in judged.items()},
    }
    return json.dumps(content, indent=1, ensure_ascii=False)


def _json_of(judged: JudgedLoads) -> dict[str, Any]:
    loads = {
        pair.name: {
            "base": _json_of_run(pair.base),
            "target": _json_of_run(pair.target),
            "times": [_json_of_ratio(ratio) for ratio in judged.ratios[pair.name]],
            "budgets": [
                {**_finite(asdict(budget.verdict)), "part": budget.part, "line": budget.line}
                for budget in judged.budgets
                if budget.load == pair.name
            ],
        }
        for pair in judged.pairs
    }
    return {"loads": loads, "verdict": judged.run_verdict.model_dump(mode="json", exclude={"missing"})}


def _json_of_run(run: LoadRun) -> dict[str, Any]:
    return {
        "requests": len(run.requests),
        "failed": failures(run),
        "unfinished": run.unfinished,
        "seconds": run.seconds,
        "settings": dict(run.settings),
    }


def _json_of_ratio(ratio: TimeRatio) -> dict[str, Any]:
    return _finite({**asdict(ratio), "claimed_interval": ratio.claimed_interval})


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no infinity."""
    return {
        key: [_finite_or_none(item) for item in value] if isinstance(value, tuple) else _finite_or_none(value)
        for key, value in values.items()
    }


def _finite_or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not isfinite(value) else value
