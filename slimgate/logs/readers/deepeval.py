"""deepeval: the JSON of a test run (`DEEPEVAL_RESULTS_FOLDER`, `.latest_test_run.json`).

A row is a test case; every metric of `metricsData` is a metric: its score, from 0 to 1, and its success as
`NAME.success`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from slimgate._system.json_text import JsonObject
from slimgate._system.number_text import format_count
from slimgate.errors import DataError
from slimgate.logs.json_lines import convert_to_text, read_beginning, read_object
from slimgate.logs.readers._rows import make_keys, refuse_malformed
from slimgate.logs.readers._settings import group_by_sample, number_names
from slimgate.plugins.reader import SCORERS, Log, Reader, Row, TaskLog

# The fields of a test case in addition to its metadata.
_FIELDS = ("tags", "comments")
# What decides a score and its success.
_OF_SCORER = ("threshold", "strictMode", "evaluationModel")


class Deepeval(Reader):
    """One test run."""

    def recognizes(self, path: Path) -> bool:
        return path.suffix == ".json" and '"testCases"' in read_beginning(path, 20_000)

    def read(self, path: Path) -> Log:
        run = _read_run(path)
        metrics = _list_metrics(run)
        samples = _count_cases(run)
        task = TaskLog(
            partial(_read_rows, path),
            settings={SCORERS: _read_scorers(run)},
            optional_metrics=True,
            samples=samples,
            means=_read_means(path, run, is_complete=samples in (None, len(run["testCases"]))),
            ranges=dict.fromkeys(metrics, (0.0, 1.0)),
            known_directions={f"{name}.success": True for name in metrics},
        )
        return Log("deepeval", str(path), {"": task})


def _read_run(path: Path) -> JsonObject:
    """The run itself, which `.latest_test_run.json` keeps under a key."""
    content = read_object(path)
    run = content.get("testRunData", content)
    if not isinstance(run, dict) or not isinstance(run.get("testCases"), list):
        raise DataError(f"{path}: no list testCases, expected a test run of deepeval")
    if conversations := run.get("conversationalTestCases"):
        raise DataError(
            f"{path}: conversationalTestCases has {format_count(len(conversations), 'entry', 'entries')}, "
            "and slimgate reads only testCases; run deepeval on the single-turn test cases alone, or write "
            "the scores of the conversations as a table"
        )
    return run


def _list_metrics(run: JsonObject) -> list[str]:
    """The names of all metrics; deepeval's scores are from 0 to 1."""
    return [
        name
        for case in run["testCases"]
        if isinstance(case, dict)
        for name in _name_metrics(
            [
                metric
                for metric in case.get("metricsData") or ()
                if isinstance(metric, dict) and "name" in metric
            ]
        )
    ]


def _count_cases(run: JsonObject) -> int | None:
    """How many test cases ran, as the run states it; None if it does not. Cases without success count too."""
    cases = run["testCases"]
    counts = [run.get(name) for name in ("testPassed", "testFailed")]
    if not all(isinstance(count, int) for count in counts):
        return None
    without_success = sum(isinstance(case, dict) and case.get("success") is None for case in cases)
    total = sum(filter(None, counts)) + without_success
    return total if total >= len(cases) else None


def _read_means(path: Path, run: JsonObject, *, is_complete: bool) -> dict[tuple[str, str], float]:
    """The mean of each metric that all test cases have, from the run's list of its scores.

    is_complete: whether all test cases are there. Then the metrics of each must be there too: raises
    DataError. A run with traces also lists the scores of their spans.
    """
    cases = [case for case in run["testCases"] if isinstance(case, dict)]
    if not is_complete or any(case.get("trace") for case in cases):
        return {}
    counts = Counter(
        str(metric["name"])
        for case in cases
        for metric in case.get("metricsData") or ()
        if isinstance(metric, dict) and "name" in metric
    )
    means = {}
    for entry in run.get("metricsScores") or ():
        name, scores = str(entry["metric"]), entry.get("scores") or ()
        results = len(scores) + (entry.get("errors") or 0)
        if results > counts[name]:
            raise DataError(
                f"{path}: metricsScores has {format_count(results, 'result', 'results')} of {name}, and "
                f"testCases has {counts[name]:,}: some were removed; give the file as deepeval wrote it"
            )
        if scores and len(scores) == counts[name] == len(cases):
            means["", name] = sum(scores) / len(scores)
    return means


def _read_scorers(run: JsonObject) -> dict[str, object]:
    """The settings of each metric, as `group_by_sample`."""
    settings: dict[str, list[tuple[str, object]]] = {}
    for at, case in enumerate(run["testCases"]):
        metrics = case.get("metricsData") if isinstance(case, dict) else None
        for metric in metrics or ():
            if isinstance(metric, dict) and "name" in metric:
                stated = {name: metric[name] for name in _OF_SCORER if metric.get(name) is not None}
                settings.setdefault(str(metric["name"]), []).append((_name_case(at, case), stated))
    return {name: group_by_sample(stated) for name, stated in settings.items()}


def _name_case(at: int, case: JsonObject) -> str:
    return str(case.get("name") or at)


def _name_metrics(metrics: Sequence[JsonObject]) -> dict[str, JsonObject]:
    """The metrics of a test case by name."""
    return number_names((str(metric["name"]), metric) for metric in metrics)


def _read_rows(path: Path) -> Iterator[Row]:
    for at, case in enumerate(_read_run(path)["testCases"]):
        with refuse_malformed(f"{path}: testCases[{at}] is not a test case of deepeval"):
            metrics = case.get("metricsData") or []
            errors = [metric["error"] for metric in metrics if metric.get("error")]
            scores: dict[str, float | None] = {}
            for name, metric in _name_metrics(metrics).items():
                failed, success = bool(metric.get("error")), metric.get("success")
                scores[name] = None if failed else metric.get("score")
                if success is not None:
                    scores[f"{name}.success"] = None if failed else float(success)
            prompt, target = convert_to_text(case.get("input")), convert_to_text(case.get("expectedOutput"))
            context = convert_to_text(case.get("context"))
            yield Row(
                id=_name_case(at, case),
                scores=scores,
                keys=make_keys(
                    # the retrieved texts (retrievalContext) are the system's answer, not the document
                    document=None if context is None else convert_to_text([case.get("input"), context]),
                    prompt=prompt or "",
                    target=target or "",
                ),
                error=str(errors[0]) if errors else None,
                prompt=prompt,
                answer=convert_to_text(case.get("actualOutput")),
                target=target,
                fields={
                    **(metadata if isinstance(metadata := case.get("additionalMetadata"), dict) else {}),
                    **{name: case[name] for name in _FIELDS if case.get(name) is not None},
                },
            )


reader = Deepeval()
