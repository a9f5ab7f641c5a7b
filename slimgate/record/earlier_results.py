"""Describes the results that a record carries over from earlier runs.

A run of a part of a suite measures only that part. Its record keeps the other results of the run before.
"""

from __future__ import annotations

from slimgate._system.number_text import format_count
from slimgate._system.timestamps import format_moment
from slimgate.record.budgets import has_only_warnings
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.record.run_verdict import list_results
from slimgate.record.verdicts import CarriedResult, RunVerdict
from slimgate.results.checks import ERROR, SELF_TEST, TEACHER


def describe_carried(record: RunRecord) -> str | None:
    """`5 results from 2026-11-20 14:02 UTC`; None if the record carries no results over."""
    carried = record.carried_results
    return _describe_results(carried) if carried else None


def describe_state(record: RunRecord) -> str | None:
    """What earlier runs left in the record.

    Example: `partial: 5 results from 2026-11-20 14:02 UTC, 3 checks not run`. None if one run made all
    checks.
    """
    missing = record.verdict.missing
    not_run = f"{format_count(missing, 'check', 'checks')} not run" if missing else None
    clauses = [clause for clause in (describe_carried(record), not_run) if clause]
    return f"partial: {', '.join(clauses)}" if clauses else None


def describe_counts(record: RunRecord, counts: RunVerdict) -> str:
    """`1 PASS, 0 FAIL, 1 error, 0 INCONCLUSIVE, 2 not gated`; without errors if there are none."""
    parts = [f"{counts.passed} PASS", f"{counts.failed} FAIL"]
    if counts.errors:
        parts.append(format_count(counts.errors, "error", "errors"))
    # old records do not say whether INCONCLUSIVE only warns
    fails = not has_only_warnings(record) if counts == record.verdict else counts.fails
    warns = counts.status == "INCONCLUSIVE" and counts.inconclusive and not fails
    parts.append(f"{counts.inconclusive} INCONCLUSIVE" + (", which only warns" if warns else ""))
    return ", ".join([*parts, f"{counts.not_gated} not gated"])


def describe_age(model: VariantRecord) -> str:
    """`, measured 2026-11-20 14:02 UTC` if judged results of the model are carried over; else ""."""
    judged_keys = [(kind, name) for kind, name, facts in list_results(model) if facts.verdict is not None]
    judged_keys += [(ERROR, "")] if model.error is not None else []
    old = [result for result in model.carried if (result.kind, result.name) in judged_keys]
    partly = "partly " if len(old) < len(judged_keys) else ""
    return f", {partly}measured {_format_times(old)}" if old else ""


def format_status(record: RunRecord) -> str:
    """`PASS`; `FAIL, partial` if results are carried over or checks have not run."""
    status = record.verdict.status
    return status if is_whole(record) or status == "partial" else f"{status}, partial"


def list_carried(record: RunRecord) -> list[tuple[str, str]]:
    """(name, `3 results from …`) for each model with results that are carried over."""
    return [(model.name, _describe_results(model.carried)) for model in record.variants if model.carried]


def list_messages(record: RunRecord) -> list[str]:
    """The messages of the verdict. Those that are carried over say when they were measured."""
    old = date_carried_messages(record)
    return [
        f"{text} (carried over, measured {old[text]})" if text in old else text
        for text in record.verdict.messages
    ]


def date_carried_messages(record: RunRecord) -> dict[str, str]:
    """Message -> when it was measured, for each message of a result that is carried over."""
    carried_texts: dict[str, str] = {}
    for model in record.variants:
        times = {(result.kind, result.name): _format_times([result]) for result in model.carried}
        texts = {(kind, name): facts.message for kind, name, facts in list_results(model)}
        texts[ERROR, ""] = model.error
        if model.name == TEACHER:
            texts |= {(SELF_TEST, name): result.message for name, result in record.self_test.failures.items()}
        carried_texts |= {
            text: times[key] for key, text in texts.items() if text is not None and key in times
        }
    return carried_texts


def is_whole(record: RunRecord) -> bool:
    """Whether one run made all checks of the suite and measured all results of the record."""
    return not record.verdict.missing and not record.carried_results


def _describe_results(results: list[CarriedResult]) -> str:
    return f"{format_count(len(results), 'result', 'results')} from {_format_times(results)}"


def _format_times(results: list[CarriedResult]) -> str:
    """`2026-11-20 14:02 UTC`, or the first and the last minute in which the results were measured."""
    times = sorted(result.measured for result in results if result.measured)
    if not times:
        return "an earlier run"
    first, last = format_moment(times[0]), format_moment(times[-1])
    if first == last:
        return first
    same_day = first.partition(" ")[0] == last.partition(" ")[0]
    return f"{first.removesuffix(' UTC')} to {last.partition(' ')[2] if same_day else last}"
