"""report.md of one suite, and the report over all suites of a run.

report.md has the first screen. Below it, each further section is folded, the verdicts first. report.html
shows every section in full (`list_full_sections`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePath
from urllib.parse import quote

from slimgate._system.escape import escape
from slimgate._system.number_text import format_count, format_fixed, format_int, format_percent
from slimgate.judge.decision import LEVEL
from slimgate.judge.speed import LEVEL as SPEED_LEVEL
from slimgate.record.earlier_results import describe_carried
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.report.behaviour import (
    format_behaviour,
    format_changed_answers,
    format_lost_rows,
    format_won_rows,
    format_worst_mistakes,
    format_worst_slices,
    has_confidence,
)
from slimgate.report.builds import format_builds_section
from slimgate.report.confirm import format_confirm_section
from slimgate.report.environments import make_servers_table
from slimgate.report.epochs import make_epoch_table
from slimgate.report.followed_rows import format_followed_rows
from slimgate.report.head import format_first_screen, format_overall, format_unjudged_heading, list_reasons
from slimgate.report.recommendation import recommend, recommend_over_suites
from slimgate.report.separation import format_separation_section
from slimgate.report.since_baseline import format_since_baseline
from slimgate.report.stages import format_built_section, format_step_table, make_artifact_table
from slimgate.report.status import list_models
from slimgate.report.tables import Column, add_heading, blocks, fold, format_bullets, make_pipe_table
from slimgate.report.task_figures import format_teacher_labels, make_figures_table, make_kl_tables
from slimgate.report.tool_files import format_tool_files_section
from slimgate.report.trust import (
    format_data_section,
    format_machine_section,
    format_published_section,
    format_self_test,
)
from slimgate.report.variant_tables import (
    format_more_metrics,
    format_twins,
    format_unbudgeted_metrics,
    make_cascade_table,
    make_latency_table,
    make_measurements_table,
    make_memory_table,
)
from slimgate.report.weights import make_weights_table
from slimgate.results.behaviour import BehaviourFacts
from slimgate.results.checks import SPEEDUP
from slimgate.results.latency import LatencyFacts
from slimgate.results.quality import QualityFacts

_VERDICTS = """\
**PASS**: a test at the 5 % level shows that the drop is inside its budget. **FAIL**: the test shows \
that it is outside. **INCONCLUSIVE**: there are too few rows to tell; the line says how many would."""
_NOT_GATED = "**Not gated**: the result has no budget, or its {other} cannot fail the run."
_BEST_OF = (
    ' "At most 1.3 allowing for the choice among 4": an upper bound of the drop that holds although you '
    "choose one of 4 variants by these figures."
)
_DUEL = """\
A **duel** times the teacher and a variant in turns, in the same seconds. Its ratio is the **speed-up**; \
above 1 is faster."""
_NOISE_FLOOR = """\
The **noise floor** is how much faster the teacher seems than its own copy, at least 3 %. It widens the \
interval of every speed-up."""
_FLIPS = "**Flips** are rows that turned from right to wrong, or back."
_FLIPS_INTERVAL = " The share of lost rows has an exact interval (Clopper and Pearson)."
_SLICE = 'A **slice** is the gate rows that share a value; "few" is under 50 rows.'
_SLICE_BUDGET = """\
 A budget on slices is PASS only if every slice is shown to be inside it. FAIL takes Holm's correction over \
the slices."""
_BANDS = """\
Bands are words, not verdicts: gain beyond -1 point, negligible up to 1, small up to 2, depends on the use \
up to 5, bad above."""
_LATENCY = """\
**Latency** is one forward call on prepared tensors after warm-up, without tokenizing. Models are timed \
one after another, so compare speed-ups, not times. A percentile needs 29 (p90), 59 (p95) or 299 (p99) \
rounds. \
A budget in ms is judged by the 90 % interval of its percentile, which is 3 % wider because one process was \
timed. Rounds that follow each other alike count as fewer. A stall that did not happen while timing goes \
unnoticed."""
_SIZE = "**Size** is the files needed to predict; 1 MB = 1024² bytes. A stored zero takes its full space."
_MEMORY = """\
**Memory** is that of a fresh process that loads the model and predicts one batch. The brackets of a ratio \
hold the least and the most that the processes allow."""
_CALIBRATION = """\
**Calibration error** is the mean distance of confidence from accuracy over 15 bins (Guo et al. 2017)."""
_BRIER = """\
**Brier** is the squared distance of the probabilities from the label; half of that for two classes."""
_DASH = """\
An en dash (–) was not measured. Seconds and losses are those of the build, also if a model came from the \
store."""


def format_glossary(record: RunRecord) -> str:
    """The section; empty if no word of it occurs, as in a report of load tests."""
    lines = list(_explain(record))
    return blocks("## How to read this", format_bullets(lines)) if lines else ""


def _explain(record: RunRecord) -> Iterator[str]:
    """A line for each word, in the order in which the report has them."""
    quality = [facts for model in record.variants for facts in model.quality.values()]
    latency = [facts for model in record.variants for facts in model.latency.values()]
    behaviour = [model.behaviour for model in record.variants if model.behaviour is not None]
    yield from _explain_drops(record, quality, latency)
    if any(facts.speedup is not None for facts in latency):
        yield _DUEL
    if any(facts.noise_floor is not None for facts in latency):
        yield _NOISE_FLOOR
    yield from _explain_answers(behaviour)
    if any(facts.band is not None for facts in quality):
        yield _BANDS
    if latency:
        yield _LATENCY
    if any(model.artifact is not None and model.artifact.bytes is not None for model in record.variants):
        yield _SIZE
    if any(model.memory is not None for model in record.variants):
        yield _MEMORY
    if any(facts.ece is not None for facts in behaviour):
        yield _CALIBRATION
    if any(facts.brier is not None for facts in behaviour):
        yield _BRIER
    if not record.task.is_of_files:
        yield _DASH


def _explain_drops(
    record: RunRecord, quality: list[QualityFacts], latency: list[LatencyFacts]
) -> Iterator[str]:
    sides, has_drop = record.task.sides, any(facts.drop_points is not None for facts in quality)
    if has_drop:
        points = "percentage points"
        if any("log_loss" in model.quality for model in record.variants):
            points += " (log loss: hundredths of a nat)"
        worse = f"how much worse a {sides.other} is than its {sides.original}, in {points}"
        yield f"A **drop** is {worse}. A negative drop is a gain."
    levels = [f"{format_percent(LEVEL, 0)} for a drop"] if has_drop else []
    if any(facts.speedup is not None for facts in latency):
        levels.append(f"{format_percent(SPEED_LEVEL, 0)} for a speed-up")
    if levels:
        is_best_of_many = any(facts.among not in (None, 1) for facts in quality)
        yield f"**Brackets** hold an interval: {', '.join(levels)}.{_BEST_OF if is_best_of_many else ''}"
    if has_drop:
        yield _VERDICTS
    if record.verdict.not_gated:
        yield _NOT_GATED.format(other=sides.other)


def _explain_answers(behaviour: list[BehaviourFacts]) -> Iterator[str]:
    flips = [facts.flips for facts in behaviour if facts.flips is not None]
    if flips:
        # rows are the units of the interval; groups of rows have Gaffke's bound
        is_exact = any(counts.interval is not None and counts.groups is None for counts in flips)
        yield _FLIPS + (_FLIPS_INTERVAL if is_exact else "")
    slices = [part for facts in behaviour for part in facts.slices or ()]
    if slices:
        yield _SLICE + (_SLICE_BUDGET if any(part.worst is not None for part in slices) else "")


_MORE_GATED, _FREE = "More metrics with a budget", "Metrics without a budget (not gated)"
_MORE = """\
report.html beside this file shows more of {parts}. run.json has every figure, and outcomes/ every row."""


def format_suite_report(record: RunRecord, plots: Sequence[str] = (), history: str = "") -> str:
    """report.md of one suite: the first screen, then folded sections.

    Args:
        record: of the run.
        plots: paths of pictures, relative to the report.
        history: the section on earlier releases.
    """
    return (
        blocks(
            format_first_screen(record),
            format_since_baseline(record),
            format_confirm_section(record),
            format_separation_section(record),
            _format_gallery([f"![{escape(PurePath(path).stem)}]({quote(path)})" for path in plots]),
            add_heading("## Answers that changed", format_changed_answers(record)),
            "## Details",
            _fold_if_any("History", _remove_heading(history), ", release by release"),
            *_list_folded_sections(record),
            _MORE.format(parts=_describe_page(record)) if record.task.has_rows else "",
            format_glossary(record),
        )
        + "\n"
    )


def list_full_sections(record: RunRecord, history: str = "") -> list[str]:
    """Every section below the first screen in full, for report.html. Empty sections are left out.

    history: the section on earlier releases.
    """
    latency, memory = make_latency_table(record), make_memory_table(record)
    sections = [
        format_tool_files_section(record),
        format_verdict_section(record),
        format_since_baseline(record),
        history,
        format_confirm_section(record),
        format_separation_section(record, folded=False),
        format_behaviour(record),
        add_heading(f"## {_MORE_GATED}", format_more_metrics(record)),
        add_heading(f"## {_FREE}", format_unbudgeted_metrics(record)),
        add_heading("## Cascades", make_cascade_table(record)),
        add_heading("## Latency in full", latency),
        add_heading("## Memory", memory),
        add_heading("## Measurements", make_measurements_table(record)),
        add_heading("## Precision of the weights", make_weights_table(record)),
        add_heading("## Servers", make_servers_table(record)),
        add_heading("## Twins", format_twins(record)),
        add_heading("## Builds by seed", format_builds_section(record)),
        format_teacher_labels(record),
        format_published_section(record),
        format_followed_rows(record),
        format_built_section(record),
        format_data_section(record),
        format_self_test(record),
        format_machine_section(record),
        format_glossary(record),
    ]
    return [section for section in sections if section]


def _list_folded_sections(record: RunRecord) -> list[str]:
    """The folded sections, ordered by how many readers want them."""
    verdicts = list_verdict_lines(record)
    slice_words, slices = format_worst_slices(record)
    mistake_words, mistakes = format_worst_mistakes(record)
    flips = [model.behaviour.flips for model in record.variants if model.behaviour is not None]
    confident = any(has_confidence(counted.quoted) for counted in flips if counted is not None)
    return [
        _fold_if_any(
            "Verdicts",
            format_bullets(verdicts),
            f", {format_count(len(verdicts), 'line', 'lines')} with methods",
        ),
        _fold_if_any("KL to the teacher", make_kl_tables(record), ", token by token"),
        _fold_if_any("Slices that lost most", slices, f", {slice_words}"),
        _fold_if_any("Wrong answers that grew most", mistakes, f", {mistake_words}"),
        _fold_if_any(
            "Rows from right to wrong",
            format_lost_rows(record),
            ", where each variant is most confidently wrong" if confident else "",
        ),
        _fold_if_any("Rows from wrong to right", format_won_rows(record), ", which a budget limits too"),
        _fold_if_any(_MORE_GATED, format_more_metrics(record)),
        _fold_if_any(_FREE, format_unbudgeted_metrics(record)),
        _fold_if_any("Figures of this task", make_figures_table(record)),
        _fold_if_any("Cascades", make_cascade_table(record), ", which model answers when"),
        _fold_if_any("Latency in full", make_latency_table(record)),
        _fold_if_any("Memory", make_memory_table(record)),
        _fold_if_any("Measurements", make_measurements_table(record)),
        _fold_if_any("Builds by seed", format_builds_section(record)),
        _fold_if_any("What the teacher labelled", _remove_heading(format_teacher_labels(record))),
        _fold_if_any("Published figures", _remove_heading(format_published_section(record))),
        _fold_if_any("What was built from what", blocks(format_step_table(record), format_twins(record))),
        _fold_if_any("Loss and quality per epoch", make_epoch_table(record)),
        _fold_if_any("Artifacts", make_artifact_table(record)),
        _fold_if_any("Precision of the weights", make_weights_table(record), ", by kind of layer"),
        _fold_if_any("Servers", make_servers_table(record), ", the settings that each states"),
        _fold_if_any("Data", _remove_heading(format_data_section(record))),
        _fold_if_any("Self-test of the gate", _remove_heading(format_self_test(record))),
        _fold_if_any(
            "Versions" if record.task.is_of_files else "Machine and versions",
            _remove_heading(format_machine_section(record)),
        ),
    ]


def _describe_page(record: RunRecord) -> str:
    """The content of which report.html has more than report.md; of very many rows it has some too."""
    if not record.task.is_of_files:
        return "the rows that changed, slices, confusions, calibration and build steps"
    return "the rows that changed" + (", slices and confusions" if record.task.classes else "")


def _fold_if_any(name: str, text: str, rest: str = "") -> str:
    return fold(name, rest, text) if text else ""


def _remove_heading(section: str) -> str:
    """The section without its heading."""
    return section.partition("\n\n")[2]


def format_index_report(
    records: Sequence[RunRecord], paths: Sequence[str], unjudged: Sequence[str] = ()
) -> str:
    """reports/latest/report.md: a line for each suite, with a link to its report.

    paths: the suites' reports, relative to this one, in the order of `records`. unjudged: for each suite that
    could not be judged, the line that says why.
    """
    pairs = list(zip(records, paths, strict=True))
    if not pairs and not unjudged:
        return "# slimgate\n\nNo suite has run.\n"
    return (
        blocks(
            format_unjudged_heading(unjudged, "#", of=len(records) + len(unjudged))
            if unjudged
            else f"# slimgate: {format_overall(records)}",
            format_bullets([escape(line) for line in unjudged]),
            (recommend_over_suites(records, unjudged=len(unjudged)) or "") if len(records) > 1 else "",
            _make_suite_table(pairs) if pairs else "",
            *(_format_suite_reasons(*pair) for pair in pairs),
        )
        + "\n"
    )


def _format_gallery(pictures: Sequence[str]) -> str:
    """The first picture, and the others folded, because each fills half a screen."""
    first, rest = pictures[:1], pictures[1:]
    more = format_count(len(rest), "more picture", "more pictures")
    return blocks(*first, fold("", f"Show {more}", blocks(*rest)) if rest else "")


def _make_suite_table(pairs: Sequence[tuple[RunRecord, str]]) -> str:
    records = [record for record, _ in pairs]
    carried = [describe_carried(record) for record in records]
    return make_pipe_table(
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
            Column("hold", [format_int(record.verdict.passed) for record in records], right=True),
            Column("fail", [format_int(record.verdict.failed) for record in records], right=True),
            Column("undecided", [format_int(record.verdict.inconclusive) for record in records], right=True),
            Column("not gated", [format_int(record.verdict.not_gated) for record in records], right=True),
            *([Column("partial", [words or "" for words in carried])] if any(carried) else []),
            Column("not run", [format_int(record.verdict.missing) for record in records], right=True),
            Column("question", [escape(record.suite.title, longest=120) for record in records]),
        ]
    )


def _format_suite_reasons(record: RunRecord, path: str) -> str:
    lines = [escape(message) for message in list_reasons(record)]
    return blocks(f"## {_link(record.suite.path, path)}", format_bullets([*lines, *recommend(record)]))


def _link(text: str, path: str) -> str:
    return f"[{escape(text)}]({quote(path)})"


def format_verdict_section(record: RunRecord) -> str:
    """The section "Verdicts", with its lines in the suite's order."""
    return blocks(
        "## Verdicts", format_bullets(list_verdict_lines(record)) or "Nothing was judged against a budget."
    )


def list_verdict_lines(record: RunRecord) -> list[str]:
    """A line for each judged result. For a message of the first screen it only says how it was judged."""
    quoted = set(record.verdict.messages)
    return [line for model in list_models(record) for line in _list_model_verdicts(model, quoted)]


def _list_model_verdicts(model: VariantRecord, quoted: Collection[str]) -> Iterator[str]:
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
        clauses.append(f"design effect {format_fixed(facts.design_effect, 2)}")
    if facts.band is not None:
        clauses.append(f"band: {escape(facts.band)}")
    return clauses
