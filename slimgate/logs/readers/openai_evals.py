"""OpenAI evals: the JSON lines of `oaieval`: `spec`, `final_report` and the events of each sample.

A row is a sample. An event `match` gives the metric of that name; an event `metrics` gives each number in it.
Prompt and answer are those of the sample's first `sampling`. Source: evals/record.py of version 3.0.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from slimgate._system.json_text import JsonObject
from slimgate.errors import DataError
from slimgate.logs.json_lines import convert_to_text, read_first_keys, read_objects
from slimgate.logs.readers._rows import make_keys, refuse_malformed
from slimgate.plugins.reader import FILTERS, SCORERS, Log, Reader, Row, TaskLog, name_further_epoch

_MATCH, _METRICS, _SAMPLING, _ERROR = "match", "metrics", "sampling", "error"
# In the class of an eval whose answers a model grades: evals.elsuite.modelgraded.classify:ModelBasedClassify.
_GRADED = "modelgraded"


class OpenaiEvals(Reader):
    """The log of one eval."""

    def recognizes(self, path: Path) -> bool:
        return path.suffix in (".jsonl", ".json") and read_first_keys(path) == {"spec"}

    def read(self, path: Path) -> Log:
        spec, report = _read_head(path)
        evaluated = spec.get("completion_fns") or spec.get("model_names") or spec.get("model_name")
        names = list(evaluated.values()) if isinstance(evaluated, Mapping) else evaluated
        model = names[0] if isinstance(names, list) and names else names
        configured = spec.get("run_config") or {}
        settings: dict[str, object] = {"limit": configured.get("max_samples")}
        if configured.get("eval_spec"):
            settings[FILTERS] = {key: configured["eval_spec"].get(key) for key in ("cls", "args")}
            if _GRADED in str(configured["eval_spec"].get("cls")):
                # oaieval takes the last model as the grader, which may be the evaluated one
                settings[SCORERS] = {_GRADED: {"model": names[-1] if isinstance(names, list) else names}}
        accuracy = None if report is None else report.get("accuracy")
        task = TaskLog(
            partial(_read_rows, path),
            {_MATCH: True},
            settings,
            means={("", _MATCH): accuracy} if isinstance(accuracy, int | float) else {},
        )
        notes = () if report is not None else (f"{path}: it has no final_report, so oaieval did not finish",)
        return Log(
            "openai_evals",
            str(path),
            {str(spec["eval_name"]): task},
            None if model is None else str(model),
            notes,
            time=None if spec.get("created_at") is None else str(spec["created_at"]),
        )


def _read_head(path: Path) -> tuple[JsonObject, JsonObject | None]:
    """spec and final_report, on any line. Raises DataError if there are two runs."""
    specs, reports = [], []
    for _, row in read_objects(path):
        if "spec" in row:
            specs.append(row["spec"])
        elif "final_report" in row:
            reports.append(row["final_report"])
    if len(specs) != 1 or len(reports) > 1:
        raise DataError(
            f"{path}: {len(specs)} spec and {len(reports)} final_report were given, "
            "expected the log of one run"
        )
    return specs[0], reports[0] if reports else None


def _read_rows(path: Path) -> Iterator[Row]:
    """Samples in the order in which they began; events of other samples may come between theirs."""
    events: dict[str, list[JsonObject]] = {}
    for _, row in read_objects(path):
        if row.get("sample_id") is not None:
            events.setdefault(str(row["sample_id"]), []).append(row)
    for name, of_sample in events.items():
        with refuse_malformed(f"{path}: the events of sample {name} do not have oaieval's format"):
            yield from _read_sample(name, of_sample)


def _read_sample(name: str, events: Sequence[JsonObject]) -> Iterator[Row]:
    """A row, or a row for each match of a sample that has several."""
    by_type: dict[str, list[JsonObject]] = {}
    for event in events:
        by_type.setdefault(str(event["type"]), []).append(event.get("data") or {})
    matches = by_type.get(_MATCH, [])
    stated = {key: value for data in by_type.get(_METRICS, []) for key, value in data.items()}
    numbers = {key: float(value) for key, value in stated.items() if isinstance(value, int | float)}
    sampling = next(iter(by_type.get(_SAMPLING, [])), {})
    error = next(iter(by_type.get(_ERROR, [])), None)
    for number, match in enumerate(matches or [{}], start=1):
        correct, right = match.get("correct"), convert_to_text(match.get("expected"))
        prompt = convert_to_text(sampling.get("prompt"))
        yield Row(
            id=name_further_epoch(name, number),
            scores={**({_MATCH: float(correct)} if correct is not None else {}), **numbers},
            keys=make_keys(prompt=prompt, target=right),
            cluster=name if len(matches) > 1 else None,
            error=None if error is None else f"{error.get('type')}: {error.get('message')}",
            not_numbers=tuple(key for key in stated if key not in numbers),
            prompt=prompt,
            answer=convert_to_text(match.get("sampled") or sampling.get("sampled")),
            target=right,
            answer_tokens=(sampling.get("usage") or {}).get("completion_tokens"),
        )


reader = OpenaiEvals()
