"""Whether two records have another base or teacher: a worse one hides what a target or a variant lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import exp

from slimgate.budgets.registry import is_in_points
from slimgate.judge.score_metric import ANSWER, CONTENTS
from slimgate.plugins.workloads import LoadPart
from slimgate.record.comparing.answers import has_same_gate_rows
from slimgate.record.comparing.demands import POOLED, is_known_by_files, list_limited, read_positive
from slimgate.record.comparing.metrics import load_known_metrics
from slimgate.record.run import RunRecord
from slimgate.record.verdicts import Weakening

_MEDIAN, _LEAST_SLOWER = 0.5, 1.1
_NOISE_OF_BUDGET = 0.25
_ROUNDING = 1e-9
_PART_WORDS: Mapping[LoadPart, str] = {"answer": "answer", "ttft": "first token", "tpot": "later token"}


def describe_other_base(old: RunRecord, new: RunRecord) -> Iterator[str]:
    """Notes on a base with other figures, and on logs of models with other names."""
    yield from _list_other_models(old, new)
    yield from (f"{change[0].upper()}{change[1:]}." for change in _list_slower(old, new))
    changes = [f"{name} was {was:.4g} and is {now:.4g}" for name, was, now in _list_changes(old, new)]
    if changes:
        yield f"The {_name_base(new)} has changed: its {', '.join(changes)}."


def list_worse_values(old: RunRecord, new: RunRecord) -> list[str]:
    """The changes of `find_worse_base` that running the same base again may cause."""
    return [*_list_slower(old, new), *_list_worse(old, new, tolerant=False)]


def _list_other_models(old: RunRecord, new: RunRecord) -> Iterator[str]:
    """A note for each target whose log states another model than the old log of this target."""
    if not (old.task.is_of_files and new.task.is_of_files):
        return
    before = {model.name: model.parent for model in old.variants}
    for model in new.variants[1:]:
        was, now = before.get(model.name), model.parent
        if None not in (was, now) and was != now:
            yield f'{model.name}: the log is of the model "{now}", and was of "{was}".'


def find_worse_base(
    old: RunRecord, new: RunRecord, *, accepted: str | None, tolerant: bool
) -> list[Weakening]:
    """What makes the base easier to reach: worse values, other rules for its scores, or slower answers.

    Only metrics and times with a budget count. Where the direction of a metric is not known, any other value
    counts. accepted: the reason for all changes of the gate, such as that of the acceptance. tolerant:
    whether a base that is run again may be worse by a quarter of the smallest budget in points. `accept` is
    not tolerant, because the base could then get worse by a quarter in every release.
    """
    worse = [*_list_slower(old, new), *_list_rescored(old, new), *_list_worse(old, new, tolerant=tolerant)]
    return [Weakening(about="settings", change=change, reason=accepted) for change in worse]


def _list_worse(old: RunRecord, new: RunRecord, *, tolerant: bool) -> Iterator[str]:
    """Each metric with a budget of which the base has a worse value now."""
    changes = list(_list_changes(old, new))
    if not changes:  # as for most suites of models, whose metrics may be slow to import
        return
    metrics, slices = load_known_metrics(old), old.task.log_slices
    limits, old_limits = _find_smallest_budgets(new), _find_smallest_budgets(old)
    for name, was, now in changes:
        metric = metrics.get(slices[name]["of"] if name in slices else name)
        better_when_higher = True if name == POOLED else metric and metric.higher_is_better
        is_worse = better_when_higher in (None, now < was)
        if name not in limits or not is_worse:
            continue
        limit = min(limits[name], old_limits.get(name, limits[name])) if tolerant else 0.0
        if abs(now - was) > _NOISE_OF_BUDGET * limit / 100 + _ROUNDING:
            yield f"the {_name_base(new)} has changed: its {name} was {was:.4g} and is {now:.4g}"


def _name_base(record: RunRecord) -> str:
    return "base" if record.task.is_of_files else "teacher"


def _find_smallest_budgets(record: RunRecord) -> dict[str, float]:
    """Metric with a budget -> the smallest limit in points of any target; 0 if a budget has another unit."""
    limits: dict[str, list[float]] = {}
    for model in record.variants[1:]:
        for name, facts in model.quality.items():
            for budget in facts.budgets:
                limit = abs(budget.limit) if is_in_points(budget.kind) else 0.0
                limits.setdefault(name, []).append(limit)
    return {name: min(of_metric) for name, of_metric in limits.items()}


def _list_slower(old: RunRecord, new: RunRecord) -> Iterator[str]:
    """Each time with a budget on the speed-up of which the base's median in load tests is slower now.

    A slower base makes every target look faster. By how much two runs of the new base differ is already part
    of the verdict. Servers of different days differ more than two runs of one day, so less than 10 % never
    counts.
    """
    if not any(model.load_tests for model in new.variants):
        return
    medians = _list_base_medians(old)
    for (load, part), (now, noise) in _list_base_medians(new).items():
        was, _ = medians.get((load, part), (now, 0.0))
        if now > was * max(_LEAST_SLOWER, exp(noise)):
            yield f"the base is slower: its {load} {part} p50 was {was:.4g} ms and is {now:.4g} ms"


def _list_base_medians(record: RunRecord) -> dict[tuple[str, str], tuple[float, float]]:
    """(load, part) -> the base's median in ms, and the noise floor on the log scale (0: not known).

    Only for parts of which a budget limits the speed-up.
    """
    from slimgate.judge.load_tests import PART_OF_SPEEDUP

    medians: dict[tuple[str, str], tuple[float, float]] = {}
    tests = [test for model in record.variants[1:] for test in model.load_tests.items()]
    for load, facts in tests:
        limited_parts = {PART_OF_SPEEDUP.get(budget.kind) for budget in facts.budgets}
        for ratio in facts.times:
            if ratio.quantile == _MEDIAN and ratio.part in limited_parts:
                medians[load, _PART_WORDS[ratio.part]] = ratio.base, ratio.noise_floor or 0.0
    return medians


def _list_rescored(old: RunRecord, new: RunRecord) -> Iterator[str]:
    """Each comparison with a budget in which the base gave the same answers and got other scores."""
    before, after, limited = _list_score_digests(old), _list_score_digests(new), list_limited(new)
    for name, (answers, scores) in after.items():
        was = before.get(name)
        if was is not None and was[0] == answers and was[1] != scores and {name, POOLED} & limited:
            yield f"the base's answers are the same, and its scores of {name} differ: other rules score them"


def _list_score_digests(record: RunRecord) -> dict[str, tuple[str, str]]:
    """Comparison -> digests of the base's answers and of its scores, if the answers decide the scores."""
    params = record.task.params or {}
    return {
        comparison["name"]: (params[CONTENTS][comparison[CONTENTS]][ANSWER], comparison["scores"])
        for comparison in params.get("comparisons", [])
        if "scores" in comparison
    }


def _list_changes(old: RunRecord, new: RunRecord) -> Iterator[tuple[str, float, float]]:
    """Metric, old value and new value, for values of the same rows that are computed in the same way.

    A teacher whose files are compared is left out: they are the same, or the gate is called weaker.
    """
    positives = [read_positive(record) for record in (old, new)]
    same_kind = old.task.kind == new.task.kind and old.task.is_of_files == new.task.is_of_files
    if not same_kind or not has_same_gate_rows(old, new) or positives[0] != positives[1]:
        return
    if not old.task.is_of_files and all(is_known_by_files(record.variants[0]) for record in (old, new)):
        return
    before, after = old.variants[0].quality, new.variants[0].quality
    for name, facts in before.items():
        if name in after and after[name].value != facts.value:
            yield name, facts.value, after[name].value
