"""deepeval: the JSON of a test run (`DEEPEVAL_RESULTS_FOLDER`, `.latest_test_run.json`).

A row is a test case; every metric of `metricsData` is a metric: its score, and its success as `NAME.success`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from slimgate.data.log_files.json_lines import as_text, beginning, read_object
from slimgate.errors import DataError
from slimgate.samples import DOCUMENT, PROMPT, TARGET, Log, Reader, Row, TaskLog


class Deepeval(Reader):
    """One test run."""

    def recognizes(self, path: Path) -> bool:
        return path.suffix == ".json" and '"testCases"' in beginning(path, 20_000)

    def read(self, path: Path) -> Log:
        _run(path)
        return Log("deepeval", str(path), {"": TaskLog(rows=partial(_rows, path))})


def _run(path: Path) -> dict[str, Any]:
    """The run itself, which `.latest_test_run.json` keeps under a key."""
    found = read_object(path)
    run = found.get("testRunData", found)
    if not isinstance(run, dict) or not isinstance(run.get("testCases"), list):
        raise DataError(f"{path}: no list testCases, expected a test run of deepeval")
    return run


def _rows(path: Path) -> Iterator[Row]:
    for at, case in enumerate(_run(path)["testCases"]):
        try:
            metrics = case.get("metricsData") or []
            errors = [one["error"] for one in metrics if one.get("error")]
            scores = {one["name"]: one.get("score") for one in metrics}
            scores |= {
                f"{one['name']}.success": None if one.get("error") else float(one["success"])
                for one in metrics
                if one.get("success") is not None
            }
            yield Row(
                id=str(case.get("name") or at),
                scores=scores,
                keys={
                    DOCUMENT: as_text([case.get("context"), case.get("retrievalContext")]) or "",
                    PROMPT: as_text(case.get("input")) or "",
                    TARGET: as_text(case.get("expectedOutput")) or "",
                },
                error=str(errors[0]) if errors else None,
                prompt=as_text(case.get("input")),
                answer=as_text(case.get("actualOutput")),
                target=as_text(case.get("expectedOutput")),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path}: testCases[{at}] is no test case of deepeval ({type(error).__name__}: {error})"
            ) from None


reader = Deepeval()
