"""The results of a target whose tests ran. What was not asked for has no verdict: the record awaits it."""

from __future__ import annotations

from collections.abc import Collection

from slimgate.record import VariantRecord
from slimgate.record.budgets import judged_budgets
from slimgate.record.results import BEHAVIOUR, LOAD_TEST, QUALITY, Result

_BY_NAME = {QUALITY: "quality", LOAD_TEST: "load_tests"}
_FLIPS_AND_SLICES = "flips and slices"


def drop_unchosen(target: VariantRecord, titles: Collection[str]) -> tuple[VariantRecord, int]:
    """The record without the results that have a budget and whose title is none of these; their number."""
    dropped = [result for result in target.results() if result.facts.budgets and result.title not in titles]
    record = target
    for result in dropped:
        record = _drop(record, result)
    names = {judged.name: None for judged in judged_budgets(target)}
    remaining = {judged.name for judged in judged_budgets(record)}
    awaited = [name for name in names if name not in remaining]
    if any(result.kind == BEHAVIOUR for result in dropped):
        awaited.append(_FLIPS_AND_SLICES)
    return record.model_copy(update={"awaited": awaited}), len(dropped)


def _drop(target: VariantRecord, result: Result) -> VariantRecord:
    field = _BY_NAME.get(result.kind)
    if field is None:
        return target.model_copy(update={result.kind: None})
    results = {name: facts for name, facts in getattr(target, field).items() if name != result.name}
    return target.model_copy(update={field: results})
