"""Whether two records of judged files have another base: a worse base hides what a target lost."""

from __future__ import annotations

from collections.abc import Iterator

from slimgate.record.comparing.answers import same_gate_rows
from slimgate.record.comparing.demands import POOLED
from slimgate.record.comparing.metrics import known_metrics
from slimgate.record.run import RunRecord
from slimgate.record.verdicts import Weakening


def describe_other_base(old: RunRecord, new: RunRecord) -> Iterator[str]:
    """A note if the base has other figures in the new record."""
    changes = [f"{name} was {was:.4g} and is {now:.4g}" for name, was, now in _list_changes(old, new)]
    if changes:
        yield f"The base is another one: its {', '.join(changes)}."


def find_worse_base(old: RunRecord, new: RunRecord, *, accepted: str | None) -> list[Weakening]:
    """A weakening for each metric with a budget of which the base has a worse value now.

    Where the direction of a metric is not known, any other value counts. accepted: the reason for which the
    new record was accepted with all of its changes.
    """
    changes = list(_list_changes(old, new))
    if not changes:  # as for all suites of models, whose metrics may be slow to import
        return []
    metrics, slices = known_metrics(old), (old.task.params or {}).get("slices", {})
    limited = {name for model in new.variants[1:] for name, facts in model.quality.items() if facts.budgets}
    weaker = []
    for name, was, now in changes:
        metric = metrics.get(slices[name]["of"] if name in slices else name)
        better_when_higher = True if name == POOLED else metric and metric.higher_is_better
        if name in limited and better_when_higher in (None, now < was):
            change = f"the base is another one: its {name} was {was:.4g} and is {now:.4g}"
            weaker.append(Weakening(about="settings", change=change, reason=accepted))
    return weaker


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
