"""A table of the cascades: their models, the threshold of each, and the share of rows that it passes on."""

from __future__ import annotations

from collections.abc import Iterator

from slimgate._system.escape import escape
from slimgate._system.number_text import MISSING, format_fixed, format_int, format_percent, format_significant
from slimgate.record.build import CascadeFacts
from slimgate.record.run import RunRecord
from slimgate.report.status import list_models
from slimgate.report.tables import Column, blocks, make_pipe_table

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
    lost = f"lost {format_fixed(selection.lost_points, 1)} of {selection.drop_points:g} points"
    return f"{format_int(selection.rows)}, {lost} against {against}"


def _iter_gates(record: RunRecord) -> Iterator[tuple[str, CascadeFacts, int]]:
    """(name of the cascade, its facts, place of the model) for each model that may pass rows on."""
    for model in list_models(record):
        facts = None if model.artifact is None else model.artifact.cascade
        if facts is not None:
            yield from ((model.name, facts, place) for place in range(len(facts.thresholds)))
