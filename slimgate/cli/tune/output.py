"""The output of `slimgate tune`, as a table with its lines, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from slimgate._system.escape import visible
from slimgate._system.timestamps import format_now
from slimgate._system.toml import toml_value
from slimgate.cli.tune.front import Chosen, holds_by_budget, pareto_front
from slimgate.cli.tune.proposing import format_steps
from slimgate.cli.tune.search import Searched
from slimgate.cli.tune.trial import Found, State, Trial
from slimgate.judge.facts import quality_facts
from slimgate.judge.message import message
from slimgate.judge.verdict import QualityJudgement
from slimgate.report.figures import MISSING, drop_words, duration, megabytes, to_fixed
from slimgate.suite.suite import Suite


def trial_line(trial: Trial) -> str:
    """`trial-3 keep_layers [0, 2]: accuracy drop 0.3 [-0.5, 1.2]; at least 3.40×; 12.1 MB`."""
    return f"{trial.name} {format_steps(trial.steps)}: {_result(trial)}"


def _result(trial: Trial) -> str:
    if trial.figures is None:
        return f"{trial.state}: {trial.reason}"
    parts = [f"{name} {cell}" for name, cell in _drops(trial.figures).items()]
    if trial.state is State.TIMED:
        parts.append(f"at least {to_fixed(trial.speed, 2)}×")
    parts.append(f"{megabytes(trial.figures.bytes)} MB")
    return "; ".join(parts if trial.reason is None else [*parts, trial.reason])


def as_text(
    suite: Suite, searched: Searched, chosen: Mapping[str, Chosen], out: Path, *, everything: bool
) -> str:
    """The front, or all trials, then the written file and why the search ended. chosen: by new name."""
    front = pareto_front(searched.trials)
    listed = [t for t in searched.trials if t.figures] if everything else front
    blocks = [_table(suite, listed, front, chosen)] if listed else []
    if everything:
        other_trials = [trial_line(t) for t in searched.trials if t.figures is None]
        blocks += ["\n".join(other_trials)] if other_trials else []
    blocks.append("\n".join(_ending(suite, searched, chosen, out)))
    # Escaped, so that no text of a suite can control a terminal.
    return "\n".join(map(visible, "\n\n".join(blocks).split("\n")))


def _table(suite: Suite, trials: Sequence[Any], front: list[Trial], chosen: Mapping[str, Chosen]) -> str:
    metrics = list(dict.fromkeys(name for t in trials for name in t.figures.drops))
    loads = [workload.id for workload in suite.workloads]
    names = {choice.trial.number: name for name, choice in chosen.items()}
    rows = []
    for trial in trials:
        drops, speedups = _drops(trial.figures), trial.figures.speedups
        rows.append(
            [
                trial.name + ("*" if trial in front else ""),
                names.get(trial.number, MISSING),
                format_steps(trial.steps),
                *(drops.get(name, MISSING) for name in metrics),
                *(
                    f"{to_fixed(speedups[load].claimed_interval[0], 2)}×" if load in speedups else MISSING
                    for load in loads
                ),
                megabytes(trial.figures.bytes),
                duration(trial.figures.seconds),
            ]
        )
    headers = ["trial", "written as", "steps", *metrics, *(f"{load}, at least" for load in loads)]
    headers += ["MB", "built in"]
    return tabulate(rows, headers=headers, disable_numparse=True)


def _drops(figures: Found) -> dict[str, str]:
    return {
        name: drop_words(judged.drop_points, judged.interval, unit=judged.unit) or MISSING
        for name, judged in figures.drops.items()
    }


def _ending(suite: Suite, searched: Searched, chosen: Mapping[str, Chosen], out: Path) -> list[str]:
    assert suite.tuning is not None
    states = [trial.state for trial in searched.trials]
    counts = ", ".join(f"{states.count(state)} {_WORDS[state]}" for state in State if state in states)
    lines = [
        f"{len(states)} step lists in {duration(searched.seconds)} ({counts or 'none'}): {searched.stopped}"
    ]
    tiers = suite.tuning.tiers
    for tier, holds in zip(tiers, holds_by_budget(list(chosen.values()), tiers=len(tiers)), strict=True):
        if not holds:
            budget = toml_value(tier.stated) if tier.stated else "the suite's budgets"
            lines.append(f"inside {budget}: none on selection")
    if chosen:
        lines.append(f"{out}: {', '.join(chosen)}; the gate judges: pytest {out}")
    else:
        lines.append("nothing was written: no step list was built and judged")
    return lines


_WORDS = {
    State.TIMED: "timed",
    State.BEYOND: "beyond every budget",
    State.FAILED: "failed",
    State.IMPOSSIBLE: "impossible",
}


def as_json(suite: Suite, searched: Searched, chosen: Mapping[str, Chosen], out: Path) -> str:
    """Every trial with all its measurements."""
    content = {
        "suite": suite.shown,
        "split": "selection",
        "stopped": searched.stopped,
        "seconds": round(searched.seconds, 3),
        "trials": [_facts(trial) for trial in searched.trials],
        "front": [trial.name for trial in pareto_front(searched.trials)],
        "chosen": [
            {"variant": name, "trial": choice.trial.name, "budget": choice.tier, "inside": choice.inside}
            for name, choice in chosen.items()
        ],
        "file": str(out) if chosen else None,
    }
    return json.dumps(content, indent=1, ensure_ascii=False)


def _facts(trial: Trial) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "trial": trial.name,
        "space": trial.space.name,
        "steps": trial.steps,
        "state": trial.state.value,
        "reason": trial.reason,
    }
    figures = trial.figures
    if figures is None:
        return facts
    return {
        **facts,
        "quality": {name: _describe_drop(trial.name, judged) for name, judged in figures.drops.items()},
        "inside": list(figures.inside),
        "latency": {
            load: {
                "speedup": speedup.speedup,
                "speedup_interval": list(speedup.claimed_interval),
                "noise_floor": speedup.noise_floor,
                "duel_rounds": speedup.rounds,
            }
            for load, speedup in figures.speedups.items()
        },
        "artifact_bytes": figures.bytes,
        "compression_ratio": figures.compression,
        "build_seconds": figures.seconds,
        "from_store": figures.from_store,
    }


def _describe_drop(name: str, judged: QualityJudgement) -> dict[str, Any]:
    facts = quality_facts(judged, message(name, judged), measured=format_now())
    return facts.model_dump(mode="json")
