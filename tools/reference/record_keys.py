"""The page of run.json: every key with its type and unit, from the record's models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from slimgate.cli.steps import describe_kind
from slimgate.record.run import SCHEMA, RunRecord
from tools.reference.markdown import (
    format_code,
    format_contents,
    format_plain_line,
    format_prose,
    format_table,
)

HEAD = f"""\
`reports/latest/SUITE/run.json`, schema `{SCHEMA}`. What was not measured is `null`, never 0 (in the words
below, None is `null`); a drop is positive where the variant is worse. The folder
`outcomes` next to it has a file `NAME.parquet` for each model, with every answer on every gate row.

`KEY` in a path is any key (a metric, a workload, a split), `[]` for each element of a list. To try:
`jq '.variants[] | {{name, accuracy: .quality.accuracy.message}}' run.json`.
[Read a report](../read_a_report.md) says what the figures mean."""
UNITS_BY_ENDING = {
    "_ms": "ms",
    "_bytes": "bytes",
    "_seconds": "s",
    "_points": "percentage points",
    "_per_s": "rows a second",
    "_percent": "%",
}
NAMED_UNITS = {
    "bytes": "bytes",
    "peaks": "bytes",
    "seconds": "s",
    "p_value": "0 to 1",
    "p_holds": "0 to 1",
    "p_holm": "0 to 1",
    "kl_to_teacher": "nats",
    "noise_floor": "natural log of a ratio",
    "clearance": "factor",
    "speedup": "teacher / variant",
    "speedup_interval": "teacher / variant",
    "speedup_of_minima": "teacher / variant",
    "compression": "teacher / variant",
    "ratio": "variant / teacher",
    "spread": "variant / teacher",
    "design_effect": "ratio of variances",
    "variance": "fraction²",
    "percent": "%",
    "brier": "0 to 2",
    "brier_teacher": "0 to 2",
    "temperatures": "factor",
    "tokens_per_s": "tokens a second",
    "goodput_per_s": "requests a second",
    "service_level": "ms",
    "float32_gflop_per_s": "10⁹ floating-point operations a second",
    "bfloat16_gflop_per_s": "10⁹ floating-point operations a second",
    "int8_gop_per_s": "10⁹ operations a second",
    "memory_gb_per_s": "10⁹ bytes a second",
}
SHARES = frozenset(
    {"unreadable_rows", "agreement", "accuracy", "coverage", "precision", "recall", "threshold", "low"}
    | {"high", "level", "passed_on", "good_share", "quantized_share", "thresholds", "weights"}
    | {"confidence", "teacher_confidence", "variant_confidence", "label_probability", "top", "next_tokens"}
    | {"ece", "ece_teacher"}
)
UNITS_OF_PARTS = {
    "KlFigure": dict.fromkeys(("value", "interval", "uncapped"), "unit of the limit"),
    "LoadRunFacts": dict.fromkeys(("prompt_tokens", "answer_tokens"), "tokens"),
    "TimeRatioFacts": {
        "quantile": "0 to 1",
        "base": "ms",
        "target": "ms",
        "ratio": "base / target",
        "interval": "base / target",
        "claimed_interval": "base / target",
    },
    "KlLogFacts": {"quantiles": "nats a token", "base_perplexity": "perplexity"},
    "QualityFacts": {
        **dict.fromkeys(("drop_points", "interval", "bound_among"), "percentage points, but see `unit`"),
        "teacher": "the metric's own",
        "value": "the metric's own",
    },
    "SinceFacts": {
        **dict.fromkeys(("drop_points", "interval", "bound_among"), "percentage points, but see `unit`"),
        **dict.fromkeys(("baseline", "value"), "the metric's own"),
    },
    "BudgetFacts": {
        **dict.fromkeys(("limit", "value", "interval"), "by kind"),
        "fail_interval": "percentage points",
    },
    "CappedFacts": {
        "cap": "the metric's own, of perplexity and KL nats a token",
        "uncapped": "that of the budget's value",
        **dict.fromkeys(("above", "above_interval", "above_max"), "0 to 1"),
    },
    "DemandedBudget": {"limit": "by kind"},
    "LoosenedBudget": dict.fromkeys(("before", "limit"), "by kind"),
    "WaitingBudget": {"limit": "by kind"},
    "SwitchedOffBudget": {"limit": "by kind"},
    "Flips": {"interval": "%"},
    "SliceFacts": {
        "interval": "percentage points",
        **dict.fromkeys(("teacher", "variant"), "the metric's own"),
    },
    "FigureFacts": dict.fromkeys(("teacher", "variant"), "see what"),
    "StageFacts": {"selection": "the metric's own"},
    "PairFacts": dict.fromkeys(("by_points", "interval"), "percentage points, but see `unit`"),
    "MeasurementFacts": {
        "interval": "variant / teacher",
        **dict.fromkeys(("value", "teacher", "readings", "teacher_readings"), "that of `unit`"),
    },
    "SeparationFacts": {"values": "the metric's own"},
    "BuildsFacts": {"drops_points": "percentage points"},
    "AnswerFacts": {"values": "by name"},
    "FollowedRow": {"given": "by name"},
    "KlFacts": {
        **dict.fromkeys(("mean", "median", "p99", "p999", "maximum"), "nats"),
        **dict.fromkeys(("mean_interval", "p99_interval", "p999_interval"), "nats"),
        **dict.fromkeys(("cap", "uncapped_mean"), "nats"),
        **dict.fromkeys(
            ("above_cap", "above_cap_interval", "same_top1", "same_top1_interval", "rest"), "0 to 1"
        ),
        **dict.fromkeys(("log_perplexity_ratio", "log_perplexity_ratio_interval"), "natural log of a ratio"),
    },
    "BlockErrorFacts": dict.fromkeys(("own", "after"), "fraction"),
    "FaultLocationFacts": {"ratio": "factor"},
}
ROOT = "RunRecord"


def make_record_page() -> str:
    """reference/record.md"""
    schema = RunRecord.model_json_schema(by_alias=True)
    parts = {ROOT: schema, **schema["$defs"]}
    paths = _list_paths(parts)
    shown = {name: part for name, part in parts.items() if "properties" in part and name in paths}
    ordered = dict(sorted(shown.items(), key=lambda item: list(paths).index(item[0])))
    listed = {name: ", ".join(map(format_code, paths[name])) for name in ordered}
    text = ["# The run record", HEAD, format_contents(listed, ("part", "path"))]
    for name, part in ordered.items():
        text += [f"## {name}", f"At {listed[name]}."]
        if description := part.get("description"):
            text.append(format_prose(description))
        text.append(format_table(("key", "value", "unit"), _format_rows(name, part, schema["$defs"])))
    return "\n\n".join(text) + "\n"


def find_unit(part: str, key: str) -> str:
    """The unit of a number; "" for a count, or if no unit is known."""
    known_unit = UNITS_OF_PARTS.get(part, {}).get(key) or NAMED_UNITS.get(key)
    if known_unit is None and key in SHARES:
        return "0 to 1"
    return known_unit or next((unit for end, unit in UNITS_BY_ENDING.items() if key.endswith(end)), "")


def _format_rows(
    name: str, part: Mapping[str, Any], definitions: Mapping[str, Any]
) -> Iterator[tuple[str, ...]]:
    for key, schema in part["properties"].items():
        kind = describe_kind(schema, definitions)
        if any(branch.get("type") == "null" for branch in schema.get("anyOf", ())):
            kind += " or null"
        inner_parts = [
            inner for inner, _ in _list_inner_parts(schema, "") if "properties" in definitions[inner]
        ]
        links = " ".join(f"[{inner}](#{inner.lower()})" for inner in inner_parts)
        yield format_code(key), f"{format_plain_line(kind)} {links}".strip(), find_unit(name, key)


def _list_paths(parts: Mapping[str, Any]) -> dict[str, list[str]]:
    """Name of a part -> the paths at which the record has it, in the order of the record."""
    paths: dict[str, list[str]] = {ROOT: ["."]}
    queue = [(ROOT, "")]
    while queue:
        name, path = queue.pop(0)
        for key, schema in parts[name].get("properties", {}).items():
            for inner, inner_path in _list_inner_parts(schema, f"{path}.{key}"):
                paths.setdefault(inner, []).append(inner_path)
                queue.append((inner, inner_path))
    return paths


def _list_inner_parts(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """(part, path) of the parts that a value may be or hold."""
    if "$ref" in schema:
        yield schema["$ref"].rsplit("/", 1)[1], path
    for branch in schema.get("anyOf", ()):
        yield from _list_inner_parts(branch, path)
    if isinstance(schema.get("items"), Mapping):
        yield from _list_inner_parts(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield from _list_inner_parts(schema["additionalProperties"], f"{path}.KEY")
