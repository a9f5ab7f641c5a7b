"""The output of `slimgate tune`: a table with its lines, JSON, and a suite file of the chosen step lists.

The suite file extends the searched one, for the gate to judge.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, RootModel
from tabulate import tabulate

from slimgate._system.escape import escape_invisible
from slimgate._system.files import probe_folder
from slimgate._system.number_text import MISSING, format_duration, format_fixed, format_megabytes
from slimgate._system.toml import format_toml_key, format_toml_value
from slimgate.cli.tune.measuring import Measurements, State, Trial
from slimgate.cli.tune.proposing import format_steps
from slimgate.cli.tune.search import Chosen, Searched, find_pareto_front, holds_by_budget
from slimgate.errors import DataError
from slimgate.judge.facts import make_quality_facts
from slimgate.judge.message import format_message
from slimgate.judge.verdict import QualityJudgement
from slimgate.plugins.base import Json
from slimgate.report.figures import format_drop_words
from slimgate.results.checks import TEACHER
from slimgate.suite.reader import Reader
from slimgate.suite.suite import Suite
from slimgate.suite.tune_space import Tier

HEADER = "# Written by slimgate tune"
_WORDS = {
    State.TIMED: "timed",
    State.BEYOND: "outside every budget",
    State.FAILED: "failed",
    State.IMPOSSIBLE: "impossible",
}


def format_trial(trial: Trial) -> str:
    """The steps and the result of a trial.

    Example: `trial-3 keep_layers [0, 2]: accuracy drop 0.3 [-0.5, 1.2]; at least 3.40×; 12.1 MB`.
    """
    return f"{trial.name} {format_steps(trial.steps)}: {_format_result(trial)}"


def _format_result(trial: Trial) -> str:
    if trial.figures is None:
        return f"{trial.state}: {trial.reason}"
    parts = [f"{name} {cell}" for name, cell in _format_drops(trial.figures).items()]
    if trial.state is State.TIMED:
        parts.append(f"at least {format_fixed(trial.speed, 2)}×")
    parts.append(f"{format_megabytes(trial.figures.bytes)} MB")
    return "; ".join(parts if trial.reason is None else [*parts, trial.reason])


def format_search(
    suite: Suite, searched: Searched, chosen: Mapping[str, Chosen], out: Path, *, everything: bool
) -> str:
    """The front, or all trials, then the written file and why the search ended. chosen: by new name."""
    front = find_pareto_front(searched.trials)
    listed = [t for t in searched.trials if t.figures] if everything else front
    blocks = [_format_table(suite, listed, front, chosen)] if listed else []
    if everything:
        other_trials = [format_trial(t) for t in searched.trials if t.figures is None]
        blocks += ["\n".join(other_trials)] if other_trials else []
    blocks.append("\n".join(_describe_ending(suite, searched, chosen, out)))
    # Escaped, so that no text of a suite can control a terminal.
    return "\n".join(map(escape_invisible, "\n\n".join(blocks).split("\n")))


def _format_table(
    suite: Suite, trials: Sequence[Any], front: list[Trial], chosen: Mapping[str, Chosen]
) -> str:
    metrics = list(dict.fromkeys(name for t in trials for name in t.figures.drops))
    loads = [workload.id for workload in suite.workloads]
    names = {choice.trial.number: name for name, choice in chosen.items()}
    rows = []
    for trial in trials:
        drops, speedups = _format_drops(trial.figures), trial.figures.speedups
        rows.append(
            [
                trial.name + ("*" if trial in front else ""),
                names.get(trial.number, MISSING),
                format_steps(trial.steps),
                *(drops.get(name, MISSING) for name in metrics),
                *(
                    f"{format_fixed(speedups[load].claimed_interval[0], 2)}×" if load in speedups else MISSING
                    for load in loads
                ),
                format_megabytes(trial.figures.bytes),
                format_duration(trial.figures.seconds),
            ]
        )
    headers = ["trial", "written as", "steps", *metrics, *(f"{load}, at least" for load in loads)]
    headers += ["MB", "built in"]
    return tabulate(rows, headers=headers, disable_numparse=True)


def _format_drops(figures: Measurements) -> dict[str, str]:
    return {
        name: format_drop_words(judged.drop_points, judged.interval, unit=judged.unit) or MISSING
        for name, judged in figures.drops.items()
    }


def _describe_ending(suite: Suite, searched: Searched, chosen: Mapping[str, Chosen], out: Path) -> list[str]:
    assert suite.tuning is not None
    states = [trial.state for trial in searched.trials]
    counts = ", ".join(f"{states.count(state)} {_WORDS[state]}" for state in State if state in states)
    lines = [
        f"{len(states)} step lists in {format_duration(searched.seconds)} ({counts or 'none'}): "
        f"{searched.stopped}"
    ]
    tiers = suite.tuning.tiers
    for tier, holds in zip(tiers, holds_by_budget(list(chosen.values()), tiers=len(tiers)), strict=True):
        if not holds:
            budget = format_toml_value(tier.stated) if tier.stated else "the suite's budgets"
            lines.append(f"inside {budget}: none on selection")
    if chosen:
        lines.append(f"{out}: {', '.join(chosen)}; {_describe_gate(suite, out)}")
    else:
        lines.append("nothing was written: no step list was built and judged")
    return lines


def _describe_gate(suite: Suite, out: Path) -> str:
    """How to judge the chosen trials. A baseline belongs to one suite, so the new file has none."""
    if suite.baseline is None and not suite.since_baseline:
        return f"next: pytest {out}"
    return (
        f"it has the [budgets.baseline] of {suite.shown} but no baseline, so pytest cannot run it: move its "
        f"variants to {suite.shown}"
    )


def format_search_json(suite: Suite, searched: Searched, chosen: Mapping[str, Chosen], out: Path) -> str:
    """Every trial with all its measurements."""
    content = {
        "suite": suite.shown,
        "split": "selection",
        "stopped": searched.stopped,
        "seconds": round(searched.seconds, 3),
        "trials": [_make_facts(trial) for trial in searched.trials],
        "front": [trial.name for trial in find_pareto_front(searched.trials)],
        "chosen": [
            {"variant": name, "trial": choice.trial.name, "budget": choice.tier, "inside": choice.inside}
            for name, choice in chosen.items()
        ],
        "file": str(out) if chosen else None,
    }
    return json.dumps(content, indent=1, ensure_ascii=False)


def _make_facts(trial: Trial) -> dict[str, Any]:
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
    """The judgement as run.json has it, without a time: trials of the store were not measured now."""
    return make_quality_facts(judged, format_message(name, judged), measured="").model_dump(
        mode="json", exclude={"measured"}
    )


def choose_names(chosen: Sequence[Chosen], suite: Suite) -> list[str]:
    """tuned-1, tuned-2, …, without names that the suite already has."""
    free = (f"tuned-{i}" for i in range(1, len(chosen) + len(suite.variants) + 1))
    return [name for name in free if name not in suite.variants][: len(chosen)]


def check_free(path: Path, suite: Path) -> None:
    """Raises DataError for a file that tune did not write from this suite, or that cannot be written.

    A file of another search may be the suite itself or one that it extends, and would extend itself.
    """
    if not path.parent.is_dir():
        raise DataError(f"{path}: there is no folder {path.parent}")
    header = f"{HEADER} from {suite.name}:"
    if path.exists() and not path.read_text("utf-8", errors="replace").startswith(header):
        raise DataError(
            f"{path}: slimgate tune did not write this file from {suite.name} and does not replace it; name "
            "another file with --out"
        )
    try:
        probe_folder(path.parent)
    except OSError as error:
        raise DataError(f"{path}: no file can be written there: {error.strerror}") from error


def format_tuned_suite(
    suite: Suite, reader: Reader, chosen: Sequence[Chosen], path: Path, *, rows: int, summary: str
) -> str:
    """The file's text. path: of the future file; rows: of selection; summary: why the search ended."""
    extends = Path(os.path.relpath(suite.path, path.parent)).as_posix()
    lines = [
        f"{HEADER} from {suite.path.name}: {summary}.",
        f"# Chosen on the {rows:,} rows of selection, so these figures look better than they are. To judge",
        "# the variants on the gate rows, run this suite with pytest.",
        "[suite]",
        f"title = {format_toml_value(f'{suite.title} (tuned)')}",
        f"extends = {format_toml_value(extends)}",
        "opt_in = true",
    ]
    assert suite.tuning is not None
    for name, choice in zip(choose_names(chosen, suite), chosen, strict=True):
        tier = suite.tuning.tiers[choice.tier]
        lines += [
            "",
            *_describe_trial(choice),
            f"[variants.{name}]",
            *_format_variant(choice.trial, reader, path.parent),
        ]
        if tier.stated is not None:
            lines += ["", f"[budgets.variants.{name}]", *_format_budgets(tier)]
    return "\n".join(lines) + "\n"


def _describe_trial(choice: Chosen) -> Iterator[str]:
    """A trial's results on selection, as comments."""
    figures = choice.trial.figures
    assert figures is not None
    drops = [
        f"{name} {format_drop_words(judged.drop_points, judged.interval, unit=judged.unit)}"
        for name, judged in figures.drops.items()
    ]
    speeds = [
        f"{load} at least {format_fixed(s.claimed_interval[0], 2)}×" for load, s in figures.speedups.items()
    ]
    yield f"# {choice.trial.name}: {'; '.join(drops)}"
    yield f"# {', '.join(speeds) or 'not timed'}; {format_megabytes(figures.bytes)} MB"
    if not choice.inside:
        yield "# No trial is inside this budget on selection: this one came nearest."


def _format_variant(trial: Trial, reader: Reader, folder: Path) -> Iterator[str]:
    space = trial.space
    if space.parent != TEACHER:
        yield f"from = {format_toml_value(space.parent)}"
    yield "steps = ["
    for step in trial.steps:
        [(name, options)] = step.items()
        params = reader.read_step(step, ("tune", "space", space.number)).params
        value = format_toml_value(_make_paths_relative(options, params, folder))
        yield f"  {{ {format_toml_key(name)} = {value} }},"
    yield "]"
    if space.runtime is not None:
        yield f"runtime = {format_toml_value(space.runtime)}"


def _make_paths_relative(written: Any, meant: Any, folder: Path) -> Any:
    """An option as it was written; paths in it become relative to the folder of the new file."""
    if isinstance(meant, BaseModel):
        # not as JSON, because options may write paths in another form there
        meant = meant.root if isinstance(meant, RootModel) else dict(meant)
    if isinstance(written, str) and isinstance(meant, tuple) and len(meant) == 1:
        meant = meant[0]  # a single file may be written without a list
    if isinstance(meant, Path) and isinstance(written, str):
        return Path(os.path.relpath(meant, folder)).as_posix()
    if isinstance(written, Mapping) and isinstance(meant, Mapping):
        return {key: _make_paths_relative(value, meant.get(key), folder) for key, value in written.items()}
    if isinstance(written, tuple) and isinstance(meant, list | tuple) and len(written) == len(meant):
        return [
            _make_paths_relative(written_path, other, folder)
            for written_path, other in zip(written, meant, strict=True)
        ]
    return written


def _format_budgets(tier: Tier) -> Iterator[str]:
    stated: Json = tier.stated or {}
    for name, table in stated.items():
        yield f"{format_toml_key(name)} = {format_toml_value(table)}"
