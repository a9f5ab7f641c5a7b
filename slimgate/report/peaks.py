"""The peak rates of the machine in words, and the models that stay far below them.

A call cannot take less than its products at the peak of their number types and its weights at the speed of
memory. It always takes more: other operations, small matrices, the runtime's own time. Only a model far above
that minimum is named: its runtime lacks fast kernels for it on this processor, or spends its time on other
work.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from slimgate._system.escape import escape
from slimgate._system.number_text import format_count, format_significant
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.record.task import RATE_WORDS, Machine, Rates
from slimgate.report.status import describe_workload, list_models
from slimgate.results.figures import FlopsFacts
from slimgate.results.latency import LatencyFacts

# A usual encoder takes 2 to 4 times the minimum of its products at the peak. With very fast kernels, such as
# those of AMX, more than ten times is usual too: most of the time goes to the other operations, in float32.
# So a model also has to be slower than float32 products would be, which usually reach a third of their peak.
_TIMES_AS_LONG, _TIMES_FLOAT32 = 10.0, 3.0
# With fewer rows, or if the products take less time at their peaks, overhead and small matrices dominate.
_LEAST_BATCH, _LEAST_MS = 16, 1.0
_WORKLOAD = re.compile(r"b(\d+)(?:x\d+)?")


def list_rate_lines(machine: Machine) -> Iterator[str]:
    """`measured peaks, 2 threads: float32 140 GFLOP/s, …`, with one thread too, and the missing figures."""
    rates = machine.peak_rates
    if rates is None:
        return
    every, single = rates.all_threads, rates.one_thread
    if every is not None:
        alone = f"; one thread: {_format_rates(single)}" if single is not None and every.threads > 1 else ""
        by = f" (int8 by {escape(rates.int8_by)})" if rates.int8_by else ""
        threads = format_count(every.threads, "thread", "threads")
        yield f"measured peaks{by}, {threads}: {_format_rates(every)}{alone}"
    yield from (f"of the measured peaks: {escape(note)}" for note in rates.notes)


def find_rates(machine: Machine) -> Rates | None:
    """The rates with the suite's threads: on a busy machine they are below those of one thread."""
    return machine.peak_rates.all_threads if machine.peak_rates is not None else None


def _format_rates(peak_rates: Rates) -> str:
    rates = ((words, getattr(peak_rates, name), unit) for name, (words, unit) in RATE_WORDS.items())
    return ", ".join(f"{words} {format_significant(rate)} {unit}" for words, rate, unit in rates if rate)


@dataclass(frozen=True)
class Floor:
    """The least time of a call in ms: with its own number types, and with its products in float32."""

    ms: float
    float32_ms: float

    def explains(self, took_ms: float) -> bool:
        """Whether a call of this time is no slower than usual."""
        return took_ms <= max(_TIMES_AS_LONG * self.ms, _TIMES_FLOAT32 * self.float32_ms)


def list_slow_runtimes(record: RunRecord) -> Iterator[str]:
    """A line for each model whose calls are far slower than its operations explain, of the worst workload."""
    rates = find_rates(record.machine)
    if rates is None:
        return
    for model in list_models(record):
        slow = [
            (facts.min_ms / floor.ms, workload, facts.min_ms, floor.ms)
            for workload, facts in model.latency.items()
            if facts.min_ms is not None  # the peaks are of the fastest call too
            and (floor := compute_floor(model, workload, rates)) is not None
            and not floor.explains(facts.min_ms)
        ]
        if slow:
            times, workload, took, least = max(slow)
            name = escape(model.name)
            calls = f"{describe_workload(workload)} took at least {format_significant(took)} ms"
            peaks = f"at this machine's measured peaks ({format_significant(least)} ms)"
            yield (
                f"**{name} is far slower than its operations explain**: {calls}, "
                f"{format_significant(times, 2)} times what its products and weights take {peaks}."
            )


def compute_floor(model: VariantRecord, workload: str, rates: Rates) -> Floor | None:
    """The least time of a call of a workload; None if that is not known, or too short to mean anything."""
    counted, match = model.flops, _WORKLOAD.fullmatch(workload)
    if counted is None or match is None or int(match[1]) < _LEAST_BATCH or rates.memory_gb_per_s is None:
        return None
    peak, float32 = compute_peak_ms(model, workload, rates), rates.float32_gflop_per_s
    rows = _compute_counted_rows(workload, counted, model.latency[workload])
    if peak is None or rows is None or float32 is None or peak < _LEAST_MS:
        return None
    stored = model.artifact.state_bytes if model.artifact is not None else None
    weights = (stored or 0) / rates.memory_gb_per_s / 1e6
    return Floor(peak + weights, rows * 2 * (counted.macs or 0) / float32 / 1e6 + weights)


def compute_peak_ms(model: VariantRecord, workload: str, rates: Rates | None) -> float | None:
    """The time of a call's products at the peaks of their number types, in ms; None if not known.

    The operations of one row were counted; those of more and longer rows are in proportion to their tokens.
    """
    counted, facts = model.flops, model.latency[workload]
    if counted is None or rates is None or facts.threads != rates.threads or facts.turns is not None:
        return None
    rows, product_ms = _compute_counted_rows(workload, counted, facts), _compute_products_ms(counted, rates)
    return None if rows is None or product_ms is None else rows * product_ms


def _compute_counted_rows(workload: str, counted: FlopsFacts, facts: LatencyFacts) -> float | None:
    """How many times the tokens of the counted row a call has; None for models that read no tokens."""
    match = _WORKLOAD.fullmatch(workload)
    if match is None or not counted.tokens or not facts.tokens:
        return None
    return int(match[1]) * facts.tokens / counted.tokens


def _compute_products_ms(counted: FlopsFacts, rates: Rates) -> float | None:
    """The time of the counted row's products at the peaks of their types; None if a type has no peak."""
    peaks = {
        "float32": rates.float32_gflop_per_s,
        "bfloat16": rates.bfloat16_gflop_per_s,
        "int8": rates.int8_gop_per_s,
    }
    total = 0.0
    for kind, macs in counted.macs_by_type.items():
        peak = peaks.get(kind)
        if not peak:
            return None
        total += 2 * macs / peak / 1e6
    return total or None
