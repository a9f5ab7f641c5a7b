"""promptfoo: the JSON of `promptfoo eval --output x.json`, `results.results` of version 3.

A row is a test under a prompt; `score`, from 0 to 1, and every named score are metrics. A file with several
providers holds several models: `FILE` then needs one provider.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from slimgate.errors import DataError
from slimgate.logs.json_lines import as_text, beginning, read_object
from slimgate.plugins.reader import DOCUMENT, PROMPT, Log, Reader, Row, TaskLog

# failureReason of a row that has no answer: 0 is none, 1 a failed assertion.
_ERROR = 2


class Promptfoo(Reader):
    """One output file."""

    def recognizes(self, path: Path) -> bool:
        start = beginning(path, 20_000)
        return path.suffix == ".json" and '"evalId"' in start[:200] and '"results"' in start

    def read(self, path: Path) -> Log:
        results = read_object(path)
        table = results.get("results")
        rows = table.get("results") if isinstance(table, dict) else None
        if not isinstance(rows, list):
            raise DataError(f"{path}: no list results.results, expected the output of `promptfoo eval`")
        providers = sorted({_provider(row) for row in rows})
        if len(providers) > 1:
            raise DataError(
                f"{path}: answers of {len(providers)} providers ({', '.join(providers[:3])}); write one file "
                "a provider: promptfoo eval --filter-providers NAME --output FILE"
            )
        config = results.get("config") or {}
        task = TaskLog(
            partial(_rows, path),
            settings=_settings(config),
            optional_metrics=True,
            ranges={"score": (0.0, 1.0)},
        )
        return Log("promptfoo", str(path), {"": task}, providers[0] if providers else None)


def _provider(row: Mapping[str, Any]) -> str:
    provider = row.get("provider") or {}
    return str(provider.get("label") or provider.get("id") or "")


def _count_tokens(response: Mapping[str, Any]) -> float | None:
    """The completion tokens of an answer; of a cached one promptfoo counts none."""
    usage = response.get("tokenUsage") or {}
    return usage.get("completion")


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    shared = config.get("defaultTest")
    return {"filters": shared.get("assert") if isinstance(shared, dict) else None}


def _list_assertions(test: Mapping[str, Any]) -> list[str]:
    """The named scores that a test must have; a name with a variable in it is known to promptfoo alone."""
    names = (assertion.get("metric") for assertion in test.get("assert") or ())
    return [name for name in names if isinstance(name, str) and "{{" not in name]


def _rows(path: Path) -> Iterator[Row]:
    for at, row in enumerate(read_object(path)["results"]["results"]):
        try:
            test, prompt = row.get("testCase") or {}, row.get("prompt") or {}
            response = row.get("response") or {}
            failed = row.get("failureReason") == _ERROR
            scores = {
                "pass": float(bool(row["success"])),
                "score": row["score"],
                **dict.fromkeys(_list_assertions(test)),
                **(row.get("namedScores") or {}),
            }
            row_vars = row.get("vars") or {}
            inputs = [row.get("vars"), test.get("assert")]
            yield Row(
                id=f"{row['testIdx']}.{row['promptIdx']}" if row["promptIdx"] else f"{row['testIdx']}",
                scores=dict.fromkeys(scores) if failed else scores,
                keys={
                    # tests that differ in nothing but their prompts say nothing of what they ask
                    **({DOCUMENT: as_text(inputs) or ""} if any(inputs) else {}),
                    PROMPT: prompt.get("raw") or "",
                },
                error=str(row.get("error")) if failed else None,
                truncated=None if (reason := response.get("finishReason")) is None else reason == "length",
                prompt=prompt.get("raw"),
                answer=as_text(response.get("output")),
                target=as_text([assertion.get("value") for assertion in test.get("assert") or ()]),
                fields={"description": test.get("description"), **(test.get("metadata") or {}), **row_vars},
                answer_tokens=_count_tokens(response),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path}: results.results[{at}] is no result of promptfoo ({type(error).__name__}: {error})"
            ) from None


reader = Promptfoo()
