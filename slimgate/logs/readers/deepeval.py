"""deepeval: the JSON of a test run (`DEEPEVAL_RESULTS_FOLDER`, `.latest_test_run.json`).

A row is a test case; every metric of `metricsData` is a metric: its score, from 0 to 1, and its success as
`NAME.success`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from slimgate.errors import DataError
from slimgate.logs.json_lines import convert_to_text, read_beginning, read_object
from slimgate.plugins.reader import DOCUMENT, PROMPT, SCORERS, TARGET, Log, Reader, Row, TaskLog

# The fields of a test case in addition to its metadata.
_FIELDS = ("tags", "comments")
# What decides a score and its success.
_OF_SCORER = ("threshold", "strictMode", "evaluationModel")


class Deepeval(Reader):
    """One test run."""

    def recognizes(self, path: Path) -> bool:
        return path.suffix == ".json" and '"testCases"' in read_beginning(path, 20_000)

    def read(self, path: Path) -> Log:
        metrics = _list_metrics(path)
        task = TaskLog(
            partial(_read_rows, path),
            settings={SCORERS: _read_scorers(path)},
            optional_metrics=True,
            ranges=dict.fromkeys(metrics, (0.0, 1.0)),
            known_directions={f"{name}.success": True for name in metrics},
        )
        return Log("deepeval", str(path), {"": task})


def _run(path: Path) -> dict[str, Any]:
    """The run itself, which `.latest_test_run.json` keeps under a key."""
    content = read_object(path)
    run = content.get("testRunData", content)
    if not isinstance(run, dict) or not isinstance(run.get("testCases"), list):
        raise DataError(f"{path}: no list testCases, expected a test run of deepeval")
    return run


def _list_metrics(path: Path) -> list[str]:
    """The names of all metrics; deepeval's scores are from 0 to 1. Raises DataError as `_run` does."""
    return [
        name
        for case in _run(path)["testCases"]
        if isinstance(case, dict)
        for name in _name_metrics(
            [m for m in case.get("metricsData") or () if isinstance(m, dict) and "name" in m]
        )
    ]


def _read_scorers(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The settings of each metric: one entry, or several if they differ between test cases."""
    settings: dict[str, list[dict[str, Any]]] = {}
    for case in _run(path)["testCases"]:
        metrics = case.get("metricsData") if isinstance(case, dict) else None
        for metric in metrics or ():
            if isinstance(metric, dict) and "name" in metric:
                stated = {name: metric[name] for name in _OF_SCORER if metric.get(name) is not None}
                known = settings.setdefault(str(metric["name"]), [])
                known += [stated] if stated not in known else []
    return {name: sorted(known, key=str) for name, known in settings.items()}


def _name_metrics(metrics: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Metrics of a test case. The second metric of the same name is `NAME 2`, so that neither is lost."""
    by_name: dict[str, dict[str, Any]] = {}
    for metric in metrics:
        name, count = str(metric["name"]), 1
        while name in by_name:
            count += 1
            name = f"{metric['name']} {count}"
        by_name[name] = metric
    return by_name


def _read_rows(path: Path) -> Iterator[Row]:
    for at, case in enumerate(_run(path)["testCases"]):
        try:
            metrics = case.get("metricsData") or []
            errors = [metric["error"] for metric in metrics if metric.get("error")]
            scores: dict[str, float | None] = {}
            for name, metric in _name_metrics(metrics).items():
                failed, success = bool(metric.get("error")), metric.get("success")
                scores[name] = None if failed else metric.get("score")
                if success is not None:
                    scores[f"{name}.success"] = None if failed else float(success)
            context = convert_to_text(case.get("context"))
            yield Row(
                id=str(case.get("name") or at),
                scores=scores,
                keys={
                    # the retrieved texts (retrievalContext) are the system's answer, not the document
                    **(
                        {}
                        if context is None
                        else {DOCUMENT: convert_to_text([case.get("input"), context]) or ""}
                    ),
                    PROMPT: convert_to_text(case.get("input")) or "",
                    TARGET: convert_to_text(case.get("expectedOutput")) or "",
                },
                error=str(errors[0]) if errors else None,
                prompt=convert_to_text(case.get("input")),
                answer=convert_to_text(case.get("actualOutput")),
                target=convert_to_text(case.get("expectedOutput")),
                fields={
                    **(metadata if isinstance(metadata := case.get("additionalMetadata"), dict) else {}),
                    **{name: case[name] for name in _FIELDS if case.get(name) is not None},
                },
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path}: testCases[{at}] is not a test case of deepeval ({type(error).__name__}: {error})"
            ) from None


reader = Deepeval()
