"""Load tests and KL logs of other tools: their rows and words, in a report and on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite

from slimgate._system.escape import escape
from slimgate._system.number_text import MISSING, format_int, format_significant
from slimgate.judge.metrics.language_model import CAP
from slimgate.plugins.workloads import LoadPart
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.report.status import format_target_heading, list_variants
from slimgate.report.tables import Column, blocks, format_bullets, make_pipe_table
from slimgate.results.tool_logs import KlFigure, KlLogFacts, LoadRunFacts, TimeRatioFacts

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
            "load": load,
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
        yield f"{load}: base {_format_run(facts.base)}; target {_format_run(facts.target)}"


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
