"""Small tables of rows, cut into splits."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from slimgate.data.parts import SplitColumns
from slimgate.data.splits import Cut, SplitSizes, cut_splits
from slimgate.plugins.rows import SPLITS


def make_rows(count: int, start: int = 0, **columns: list[Any]) -> pa.Table:
    """`count` different texts, labels a and b in turn."""
    texts = [f"text {k}" for k in range(start, start + count)]
    return pa.table({"text": texts, "label": ["ab"[k % 2] for k in range(count)], **columns})


def cut_rows(
    parts: dict[str, pa.Table],
    sizes: dict[str, Any] | None = None,
    *,
    text: tuple[str, ...] = ("text",),
    label: str | None = "label",
    group: str | None = None,
    seed: int = 0,
) -> Cut:
    return cut_splits(parts, SplitSizes(**(sizes or {})), SplitColumns(text, label, group), seed=seed)


def list_sizes(result: Cut) -> list[int]:
    return [result.reports[name].n for name in SPLITS]


def list_ids(result: Cut, split: str) -> list[str]:
    return list(result.splits[split]["id"].to_pylist())
