"""A table of the precisions of each model's stored weights, and of what its configuration claims."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from slimgate._system.escape import escape
from slimgate._system.number_text import MISSING, format_percent
from slimgate.record.build import WeightFacts
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.report.status import find_teacher, list_models
from slimgate.report.tables import Column, blocks, format_bullets, make_pipe_table, remove_empty_columns

_KINDS = ("attention", "mlp", "experts", "other", "embeddings", "output", "norms and biases")
_EXPLAINED = """\
Shares of the weights by the precision that the files store them in. Blocks are attention, mlp, experts and
other matrices; fewer than 16 bits count as quantized."""


def make_weights_table(record: RunRecord) -> str:
    """The table, and a line for each pattern that matches no module.

    Empty if no model is quantized or claims to be.
    """
    pairs = [(model, facts) for model in list_models(record) if (facts := _find_weights(model)) is not None]
    if not any(facts.quantized_share or facts.claim for _, facts in pairs):
        return ""
    columns = [
        Column("variant", [escape(model.name) for model, _ in pairs]),
        Column("claimed", [escape(facts.claim) if facts.claim else MISSING for _, facts in pairs]),
        Column(
            "quantized in blocks", [format_percent(facts.quantized_share) for _, facts in pairs], right=True
        ),
        *(
            Column(kind, [format_precisions(facts.counts.get(kind, {})) for _, facts in pairs])
            for kind in _KINDS
        ),
    ]
    return blocks(
        _EXPLAINED, make_pipe_table(remove_empty_columns(columns)), format_bullets(_list_unmatched(record))
    )


def format_precisions(counts: Mapping[str, int]) -> str:
    """`int4 98.0 %, float32 2.0 %`; the precision alone if there is only one.

    counts: how many weights have each precision.
    """
    if not counts:
        return MISSING
    if len(counts) == 1:
        return escape(next(iter(counts)))
    total = sum(counts.values())
    return ", ".join(f"{escape(name)} {format_percent(count / total)}" for name, count in counts.items())


def _list_unmatched(record: RunRecord) -> Iterator[str]:
    """A sentence for each pattern in a quantization_config that matches no module."""
    for model in list_models(record):
        facts = _find_weights(model)
        for pattern in facts.unmatched if facts is not None else ():
            name = escape(model.name)
            yield f'{name}: "{escape(pattern)}" of its quantization_config matches no module.'


def list_unquantized_models(record: RunRecord) -> Iterator[str]:
    """Sentences on models whose configuration claims quantized weights, and whose files have none."""
    for model in list_models(record):
        facts = _find_weights(model)
        if facts is not None and facts.claim and not facts.quantized_share:
            names = ", ".join(f'"{escape(pattern)}"' for pattern in facts.unmatched)
            reason = f"; {names} of its quantization_config matches no module" if names else ""
            yield (
                f"**Not quantized**: {escape(model.name)} claims {escape(facts.claim)}, and no weight of its "
                f"blocks has fewer than 16 bits{reason}."
            )


def describe_quantized_teacher(record: RunRecord) -> str | None:
    """A sentence that says that the teacher's weights are quantized; None if they are not."""
    teacher = find_teacher(record)
    facts = None if teacher is None else _find_weights(teacher)
    if facts is None or not facts.quantized_share:
        return None
    claim = f" ({escape(facts.claim)})" if facts.claim else ""
    share = format_percent(facts.quantized_share)
    return (
        f"**The teacher is quantized itself**{claim}: {share} of the weights of its blocks have fewer than "
        "16 bits. Losses are counted from it, not from the model in floating point."
    )


def _find_weights(model: VariantRecord) -> WeightFacts | None:
    return None if model.artifact is None else model.artifact.weights
