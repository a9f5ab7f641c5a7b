"""report.md of one suite, and the report over all suites of a run.

report.md has the first screen. Below it, each further section is folded, the verdicts first. report.html
shows every section in full (`full_sections`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePath
from urllib.parse import quote

from slimgate._system.escape import escape
from slimgate._system.number_text import count, to_fixed
from slimgate.record.earlier_results import describe_carried
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.record.words import format_count
from slimgate.report.behaviour import (
    answers_changed,
    behaviour,
    has_confidence,
    lost_rows,
    won_rows,
    worst_mistakes,
    worst_slices,
)
from slimgate.report.builds import builds
from slimgate.report.cascades import cascades
from slimgate.report.confirm import confirm_section
from slimgate.report.epochs import epoch_table
from slimgate.report.followed_rows import followed_section
from slimgate.report.glossary import how_to_read
from slimgate.report.head import format_overall, head, reasons, unjudged_heading
from slimgate.report.recommendation import recommend, recommend_over_suites
from slimgate.report.separation import separation_section
from slimgate.report.servers import servers_table
from slimgate.report.since_baseline import since_baseline
from slimgate.report.stages import artifact_table, built_section, step_table
from slimgate.report.status import models
from slimgate.report.tables import Column, blocks, bullets, fold, table, with_heading
from slimgate.report.task_figures import task_figures, teacher_labels
from slimgate.report.token_kl import kl_tables
from slimgate.report.tool_files import tool_files_section
from slimgate.report.trust import data, machine, published_section, self_test
from slimgate.report.variant_tables import (
    free_metrics,
    latency_table,
    measurements_table,
    memory_table,
    more_gated_metrics,
    twins,
)
from slimgate.report.weights import weights_table
from slimgate.results.checks import SPEEDUP
from slimgate.results.quality import QualityFacts

_MORE_GATED, _FREE = "More metrics with a budget", "Metrics without a budget (not gated)"
_MORE = """\
report.html beside this file shows more of {parts}. run.json has every figure, and outcomes/ every row."""


def suite_report(record: RunRecord, plots: Sequence[str] = (), history: str = "") -> str:
    """report.md of one suite: the first screen, then folded sections.

    Args:
        record: of the run.
        plots: paths of pictures, relative to the report.
        history: the section on earlier releases.
    """
    return (
        blocks(
            head(record),
            since_baseline(record),
            confirm_section(record),
            separation_section(record),
            _gallery([f"![{escape(PurePath(path).stem)}]({quote(path)})" for path in plots]),
            with_heading("## Answers that changed", answers_changed(record)),
            "## Details",
            _fold_if_any("History", _without_heading(history), ", release by release"),
            *_details(record),
            _MORE.format(parts=_describe_page(record)) if record.task.has_rows else "",
            how_to_read(record),
        )
        + "\n"
    )


def full_sections(record: RunRecord, history: str = "") -> list[str]:
    """Every section below the first screen in full, for report.html. Empty sections are left out.

    history: the section on earlier releases.
    """
    latency, memory = latency_table(record), memory_table(record)
    sections = [
        tool_files_section(record),
        verdict_section(record),
        since_baseline(record),
        history,
        confirm_section(record),
        separation_section(record, folded=False),
        behaviour(record),
        with_heading(f"## {_MORE_GATED}", more_gated_metrics(record)),
        with_heading(f"## {_FREE}", free_metrics(record)),
        with_heading("## Cascades", cascades(record)),
        with_heading("## Latency in full", latency),
        with_heading("## Memory", memory),
        with_heading("## Measurements", measurements_table(record)),
        with_heading("## Precision of the weights", weights_table(record)),
        with_heading("## Servers", servers_table(record)),
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
    """The folded sections, ordered by how many readers want them."""
    verdicts, (heading_words, slices) = verdict_list(record), worst_slices(record)
    mistake_words, mistakes = worst_mistakes(record)
    flips = [model.behaviour.flips for model in record.variants if model.behaviour is not None]
    confident = any(has_confidence(counted.quoted) for counted in flips if counted is not None)
    return [
        _fold_if_any(
            "Verdicts", bullets(verdicts), f", {format_count(len(verdicts), 'line', 'lines')} with methods"
        ),
        _fold_if_any("KL to the teacher", kl_tables(record), ", token by token"),
        _fold_if_any("Slices that lost most", slices, f", {heading_words}"),
        _fold_if_any("Wrong answers that grew most", mistakes, f", {mistake_words}"),
        _fold_if_any(
            "Rows from right to wrong",
            lost_rows(record),
            ", where each variant is most confidently wrong" if confident else "",
        ),
        _fold_if_any("Rows from wrong to right", won_rows(record), ", which a budget limits too"),
        _fold_if_any(_MORE_GATED, more_gated_metrics(record)),
        _fold_if_any(_FREE, free_metrics(record)),
        _fold_if_any("Figures of this task", task_figures(record)),
        _fold_if_any("Cascades", cascades(record), ", which model answers when"),
        _fold_if_any("Latency in full", latency_table(record)),
        _fold_if_any("Memory", memory_table(record)),
        _fold_if_any("Measurements", measurements_table(record)),
        _fold_if_any("Builds by seed", builds(record)),
        _fold_if_any("What the teacher labelled", _without_heading(teacher_labels(record))),
        _fold_if_any("Published figures", _without_heading(published_section(record))),
        _fold_if_any("What was built from what", blocks(step_table(record), twins(record))),
        _fold_if_any("Loss and quality per epoch", epoch_table(record)),
        _fold_if_any("Artifacts", artifact_table(record)),
        _fold_if_any("Precision of the weights", weights_table(record), ", by kind of layer"),
        _fold_if_any("Servers", servers_table(record), ", the settings that each states"),
        _fold_if_any("Data", _without_heading(data(record))),
        _fold_if_any("Self-test of the gate", _without_heading(self_test(record))),
        _fold_if_any(
            "Versions" if record.task.is_of_files else "Machine and versions",
            _without_heading(machine(record)),
        ),
    ]


def _describe_page(record: RunRecord) -> str:
    """The content of which report.html has more than report.md; of very many rows it has some too."""
    if not record.task.is_of_files:
        return "the rows that changed, slices, confusions, calibration and build steps"
    return "the rows that changed" + (", slices and confusions" if record.task.classes else "")


def _fold_if_any(name: str, text: str, rest: str = "") -> str:
    return fold(name, rest, text) if text else ""


def _without_heading(section: str) -> str:
    """The section without its heading."""
    return section.partition("\n\n")[2]


def index_report(
    records: Sequence[RunRecord],
    paths: Sequence[str | PurePath] | None = None,
    unjudged: Sequence[str] = (),
) -> str:
    """reports/latest/report.md: a line for each suite, with a link to its report.

    unjudged: for each suite that could not be judged, the line that says why.
    paths: the suites' reports, relative to this one, in the order of `records`. The default is
    `<stem of the suite file>/report.md`.
    """
    links = (
        [f"{PurePath(record.suite.path).stem}/report.md" for record in records]
        if paths is None
        else [path.as_posix() if isinstance(path, PurePath) else path for path in paths]
    )
    pairs = list(zip(records, links, strict=True))
    if not pairs and not unjudged:
        return "# slimgate\n\nNo suite has run.\n"
    return (
        blocks(
            unjudged_heading(unjudged, "#", of=len(records) + len(unjudged))
            if unjudged
            else f"# slimgate: {format_overall(records)}",
            bullets([escape(line) for line in unjudged]),
            (recommend_over_suites(records, unjudged=len(unjudged)) or "") if len(records) > 1 else "",
            _suite_table(pairs) if pairs else "",
            *(_suite_reasons(*pair) for pair in pairs),
        )
        + "\n"
    )


def _gallery(pictures: Sequence[str]) -> str:
    """The first picture, and the others folded, because each fills half a screen."""
    first, rest = pictures[:1], pictures[1:]
    more = format_count(len(rest), "more picture", "more pictures")
    return blocks(*first, fold("", f"Show {more}", blocks(*rest)) if rest else "")


def _suite_table(pairs: Sequence[tuple[RunRecord, str]]) -> str:
    records = [record for record, _ in pairs]
    carried = [describe_carried(record) for record in records]
    return table(
        [
            Column("suite", [_link(record.suite.path, path) for record, path in pairs]),
            Column(
                "status",
                [
                    record.verdict.status
                    if record.verdict.status == "PASS"
                    else f"**{record.verdict.status}**"
                    for record in records
                ],
            ),
            Column("hold", [count(record.verdict.passed) for record in records], right=True),
            Column("fail", [count(record.verdict.failed) for record in records], right=True),
            Column("undecided", [count(record.verdict.inconclusive) for record in records], right=True),
            Column("not gated", [count(record.verdict.not_gated) for record in records], right=True),
            *([Column("partial", [words or "" for words in carried])] if any(carried) else []),
            Column("not run", [count(record.verdict.missing) for record in records], right=True),
            Column("question", [escape(record.suite.title, longest=120) for record in records]),
        ]
    )


def _suite_reasons(record: RunRecord, path: str) -> str:
    lines = [escape(message) for message in reasons(record)]
    return blocks(f"## {_link(record.suite.path, path)}", bullets([*lines, *recommend(record)]))


def _link(text: str, path: str) -> str:
    return f"[{escape(text)}]({quote(path)})"


def verdict_section(record: RunRecord) -> str:
    """The section "Verdicts", with its lines in the suite's order."""
    return blocks("## Verdicts", bullets(verdict_list(record)) or "Nothing was judged against a budget.")


def verdict_list(record: RunRecord) -> list[str]:
    """A line for each judged result. For a message of the first screen it only says how it was judged."""
    quoted = set(record.verdict.messages)
    return [line for model in models(record) for line in _verdict_lines(model, quoted)]


def _verdict_lines(model: VariantRecord, quoted: Collection[str]) -> Iterator[str]:
    for result in model.results():
        facts = result.facts
        if not facts.budgets and (result.kind != SPEEDUP or facts.verdict is None):
            continue
        line = f"{escape(model.name)}: {escape(result.title)} {facts.verdict}"
        basis = _describe_method(facts) if isinstance(facts, QualityFacts) else []
        if facts.message in quoted:
            line += ", quoted above"
        elif facts.message is not None:
            line = escape(facts.message)
        line_parts = [line, *([] if model.gated else ["**not gated**"]), *basis]
        reasons = [
            f"why this budget: {escape(budget.reason)}"
            for budget in facts.budgets
            if budget.reason is not None
        ]
        yield " · ".join([*line_parts, *reasons])


def _describe_method(facts: QualityFacts) -> list[str]:
    clauses = [] if facts.method is None else [f"method: {escape(facts.method)}"]
    if facts.design_effect is not None:
        clauses.append(f"design effect {to_fixed(facts.design_effect, 2)}")
    if facts.band is not None:
        clauses.append(f"band: {escape(facts.band)}")
    return clauses
