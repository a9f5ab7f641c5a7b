"""The chosen step lists as a suite file that extends the searched one, for the gate to judge."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, RootModel

from slimgate._system.toml import toml_key, toml_value
from slimgate.cli.tune.front import Chosen
from slimgate.cli.tune.trial import Trial
from slimgate.errors import DataError
from slimgate.report.figures import drop_words, megabytes, to_fixed
from slimgate.suite.reader import Reader
from slimgate.suite.suite import TEACHER, Suite
from slimgate.suite.tune_space import Json, Tier

HEADER = "# Written by slimgate tune"


def names_of(chosen: Sequence[Chosen], suite: Suite) -> list[str]:
    """tuned-1, tuned-2, …, without names that the suite already has."""
    free = (f"tuned-{i}" for i in range(1, len(chosen) + len(suite.variants) + 1))
    return [name for name in free if name not in suite.variants][: len(chosen)]


def check_free(path: Path) -> None:
    """Raises DataError for a file that tune did not write, or whose folder is missing."""
    if not path.parent.is_dir():
        raise DataError(f"{path}: there is no folder {path.parent}")
    if path.exists() and not path.read_text("utf-8", errors="replace").startswith(HEADER):
        raise DataError(f"{path}: was not written by slimgate tune; name another file by --out")


def suite_text(
    suite: Suite, reader: Reader, chosen: Sequence[Chosen], path: Path, *, rows: int, summary: str
) -> str:
    """The file's text. path: of the future file; rows: of selection; summary: why the search ended."""
    extends = Path(os.path.relpath(suite.path, path.parent)).as_posix()
    lines = [
        f"{HEADER} from {suite.path.name}: {summary}.",
        f"# Chosen on the {rows:,} rows of selection, which flatters what is chosen; the gate judges:",
        f"# pytest {path.name}",
        "[suite]",
        f"title = {toml_value(f'{suite.title} (tuned)')}",
        f"extends = {toml_value(extends)}",
        "opt_in = true",
    ]
    assert suite.tuning is not None
    for name, choice in zip(names_of(chosen, suite), chosen, strict=True):
        tier = suite.tuning.tiers[choice.tier]
        lines += [
            "",
            *_describe_trial(choice),
            f"[variants.{name}]",
            *_variant(choice.trial, reader, path.parent),
        ]
        if tier.stated is not None:
            lines += ["", f"[budgets.variants.{name}]", *_budgets(tier)]
    return "\n".join(lines) + "\n"


def _describe_trial(choice: Chosen) -> Iterator[str]:
    """A trial's results on selection, as comments."""
    figures = choice.trial.figures
    assert figures is not None
    drops = [
        f"{name} {drop_words(judged.drop_points, judged.interval, unit=judged.unit)}"
        for name, judged in figures.drops.items()
    ]
    speeds = [
        f"{load} at least {to_fixed(s.claimed_interval[0], 2)}×" for load, s in figures.speedups.items()
    ]
    yield f"# {choice.trial.name}: {'; '.join(drops)}"
    yield f"# {', '.join(speeds) or 'not timed'}; {megabytes(figures.bytes)} MB"
    if not choice.inside:
        yield "# Not inside its budget on selection: the one that came nearest."


def _variant(trial: Trial, reader: Reader, folder: Path) -> Iterator[str]:
    space = trial.space
    if space.parent != TEACHER:
        yield f"from = {toml_value(space.parent)}"
    yield "steps = ["
    for step in trial.steps:
        [(name, options)] = step.items()
        params = reader.read_step(step, ("tune", "space", space.number)).params
        yield f"  {{ {toml_key(name)} = {toml_value(_from_folder(options, params, folder))} }},"
    yield "]"
    if space.runtime is not None:
        yield f"runtime = {toml_value(space.runtime)}"


def _from_folder(written: Any, meant: Any, folder: Path) -> Any:
    """An option as it was written; paths in it become relative to the folder of the new file."""
    if isinstance(meant, BaseModel):
        # not as JSON, because options may write paths in another form there
        meant = meant.root if isinstance(meant, RootModel) else dict(meant)
    if isinstance(written, str) and isinstance(meant, tuple) and len(meant) == 1:
        meant = meant[0]  # a single file may be written without a list
    if isinstance(meant, Path) and isinstance(written, str):
        return Path(os.path.relpath(meant, folder)).as_posix()
    if isinstance(written, Mapping) and isinstance(meant, Mapping):
        return {key: _from_folder(value, meant.get(key), folder) for key, value in written.items()}
    if isinstance(written, tuple) and isinstance(meant, list | tuple) and len(written) == len(meant):
        return [
            _from_folder(written_path, other, folder)
            for written_path, other in zip(written, meant, strict=True)
        ]
    return written


def _budgets(tier: Tier) -> Iterator[str]:
    stated: Json = tier.stated or {}
    for name, table in stated.items():
        yield f"{toml_key(name)} = {toml_value(table)}"
