"""The first screen: the verdict, why, what to ship, and what to know before trusting it.

Which variant to ship: the smallest and the fastest of those inside their budgets.

Models that could not be built or measured: which, why, where their log is, and how to try them again.
"""

from __future__ import annotations

import shlex
from pathlib import PurePath
from urllib.parse import quote

from slimgate._system.escape import escape, visible
from slimgate.judge.budget_kinds import is_in_points
from slimgate.judge.score_metric import RECORD_KIND
from slimgate.record import RunRecord, VariantRecord
from slimgate.record.budgets import only_warns
from slimgate.record.earlier_results import describe_carried, describe_counts, messages
from slimgate.record.words import format_count, moment
from slimgate.report.alarms import alarms
from slimgate.report.cautions import warnings
from slimgate.report.comparison import quality_cell, size_cell, value_words, variants_table
from slimgate.report.figures import as_fast, bounded_drop_words, count, significant, with_note
from slimgate.report.log_comparison import log_comparison
from slimgate.report.since_baseline import baseline_name
from slimgate.report.status import (
    MOST_WORKLOADS,
    TEACHER,
    budgeted_metrics,
    inside_budgets,
    median_ms,
    models,
    shown_workloads,
    teacher,
    variants,
    verdicts,
    workload_words,
    workloads,
)
from slimgate.report.tables import blocks, bullets, fold, with_heading
from slimgate.report.tool_files import tool_files_section
from slimgate.report.weaker import weaker_gate

# The cautions that matter come first; more than these are folded.
MOST_CAUTIONS = 5


def best(record: RunRecord) -> list[str]:
    """The smallest and the fastest variant inside their budgets; one line if that is the same variant."""
    if not variants(record):
        return ["There is no variant: only the teacher was measured."]
    if not any(verdicts(model) for model in variants(record)):
        return ["No variant has been judged against a budget."]
    able = inside_budgets(record)
    if not able:
        return ["No variant is shown to be inside all its budgets."]
    small, fast = _smallest(record, able), _fastest(record, able)
    if small is None:
        measured = any(model.artifact is not None and model.artifact.bytes is not None for model in able)
        smaller = ", but none smaller than the teacher" if measured else ""
        none = f"Inside all their budgets{smaller}: {_names(able)}."
        return [none, *_fastest_lines(record, fast)]
    if list(fast) == [small.name]:
        shown = ", ".join([_size(small), *_speeds(record, small, fast[small.name])])
        lines = (
            [f"Its quality: {', '.join(metric_words)}."]
            if (metric_words := _first_metrics(record, small))
            else []
        )
        return [f"Smallest and fastest inside its budgets: {_name(small)}, {shown}.", *lines]
    facts = [_size(small), *_first_metrics(record, small)]
    return [
        f"Smallest inside its budgets: {_name(small)}, {', '.join(facts)}.",
        *_fastest_lines(record, fast),
    ]


def _smallest(record: RunRecord, able: list[VariantRecord]) -> VariantRecord | None:
    """None if no variant is smaller than the teacher."""
    original = teacher(record)
    limit = None if original is None or original.artifact is None else original.artifact.bytes
    sizes = [(model.artifact.bytes, model) for model in able if model.artifact is not None]
    sized = [(size, model) for size, model in sizes if size is not None and (limit is None or size < limit)]
    return min(sized, key=lambda pair: pair[0])[1] if sized else None


def _size(model: VariantRecord) -> str:
    return size_cell(model, unit=" MB")


def _first_metrics(record: RunRecord, model: VariantRecord) -> list[str]:
    """The first two metrics with a budget: `accuracy 0.826 (drop 0.3, at most 1.1 as the best of 4)`."""
    return [f"{escape(name)} {_chosen_cell(record, model, name)}" for name in budgeted_metrics(record)[:2]]


def _chosen_cell(record: RunRecord, model: VariantRecord, metric: str) -> str:
    """`0.826 (drop 0.3, at most 1.1 as the best of 4)`: a bound that holds although the variant was chosen.

    Of the confirm rows where they were looked at once: nothing was chosen by them.
    """
    facts, where = model.quality[metric], ""
    if record.confirm is not None and record.confirm.looks == 1 and metric in model.confirm:
        facts, where = model.confirm[metric], f", on {count(record.confirm.n)} confirm rows"
    if facts.among in (None, 1) or facts.bound_among is None:
        return quality_cell(facts, note=where.removeprefix(", ") or None)
    limits = [budget.limit for budget in facts.budgets if is_in_points(budget.kind)]
    drop = bounded_drop_words(facts.drop_points, facts.bound_among, limits, unit=facts.unit)
    over = ", over its budget: confirm it" if any(facts.bound_among >= limit for limit in limits) else ""
    return with_note(value_words(facts.value), f"{drop} as the best of {count(facts.among)}{over}{where}")


Fast = dict[str | None, list[str]]


def _fastest(record: RunRecord, able: list[VariantRecord]) -> Fast:
    """Name of a variant -> the workloads on which it is fastest; None -> those on which none is faster."""
    fastest: Fast = {}
    for workload in workloads(record):
        shown = [(rate, model) for model in able if (rate := _rate(record, model, workload)) is not None]
        faster = [(rate, model) for rate, model in shown if rate > 1]
        if faster:
            model = max(faster, key=lambda pair: pair[0])[1]
            fastest.setdefault(model.name, []).append(workload)
        elif shown:
            fastest.setdefault(None, []).append(workload)
    return fastest


def _rate(record: RunRecord, model: VariantRecord, workload: str) -> float | None:
    """What orders variants: the lower bound of the duel's speed-up; without a duel that of the medians."""
    facts = model.latency.get(workload)
    if facts is None:
        return None
    if facts.speedup_interval is not None:
        return facts.speedup_interval[0]
    before = median_ms(teacher(record), workload)
    return before / facts.p50_ms if before is not None and facts.p50_ms else None


def _speed(record: RunRecord, model: VariantRecord, workload: str) -> str:
    """`1.93× [1.56, 2.57] as fast on batch 1`; without a duel `4.80 ms on batch 1 (teacher 12.7 ms)`."""
    facts, where = model.latency[workload], workload_words(workload)
    if facts.speedup is not None:
        return f"{as_fast(facts.speedup, facts.speedup_interval)} on {where}"
    before = significant(median_ms(teacher(record), workload))
    return f"{significant(facts.p50_ms)} ms on {where} (teacher {before} ms)"


def _speeds(record: RunRecord, model: VariantRecord, lines: list[str]) -> list[str]:
    """On the workloads of the tables; the others are counted: `on 4 more workloads`."""
    chosen = [workload for workload in shown_workloads(record) if workload in lines]
    left = len(lines) - len(chosen)
    speeds = [_speed(record, model, workload) for workload in chosen]
    return [*speeds, f"on {format_count(left, 'more workload', 'more workloads')}"] if left else speeds


def _fastest_lines(record: RunRecord, fastest: Fast) -> list[str]:
    """A line on the fastest variants, and on the workloads on which none is shown to be faster."""
    shown = shown_workloads(record)
    named = [
        f"{_name(record.variant(name))}, {', '.join(_speeds(record, record.variant(name), faster))}"
        for name, faster in sorted(fastest.items(), key=lambda pair: not set(shown) & set(pair[1]))
        if name
    ]
    lines = [f"Fastest inside its budgets: {'; '.join(named)}."] if named else []
    if None in fastest:
        number = f"{len(fastest[None])} of {len(workloads(record))} workloads"
        is_long = len(fastest[None]) > MOST_WORKLOADS
        where = number if is_long else ", ".join(map(workload_words, fastest[None]))
        lines.append(f"None is shown to be faster than the teacher on {where}.")
    return lines


def _name(model: VariantRecord) -> str:
    """In bold."""
    return f"**{escape(model.name)}**"


def _names(models_named: list[VariantRecord]) -> str:
    return ", ".join(escape(model.name) for model in models_named)


def broken_models(record: RunRecord) -> list[str]:
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
    code = escape(command) if set("`@#") & set(command) else f"`{command}`"  # text that may call or link
    return f"{escape(model.name)} was {_what(model)}: {escape(reason)}{log} · again: {code}"


def _what(model: VariantRecord) -> str:
    return "not built" if model.artifact is None else "not measured whole"


def head(record: RunRecord) -> str:
    """The first screen: title, verdict, reasons, what could ship, cautions, and the table of variants."""
    return blocks(
        f"# {escape(record.suite.title)}",
        weaker_gate(record.baseline.weaker, f"the baseline {baseline_name(record)}")
        if record.baseline
        else "",
        verdict_line(record),
        this_run_line(record),
        bullets(alarms(record)),
        origin(record),
        with_heading(f"**{reasons_title(record)}**", bullets(map(escape, reasons(record)))),
        with_heading("**What was not built or measured**", bullets(broken_models(record))),
        with_heading("**What could ship**", bullets(best(record))),
        with_heading("**Before you trust this**", fold_rest(list(warnings(record)), "note")),
        *_tables(record),
    )


def _tables(record: RunRecord) -> tuple[str, ...]:
    """The table of variants; of logs, which may have hundreds of tasks, one of tasks for each variant."""
    if record.task.is_of_files:
        if not record.task.has_rows:
            return (tool_files_section(record),)
        return (log_comparison(record), table_words(record))
    return ("## Variants", variants_table(record, models(record)), table_words(record))


def table_words(record: RunRecord, *, in_report: bool = True) -> str:
    """What the cells of the table of variants are.

    in_report: whether the text has the section of the words.
    """
    words = [f"[{word}](#how-to-read-this)" if in_report else word for word in ("brackets", "duels")]
    drop = f"A drop is how much worse than the teacher; {words[0]} hold its interval."
    timed = any(facts.speedup is not None for model in record.variants for facts in model.latency.values())
    return f"{drop} Speed-ups come from {words[1]} with the teacher." if timed else drop


def reasons(record: RunRecord) -> list[str]:
    """The verdict's messages, without the errors of models, which `broken_models` lists."""
    errors = tuple(model.error for model in record.variants if model.error is not None)
    return [message for message in messages(record) if not message.startswith(errors)]


def fold_rest(lines: list[str], noun: str) -> str:
    """The first lines, and behind a fold the others. noun: one line in a word, such as `note`."""
    shown, rest = lines[:MOST_CAUTIONS], lines[MOST_CAUTIONS:]
    more = format_count(len(rest), f"more {noun}", f"more {noun}s")
    return blocks(bullets(shown), fold("", more, bullets(rest)) if rest else "")


def verdict_line(record: RunRecord) -> str:
    """`**FAIL** · 9 budgets hold, 1 does not, 1 is undecided · 4 results not gated`."""
    run_verdict = record.verdict
    judged = [format_count(run_verdict.passed, "budget holds", "budgets hold")]
    if run_verdict.failed:
        judged.append(format_count(run_verdict.failed, "does not", "do not"))
    if run_verdict.inconclusive:
        judged.append(format_count(run_verdict.inconclusive, *_undecided_words(record)))
    words = "no budget was judged" if run_verdict.status == "measured" else ", ".join(judged)
    parts = [f"**{run_verdict.status}**", words]
    if broken := sum(model.error is not None for model in record.variants):
        parts.append(
            format_count(
                broken, "variant could not be built or measured", "variants could not be built or measured"
            )
        )
    if run_verdict.not_gated:
        parts.append(format_count(run_verdict.not_gated, "result not gated", "results not gated"))
    if carried := describe_carried(record):
        parts.append(f"partial: {carried}")
    if run_verdict.missing:
        parts.append(format_count(run_verdict.missing, "check not run yet", "checks not run yet"))
    return " · ".join(parts)


def this_run_line(record: RunRecord) -> str:
    """What the last run judged, as its exit code has it; empty without results of earlier runs."""
    run = record.this_run
    if run is None or not record.carried_results:
        return ""
    unmade = f", and did not run {format_count(run.missing, 'check', 'checks')}" if run.missing else ""
    return f"The last run alone: **{run.status}** ({describe_counts(record, run)}){unmade}."


def _undecided_words(record: RunRecord) -> tuple[str, str]:
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
    """Suite, rows, time; of logs, which model the report calls the teacher."""
    gate = record.task.splits.get("gate")
    if record.task.is_of_files:
        if not record.task.has_rows:
            return f"{escape(str(record.task.source['name']))} · {moment(record.created)}"
        noun, file = ("scores", "log") if record.task.kind == RECORD_KIND else ("rows", "predictions")
        counted = [] if gate is None else [f"{count(gate.n)} {noun}"]
        base = f"the base's {file} {'is' if file == 'log' else 'are'} the teacher below"
        return " · ".join([*counted, moment(record.created), base])
    rows = [] if gate is None else [f"{count(gate.n)} gate rows"]
    return " · ".join([f"Suite {escape(record.suite.path)}", *rows, moment(record.created)])
