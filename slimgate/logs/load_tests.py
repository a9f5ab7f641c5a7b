"""The loads of two load tests, matched by name and checked: comparable, or refused.

The lengths of prompts, and of answers, are compared on the whole and not one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from math import inf
from typing import NamedTuple

import numpy as np

from slimgate.errors import DataError, SuiteError, format_suggestion
from slimgate.judge.load_tests import list_part_times
from slimgate.outcomes import Floats
from slimgate.plugins.reader import (
    ANSWERS,
    COMPARED_IN_LOADS,
    LOAD,
    PROMPT,
    UNFINISHED,
    LoadRequest,
    LoadRun,
    Log,
)
from slimgate.plugins.workloads import LOAD_PARTS, LoadPart

# Up to this share of a run's requests may fail, and as many may be unfinished; with more, the other times do
# not describe the server.
MOST_FAILED = 0.05
# Lengths are alike up to this difference.
ALIKE = 0.05
# No smaller model is this much faster: one file has another unit, or a cache answered.
_MOST_FASTER = 100
_CUT = LoadRequest(failed="cut off or cancelled")
_MANY = 3


class LoadPair(NamedTuple):
    """One load in the base, the target, and the base again, if there is such a run.

    accepted: the kinds of differences that the runs have, and that are allowed.
    """

    name: str
    base: LoadRun
    target: LoadRun
    repeat: LoadRun | None
    accepted: frozenset[str] = frozenset()

    @property
    def target_requests(self) -> tuple[LoadRequest, ...]:
        """The target's requests, with the unfinished ones as slower than all others, as if they had failed.

        A run that ends early cuts off its slow requests, so leaving these out flatters the target.
        For the same reason those of the base are left out: counting them would make the base look slow.
        """
        return self.target.requests + (_CUT,) * self.target.unfinished


def check_allowed_in_loads(allowed: Collection[str]) -> None:
    """Raises SuiteError for a name that is not a difference of load tests."""
    for name in allowed:
        if name not in COMPARED_IN_LOADS:
            near = format_suggestion(name, COMPARED_IN_LOADS)
            raise SuiteError(
                f"--allow {name}: load tests differ in {', '.join(COMPARED_IN_LOADS[:-1])} or "
                f"{COMPARED_IN_LOADS[-1]}{near}"
            )


def pair_loads(base: Log, target: Log, repeat: Log | None, allowed: Collection[str]) -> list[LoadPair]:
    """Every load of the base. Raises DataError if the tests differ, or too many requests failed.

    allowed: the kinds of differences that are accepted.
    """
    accepted: dict[str, set[str]] = {name: set() for name in base.loads}

    def check(kind: str, name: str, refuse: Callable[[], None]) -> None:
        try:
            refuse()
        except DataError:
            if kind not in allowed:
                raise
            accepted[name].add(kind)

    other_runs = [run for run in (target, repeat) if run is not None]
    _check_same_loads(base, other_runs)
    for log in (base, *other_runs):
        for name, run in log.loads.items():
            _refuse_times(log.shown, name, run)
            _refuse_failures(log.shown, name, run)
            check(UNFINISHED, name, partial(_refuse_unfinished, log.shown, name, run))
    for other in other_runs:
        for name, run in base.loads.items():
            files, runs = (base.shown, other.shown), (run, other.loads[name])
            check(LOAD, name, partial(_refuse_other_load, files, name, *runs))
            check(PROMPT, name, partial(_refuse_other_prompts, files, name, *runs))
    if ANSWERS in allowed:
        for name, run in base.loads.items():
            if _describe_other_answers(run, target.loads[name], median=True):
                accepted[name].add(ANSWERS)
    repeats = {} if repeat is None else repeat.loads
    return [
        LoadPair(name, run, target.loads[name], repeats.get(name), frozenset(accepted[name]))
        for name, run in base.loads.items()
    ]


def _check_same_loads(base: Log, logs: Sequence[Log]) -> None:
    for log in logs:
        if log.loads.keys() != base.loads.keys():
            raise DataError(
                f"{log.shown} has the loads {', '.join(log.loads)}, expected those of {base.shown}: "
                f"{', '.join(base.loads)}"
            )


def count_failures(run: LoadRun) -> int:
    """How many of the requests failed."""
    return sum(request.failed is not None for request in run.requests)


def _refuse_failures(file: str, name: str, run: LoadRun) -> None:
    failed, total = count_failures(run), len(run.requests)
    if not total:
        raise DataError(f"{file}: load {name} has no request")
    if failed > MOST_FAILED * total:
        first = next(request.failed for request in run.requests if request.failed is not None)
        raise DataError(
            f"{file}: {failed:,} of {total:,} requests of load {name} failed ({first}); expected at most "
            f"{100 * MOST_FAILED:g} %, because with more failures the times of the other requests are not "
            "reliable"
        )


def _refuse_times(file: str, name: str, run: LoadRun) -> None:
    """Raises DataError for a time that cannot be: sorted, it would count as a fast or slow one."""
    for number, request in enumerate(run.requests, start=1):
        for time in (request.first, request.between, request.total):
            if time is not None and not 0 <= time < inf:
                raise DataError(
                    f"{file}: request {number} of load {name} has a time of {time:g} ms, expected a finite "
                    "number of at least 0; run the test again"
                )


def _refuse_unfinished(file: str, name: str, run: LoadRun) -> None:
    total = len(run.requests) + run.unfinished
    if run.unfinished > MOST_FAILED * total:
        raise DataError(
            f"{file}: {run.unfinished:,} of {total:,} requests of load {name} were cut off by the end of the "
            f"run or by the client; expected at most {100 * MOST_FAILED:g} %, because slow requests "
            "are cut off first; run it until all are answered, without cancellation; "
            f"--allow {UNFINISHED} judges it anyway"
        )


def _refuse_other_load(files: tuple[str, str], name: str, base: LoadRun, other: LoadRun) -> None:
    """Raises DataError for other settings, another queue, or times in another unit. files: base and other."""
    base_file, file = files
    if base.settings != other.settings:
        keys = sorted({*base.settings, *other.settings})
        pairs = {key: [run.settings.get(key, "not stated") for run in (other, base)] for key in keys}
        differ = [f"{key} {now}, {was} in the base" for key, (now, was) in pairs.items() if now != was]
        raise DataError(
            f"{file} has another load than {base_file}, {name}: {'; '.join(differ[:_MANY])}; --allow "
            f"{LOAD} compares them anyway"
        )
    if not _is_as_busy(base, other):
        raise DataError(
            f"{file} has another load than {base_file}, {name}: {_count_sent(other):,} requests for "
            f"{_count_sent(base):,}, and fewer requests make a shorter queue; send the same number; --allow "
            f"{LOAD} compares them anyway"
        )
    _refuse_unlike_times(files, name, base, other)


def _refuse_other_prompts(files: tuple[str, str], name: str, base: LoadRun, other: LoadRun) -> None:
    """Raises DataError for prompts of other lengths, or of unknown lengths. files: base and other."""
    base_file, file = files
    before, after = _read_prompt_lengths(base), _read_prompt_lengths(other)
    for path, lengths in ((base_file, before), (file, after)):
        if lengths is None:
            raise DataError(
                f"{path}: it lacks the prompt lengths of load {name}, expected those of at least "
                f"{100 * (1 - MOST_FAILED):g} % of the requests; --allow {PROMPT} compares it anyway"
            )
    if before is not None and after is not None and not is_alike(before, after):
        raise DataError(
            f"{file}: prompts of load {name} have {_describe_lengths(before, after)}: expected the "
            f"prompts of {base_file}; --allow {PROMPT} compares them anyway"
        )


def _refuse_unlike_times(files: tuple[str, str], name: str, base: LoadRun, other: LoadRun) -> None:
    """Raises DataError if the median times of a part differ by more than _MOST_FASTER."""
    base_file, file = files
    for part in LOAD_PARTS:
        times = [list_part_times(run.requests, part) for run in (base, other)]
        if not all(np.isfinite(part_times).any() for part_times in times):
            continue
        was, now = (float(np.median(part_times[np.isfinite(part_times)])) for part_times in times)
        if max(was, now) > _MOST_FASTER * min(was, now):
            raise DataError(
                f"{file}: the median time of {part} of load {name} is {now:.3g} ms, and {was:.3g} ms in "
                f"{base_file}; expected times that differ by a factor of at most {_MOST_FASTER}: one of the "
                f"files has another unit, or a cache answered; --allow {LOAD} compares them anyway"
            )


def _count_sent(run: LoadRun) -> int:
    return len(run.requests) + run.unfinished


def _is_as_busy(base: LoadRun, other: LoadRun) -> bool:
    """Whether the number of requests makes as long a queue in both.

    Without a limit of users all requests may be open at once, so there must be as many. At a rate their
    number may vary by ALIKE. With a limit, a run starts with one request per user, and these do not wait for
    others; `other` must not have a larger share of them.
    """
    sent = _count_sent(base), _count_sent(other)
    at_once = [
        n if run.users is None else min(n, run.users) for n, run in zip(sent, (base, other), strict=True)
    ]
    if abs(at_once[1] - at_once[0]) > (0 if base.rate is None else ALIKE * max(at_once)):
        return False
    early = [(users - 1) / n for users, n in zip(at_once, sent, strict=True)]
    return early[1] - early[0] <= ALIKE


def _read_prompt_lengths(run: LoadRun) -> Floats | None:
    """Of all requests; None if too many answered requests lack theirs."""
    missing = sum(request.failed is None and request.prompt_tokens is None for request in run.requests)
    if missing > MOST_FAILED * len(run.requests):
        return None
    known = [request.prompt_tokens for request in run.requests if request.prompt_tokens is not None]
    return np.asarray(known, dtype=np.float64)


def describe_answers(pairs: Sequence[LoadPair]) -> Iterator[str]:
    """Loads whose answers differ in length between base and target, which changes the time of answers."""
    for pair in pairs:
        if (difference := _describe_other_answers(pair.base, pair.target, median=True)) is not None:
            yield f"{pair.name}: {difference}, so complete answers differ in time for that reason too"


def find_open_question(pair: LoadPair, part: LoadPart, allowed: Collection[str]) -> str | None:
    """Why the times of this part cannot show that the target is fast enough; None if they can.

    The times until the first token and from one to the next depend on the work of the server, so the lengths
    of all answers count for them. For complete answers the median length counts too.
    """
    if ANSWERS in allowed:
        return None
    difference = _describe_other_answers(pair.base, pair.target, median=part == "answer")
    return None if difference is None else f"{difference}; --allow {ANSWERS} judges them anyway"


def describe_missing_times(pair: LoadPair, part: LoadPart) -> str | None:
    """Which run has this time for too few of its answers, such as answers of one token; None if none."""
    runs = {"base": pair.base, "target": pair.target, "second run of the base": pair.repeat}
    for name, run in runs.items():
        if run is None:
            continue
        answered = len(run.requests) - count_failures(run)
        timed = int(np.isfinite(list_part_times(run.requests, part)).sum())
        if answered - timed > MOST_FAILED * answered:
            return (
                f"only {timed:,} of {answered:,} answers of the {name} have this time, expected at least "
                f"{100 * (1 - MOST_FAILED):g} %"
            )
    return None


def _describe_other_answers(base: LoadRun, target: LoadRun, *, median: bool) -> str | None:
    before, after = _list_answer_lengths(base), _list_answer_lengths(target)
    if before is None or after is None:
        return "the lengths of the answers are not known"
    if is_alike(before, after, median=median):
        return None
    return f"answers have {_describe_lengths(before, after)}"


def _list_answer_lengths(run: LoadRun) -> Floats | None:
    """In tokens; None if too many answers lack theirs. Empty if the load has no answers."""
    if not run.generates:
        return np.zeros(0)
    answered = [request.tokens for request in run.requests if request.failed is None]
    known = [tokens for tokens in answered if tokens is not None]
    if len(answered) - len(known) > MOST_FAILED * len(answered):
        return None
    return np.asarray(known, dtype=np.float64)


def is_alike(before: Floats, after: Floats, *, median: bool = True) -> bool:
    """Whether the lengths differ by at most ALIKE.

    Both are sorted and compared rank by rank, because half short and half long requests have the mean of
    equal ones. The mean of these differences counts, relative to the longer mean. median: the medians must be
    alike too, because a budget on a median sees only the requests near it.
    """
    if not (len(before) and len(after)):
        return len(before) == len(after)
    if _compute_mean_difference(before, after) > ALIKE * max(before.mean(), after.mean()):
        return False
    medians = np.median(before), np.median(after)
    return not median or bool(abs(medians[1] - medians[0]) <= ALIKE * max(medians))


def _describe_lengths(before: Floats, after: Floats) -> str:
    """What to say of lengths that are not alike."""
    medians = f"{np.median(after):g}, {np.median(before):g} in the base"
    return (
        f"{after.mean():.1f} tokens on average, and {before.mean():.1f} in the base (median {medians}; "
        f"sorted by length they differ by {_compute_mean_difference(before, after):.1f})"
    )


def _compute_mean_difference(before: Floats, after: Floats) -> float:
    """The mean distance of two requests of one rank: the area between the two distribution functions."""
    n = max(len(before), len(after))
    shares = (np.arange(n) + 0.5) / n
    ranked = [np.sort(lengths)[(shares * len(lengths)).astype(int)] for lengths in (before, after)]
    return float(np.abs(ranked[1] - ranked[0]).mean())
