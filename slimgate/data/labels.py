"""Labels of rows and of ready-made models, and how the two are matched."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from slimgate.errors import SuiteError

GENERIC = re.compile(r"^LABEL_(\d+)$")
NUMBER = re.compile(r"^[-+]?\d+(\.\d+)?$")


def class_names(values: Iterable[Any]) -> tuple[str, ...]:
    """The distinct labels as text; numbers in numeric order, text in alphabetical order."""
    distinct = sorted({str(value) for value in values if value is not None})
    numeric = all(NUMBER.match(name) for name in distinct)  # those of a csv are text: "10" comes after "9"
    return tuple(sorted(distinct, key=float) if numeric else distinct)


def output_order(
    model_labels: Sequence[str], classes: Sequence[str], stated: Sequence[str] | None, where: str
) -> list[int]:
    """For each class of the data, the output of the model that means it.

    model_labels: the model's label of each output; stated: the data's class of each output, where the suite
    says so. Raises SuiteError, with both label maps, where they do not fit.
    """
    names = list(stated) if stated is not None else list(model_labels)
    if stated is None and all(GENERIC.match(name) for name in names):
        names = [str(GENERIC.match(name)[1]) for name in names]  # type: ignore[index]
    if sorted(names) != sorted(classes) or len(names) != len(model_labels):
        raise SuiteError(
            f"{where}: the model's labels do not fit the data's. Model: {label_map(model_labels)}; "
            f"data: {label_map(classes)}. Where they mean the same, say so by [task] labels = [the data's "
            "label of each output, in the model's order]"
        )
    return [names.index(name) for name in classes]


def label_map(labels: Sequence[str]) -> str:
    """`0=neg, 1=pos`: the label of each output, the first eight of them."""
    shown = [f"{i}={name}" for i, name in enumerate(labels[:8])]
    return ", ".join(shown) + (f", … ({len(labels)} in all)" if len(labels) > 8 else "")
