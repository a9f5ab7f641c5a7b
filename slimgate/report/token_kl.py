"""KL of each variant of a language model to its teacher, and the block with the fault of a bad variant."""

from __future__ import annotations

from collections.abc import Callable
from math import isinf

from slimgate._system.escape import escape
from slimgate._system.number_text import MISSING, format_count, format_int, format_percent, format_significant
from slimgate.judge.message import describe_fault_location
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.report.status import list_variants
from slimgate.report.tables import Column, blocks, fold, make_pipe_table, remove_empty_columns
from slimgate.results.behaviour import BehaviourFacts, FaultLocationFacts, KlFacts

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
