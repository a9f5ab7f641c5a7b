"""The first screen: the verdict, why, what to ship, and what to know before trusting it.

It lists the models that could not be built or measured: which, why, their logs, and how to try again.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from urllib.parse import quote

from slimgate._system.escape import escape, escape_invisible
from slimgate._system.number_text import format_count, format_fixed, format_int, format_percent
from slimgate.judge.decision import LEVEL
from slimgate.judge.speed import LEVEL as SPEED_LEVEL
from slimgate.record.budgets import has_only_warnings
from slimgate.record.earlier_results import describe_carried, describe_counts, list_messages
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.record.run_verdict import list_results
from slimgate.report.alarms import list_alarms
from slimgate.report.cautions import Severity, format_notes, list_notes
from slimgate.report.changed_budgets import format_weaker_gate
from slimgate.report.confusions import list_new_mistakes
from slimgate.report.figures import format_drop_words
from slimgate.report.recommendation import recommend
from slimgate.report.since_baseline import name_baseline
from slimgate.report.status import (
    list_models,
    list_variants,
    list_verdicts,
)
from slimgate.report.tables import add_heading, blocks, fold, format_bullets
from slimgate.report.tool_files import format_log_table, format_tool_files_section
from slimgate.report.trust import describe_run, format_origin
from slimgate.report.variant_tables import make_variants_table
from slimgate.results.base import Verdict, has_run_ending_budget
from slimgate.results.behaviour import BehaviourFacts
from slimgate.results.checks import TEACHER
from slimgate.results.counts import Status

# The cautions that matter come first; more than this are folded.
MOST_CAUTIONS = 5
_WORST_FIRST: tuple[Status, ...] = ("FAIL", "INCONCLUSIVE", "partial", "measured", "PASS")
# The longest name of a slice or a class.
_LONGEST = 60


def list_broken_models(record: RunRecord) -> list[str]:
    """A line of markdown for each model; the link to its log is relative to the record's folder."""
    return [_format_broken_model(record, model) for model in list_models(record) if model.error is not None]


def list_broken_lines(record: RunRecord, where: str) -> list[str]:
    """The same for a terminal, without the reason, which is shown above. where: the report."""
    return [
        f"{escape_invisible(model.name)} was {_name_gap(model)}"
        + (
            f", its log: {PurePath(where).parent / escape_invisible(model.error_log)}"
            if model.error_log
            else ""
        )
        + f"; again: {escape_invisible(format_retry_command(record, model))}"
        for model in list_models(record)
        if model.error is not None
    ]


def format_retry_command(record: RunRecord, model: VariantRecord) -> str:
    """The command that tries the model again; `-k` also selects models whose longer name contains it."""
    chosen = [] if model.name == TEACHER else ["-k", model.name]
    return shlex.join(["pytest", record.suite.path, *chosen])


def _format_broken_model(record: RunRecord, model: VariantRecord) -> str:
    reason = (model.error or "").removeprefix(f"{model.name}: ")
    log = f" · [its log]({quote(model.error_log)})" if model.error_log else ""
    command = escape_invisible(format_retry_command(record, model))
    code = escape(command) if set("`@#") & set(command) else f"`{command}`"  # text that may call or link
    return f"{escape(model.name)} was {_name_gap(model)}: {escape(reason)}{log} · again: {code}"


def _name_gap(model: VariantRecord) -> str:
    return "not built" if model.artifact is None else "not measured whole"


def format_first_screen(record: RunRecord) -> str:
    """The first screen: title, verdict, reasons, what to ship, cautions, and the table of variants."""
    return blocks(
        f"# {escape(record.suite.title)}",
        describe_weaker(record),
        format_verdict_line(record),
        format_this_run(record),
        format_bullets(list_alarms(record)),
        "\n".join(filter(None, (format_origin(record), describe_run(record)))),
        add_heading("**What to ship**", format_bullets(recommend(record))),
        add_heading(
            f"**{format_reasons_title(record)}**",
            format_bullets(explain_verdict(record)),
        ),
        add_heading("**What was not built or measured**", format_bullets(list_broken_models(record))),
        add_heading("**Before you trust this**", fold_warnings(record)),
        *_make_tables(record),
    )


def describe_weaker(record: RunRecord) -> str:
    """The statement that the gate demands less than its baseline, and in what; empty if it does not."""
    if record.baseline is None:
        return ""
    return format_weaker_gate(record.baseline.weaker, f"the baseline {name_baseline(record)}")


def _make_tables(record: RunRecord) -> tuple[str, ...]:
    """The table of variants; of logs, which may have hundreds of tasks, one of tasks for each variant."""
    if record.task.is_of_files:
        if not record.task.has_rows:
            return (format_tool_files_section(record),)
        heading = "## Metrics" if record.task.sides.original == "teacher" else "## Tasks"
        return (
            blocks(
                heading,
                *(
                    format_log_table(model, record.task.sides, slices=record.task.log_slices)
                    for model in list_variants(record)
                ),
            ),
            explain_variants_table(record),
        )
    return ("## Variants", make_variants_table(record, list_models(record)), explain_variants_table(record))


def explain_variants_table(record: RunRecord, *, in_report: bool = True) -> str:
    """The meaning of the cells of the table of variants.

    in_report: whether the text has the glossary.
    """
    words = [f"[{word}](#how-to-read-this)" if in_report else word for word in ("brackets", "duels")]
    units = {facts.unit for model in record.variants for facts in model.quality.values()}
    unit = "percentage points" + (", or in percent with a % sign" if "percent" in units else "")
    level, speed_level = format_percent(LEVEL, 0), format_percent(SPEED_LEVEL, 0)
    drop = (
        f"A drop is how much worse than the {record.task.sides.original}, in {unit}; {words[0]} hold its "
        f"{level} interval."
    )
    timed = any(facts.speedup is not None for model in record.variants for facts in model.latency.values())
    speed = f"Speed-ups come from {words[1]} with the teacher and have a {speed_level} interval."
    return f"{drop} {speed}" if timed else drop


def list_reasons(record: RunRecord) -> list[str]:
    """The verdict's messages, without the errors of models, which `list_broken_models` lists.

    Messages of undecided budgets that do not end the run say that they only warn.
    """
    errors = tuple(model.error for model in record.variants if model.error is not None)
    warning = tuple(_list_warning_messages(record))
    return [
        f"{message} (only warns)" if message.startswith(warning) else message
        for message in list_messages(record)
        if not message.startswith(errors)
    ]


def _list_warning_messages(record: RunRecord) -> Iterator[str]:
    for model in record.variants:
        for _, _, facts in list_results(model):
            is_undecided = facts.verdict is Verdict.INCONCLUSIVE and bool(facts.budgets)
            if model.gated and is_undecided and not has_run_ending_budget(facts.budgets) and facts.message:
                yield facts.message


def format_overall(records: Sequence[RunRecord]) -> str:
    """`FAIL, 2 of 3 suites hold`: the worst status of several suites, and how many suites PASS."""
    statuses = [record.verdict.status for record in records]
    worst = next(status for status in _WORST_FIRST if status in statuses)
    line = f"{worst}, {format_int(statuses.count('PASS'))} of {format_int(len(statuses))} suites hold"
    bare = statuses.count("measured")
    return line + (f", {format_count(bare, 'suite has', 'suites have')} no budget" if bare else "")


def explain_verdict(record: RunRecord) -> list[str]:
    """The reasons as markdown, and the worst losses of a variant that fails."""
    return [*map(escape, list_reasons(record)), *list_worst_losses(record)]


def count_shown(record: RunRecord) -> int:
    """How many warnings are not folded: all that change how the verdict is read, and at least five."""
    return max(MOST_CAUTIONS, sum(note.severity is Severity.VERDICT for note in list_notes(record)))


def fold_warnings(record: RunRecord) -> str:
    """The warnings that matter, and the other warnings in a fold."""
    lines, shown_count = format_notes(record), count_shown(record)
    shown, rest = lines[:shown_count], lines[shown_count:]
    more = format_count(len(rest), "more note", "more notes")
    return blocks(format_bullets(shown), fold("", more, format_bullets(rest)) if rest else "")


def format_unjudged_heading(unjudged: Sequence[str], level: str, *, of: int) -> str:
    """A heading on the suites that could not be judged; of: how many suites the run had."""
    share = f"{format_int(len(unjudged))} of {format_count(of, 'suite', 'suites')}"
    return f"{level} slimgate: ERROR, {share} could not be judged"


def format_verdict_line(record: RunRecord) -> str:
    """A text such as `**FAIL** · 9 budgets hold, 1 does not, 1 is undecided · 4 results not gated`."""
    run_verdict = record.verdict
    judged = [format_count(run_verdict.passed, "budget holds", "budgets hold")]
    if run_verdict.failed:
        judged.append(format_count(run_verdict.failed, "does not", "do not"))
    if run_verdict.inconclusive:
        note = ", which only warns" if has_only_warnings(record) else ""
        judged.append(format_count(run_verdict.inconclusive, f"is undecided{note}", f"are undecided{note}"))
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


def format_this_run(record: RunRecord) -> str:
    """The verdict of the last run, as its exit code shows; empty without results of earlier runs."""
    run = record.this_run
    if run is None or not record.carried_results:
        return ""
    unmade = f", and did not run {format_count(run.missing, 'check', 'checks')}" if run.missing else ""
    return f"The last run alone: **{run.status}** ({describe_counts(record, run)}){unmade}."


def format_reasons_title(record: RunRecord) -> str:
    """The title of the verdict's messages: if nothing fails, it says that they are on undecided budgets."""
    broken = any(model.error is not None for model in record.variants)
    fails = record.verdict.status == "FAIL" or record.verdict.failed or broken
    return "What does not hold" if fails else "What could not be decided"


def list_worst_losses(record: RunRecord) -> list[str]:
    """A line for each gated variant with a FAIL: its worst slice, and its new mistakes."""
    failed = [
        model
        for model in list_variants(record)
        if model.gated and Verdict.FAIL in list_verdicts(model).values()
    ]
    lines = [
        (model.name, list(_describe_losses(record, model.behaviour))) for model in failed if model.behaviour
    ]
    return [f"**{escape(name)}** loses most {'; '.join(parts)}." for name, parts in lines if parts]


def _describe_losses(record: RunRecord, behaviour: BehaviourFacts) -> Iterator[str]:
    slices = [part for part in behaviour.slices or () if part.interval[0] > 0]
    if slices:
        # the largest loss that is certain, because a few rows may lose much by chance
        worst = max(slices, key=lambda part: part.interval[0])
        where = f"{escape(worst.column)} {escape(worst.value, longest=_LONGEST)}"
        values = f"{escape(worst.metric)} {format_fixed(worst.teacher, 3)} → {format_fixed(worst.variant, 3)}"
        drop = format_drop_words(worst.drop_points, worst.interval)
        yield f"on {where} ({format_count(worst.n, 'row', 'rows')}): {values}, {drop}"
    names = [escape(name, longest=_LONGEST) for name in record.task.classes]
    if mistakes := list_new_mistakes(behaviour, len(names)):
        worst_mistake = max(mistakes, key=lambda cell: cell.change)
        more = format_count(worst_mistake.change, "more row", "more rows")
        answer, label = names[worst_mistake.prediction], names[worst_mistake.label]
        yield f"by answering {answer} for {label} ({more}, {worst_mistake.before} before)"
