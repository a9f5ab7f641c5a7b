"""report.md of one suite, and the report over all suites of a run.

report.md has the first screen, and folded below it what a reader asks for next: first a line for each judged
metric and size, with what the verdict rests on. report.html has every section whole (`full_sections`)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePath
from urllib.parse import quote

from slimgate._system.escape import escape
from slimgate.judge.score_metric import RECORD_KIND
from slimgate.record import (
    BudgetFacts,
    FlopsFacts,
    LatencyFacts,
    MemoryFacts,
    QualityFacts,
    RunRecord,
    SinceFacts,
    SizeFacts,
    Status,
    TimeLimitFacts,
    VariantRecord,
)
from slimgate.record.earlier_results import describe_carried
from slimgate.record.results import SPEEDUP, Result
from slimgate.record.words import format_count
from slimgate.report.behaviour import answers_changed, behaviour, lost_rows, won_rows, worst_slices
from slimgate.report.builds import builds
from slimgate.report.cascades import cascades
from slimgate.report.comparison import latency_table, memory_table, other_metrics, quality_cell, twins
from slimgate.report.confirm import confirm_section
from slimgate.report.epochs import epoch_table
from slimgate.report.figures import as_fast, count, flops_words, significant, smaller, to_fixed
from slimgate.report.followed_rows import followed_section
from slimgate.report.head import head, reasons
from slimgate.report.recommendation import recommend
from slimgate.report.separation import separation_section
from slimgate.report.since_baseline import since_baseline
from slimgate.report.stages import artifact_table, built_section, step_table
from slimgate.report.status import models, workload_words
from slimgate.report.tables import Column, blocks, bullets, fold, table, with_heading
from slimgate.report.task_figures import task_figures, teacher_labels
from slimgate.report.token_kl import kl_tables
from slimgate.report.tool_files import tool_files_section
from slimgate.report.trust import data, how_to_read, machine, published_section, self_test

_WORST_FIRST: tuple[Status, ...] = ("FAIL", "INCONCLUSIVE", "partial", "measured", "PASS")
_MORE = """\
report.html beside this file has more: every changed row, slice, confusion, calibration and build step. \
run.json has every figure."""


def suite_report(record: RunRecord, plots: Sequence[str] = ()) -> str:
    """report.md of one suite: the first screen, then what a reader asks for, folded.

    plots: pictures beside the report, as paths from it.
    """
    return (
        blocks(
            head(record),
            since_baseline(record),
            confirm_section(record),
            separation_section(record),
            _gallery([_picture(path) for path in plots]),
            with_heading("## Answers that changed", answers_changed(record)),
            "## Details",
            *_details(record),
            _MORE,
            how_to_read(record),
        )
        + "\n"
    )


def full_sections(record: RunRecord) -> list[str]:
    """Every section below the first screen, whole, as report.html has them; without those that are empty."""
    metrics, latency, memory = other_metrics(record), latency_table(record), memory_table(record)
    sections = [
        tool_files_section(record),
        verdict_lines(record),
        since_baseline(record),
        confirm_section(record),
        separation_section(record, folded=False),
        behaviour(record),
        with_heading("## Metrics without a budget (not gated)", metrics),
        with_heading("## Cascades", cascades(record)),
        with_heading("## Latency in full", latency),
        with_heading("## Memory", memory),
        with_heading("## Twins", twins(record)),
        with_heading("## Builds by seed", builds(record)),
        teacher_labels(record),
        published_section(record),
        followed_section(record),
        built_section(record),
        data(record),
        self_test(record),
        machine(record),
        how_to_read(record),
    ]
    return [section for section in sections if section]


def _details(record: RunRecord) -> list[str]:
    """Folded parts, those that most readers ask for first."""
    verdicts, (heading_words, slices) = verdict_list(record), worst_slices(record)
    return [
        _part(
            "Verdicts", bullets(verdicts), f", {format_count(len(verdicts), 'line', 'lines')} with methods"
        ),
        _part("KL to the teacher", kl_tables(record), ", token by token"),
        _part("Slices that lost most", slices, f", {heading_words}"),
        _part("Rows lost", lost_rows(record), _which_lost(record)),
        _part("Rows won", won_rows(record), ", which a budget limits too"),
        _part("Metrics without a budget (not gated)", other_metrics(record)),
        _part("Figures of this task", task_figures(record)),
        _part("Cascades", cascades(record), ", which model answers when"),
        _part("Latency in full", latency_table(record)),
        _part("Memory", memory_table(record)),
        _part("Builds by seed", builds(record)),
        _part("What the teacher labelled", _body(teacher_labels(record))),
        _part("Published figures", _body(published_section(record))),
        _part("What was built from what", blocks(step_table(record), twins(record))),
        _part("Loss and quality per epoch", epoch_table(record)),
        _part("Artifacts", artifact_table(record)),
        _part("Data", _body(data(record))),
        _part("Self-test of the gate", _body(self_test(record))),
        _part("Machine and versions", _body(machine(record))),
    ]


def _which_lost(record: RunRecord) -> str:
    """Scores of a log do not say how sure an answer was."""
    return "" if record.task.kind == RECORD_KIND else ", the surest wrong answers of each variant"


def _part(name: str, text: str, rest: str = "") -> str:
    return fold(name, rest, text) if text else ""


def _body(section: str) -> str:
    """The section without its heading."""
    return section.partition("\n\n")[2]


def index_report(records: Sequence[RunRecord], paths: Sequence[str | PurePath] | None = None) -> str:
    """reports/latest/report.md: one line a suite, linked to its own report.

    paths: the suites' reports as seen from this one, in the records' order; default
    `<suite file's stem>/report.md`.
    """
    links = (
        [_default_path(record) for record in records] if paths is None else [_posix(path) for path in paths]
    )
    pairs = list(zip(records, links, strict=True))
    if not pairs:
        return "# slimgate\n\nNo suite has run.\n"
    return (
        blocks(f"# slimgate: {_overall(records)}", _suites(pairs), *(_reasons(*pair) for pair in pairs))
        + "\n"
    )


def _gallery(pictures: Sequence[str]) -> str:
    """The first picture, and behind a line the others: each fills half a screen."""
    first, rest = pictures[:1], pictures[1:]
    more = format_count(len(rest), "more picture", "more pictures")
    return blocks(*first, fold("", f"Show {more}", blocks(*rest)) if rest else "")


def _picture(path: str) -> str:
    return f"![{escape(PurePath(path).stem)}]({quote(path)})"


def _overall(records: Sequence[RunRecord]) -> str:
    statuses = [record.verdict.status for record in records]
    worst = next(status for status in _WORST_FIRST if status in statuses)
    line = f"{worst}, {count(statuses.count('PASS'))} of {count(len(statuses))} suites hold"
    bare = statuses.count("measured")
    return line + (f", {format_count(bare, 'suite has', 'suites have')} no budget" if bare else "")


def _suites(pairs: Sequence[tuple[RunRecord, str]]) -> str:
    records = [record for record, _ in pairs]
    carried = [describe_carried(record) for record in records]
    return table(
        [
            Column("suite", [_link(record.suite.path, path) for record, path in pairs]),
            Column("status", [_status(record.verdict.status) for record in records]),
            Column("hold", [count(record.verdict.passed) for record in records], right=True),
            Column("fail", [count(record.verdict.failed) for record in records], right=True),
            Column("undecided", [count(record.verdict.inconclusive) for record in records], right=True),
            Column("not gated", [count(record.verdict.not_gated) for record in records], right=True),
            *([Column("partial", [words or "" for words in carried])] if any(carried) else []),
            Column("not run", [count(record.verdict.missing) for record in records], right=True),
            Column("question", [escape(record.suite.title, longest=120) for record in records]),
        ]
    )


def _reasons(record: RunRecord, path: str) -> str:
    lines = [escape(message) for message in reasons(record)]
    return blocks(f"## {_link(record.suite.path, path)}", bullets([*lines, *recommend(record)]))


def _status(status: Status) -> str:
    return status if status == "PASS" else f"**{status}**"


def _link(text: str, path: str) -> str:
    return f"[{escape(text)}]({quote(path)})"


def _default_path(record: RunRecord) -> str:
    return f"{PurePath(record.suite.path).stem}/report.md"


def _posix(path: str | PurePath) -> str:
    return path.as_posix() if isinstance(path, PurePath) else path


def verdict_lines(record: RunRecord) -> str:
    """The section; lines in the suite's order."""
    return blocks("## Verdicts", bullets(verdict_list(record)) or "Nothing was judged against a budget.")


def verdict_list(record: RunRecord) -> list[str]:
    """A line a judged result; what the first screen quotes is not said again, only how it was judged."""
    quoted = set(record.verdict.messages)
    return [line for model in models(record) for line in _lines(model, quoted)]


def _lines(model: VariantRecord, quoted: Collection[str]) -> Iterator[str]:
    for result in model.results():
        facts = result.facts
        if not facts.budgets and (result.kind != SPEEDUP or facts.verdict is None):
            continue
        line = f"{escape(model.name)}: {_figures(result)}" if facts.message is None else escape(facts.message)
        basis = _basis(facts) if isinstance(facts, QualityFacts) else []
        if facts.message in quoted:
            line = f"{escape(model.name)}: {escape(result.title)} {facts.verdict}, quoted above"
        yield _line(model, line, basis, facts.budgets)


def _line(model: VariantRecord, message: str, basis: list[str], budgets: list[BudgetFacts]) -> str:
    parts = [message, *([] if model.gated else ["**not gated**"]), *basis]
    reasons = [f"why this budget: {escape(budget.reason)}" for budget in budgets if budget.reason is not None]
    return " · ".join([*parts, *reasons])


def _basis(facts: QualityFacts) -> list[str]:
    clauses = [] if facts.method is None else [f"method: {escape(facts.method)}"]
    if facts.design_effect is not None:
        clauses.append(f"design effect {to_fixed(facts.design_effect, 2)}")
    if facts.band is not None:
        clauses.append(f"band: {escape(facts.band)}")
    return clauses


def _figures(result: Result) -> str:
    """For a record that came without its messages."""
    facts, name = result.facts, escape(result.name)
    budgets = ", ".join(
        f"{escape(budget.kind)} {significant(budget.limit)} {budget.verdict}" for budget in facts.budgets
    )
    match facts:
        case QualityFacts():
            return f"{name} {quality_cell(facts)}, {budgets} {_rows(facts)}"
        case SinceFacts():
            return f"{name} since the baseline: {facts.verdict}"
        case SizeFacts():
            return f"size {smaller(facts.compression) or 'not known'}, {budgets}"
        case MemoryFacts():
            ratio = "not known" if facts.ratio is None else f"{significant(facts.ratio)} of the teacher's"
            return f"peak memory {ratio}, {budgets}"
        case FlopsFacts():
            return f"{flops_words(facts) or 'FLOPs not known'}, {budgets}"
        case LatencyFacts():
            speedup = as_fast(facts.speedup, facts.speedup_interval) or "speedup not known"
            return f"{workload_words(result.name)} {speedup}: {facts.verdict}"
        case TimeLimitFacts():
            return f"{workload_words(result.name)}, {budgets}"
    return f"{result.of}, {budgets}"


def _rows(facts: QualityFacts) -> str:
    needed = facts.n_needed
    return f"(n={count(facts.n)})" + (
        "" if needed is None else f", about {significant(needed, 2)} gate rows would tell"
    )
