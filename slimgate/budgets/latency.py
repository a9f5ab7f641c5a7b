"""Budgets on the times of calls, and on what a model answers in a second."""

from __future__ import annotations

from slimgate.budgets.base import BudgetKind

KINDS = (
    BudgetKind(
        name="speedup_min",
        table="latency",
        limit_text="at least {:g}× as fast",
        is_minimum=True,
    ),
    BudgetKind(
        name="p50_ms_max",
        table="latency",
        limit_text="median at most {:g} ms",
        title="p50",
        value_name="p50",
        unit="ms",
    ),
    BudgetKind(
        name="p95_ms_max",
        table="latency",
        limit_text="95 % of the calls under {:g} ms",
        title="p95",
        value_name="p95",
        unit="ms",
    ),
    BudgetKind(
        name="ttft_speedup_min",
        table="latency",
        limit_text="first token at least {:g}× as fast",
        is_minimum=True,
        part="ttft",
    ),
    BudgetKind(
        name="tpot_speedup_min",
        table="latency",
        limit_text="later tokens at least {:g}× as fast",
        is_minimum=True,
        part="tpot",
    ),
    BudgetKind(
        name="ttft_p95_ms_max",
        table="latency",
        limit_text="95 % of the first tokens under {:g} ms",
        title="p95",
        value_name="first token p95",
        unit="ms",
        part="ttft",
    ),
    BudgetKind(
        name="tokens_per_second_min",
        table="latency",
        limit_text="at least {:g} tokens a second",
        title="tokens a second",
        value_name="median",
        unit="tokens/s",
        is_minimum=True,
        part="answer",
    ),
    BudgetKind(
        name="goodput_min",
        table="latency",
        limit_text="at least {:g} good requests a second",
        title="goodput",
        value_name="median",
        unit="good requests/s",
        is_minimum=True,
        part="answer",
    ),
    BudgetKind(
        name="end_to_end_speedup_min",
        table="latency",
        limit_text="at least {:g}× as fast end to end",
        is_minimum=True,
        part="e2e",
    ),
    BudgetKind(
        name="end_to_end_p50_ms_max",
        table="latency",
        limit_text="median end to end at most {:g} ms",
        title="p50",
        value_name="end to end p50",
        unit="ms",
        part="e2e",
    ),
    BudgetKind(
        name="end_to_end_p95_ms_max",
        table="latency",
        limit_text="95 % of the calls under {:g} ms end to end",
        title="p95",
        value_name="end to end p95",
        unit="ms",
        part="e2e",
    ),
)
