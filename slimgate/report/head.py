"""The first screen: the verdict, why, what to ship, and what to know before trusting it.

Which variant to ship: the smallest and the fastest of those inside their budgets.

Models that could not be built or measured: which, why, where their log is, and how to try them again.
"""

from __future__ import annotations

import shlex
from math import inf
from pathlib import PurePath
from urllib.parse import quote

from slimgate._system.escape import escaped, visible
from slimgate.record import RunRecord, VariantRecord
from slimgate.record.budgets import only_warns
from slimgate.record.carried import describe_carried, describe_counts, messages
from slimgate.record.words import format_count, moment
from slimgate.report.alarms import alarms
from slimgate.report.cautions import warnings
from slimgate.report.comparison import quality_cell, size_cell, value_words
from slimgate.report.figures import as_fast, bounded_drop_words, count, significant, with_note
from slimgate.report.standing import (
    TEACHER,
    budgeted,
    inside_budgets,
    median_ms,
    models,
    not_shown,
    teacher,
    variants,
    verdicts,
    workload_words,
    workloads,
)
from slimgate.report.tables import blocks, bullets, titled


def best(record: RunRecord) -> list[str]:
    """One line on the smallest variant inside its budgets, one on the fastest where times were taken."""
    if not variants(record):
        return ["There is no variant: only the teacher was measured."]
    if not any(verdicts(model) for model in variants(record)):
        return ["No variant has been judged against a budget."]
    able = inside_budgets(record)
    if not able:
        return ["No variant is shown to be inside all its budgets."]
    return [_smallest(record, able), *_fastest(record, able)]


def _smallest(record: RunRecord, able: list[VariantRecord]) -> str:
    original = teacher(record)
    limit = None if original is None or original.artifact is None else original.artifact.bytes
    sized = [
        (model.artifact.bytes, model)
        for model in able
        if model.artifact is not None and (limit is None or model.artifact.bytes < limit)
    ]
    if not sized:
        return f"Inside all their budgets, but none smaller than the teacher: {_names(able)}."
    _, model = min(sized, key=lambda pair: pair[0])
    kept = [f"{escaped(name)} {_chosen_cell(record, model, name)}" for name in budgeted(record)[:2]]
    facts = ", ".join([size_cell(model, unit=" MB"), *kept, *filter(None, [not_shown(model)])])
    return f"Smallest inside its budgets: **{escaped(model.name)}**, {facts}."


def _chosen_cell(record: RunRecord, model: VariantRecord, metric: str) -> str:
    """`0.826 (drop 0.3, at most 1.1 as one of 4)`: a bound that holds although the variant was chosen.

    Of the confirm rows where they were looked at once: nothing was chosen by them.
    """
    facts, where = model.quality[metric], ""
    if record.confirm is not None and record.confirm.looks == 1 and metric in model.confirm:
        facts, where = model.confirm[metric], f", on {count(record.confirm.n)} confirm rows"
    if facts.among in (None, 1) or facts.bound_among is None:
        return quality_cell(facts, note=where.removeprefix(", ") or None)
    limits = [budget.limit for budget in facts.budgets if budget.kind == "drop_points"]
    drop = bounded_drop_words(facts.drop_points, facts.bound_among, limits, unit=facts.unit)
    over = ", over its budget: confirm it" if any(facts.bound_among >= limit for limit in limits) else ""
    return with_note(value_words(facts.value), f"{drop} as one of {count(facts.among)}{over}{where}")


def _fastest(record: RunRecord, able: list[VariantRecord]) -> list[str]:
    """One line; a variant that is fastest on several workloads is named once."""
    times: dict[str, list[str]] = {}
    for workload in workloads(record):
        timed = [(time, model) for model in able if (time := median_ms(model, workload)) is not None]
        # a duel says more than medians, which were taken at other moments
        shown_faster = [(time, model) for time, model in timed if _at_least(model, workload) > 1] or timed
        if timed:
            who, how = _fastest_on(record, min(shown_faster, key=lambda pair: pair[0])[1], workload)
            times.setdefault(who, []).append(how)
    shown = [f"{who}, {', '.join(on)}" for who, on in times.items()]
    return [f"Fastest inside its budgets, by the median of a call: {'; '.join(shown)}."] if shown else []


def _at_least(model: VariantRecord, workload: str) -> float:
    """The lower bound of its duel; infinite where there was none, so that medians are all there is."""
    interval = model.latency[workload].speedup_interval
    return inf if interval is None else interval[0]


def _fastest_on(record: RunRecord, model: VariantRecord, workload: str) -> tuple[str, str]:
    """Who is fastest, and its time: nobody where that is not shown to be faster than the teacher."""
    facts, original = model.latency[workload], teacher(record)
    interval = facts.speedup_interval
    name, time = _name(model), f"{significant(facts.p50_ms)} ms on {workload_words(workload)}"
    before = median_ms(original, workload)
    if before is None or facts.p50_ms is None:
        return name, time
    if facts.p50_ms >= before or (interval is not None and interval[0] <= 1):
        return (
            "none shown to be faster than the teacher",
            f"{significant(before)} ms on {workload_words(workload)}",
        )
    faster = as_fast(facts.speedup, facts.speedup_interval)
    by_turns = f"by turns {faster}" if faster else faster
    return name, with_note(time, f"teacher {significant(before)} ms", by_turns)


def _name(model: VariantRecord) -> str:
    """In bold, with the budgets on slices that are not shown."""
    return with_note(f"**{escaped(model.name)}**", not_shown(model))


def _names(found: list[VariantRecord]) -> str:
    return ", ".join(with_note(escaped(model.name), not_shown(model)) for model in found)


def broken(record: RunRecord) -> list[str]:
    """A line of markdown a model; the link to its log is as seen from beside the record."""
    return [_line(record, model) for model in models(record) if model.error is not None]


def broken_lines(record: RunRecord, where: str) -> list[str]:
    """The same for a terminal, without the reason, which stands above. where: the report."""
    return [
        f"{visible(model.name)} was {_what(model)}"
        + (f", its log: {PurePath(where).parent / visible(model.error_log)}" if model.error_log else "")
        + f"; again: {visible(again(record, model))}"
        for model in models(record)
        if model.error is not None
    ]


def again(record: RunRecord, model: VariantRecord) -> str:
    """The command that tries it again; what needs it comes with it where its name holds it too."""
    chosen = [] if model.name == TEACHER else ["-k", model.name]
    return shlex.join(["pytest", record.suite.path, *chosen])


def _line(record: RunRecord, model: VariantRecord) -> str:
    reason = (model.error or "").removeprefix(f"{model.name}: ")
    log = f" · [its log]({quote(model.error_log)})" if model.error_log else ""
    command = visible(again(record, model))
    code = escaped(command) if set("`@#") & set(command) else f"`{command}`"  # text that may call or link
    return f"{escaped(model.name)} was {_what(model)}: {escaped(reason)}{log} · again: {code}"


def _what(model: VariantRecord) -> str:
    return "not built" if model.artifact is None else "not measured whole"


def head(record: RunRecord) -> str:
    """Title, verdict line, reasons, best variants, warnings."""
    return blocks(
        f"# {escaped(record.suite.title)}",
        verdict_line(record),
        this_run_line(record),
        bullets(alarms(record)),
        titled(f"{reasons_title(record)}:", bullets(map(escaped, messages(record)))),
        titled("What was not built or measured:", bullets(broken(record))),
        titled("What could ship:", bullets(best(record))),
        titled("Before you trust this:", bullets(warnings(record))),
        origin(record),
    )


def verdict_line(record: RunRecord) -> str:
    """`**FAIL** · 9 budgets hold, 1 does not, 1 is undecided, 1 is not shown · 4 results not gated`."""
    found = record.verdict
    judged = [format_count(found.passed, "budget holds", "budgets hold")]
    if found.failed:
        judged.append(format_count(found.failed, "does not", "do not"))
    if found.inconclusive:
        judged.append(format_count(found.inconclusive, *_undecided(record)))
    if found.not_shown:
        judged.append(format_count(found.not_shown, "is not shown", "are not shown"))
    words = "no budget was judged" if found.status == "measured" else ", ".join(judged)
    parts = [f"**{found.status}**", words]
    if broken := sum(model.error is not None for model in record.variants):
        parts.append(
            format_count(
                broken, "variant could not be built or measured", "variants could not be built or measured"
            )
        )
    if found.not_gated:
        parts.append(format_count(found.not_gated, "result not gated", "results not gated"))
    if carried := describe_carried(record):
        parts.append(f"partial: {carried}")
    if found.missing:
        parts.append(format_count(found.missing, "check not run yet", "checks not run yet"))
    return " · ".join(parts)


def this_run_line(record: RunRecord) -> str:
    """What the last run judged, as its exit code has it; empty without results of earlier runs."""
    run = record.this_run
    if run is None or not record.carried_results:
        return ""
    unmade = f", and did not run {format_count(run.missing, 'check', 'checks')}" if run.missing else ""
    return f"The last run alone: **{run.status}** ({describe_counts(record, run)}){unmade}."


def _undecided(record: RunRecord) -> tuple[str, str]:
    """Of one and of several: a reader shall know why a run that is not PASS ended with exit code 0."""
    if only_warns(record):
        return "is undecided, which only warns", "are undecided, which only warns"
    return "is undecided", "are undecided"


def reasons_title(record: RunRecord) -> str:
    """What stands above the verdict's messages: where nothing fails they are of what it could not tell."""
    broken = any(model.error is not None for model in record.variants)
    fails = record.verdict.status == "FAIL" or record.verdict.failed or broken
    return "What does not hold" if fails else "What could not be decided"


def origin(record: RunRecord) -> str:
    """Suite, rows, time."""
    gate = record.task.splits.get("gate")
    rows = [] if gate is None else [f"{count(gate.n)} gate rows"]
    return " · ".join([f"Suite {escaped(record.suite.path)}", *rows, moment(record.created)])
