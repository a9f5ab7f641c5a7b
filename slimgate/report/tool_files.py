"""Records made of other tools' files: a line for each task and metric, load tests and KL logs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from math import isfinite

from slimgate._system.escape import escape
from slimgate._system.number_text import MISSING, format_int, format_percent, format_significant
from slimgate.judge.budget_kinds import list_point_limits, measure_harm
from slimgate.judge.budget_tables import is_named_slice_kind, is_slices_kind
from slimgate.judge.decision import LEVEL
from slimgate.judge.message import format_cap
from slimgate.judge.metrics.language_model import CAP
from slimgate.judge.slices import select_budget_slices
from slimgate.plugins.workloads import LoadPart, format_workload
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.record.task import Sides
from slimgate.report.figures import format_drop, format_limits, format_metric_value
from slimgate.report.page.budgets import make_behaviour_budget
from slimgate.report.status import describe_budget, format_target_heading, list_variants
from slimgate.report.tables import Column, blocks, format_bullets, make_pipe_table
from slimgate.results.base import BudgetFacts, Verdict, has_run_ending_budget
from slimgate.results.behaviour import BehaviourFacts, SliceFacts
from slimgate.results.quality import QualityFacts
from slimgate.results.tool_logs import KlFigure, KlLogFacts, LoadRunFacts, TimeRatioFacts

_MOST_LINES = 300
# The slices that a line names, of those that do not hold.
_MOST_NAMED, _LONGEST = 3, 60

Line = tuple[str, str, str, str, str, str, str]


def count_lines(model: VariantRecord) -> int:
    """The lines of a target's table, if none is left out."""
    return len(model.quality) + len(model.behaviour.budgets if model.behaviour else ())


def format_log_table(
    model: VariantRecord, names: Sides, limit: int = _MOST_LINES, *, slices: Collection[str] = ()
) -> str:
    """The table of one target, of at most `limit` lines, with the target's name and its model above it.

    Metrics are left out before budgets on flips and slices, which are in the last lines. Of the metrics,
    those that end the run stay first, FAIL before INCONCLUSIVE, then those with a budget on all samples,
    then those with another budget. slices: the metrics of slices.
    """
    facts = model.behaviour
    changes = (
        [] if facts is None else [_make_behaviour_line(facts, budget) for budget in facts.budgets[:limit]]
    )
    shown = _select_metrics(model, limit - len(changes), slices)
    more = len(model.quality) - len(shown)
    lines = [*(_make_metric_line(name, facts) for name, facts in shown), *changes]
    heads = (
        "metric" if names.original == "teacher" else "task/metric",
        "n",
        names.original,
        names.other,
        f"drop, points [{format_percent(LEVEL, 0)}]",
        "budget",
        "verdict",
    )
    return blocks(
        format_target_heading(model),
        make_pipe_table(
            [
                Column(head, [line[place] for line in lines], right=0 < place < len(heads) - 1)
                for place, head in enumerate(heads)
            ]
        ),
        f"{format_int(more)} more; run.json has them." if more else "",
    )


def _select_metrics(
    model: VariantRecord, count: int, slices: Collection[str]
) -> list[tuple[str, QualityFacts]]:
    """The first `count` metrics in the order of `format_log_table`, then sorted by what they lost."""

    def harm(pair: tuple[str, QualityFacts]) -> float:
        return -measure_harm(pair[1].drop_points or 0.0, pair[1].budgets)

    def place(pair: tuple[str, QualityFacts]) -> tuple[int, float]:
        name, facts = pair
        if facts.verdict is Verdict.FAIL:
            return 0, harm(pair)
        if has_run_ending_budget(facts.budgets):
            return 1, harm(pair)
        return (2 if name not in slices else 3) if facts.budgets else 4, harm(pair)

    return sorted(sorted(model.quality.items(), key=place)[:count], key=harm)


def _make_metric_line(name: str, facts: QualityFacts) -> Line:
    return (
        escape(name),
        format_int(facts.n),
        format_metric_value(facts.teacher),
        format_metric_value(facts.value),
        format_drop(facts.drop_points, facts.interval, list_point_limits(facts.budgets), unit=facts.unit)
        + format_cap(facts.budgets),
        format_limits(facts.budgets),
        "not gated" if facts.verdict is None else _format_bold_verdict(facts.verdict),
    )


def _make_behaviour_line(facts: BehaviourFacts, budget: BudgetFacts) -> Line:
    """The line of a budget on flips, slices and other changes of answers."""
    name, verdict = describe_budget(budget.kind), _format_bold_verdict(budget.verdict)
    if not is_slices_kind(budget.kind):
        known = make_behaviour_budget(facts, budget)
        return name, format_int(facts.n), MISSING, known.measured, MISSING, known.limit, verdict
    parts = select_budget_slices(facts.slices or [], budget.kind)
    limit = f"{budget.limit:g}"
    if is_named_slice_kind(budget.kind) and parts:
        part = parts[0]
        return (
            name,
            format_int(part.n),
            format_metric_value(part.teacher),
            format_metric_value(part.variant),
            format_drop(part.drop_points, part.interval, [budget.limit]),
            limit,
            verdict,
        )
    return name, format_int(facts.n), MISSING, MISSING, MISSING, limit, f"{verdict}{_describe_slices(parts)}"


def _describe_slices(parts: list[SliceFacts]) -> str:
    """`: 4 of 5 hold, not label: cancel`; empty if no slice was judged by the budget on all of them."""
    parts = [part for part in parts if part.verdict is not None]
    if not parts:
        return ""
    open_parts = [part for part in parts if part.verdict is not Verdict.PASS]
    open_parts.sort(key=lambda part: (part.verdict is not Verdict.FAIL, -part.drop_points))
    if not open_parts:
        return f": all {format_int(len(parts))} hold"
    names = [f"{escape(part.column)}: {escape(part.value, longest=_LONGEST)}" for part in open_parts]
    more = f" and {format_int(len(names) - _MOST_NAMED)} more" if len(names) > _MOST_NAMED else ""
    holding = f"{format_int(len(parts) - len(names))} of {format_int(len(parts))} hold"
    return f": {holding}, not {', '.join(names[:_MOST_NAMED])}{more}"


def _format_bold_verdict(verdict: Verdict | None) -> str:
    if verdict is None:
        return MISSING
    return verdict.value if verdict is Verdict.PASS else f"**{verdict.value}**"


_PARTS: Mapping[LoadPart, str] = {"answer": "answer", "ttft": "first token", "tpot": "later token"}
# The figures of a KL log, by the kind of budget that limits them.
KL_WORDS = {
    "mean_max": "mean KL, nats a token",
    "floor": "same likeliest token",
    "increase_relative": "perplexity grown by",
    "p99_max": "99 % of the tokens' KL up to",
    "p999_max": "99.9 % of the tokens' KL up to",
}
# Milliseconds that are shown without a fraction.
_LARGE_MS = 10_000
_ONE_RUN = (
    "the two servers did not take turns, and one run of the base does not show how much two runs differ: the "
    "intervals are of the requests alone, and no speed-up is decided. A limit on milliseconds is decided if "
    "the times are not within a factor of 1.25 of it. Give a second run of the base: --repeat"
)
_TWO_RUNS = (
    "the two servers did not take turns: slimgate widens each interval by how much the two runs of the base "
    "differ. In a suite with loads the servers take turns, which shows smaller differences"
)


def format_tool_files_section(record: RunRecord) -> str:
    """The section: a table for each target, with its notes; empty for other records."""
    if record.task.has_rows:
        return ""
    return blocks("## Figures", *map(make_tool_files_table, list_variants(record)))


def make_tool_files_table(model: VariantRecord, limit: int | None = None) -> str:
    """One target's table of at most `limit` lines, with its name above and its notes below."""
    rows = list_figure_rows(model)[:limit]
    columns = [
        Column(head, [escape(row[head]) for row in rows], right=number > 1)
        for number, head in enumerate(rows[0] if rows else ())
    ]
    notes = format_bullets(escape(note) for note in list_figure_notes(model))
    return blocks(format_target_heading(model), make_pipe_table(columns), notes)


def list_figure_rows(model: VariantRecord) -> list[dict[str, str]]:
    """The rows of a target's table, by heading; none if it has neither load tests nor a KL log."""
    return _make_load_rows(model) if model.kl_log is None else _list_kl_rows(model.kl_log)


def _make_load_rows(model: VariantRecord) -> list[dict[str, str]]:
    """A row for each load, part of the request and quantile."""
    return [
        {
            "load": format_workload(load),
            "time": f"{_PARTS[ratio.part]} p{100 * ratio.quantile:.0f}",
            "base, ms": _format_ms(ratio.base),
            "target, ms": _format_ms(ratio.target),
            "base / target [90 %]": _format_time_ratio(ratio, repeated=facts.repeated),
            "counted as": f"{format_int(ratio.counted[0])} / {format_int(ratio.counted[1])}",
        }
        for load, facts in model.load_tests.items()
        for ratio in facts.times
    ]


def _list_kl_rows(facts: KlLogFacts) -> list[dict[str, str]]:
    """A row for each figure, and for each quantile that has a budget."""
    rows = [
        {
            "figure": KL_WORDS[kind],
            "value [90 %]": _format_figure(figure),
            "limit": limit,
            "verdict": verdict,
        }
        for kind, figure in facts.figures.items()
        for limit, verdict in [_find_budget(facts, kind)]
    ]
    for quantile, kind in (("p99", "p99_max"), ("p999", "p999_max")):
        limit, verdict = _find_budget(facts, kind)
        if limit:
            value = facts.quantiles.get(quantile)
            rows.append(
                {
                    "figure": KL_WORDS[kind],
                    "value [90 %]": "not printed" if value is None else f"{value:.4g}, no interval",
                    "limit": limit,
                    "verdict": verdict,
                }
            )
    return rows


def _format_figure(figure: KlFigure) -> str:
    low, high = figure.interval
    without = "" if figure.uncapped is None else f"; {figure.uncapped:.4g} without the cap of {CAP:g} nat"
    return f"{figure.value:.4g} [{low:.4g}, {high:.4g}]{without}"


def list_figure_notes(model: VariantRecord) -> Iterator[str]:
    """How the figures were measured, and from how many requests or chunks."""
    if model.kl_log is not None:
        yield f"{format_int(model.kl_log.chunks)} chunks; intervals 90 %, by Gaffke's bound over chunks"
    if model.load_tests:
        yield _TWO_RUNS if all(facts.repeated for facts in model.load_tests.values()) else _ONE_RUN
    yield from model.notes
    for load, facts in model.load_tests.items():
        yield f"{format_workload(load)}: base {_format_run(facts.base)}; target {_format_run(facts.target)}"


def _find_budget(facts: KlLogFacts, kind: str) -> tuple[str, str]:
    """The limit and the verdict on a figure; empty without a budget."""
    budget = next((budget for budget in facts.budgets if budget.kind == kind), None)
    return ("", "not gated") if budget is None else (f"{budget.limit:g}", str(budget.verdict))


def _format_ms(value: float) -> str:
    """Four digits without exponent: times of a busy server have more."""
    if not isfinite(value):
        return "failed"
    return f"{value:,.0f}" if value >= _LARGE_MS else f"{value:.4g}"


def _format_time_ratio(facts: TimeRatioFacts, *, repeated: bool) -> str:
    low, high = facts.claimed_interval if repeated else facts.interval
    ratio = f"{facts.ratio:.2f}" if isfinite(facts.ratio) else MISSING
    if low <= 0 and not isfinite(high):
        return f"{ratio}, too few for bounds"
    return f"{ratio} [{low:.2f}, {high:.2f}]" if isfinite(high) else f"{ratio} [{low:.2f}, no bound]"


def _format_run(run: LoadRunFacts) -> str:
    answered = run.requests - run.failed
    words = f"{format_int(run.requests)} requests, {format_int(run.failed)} failed"
    words += f", {format_int(run.unfinished)} cancelled or cut off by its end" if run.unfinished else ""
    return words + (
        f", {format_significant(answered / run.seconds)} answered a second" if run.seconds else ""
    )
