"""Compares the documents, prompts and targets of the samples that two logs share."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from slimgate._system.number_text import format_count
from slimgate.logs.base_log import cut_text
from slimgate.logs.columns import Samples
from slimgate.logs.predictions.codes import ROWS_AT_ONCE
from slimgate.logs.predictions.files import format_examples
from slimgate.logs.rules import Differences
from slimgate.outcomes import Ints
from slimgate.plugins.reader import (
    PER_SAMPLE,
    PROMPT,
    Digest,
)


def compare_keys(
    where: str,
    base: Samples,
    target: Samples,
    base_rows: Ints,
    target_rows: Ints,
    differences: Differences,
) -> None:
    """Compares the documents, prompts and targets of matched samples."""
    for key in PER_SAMPLE:
        if key not in base.keys or key not in target.keys:
            continue
        rows = _find_differing_rows(base.keys[key], target.keys[key], base_rows, target_rows)
        if key == PROMPT:  # a failed sample may have stopped before its prompt was complete
            rows = rows[(base.errors[base_rows[rows]] | target.errors[target_rows[rows]]) == 0]
        if not len(rows):
            continue
        text = (
            f"{key}s differ in {len(rows):,} of {format_count(len(base_rows), 'sample', 'samples')} "
            f"({format_examples(base.ids.take(pa.array(base_rows[rows])))})"
        )
        example = ""
        if key not in differences.allow:
            example = _quote_difference(key, base, target, int(base_rows[rows[0]]), int(target_rows[rows[0]]))
        differences.add(key, where, text, example)


def _find_differing_rows(before: Ints, after: Ints, base_rows: Ints, target_rows: Ints) -> Ints:
    """Positions in the shared rows. It compares a part at a time, because copies of all rows take memory."""
    differing = [np.empty(0, np.int64)]  # two runs of a side may share no sample
    for start in range(0, len(base_rows), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        differing.append(start + np.flatnonzero(before[base_rows[part]] != after[target_rows[part]]))
    return np.concatenate(differing)


def _quote_difference(key: str, base: Samples, target: Samples, base_row: int, other: int) -> str:
    """`, first "…2+3=" and "…2+3 ="`: the texts around their first difference; "" if a log lacks them."""
    rows = base.quote([base_row]).get(base_row), target.quote([other]).get(other)
    texts = [None if row is None else {"prompt": row.prompt, "target": row.target}.get(key) for row in rows]
    if any(row is not None and isinstance(row.keys.get(key), Digest) for row in rows):
        texts = [cut_text(key, text) for text in texts]
    before, after = texts
    if before is None or after is None or before == after:
        return ""
    at = next((k for k, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), 0)
    start, dots = max(0, at - 20), "…" if at > 20 else ""
    quotes = [f'"{dots}{text[start : at + 40]}"' for text in (before, after)]
    return f", first {' and '.join(quotes)}"
