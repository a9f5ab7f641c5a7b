"""The loads of two load tests, matched by name and checked: comparable, or refused."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from slimgate.errors import DataError, SuiteError, format_suggestion
from slimgate.plugins.reader import LOAD, OF_LOADS, PROMPT, LoadRequest, LoadRun, Log

# Up to this share of a run's requests may fail, and as many may be unfinished; with more, the other times do
# not describe the server.
MOST_FAILED = 0.05
_CUT = LoadRequest(failed="cut off or cancelled")
# Prompts, and answers, count as equally long up to this difference.
ALIKE = 0.05
_MANY = 3


class LoadPair(NamedTuple):
    """One load in the base, the target, and the base again, if there is such a run."""

    name: str
    base: LoadRun
    target: LoadRun
    repeat: LoadRun | None

    @property
    def target_requests(self) -> tuple[LoadRequest, ...]:
        """The target's requests, with the unfinished ones as slower than all others, as if they had failed.

        A run that ends early cuts off its slow requests, so leaving these out would make the target look fast.
        For the same reason those of the base are left out: counting them would make the base look slow.
        """
        return self.target.requests + (_CUT,) * self.target.unfinished


def check_load_options(allowed: Collection[str]) -> None:
    """Raises SuiteError for a name that is not a difference of load tests."""
    for name in allowed:
        if name not in OF_LOADS:
            near = format_suggestion(name, OF_LOADS)
            raise SuiteError(f"--allow {name}: load tests differ in {' or '.join(OF_LOADS)}{near}")


def pair_loads(base: Log, target: Log, repeat: Log | None, allowed: Collection[str]) -> list[LoadPair]:
    """Every load of the base. Raises DataError if the tests differ, or too many requests failed."""
    other_runs = [run for run in (target, repeat) if run is not None]
    for other in other_runs:
        if other.loads.keys() != base.loads.keys():
            raise DataError(
                f"{other.shown} has the loads {_listed(other)}, expected those of {base.shown}: "
                f"{_listed(base)}"
            )
    for log in (base, *other_runs):
        for name, run in log.loads.items():
            _refuse_failures(log.shown, name, run)
            _refuse_unfinished(log.shown, name, run)
    for other in other_runs:
        for name, run in base.loads.items():
            _refuse_differences(base.shown, other.shown, name, run, other.loads[name], allowed)
    return [
        LoadPair(name, run, target.loads[name], None if repeat is None else repeat.loads[name])
        for name, run in base.loads.items()
    ]


def _listed(log: Log) -> str:
    return ", ".join(log.loads)


def failures(run: LoadRun) -> int:
    """How many of the requests failed."""
    return sum(request.failed is not None for request in run.requests)


def _refuse_failures(file: str, name: str, run: LoadRun) -> None:
    failed, total = failures(run), len(run.requests)
    if not total:
        raise DataError(f"{file}: load {name} has no request")
    if failed > MOST_FAILED * total:
        first = next(request.failed for request in run.requests if request.failed is not None)
        raise DataError(
            f"{file}: {failed:,} of {total:,} requests of load {name} failed ({first}); expected at most "
            f"{100 * MOST_FAILED:g} %, because with more failures the other times say little"
        )


def _refuse_unfinished(file: str, name: str, run: LoadRun) -> None:
    total = len(run.requests) + run.unfinished
    if run.unfinished > MOST_FAILED * total:
        raise DataError(
            f"{file}: {run.unfinished:,} of {total:,} requests of load {name} were cut off by the end of the "
            f"run or cancelled; expected at most {100 * MOST_FAILED:g} %, because these are the slow ones; "
            "run it for longer, or until all requests are answered"
        )


def _refuse_differences(
    base_file: str, file: str, name: str, base: LoadRun, other: LoadRun, allowed: Collection[str]
) -> None:
    if LOAD not in allowed and base.settings != other.settings:
        keys = sorted({*base.settings, *other.settings})
        differ = [
            f"{key} {other.settings.get(key)} for {base.settings.get(key)}"
            for key in keys
            if base.settings.get(key) != other.settings.get(key)
        ]
        raise DataError(
            f"{file} has another load than {base_file}, {name}: {'; '.join(differ[:_MANY])}; --allow "
            f"{LOAD} compares them anyway"
        )
    before, after = (_mean(run.requests, "prompt_tokens") for run in (base, other))
    if PROMPT not in allowed and not _alike(before, after):
        raise DataError(
            f"{file}: prompts of load {name} have {after:.1f} tokens on average, and {before:.1f} in "
            f"{base_file}: expected the same prompts; --allow {PROMPT} compares them anyway"
        )


def describe_lengths(pairs: Sequence[LoadPair]) -> Iterator[str]:
    """Loads whose answers differ in length between base and target, which changes the time of answers."""
    for pair in pairs:
        before, after = (_mean(run.requests, "tokens") for run in (pair.base, pair.target))
        if not _alike(before, after):
            yield (
                f"{pair.name}: answers have {before:.1f} tokens in the base and {after:.1f} in "
                "the target, so complete answers differ in time for that reason too"
            )


def _mean(requests: Sequence[LoadRequest], field: str) -> float:
    values = [getattr(request, field) for request in requests if request.failed is None]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else 0.0


def _alike(before: float, after: float) -> bool:
    return abs(after - before) <= ALIKE * max(before, after)
