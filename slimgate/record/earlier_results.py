"""Results that a record took over from an earlier run: how many, of when, and of which models."""

from __future__ import annotations

from slimgate.record import CarriedResult, RunRecord, RunVerdict, VariantRecord
from slimgate.record.budgets import only_warns
from slimgate.record.files import TEACHER
from slimgate.record.run_verdict import ERROR, SELF_TEST, results
from slimgate.record.words import format_count, moment


def describe_carried(record: RunRecord) -> str | None:
    """`5 results from 2026-11-20 14:02 UTC`; None where the last run measured all that there is."""
    carried = record.carried_results
    return f"{format_count(len(carried), 'result', 'results')} from {_when(carried)}" if carried else None


def describe_state(record: RunRecord) -> str | None:
    """`partial: 5 results from 2026-11-20 14:02 UTC, 3 checks not run`; None of a record of one whole run."""
    carried, missing = describe_carried(record), record.verdict.missing
    lacks = [f"{format_count(missing, 'check', 'checks')} not run"] if missing else []
    clauses = ", ".join([*([carried] if carried else []), *lacks])
    return f"partial: {clauses}" if clauses else None


def describe_counts(record: RunRecord, counts: RunVerdict) -> str:
    """`1 PASS, 0 FAIL, 1 error, 0 INCONCLUSIVE, 2 not gated`; errors only where there are any."""
    parts = [f"{counts.passed} PASS", f"{counts.failed} FAIL"]
    if counts.errors:
        parts.append(format_count(counts.errors, "error", "errors"))
    # records from before have no `warns`
    fails = not only_warns(record) if counts == record.verdict else counts.fails
    warns = counts.status == "INCONCLUSIVE" and counts.inconclusive and not fails
    parts.append(f"{counts.inconclusive} INCONCLUSIVE" + (", which only warns" if warns else ""))
    return ", ".join([*parts, f"{counts.not_gated} not gated"])


def describe_age(model: VariantRecord) -> str:
    """`, measured 2026-11-20 14:02 UTC`: of a model whose judged results are not all of the last run."""
    judged_keys = [(kind, name) for kind, name, facts in results(model) if facts.verdict is not None]
    judged_keys += [(ERROR, "")] if model.error is not None else []
    old = [result for result in model.carried if (result.kind, result.name) in judged_keys]
    partly = "partly " if len(old) < len(judged_keys) else ""
    return f", {partly}measured {_when(old)}" if old else ""


def status_words(record: RunRecord) -> str:
    """`PASS`; `FAIL, partial` where results are of an earlier run or checks have not run."""
    status = record.verdict.status
    return status if is_whole(record) or status == "partial" else f"{status}, partial"


def carried_by_model(record: RunRecord) -> list[tuple[str, str]]:
    """Of each model that has results of earlier runs its name, and how many of when: `3 results from …`."""
    return [
        (model.name, f"{format_count(len(model.carried), 'result', 'results')} from {_when(model.carried)}")
        for model in record.variants
        if model.carried
    ]


def messages(record: RunRecord) -> list[str]:
    """The verdict's messages; those of an earlier run say when it measured."""
    old = carried_messages(record)
    return [
        f"{text} (carried over, measured {old[text]})" if text in old else text
        for text in record.verdict.messages
    ]


def carried_messages(record: RunRecord) -> dict[str, str]:
    """What results of earlier runs say, and when each was measured."""
    carried_texts: dict[str, str] = {}
    for model in record.variants:
        times = {(result.kind, result.name): _when([result]) for result in model.carried}
        texts = {(kind, name): facts.message for kind, name, facts in results(model)}
        texts[ERROR, ""] = model.error
        if model.name == TEACHER:
            texts |= {(SELF_TEST, name): result.message for name, result in record.self_test.failures.items()}
        carried_texts |= {
            text: times[key] for key, text in texts.items() if text is not None and key in times
        }
    return carried_texts


def is_whole(record: RunRecord) -> bool:
    """Whether one run measured everything that the record has, and made all checks."""
    return not record.verdict.missing and not record.carried_results


def _when(results: list[CarriedResult]) -> str:
    """The first and the last minute in which they were measured."""
    times = sorted(result.measured for result in results if result.measured)
    if not times:
        return "an earlier run"
    first, last = moment(times[0]), moment(times[-1])
    if first == last:
        return first
    same_day = first.partition(" ")[0] == last.partition(" ")[0]
    return f"{first.removesuffix(' UTC')} to {last.partition(' ')[2] if same_day else last}"
