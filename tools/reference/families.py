"""The page of families: which step changes which family of transformers, and why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slimgate.models.families import FAMILIES, Family, find_refusal
from slimgate.plugins.loading import list_known_plugins, load
from slimgate.plugins.step import Step
from tools.reference.markdown import format_code, format_plain_line, format_table

_HEAD = """\
# Families of models

A model belongs to a family by `model_type` in its `config.json`. A model of another type works too if its
layers have the names of one of these families; otherwise a step says which families it knows.

Steps that change single weights (quantization, unstructured pruning, low rank, training, vocabulary) work
with every family that a task can load. The steps in this table change the shape of a model. A suite that
names a step and a family without ✓ is refused before a model loads."""

_NOTES = """\
Good to know:

- Where heads share keys and values, whole groups of heads go.
- The experts of a mixture become three linear layers each, so that every step on linear layers reaches them.
  The router stays as it is. Padding tokens reach the experts too, so they count as calibration input there.
  An expert that gets no token is rounded to the nearest levels by `gptq`, and refused by `wanda_prune`.
- Layer types (full or sliding attention) follow the blocks that stay.
- BART, Marian and T5 serve the task `text_to_text`. `keep_layers = { encoder = [0, 1], decoder = [0] }` keeps
  blocks of both of their lists.
- Conversions to ONNX, OpenVINO and servers' formats are not part of this table."""


def make_families_page() -> str:
    """reference/families.md"""
    steps = {name: step for name in list_known_plugins("step") if (step := load("step", name)).changes}
    rows = [_format_row(family, steps) for family in FAMILIES]
    headers = ("family", "`model_type`", *(f"[{format_code(name)}](steps/{name}.md)" for name in steps))
    reasons = dict.fromkeys(
        (family.name, reason)
        for family in FAMILIES
        for step in steps.values()
        if (reason := find_refusal(step, family))
    )
    lines = [f"- {name}: {format_plain_line(reason)}." for name, reason in reasons]
    return "\n\n".join([_HEAD, format_table(headers, rows), "Why not:", "\n".join(lines), _NOTES]) + "\n"


def _format_row(family: Family, steps: Mapping[str, Step[Any]]) -> tuple[str, ...]:
    kinds = ", ".join(map(format_code, family.model_types))
    return (family.name, kinds, *("" if find_refusal(step, family) else "✓" for step in steps.values()))
