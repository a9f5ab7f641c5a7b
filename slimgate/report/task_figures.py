"""Sections on figures that only some kinds of task have, such as how varied generated text is.

Another section is for active learning: quality by how many rows the teacher labelled, and the rows that each
round chose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isinf
from typing import Any

from slimgate._system.escape import escape
from slimgate._system.number_text import (
    MISSING,
    format_count,
    format_fixed,
    format_int,
    format_percent,
    format_significant,
)
from slimgate.judge.behaviour_message import describe_fault_location
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.report.figures import format_drop
from slimgate.report.status import list_budgeted_metrics, list_model_metrics, list_variants
from slimgate.report.tables import Column, add_heading, blocks, fold, make_pipe_table, remove_empty_columns
from slimgate.results.behaviour import BehaviourFacts, FaultLocationFacts, KlFacts
from slimgate.results.quality import QualityFacts

Measured = tuple[VariantRecord, KlFacts]


def make_kl_tables(record: RunRecord) -> str:
    """A line a variant, then the blocks of each variant whose KL budget failed; empty without any."""
    behaved = [(model, model.behaviour) for model in list_variants(record) if model.behaviour is not None]
    measured = [(model, facts.kl) for model, facts in behaved if facts.kl is not None]
    if not measured:
        return ""
    locations = [
        (model, facts.fault_location) for model, facts in behaved if facts.fault_location is not None
    ]
    return blocks(
        _explain(measured), _make_kl_table(measured), *(_format_fault_blocks(*item) for item in locations)
    )


def _explain(measured: list[Measured]) -> str:
    facts = measured[0][1]
    places, documents = format_int(facts.tokens), format_int(facts.documents)
    units = "" if facts.groups is None else f" in {format_int(facts.groups)} groups"
    note = f"KL(teacher ‖ variant) in nats, over {places} tokens of {documents} rows{units}; intervals: 90 %."
    if facts.cap is not None:
        note += (
            f" A row counts for at most {facts.cap:g} nats a token in the mean; above the cap: the share of "
            "the tokens in rows that have more."
        )
    if not facts.rest:
        return note
    return (
        f"{note} The part of the teacher's less likely tokens, {format_percent(facts.rest, 2)} of its "
        "probability, is estimated from a sample of them."
    )


def _make_kl_table(measured: list[Measured]) -> str:
    figures: dict[str, Callable[[KlFacts], str]] = {
        "mean": lambda kl: _format_kl(kl.mean, kl.mean_interval),
        # Only if a document is above the cap; else it equals the mean.
        "mean, no cap": lambda kl: format_significant(kl.uncapped_mean if kl.above_cap else None),
        "above the cap": lambda kl: _format_share(kl.above_cap, kl.above_cap_interval),
        "median": lambda kl: format_significant(kl.median),
        "99 %": lambda kl: _format_kl(kl.p99, kl.p99_interval),
        "99.9 %": lambda kl: _format_kl(kl.p999, kl.p999_interval),
        "largest": lambda kl: format_significant(kl.maximum),
        "same top-1": lambda kl: _format_share(kl.same_top1, kl.same_top1_interval),
        "ln of the perplexities' ratio": lambda kl: _format_kl(
            kl.log_perplexity_ratio, kl.log_perplexity_ratio_interval
        ),
    }
    names = Column("variant", [escape(model.name) for model, _ in measured])
    columns = [Column(title, [show(kl) for _, kl in measured], right=True) for title, show in figures.items()]
    return make_pipe_table(remove_empty_columns([names, *columns]))


def _format_kl(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None or interval is None:
        return MISSING
    return f"{format_significant(value)} [{_format_bound(interval[0])}, {_format_bound(interval[1])}]"


def _format_bound(value: float) -> str:
    return "∞" if isinf(value) else format_significant(value)


def _format_share(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None or interval is None:
        return MISSING
    return f"{format_percent(value, 2)} [{format_percent(interval[0], 2)}, {format_percent(interval[1], 2)}]"


def _format_fault_blocks(model: VariantRecord, location: FaultLocationFacts) -> str:
    fault = describe_fault_location(location)
    line = f"**{escape(model.name)}**: {escape(fault)}."
    if not location.parts:
        return line
    columns = [
        Column("part", [escape(part.name) for part in location.parts]),
        Column("error of its own", [format_significant(part.own) for part in location.parts], right=True),
        Column("error behind it", [format_significant(part.after) for part in location.parts], right=True),
    ]
    rows = format_count(location.rows or 0, "gate row", "gate rows")
    about = (
        f"On {rows}. Its own: each part reads the teacher's hidden states; relative to what the teacher's "
        "part adds to them. Behind it: relative to the teacher's hidden states, with all errors before it."
    )
    return blocks(line, fold(model.name, ", part by part", blocks(about, make_pipe_table(columns))))


def list_kl_facts(behaviour: BehaviourFacts) -> list[tuple[str, str]]:
    """Name and value, for the details of one variant."""
    facts = []
    if (location := behaviour.fault_location) is not None:
        facts.append(("where the fault is", escape(describe_fault_location(location))))
    if (kl := behaviour.kl) is None:
        return facts
    return [
        (
            "KL, 99 % and 99.9 % of the tokens",
            f"{format_significant(kl.p99)} and {format_significant(kl.p999)} nats",
        ),
        *facts,
    ]


Log = Mapping[str, Any]
LoggedModel = tuple[VariantRecord, Log]
RANDOM = "random"
_MOST_CLASSES = 12
_EXPLAINED = """\
Each row that the teacher answers costs; `over random` is how many points of drop the choice of rows spared
against as many rows at random, by the mean over the builds where there are several (no interval is taken)."""
_ROUNDS = """\
Uncertainty is the mean over the chosen rows, and over the rows of the pool that were still free."""
FiguredModel = tuple[VariantRecord, BehaviourFacts]


def format_teacher_labels(record: RunRecord) -> str:
    """The section on the rows that the teacher labelled; empty if no variant chose rows."""
    logged = sorted(
        ((model, log) for model in list_variants(record) if (log := find_active_log(model)) is not None),
        key=_make_sort_key,
    )
    if not logged:
        return ""
    named = [*list_budgeted_metrics(record), *list_model_metrics(record)][:1]
    return add_heading(
        "## What the teacher labelled",
        blocks(_EXPLAINED, _make_labels_table(logged, named), _ROUNDS, _make_rounds_table(logged)),
    )


def find_active_log(model: VariantRecord) -> Log | None:
    """The log of the model's last step that chose rows."""
    logs = [step.log["active"] for step in model.steps if isinstance(step.log.get("active"), Mapping)]
    return logs[-1] if logs else None


def _make_sort_key(model: LoggedModel) -> tuple[int, bool, str]:
    _, log = model
    return int(log["asked"]), log["strategy"] != RANDOM, str(log["strategy"])


def _make_labels_table(logged: Sequence[LoggedModel], named: Sequence[str]) -> str:
    quality = [[model.quality.get(metric) for model, _ in logged] for metric in named]
    columns = [
        Column("rows labelled", [format_int(int(log["asked"])) for _, log in logged], right=True),
        Column("of", [format_int(int(log["pool_rows"])) for _, log in logged], right=True),
        Column("chosen by", [escape(log["strategy"]) for _, log in logged]),
        Column("variant", [escape(model.name) for model, _ in logged]),
    ]
    for metric, facts in zip(named, quality, strict=True):
        spared = [_compare_to_random(chosen, metric, logged) for chosen in logged]
        columns += [
            Column(
                metric,
                [format_fixed(None if result is None else result.value, 3) for result in facts],
                right=True,
            ),
            Column("drop, points", [_format_drop(result) for result in facts], right=True),
            Column("mean drop of the builds", [_format_builds_mean(result) for result in facts], right=True),
            Column("over random, points", spared, right=True),
        ]
    return make_pipe_table(remove_empty_columns(columns))


def _format_drop(facts: QualityFacts | None) -> str:
    return MISSING if facts is None else format_drop(facts.drop_points, facts.interval)


def _format_builds_mean(facts: QualityFacts | None) -> str:
    if facts is None or facts.builds is None:
        return MISSING
    spread = facts.builds.sd_points
    return format_fixed(facts.builds.mean_points, 1) + (
        "" if spread is None else f" ± {format_fixed(spread, 1)}"
    )


def _find_mean_drop(facts: QualityFacts | None) -> float | None:
    if facts is None:
        return None
    return facts.drop_points if facts.builds is None else facts.builds.mean_points


def _compare_to_random(chosen: LoggedModel, metric: str, logged: Sequence[LoggedModel]) -> str:
    """The drop of the variant with as many random rows minus this drop, in points.

    Both must have the same parent and the same steps apart from the one that chose rows.
    """
    model, log = chosen
    random_results = [
        other.quality.get(metric)
        for other, other_log in logged
        if (other_log["strategy"], other_log["asked"]) == (RANDOM, log["asked"])
        and _list_other_steps(other) == _list_other_steps(model)
        and other.parent == model.parent
    ]
    before = _find_mean_drop(random_results[0] if random_results else None)
    after = _find_mean_drop(model.quality.get(metric))
    if log["strategy"] == RANDOM or before is None or after is None:
        return MISSING
    return f"{before - after:+z.1f}"


def _list_other_steps(model: VariantRecord) -> list[tuple[str, Any]]:
    """The names and options of the steps that chose no rows."""
    return [(step.name, step.params) for step in model.steps if "active" not in step.log]


def _make_rounds_table(logged: Sequence[LoggedModel]) -> str:
    rows = [
        (model, number, round_facts)
        for model, log in logged
        for number, round_facts in enumerate(log["rounds"], start=1)
    ]
    classes = list(dict.fromkeys(name for _, _, round_facts in rows for name in round_facts["answers"]))
    columns = [
        Column("variant", [escape(model.name) for model, _, _ in rows]),
        Column("round", [format_int(number) for _, number, _ in rows], right=True),
        Column("rows", [format_int(int(round_facts["asked"])) for _, _, round_facts in rows], right=True),
        Column("chosen by", [escape(round_facts["chosen"]) for _, _, round_facts in rows]),
        Column(
            "uncertainty",
            [format_fixed(round_facts.get("mean_of_chosen"), 3) for _, _, round_facts in rows],
            right=True,
        ),
        Column(
            "of the pool",
            [format_fixed(round_facts.get("mean_of_pool"), 3) for _, _, round_facts in rows],
            right=True,
        ),
        *(
            Column(
                f"answered {escape(name)}",
                [format_int(round_facts["answers"].get(name)) for _, _, round_facts in rows],
                True,
            )
            for name in classes[:_MOST_CLASSES]
        ),
        Column(
            "accuracy, selection",
            [format_fixed(round_facts.get("accuracy_selection"), 4) for _, _, round_facts in rows],
            right=True,
        ),
    ]
    return make_pipe_table(remove_empty_columns(columns))


def make_figures_table(record: RunRecord) -> str:
    """A table with a row for each model, the teacher first; empty if no variant has such figures."""
    figured = [
        (model, model.behaviour)
        for model in list_variants(record)
        if model.behaviour and model.behaviour.figures
    ]
    if not figured:
        return ""
    descriptions = {name: figure.what for _, facts in figured for name, figure in facts.figures.items()}
    models = [escape(record.variants[0].name), *(escape(model.name) for model, _ in figured)]
    columns = [
        *_make_quality_columns(record, figured),
        *(_make_figure_column(name, figured) for name in descriptions),
    ]
    legend = "\n".join(f"- {escape(name)}: {escape(words)}" for name, words in descriptions.items())
    return blocks(make_pipe_table([Column("model", models), *remove_empty_columns(columns)]), legend)


def _make_quality_columns(record: RunRecord, figured: list[FiguredModel]) -> list[Column]:
    """A column for each metric, so that the table shows quality next to the figures."""
    models = [record.variants[0], *(model for model, _ in figured)]
    names = dict.fromkeys(name for model in models for name in model.quality)
    return [
        Column(
            escape(name),
            [
                format_significant(model.quality[name].value if name in model.quality else None)
                for model in models
            ],
            right=True,
        )
        for name in names
    ]


def _make_figure_column(name: str, figured: list[FiguredModel]) -> Column:
    figures = [facts.figures.get(name) for _, facts in figured]
    teacher = next((figure.teacher for figure in figures if figure is not None), None)
    values = [teacher, *(None if figure is None else figure.variant for figure in figures)]
    return Column(escape(name), [format_significant(value) for value in values], right=True)
