"""The tables of report.md with a line for each model: the first table, then those with further figures.

The HTML page has the same cells (page/table.py). `slimgate compare` has its own tables (compare.py), and so
have judged files (tool_files.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from slimgate._system.escape import escape
from slimgate._system.number_text import (
    MISSING,
    format_apart,
    format_fixed,
    format_int,
    format_megabytes,
    format_percent,
    format_points,
    format_significant,
)
from slimgate.budgets.registry import is_in_points, is_two_sided_kind
from slimgate.judge.budget_kinds import list_point_limits
from slimgate.judge.message import format_builds, format_cap
from slimgate.record.build import ArtifactFacts, CascadeFacts
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.report.figures import (
    add_note,
    describe_compression,
    format_drop_words,
    format_duel_speedup,
    format_metric_value,
    format_with_bounds,
)
from slimgate.report.peaks import compute_peak_ms, find_rates
from slimgate.report.status import (
    choose_workloads,
    describe_workload,
    find_model,
    find_shown_name,
    format_status_cell,
    list_budgeted_metrics,
    list_model_metrics,
    list_models,
    list_unbudgeted_metrics,
    list_variants,
    list_workloads,
)
from slimgate.report.tables import (
    Column,
    add_heading,
    blocks,
    format_bullets,
    make_pipe_table,
    remove_empty_columns,
)
from slimgate.results.base import BudgetFacts
from slimgate.results.checks import TEACHER
from slimgate.results.figures import MeasurementFacts, MemoryFacts
from slimgate.results.latency import LatencyFacts
from slimgate.results.quality import QualityFacts

_EXPLAINED = """\
A model answers a row if its highest probability is at least "sure from"; else the next model does. The
probability is the softmax of its scores, divided by the temperature. In a suite with a cascade, the timed
calls of all models take the same gate rows by turns, which are drawn at random."""
_ENSEMBLE = """\
An ensemble averages the scores of all models that a row reached. The next model's own scores have the
"weight of the next"."""


def make_cascade_table(record: RunRecord) -> str:
    """The table, with a line for each model of a cascade except the last; empty without a cascade."""
    gates = list(_iter_gates(record))
    if not gates:
        return ""
    columns = [
        Column("cascade", [escape(name) for name, _, _ in gates]),
        Column("model", [escape(facts.models[place]) for _, facts, place in gates]),
        Column("next", [escape(facts.models[place + 1]) for _, facts, place in gates]),
        Column(
            "sure from", [format_fixed(facts.thresholds[place], 4) for _, facts, place in gates], right=True
        ),
        Column(
            "temperature",
            [format_significant(facts.temperatures[place]) for _, facts, place in gates],
            right=True,
        ),
        Column(
            "gate rows that reach the next",
            [
                MISSING if facts.passed_on is None else format_percent(facts.passed_on[place], 1)
                for _, facts, place in gates
            ],
            right=True,
        ),
        Column("chosen on selection rows", [_describe_selection(facts) for _, facts, _ in gates]),
    ]
    if not any(facts.weights for _, facts, _ in gates):
        return blocks(make_pipe_table(columns), _EXPLAINED)
    weights = [
        format_fixed(facts.weights[place], 2) if facts.weights else MISSING for _, facts, place in gates
    ]
    columns.insert(3, Column("weight of the next", weights, right=True))
    return blocks(make_pipe_table(columns), f"{_EXPLAINED}\n{_ENSEMBLE}")


def format_passed_on(shares: list[float] | None) -> str:
    """The shares of rows that reach each model after the first: `21.3 %`, or `21.3 %, 4.0 %`."""
    return MISSING if shares is None else ", ".join(format_percent(share, 1) for share in shares)


def _describe_selection(facts: CascadeFacts) -> str:
    """How many rows chose the thresholds, and what the cascade lost on them."""
    selection = facts.selection
    if selection is None:
        return "weights only" if facts.weights else "no, set in the suite"
    against = "the mean of all" if facts.weights else escape(facts.models[-1])
    lost = f"lost {format_fixed(selection.lost_points, 1)} of {format_points(selection.drop_points)}"
    return f"{format_int(selection.rows)}, {lost} against {against}"


def _iter_gates(record: RunRecord) -> Iterator[tuple[str, CascadeFacts, int]]:
    """(name of the cascade, its facts, place of the model) for each model that may pass rows on."""
    for model in list_models(record):
        facts = None if model.artifact is None else model.artifact.cascade
        if facts is not None:
            yield from ((model.name, facts, place) for place in range(len(facts.thresholds)))


# A wider table has to be scrolled sideways on GitHub.
_WIDEST = 10
_FIXED_COLUMNS = 3


def make_variants_table(record: RunRecord, models: Sequence[VariantRecord]) -> str:
    """The one table of the first screen: a line for each model, with the figures that were judged."""
    budgeted = list_budgeted_metrics(record)
    return make_pipe_table(
        [
            Column("variant", [escape(model.name) for model in models]),
            Column("verdict", [format_status_cell(record, model, budgeted) for model in models]),
            Column("size, MB", [format_size_cell(model) for model in models], right=True),
            *(
                Column(
                    f"speed-up, {describe_workload(name)}",
                    [format_speed_cell(model.latency.get(name)) for model in models],
                    right=True,
                )
                for name in choose_workloads(record)
            ),
            *(_make_metric_column(models, name) for name in _list_table_metrics(record)),
        ]
    )


def format_twins(record: RunRecord) -> str:
    """The gain of distillation over the same model without a teacher; empty without twins."""
    lines = [line for model in list_models(record) if (line := _describe_twin_gain(record, model))]
    return add_heading(
        "What distillation gained over the same student without a teacher:", format_bullets(lines)
    )


def format_more_metrics(record: RunRecord) -> str:
    """The gated metrics that the table of variants has no room for; empty if there are none.

    A metric that has a budget only since the baseline is among them. Empty for files too, whose first table
    has a line for each metric.
    """
    if record.task.is_of_files:
        return ""
    elsewhere = {*_list_table_metrics(record), *list_unbudgeted_metrics(record)}
    return _make_gated_metrics_table(
        record, [name for name in list_model_metrics(record) if name not in elsewhere]
    )


def format_unbudgeted_metrics(record: RunRecord) -> str:
    """The metrics that no budget gates; empty if there are none."""
    return _make_gated_metrics_table(record, list_unbudgeted_metrics(record))


def format_quality_cell(facts: QualityFacts | None, *, note: str | None = None) -> str:
    """`0.826 (drop 0.3 [-0.2, 0.8])`; `; over 3 builds 0.5 [-0.9, 1.9]` follows for a budget over builds."""
    if facts is None:
        return MISSING
    limits = list_point_limits(facts.budgets)
    drop = format_drop_words(facts.drop_points, facts.interval, limits, unit=facts.unit)
    drop = None if drop is None else drop + format_cap(facts.budgets)
    return add_note(format_metric_value(facts.value), drop, _format_over_builds(facts), note)


def _format_over_builds(facts: QualityFacts) -> str | None:
    """The value that a budget over builds limits: the mean drop, or the mean value."""
    for budget in sorted(facts.budgets, key=lambda judged: not is_in_points(judged.kind)):
        if is_in_points(budget.kind) and budget.value is not None:
            drop = format_drop_words(budget.value, budget.interval, list_point_limits([budget])) or MISSING
            return f"{format_builds(budget.builds).strip()} {drop.removeprefix('drop ')}"
        if (budget.builds or 1) > 1 and budget.kind in ("floor", "ceiling") and budget.value is not None:
            ends = f" [{', '.join(map(format_metric_value, budget.interval))}]" if budget.interval else ""
            return f"mean of {budget.builds} builds {format_metric_value(budget.value)}{ends}"
    return None


def format_size_cell(model: VariantRecord, *, unit: str = "") -> str:
    """`22.7 (3.8× smaller)`, `320 (1.6× smaller; a shared table is stored twice)`."""
    if model.artifact is None or model.artifact.bytes is None:
        return MISSING
    shown = format_megabytes(model.artifact.bytes) + unit
    # The log of a step says if the step split a shared table (models/replace_modules.py).
    logs = [log for step in model.steps for log in (step.log, *step.log.values())]  # also of steps in a step
    untied = any(isinstance(log, Mapping) and "untied" in log for log in logs)
    return add_note(
        shown,
        None if model.name == TEACHER else describe_compression(model.size),
        "a shared table is stored twice" if untied else None,
    )


def _list_table_metrics(record: RunRecord) -> list[str]:
    """The gated metrics that the table of variants has room for."""
    room = _WIDEST - _FIXED_COLUMNS - len(choose_workloads(record))
    return list_budgeted_metrics(record)[:room]


def format_parameters_cell(artifact: ArtifactFacts | None) -> str:
    if artifact is None or artifact.parameters is None:
        return MISSING
    total = artifact.parameters
    shown = f"{format_fixed(total / 1e6, 1)} M" if total >= 1e6 else format_int(total)
    share = (artifact.nonzero_parameters or 0) / total if total else 1.0
    return add_note(shown, f"{format_percent(share, 0)} nonzero" if share < 0.995 else None)


def format_speed_cell(facts: LatencyFacts | None) -> str:
    """`1.93× [1.56, 2.57]` by the duel; without a duel, as for the teacher, the median `12.7 ms`.

    A median next to a duel's figure would contradict it: both were not measured in the same seconds.
    """
    if facts is None:
        return MISSING
    if facts.speedup is None:
        return MISSING if facts.p50_ms is None else f"{format_significant(facts.p50_ms)} ms"
    return format_duel_speedup(facts)


def _make_metric_column(models: Sequence[VariantRecord], metric: str) -> Column:
    """The heading names the budgets that all gated models share; else each cell names its own."""
    facts = [model.quality.get(metric) for model in models]
    budget_cells = [
        _describe_metric_limits(model, result) for model, result in zip(models, facts, strict=True)
    ]
    different = set(filter(None, budget_cells))
    shared = None if len(different) > 1 else "".join(different)
    cells = [
        format_quality_cell(result, note=None if budgets in (None, shared) else budgets or "no budget")
        for result, budgets in zip(facts, budget_cells, strict=True)
    ]
    # The column itself does not say what is limited.
    heading = shared.replace("at most", "drop at most").replace("within", "drop within") if shared else None
    return Column(add_note(escape(metric), heading), cells, right=True)


def _describe_metric_limits(model: VariantRecord, facts: QualityFacts | None) -> str | None:
    """`at most 2` for a gated model; empty without a budget, None if no budget is expected."""
    if facts is None or model.name == TEACHER or not model.gated:
        return None
    return ", ".join(map(_describe_limit, facts.budgets))


def _describe_limit(budget: BudgetFacts) -> str:
    over = "" if budget.builds is None else " over builds"
    if budget.kind == "drop_points":
        return f"at most {budget.limit:g}{over}"
    if is_two_sided_kind(budget.kind):
        return f"within ±{budget.limit:g}{over}"
    return f"{escape(budget.kind)} {budget.limit:g}{over}"


def _make_gated_metrics_table(record: RunRecord, names: list[str]) -> str:
    if not names:
        return ""
    models_shown = list_models(record)
    names_shown = [escape(find_shown_name(record, model)) for model in models_shown]
    columns = [Column(record.task.sides.other, names_shown)]
    return "\n\n".join(
        make_pipe_table(
            [
                *columns,
                *(_make_metric_column(models_shown, name) for name in names[start : start + _WIDEST - 1]),
            ]
        )
        for start in range(0, len(names), _WIDEST - 1)
    )


def _describe_twin_gain(record: RunRecord, model: VariantRecord) -> str | None:
    twin = find_model(record, model.twin)
    if twin is None:
        return None
    gains = [line for name in list_model_metrics(record) if (line := _describe_gain(name, model, twin))]
    if not gains:
        return None
    pair = f"{escape(model.name)} over its twin {escape(twin.name)}"
    return f"{pair}: {', '.join(gains)} (+ is better; without an interval)"


def _describe_gain(metric: str, model: VariantRecord, twin: VariantRecord) -> str | None:
    """`accuracy +2.6 points`: positive if the model is better than its twin, whatever the metric."""
    drops = [run.quality[metric].drop_points for run in (model, twin) if metric in run.quality]
    if len(drops) != 2 or drops[0] is None or drops[1] is None:
        return None
    gain = format_fixed(drops[1] - drops[0], 1)
    unit = "%" if model.quality[metric].unit == "percent" else "points"
    return f"{escape(metric)} {gain if gain.startswith(('-', MISSING)) else f'+{gain}'} {unit}"


def make_latency_table(record: RunRecord) -> str:
    """Every time of a call, a line for each workload and model; empty text if nothing was timed."""
    rows = [
        (model, workload, model.latency[workload])
        for workload in list_workloads(record)
        for model in list_models(record)
        if workload in model.latency
    ]

    def column(head: str, cell: Callable[[LatencyFacts], str]) -> Column:
        return Column(head, [cell(facts) for _, _, facts in rows], right=True)

    rates = find_rates(record.machine)
    at_peak = [format_significant(compute_peak_ms(model, workload, rates)) for model, workload, _ in rows]
    columns = [
        Column("workload", [describe_workload(workload) for _, workload, _ in rows]),
        Column("variant", [escape(model.name) for model, _, _ in rows]),
        column("mean ms", lambda facts: format_significant(facts.mean_ms if facts.turns else None)),
        column("p50 ms", lambda facts: format_significant(facts.p50_ms)),
        column("p90 / p95 / p99 ms", _format_percentiles),
        Column("products at the peaks, ms", at_peak, right=True),
        column("rounds (warm-up)", lambda facts: f"{format_int(facts.rounds)} ({format_int(facts.warmup)})"),
        column("different batches", lambda facts: format_int(facts.turns)),
        column("to next model", lambda facts: format_passed_on(facts.passed_on)),
        column("rows a second", lambda facts: format_significant(facts.throughput_per_s)),
        column("good requests", lambda facts: format_percent(facts.good_share)),
        column("goodput a second", lambda facts: format_significant(facts.goodput_per_s)),
        column("tokens a call", lambda facts: format_int(facts.tokens)),
        column("new tokens", lambda facts: format_int(facts.new_tokens)),
        column("tokens a second", lambda facts: format_significant(facts.tokens_per_s)),
        column("cache MB", lambda facts: format_megabytes(facts.cache_bytes)),
        column("tokenize ms", lambda facts: format_significant(facts.tokenize_ms)),
        column("speed-up", format_duel_speedup),
        column("noise floor", lambda facts: format_percent(facts.noise_floor)),
    ]
    return make_pipe_table(remove_empty_columns(columns)) if rows else ""


def _format_percentiles(facts: LatencyFacts) -> str:
    """The percentiles that the rounds are enough for, from the lowest on."""
    known = [value for value in (facts.p90_ms, facts.p95_ms, facts.p99_ms) if value is not None]
    return " / ".join(map(format_significant, known)) or MISSING


def make_memory_table(record: RunRecord) -> str:
    """A line for each model that was measured; empty text if none was."""
    measured = [(model.name, model.memory) for model in list_models(record) if model.memory is not None]

    def column(head: str, cell: Callable[[MemoryFacts], str]) -> Column:
        return Column(head, [cell(facts) for _, facts in measured], right=True)

    columns = [
        Column("variant", [escape(name) for name, _ in measured]),
        column("peak MB", lambda facts: format_megabytes(facts.peak_bytes)),
        column("peak / teacher's", _format_measured_ratio),
        column("after load MB", lambda facts: format_megabytes(facts.resident_after_load_bytes)),
        column("peak of load MB", lambda facts: format_megabytes(facts.load_peak_bytes)),
        column("before it MB", lambda facts: format_megabytes(facts.baseline_bytes)),
        column("device peak MB", lambda facts: format_megabytes(facts.device_peak_bytes)),
        column("load seconds", lambda facts: format_fixed(facts.load_seconds, 1)),
        column("predicting", _format_workload),
        column("processes", lambda facts: format_int(facts.readings)),
    ]
    return make_pipe_table(remove_empty_columns(columns)) if measured else ""


def make_measurements_table(record: RunRecord) -> str:
    """A line for each figure of each variant that a measurement gave; empty text if there is none."""
    measured = [
        (model.name, name, facts)
        for model in list_variants(record)
        for name, facts in model.measurements.items()
    ]

    def column(head: str, cell: Callable[[MeasurementFacts], str]) -> Column:
        return Column(head, [cell(facts) for *_, facts in measured], right=True)

    columns = [
        Column("variant", [escape(name) for name, *_ in measured]),
        Column("measurement", [escape(name) for _, name, _ in measured]),
        Column("what", [escape(facts.title) for *_, facts in measured]),
        column("value", lambda facts: format_significant(facts.value)),
        column("teacher's", lambda facts: format_significant(facts.teacher)),
        Column("unit", [escape(facts.unit) for *_, facts in measured]),
        column("value / teacher's", lambda facts: format_with_bounds(facts.ratio, facts.interval)),
        column("rounds", lambda facts: format_int(len(facts.readings))),
    ]
    return make_pipe_table(remove_empty_columns(columns)) if measured else ""


def _format_measured_ratio(facts: MemoryFacts) -> str:
    """`0.61 [0.60, 0.62]`: with the least and the most that the readings allow."""
    if facts.ratio is None:
        return MISSING
    numbers = (facts.ratio, *(facts.spread or ()))
    ratio, *ends = format_apart(numbers, [budget.limit for budget in facts.budgets], fewest=3)
    return f"{ratio} [{', '.join(ends)}]" if ends else ratio


def _format_workload(facts: MemoryFacts) -> str:
    return MISSING if facts.workload is None else describe_workload(facts.workload)
