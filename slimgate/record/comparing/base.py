"""Whether two records of judged files have another base: a worse base hides what a target lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import exp

from slimgate.judge.score_metric import CONTENTS
from slimgate.plugins.workloads import LoadPart
from slimgate.record.comparing.answers import same_gate_rows
from slimgate.record.comparing.demands import ANSWER, POOLED
from slimgate.record.comparing.metrics import known_metrics
from slimgate.record.run import RunRecord
from slimgate.record.verdicts import Weakening

_MEDIAN, _LEAST_SLOWER = 0.5, 1.1
_PART_WORDS: Mapping[LoadPart, str] = {"answer": "answer", "ttft": "first token", "tpot": "later token"}


def describe_other_base(old: RunRecord, new: RunRecord) -> Iterator[str]:
    """A note if the base has other figures in the new record."""
    yield from (f"{change[0].upper()}{change[1:]}." for change in _list_slower(old, new))
    changes = [f"{name} was {was:.4g} and is {now:.4g}" for name, was, now in _list_changes(old, new)]
    if changes:
        yield f"The base is another one: its {', '.join(changes)}."


def find_worse_base(old: RunRecord, new: RunRecord, *, accepted: str | None) -> list[Weakening]:
    """A weakening for each metric with a budget of which the base has a worse value now, or other scores for
    the same answers.

    Where the direction of a metric is not known, any other value counts. accepted: the reason for which the
    new record was accepted with all of its changes.
    """
    slower = [
        Weakening(about="settings", change=change, reason=accepted) for change in _list_slower(old, new)
    ]
    if slower:
        return slower
    changes = list(_list_changes(old, new))
    if not changes:  # as for all suites of models, whose metrics may be slow to import
        return []
    rescored = _list_rescored(old, new)
    metrics, slices = known_metrics(old), (old.task.params or {}).get("slices", {})
    limited = {name for model in new.variants[1:] for name, facts in model.quality.items() if facts.budgets}
    weaker = []
    for name, was, now in changes:
        metric = metrics.get(slices[name]["of"] if name in slices else name)
        better_when_higher = True if name == POOLED else metric and metric.higher_is_better
        if name in limited and name in rescored:
            change = (
                f"the base's answers are the same, and {name} was {was:.4g} and is {now:.4g}: they are "
                "scored by other rules"
            )
            weaker.append(Weakening(about="settings", change=change, reason=accepted))
        elif name in limited and better_when_higher in (None, now < was):
            change = f"the base is another one: its {name} was {was:.4g} and is {now:.4g}"
            weaker.append(Weakening(about="settings", change=change, reason=accepted))
    return weaker


def _list_slower(old: RunRecord, new: RunRecord) -> Iterator[str]:
    """For load tests, each median of the base that is slower now than two runs of the base differ.

    A slower base makes every target look faster. Servers of different days differ more than two runs of one
    day do, so less than 10 % never counts.
    """
    medians = _base_medians(old)
    for key, (now, noise) in _base_medians(new).items():
        was, earlier_noise = medians.get(key, (now, 0.0))
        if now > was * max(_LEAST_SLOWER, exp(max(noise, earlier_noise))):
            load, part = key
            yield f"the base is slower: its {load} {part} p50 was {was:.4g} ms and is {now:.4g} ms"


def _base_medians(record: RunRecord) -> dict[tuple[str, str], tuple[float, float]]:
    """(load, part) -> the base's median in ms, and the noise floor on the log scale (0: not known)."""
    return {
        (load, _PART_WORDS[ratio.part]): (ratio.base, ratio.noise_floor or 0.0)
        for model in record.variants[1:]
        for load, facts in model.load_tests.items()
        for ratio in facts.times
        if ratio.quantile == _MEDIAN
    }


def _list_rescored(old: RunRecord, new: RunRecord) -> set[str]:
    """The comparisons of logs for which the base gave the same answers to all samples in both records."""

    def digests(record: RunRecord) -> dict[str, str]:
        params = record.task.params or {}
        contents = params.get(CONTENTS, {})
        return {
            comparison["name"]: contents[comparison[CONTENTS]][ANSWER]
            for comparison in params.get("comparisons", [])
            if ANSWER in contents.get(comparison.get(CONTENTS), {})
        }

    before, after = digests(old), digests(new)
    return {name for name, digest in before.items() if after.get(name) == digest}


def _list_changes(old: RunRecord, new: RunRecord) -> Iterator[tuple[str, float, float]]:
    """Metric, old value and new value, for values of the same rows that are computed in the same way."""
    positives = [(record.task.params or {}).get("positive") for record in (old, new)]
    same_kind = old.task.is_of_files and old.task.kind == new.task.kind
    if not same_kind or not same_gate_rows(old, new) or positives[0] != positives[1]:
        return
    before, after = old.variants[0].quality, new.variants[0].quality
    for name, facts in before.items():
        if name in after and after[name].value != facts.value:
            yield name, facts.value, after[name].value
