"""Gate rows that a model's tokenizer cannot read: it replaces their words by unknown tokens."""

from __future__ import annotations

from slimgate._system.number_text import format_percent
from slimgate.record.run import RunRecord

# Tokenizers of real models leave almost no row unreadable; those of another language or alphabet, most rows.
MOST_UNREADABLE = 0.1


def list_unreadable_rows(record: RunRecord) -> list[str]:
    """A line for each share, with the models that it is of; empty if the tokenizers fit the rows."""
    models_by_share: dict[float, list[str]] = {}
    for model in record.variants:
        share = model.artifact.unreadable_rows if model.artifact else None
        if share is not None and share > MOST_UNREADABLE:
            models_by_share.setdefault(share, []).append(model.name)
    return [
        f"the tokenizer of {', '.join(names)} cannot read {format_percent(share, 0)} of the gate rows: at "
        "least one token in five is unknown to it; use the tokenizer that the model was trained with, and a "
        "model of the rows' language"
        for share, names in models_by_share.items()
    ]
