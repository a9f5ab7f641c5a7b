"""promptfoo: the JSON of `promptfoo eval --output x.json`, `results.results` of version 3.

A row is a test under a prompt. `score`, from 0 to 1, and every named score are metrics. A file with several
providers holds several models; `--model` chooses one of them, or one prompt of one. promptfoo counts the
pairs of prompt and provider, so prompts are numbered by their texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from slimgate._system.json_text import JsonObject
from slimgate.errors import DataError
from slimgate.logs.json_lines import convert_to_text, read_beginning, read_first_keys, read_object
from slimgate.logs.readers._rows import is_cut_off, make_keys, refuse_malformed
from slimgate.logs.readers._settings import drop_unset_options, group_by_sample
from slimgate.plugins.environments import Environment, make_environment
from slimgate.plugins.reader import FILTERS, GENERATION, SCORERS, Log, Reader, Row, TaskLog

# failureReason of a row that has no answer: 0 is none, 1 a failed assertion.
_ERROR = 2
# Options of a provider that change its answers.
_GENERATION = (
    *("temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "max_output_tokens", "seed"),
    *("stop", "frequency_penalty", "presence_penalty", "reasoning_effort", "reasoning"),
)
# Longer labels of prompts are the prompts themselves.
_LONGEST_LABEL = 60
# The key of the options that prompts or tests state.
_PROMPTS = "of prompts and tests"
# Types of assertions that score 1 if they pass, and otherwise 0 or less than 1.
_PASS_OR_FAIL = frozenset(
    (
        *("equals", "contains", "icontains", "contains-any", "contains-all", "icontains-any"),
        *("icontains-all", "starts-with", "regex", "is-json", "contains-json", "is-xml", "contains-xml"),
        *("is-sql", "contains-sql", "is-refusal", "llm-rubric", "model-graded-closedqa", "factuality"),
        *("latency", "cost"),
    )
)
# Keys of a test, and of its options, that change its scores. Its assertions are part of the document.
_OF_TEST = ("threshold", "assertScoringFunction")
_OF_OPTIONS = ("provider", "rubricPrompt", "transform", "postprocess")
# Keys of a line of `--output x.jsonl`.
_OF_LINES = frozenset({"promptIdx", "testIdx", "gradingResult"})


class Promptfoo(Reader):
    """One output file."""

    def recognizes(self, path: Path) -> bool:
        if path.suffix == ".jsonl":
            return read_first_keys(path) >= _OF_LINES
        start = read_beginning(path, 20_000)
        return path.suffix == ".json" and '"evalId"' in start[:200] and '"results"' in start

    def read(self, path: Path) -> Log:
        if path.suffix == ".jsonl":
            raise DataError(
                f"{path}: promptfoo's JSON lines do not have the settings of the run; write one JSON file "
                "with promptfoo eval -o out.json"
            )
        results = read_object(path)
        table = results.get("results")
        table = table if isinstance(table, dict) else {}
        rows = table.get("results")
        if not isinstance(rows, list):
            raise DataError(f"{path}: no list results.results, expected the output of `promptfoo eval`")
        _check_names(path, table.get("prompts") or ())
        providers: list[str | None] = [*sorted({_read_provider(row) for row in rows})] or [None]
        file = _File(path, table, results.get("config") or {}, results.get("metadata") or {})
        logs = [file.make_log(provider) for provider in providers]
        return logs[0] if len(logs) == 1 else Log("promptfoo", str(path), {}, models=tuple(logs))


@dataclass(frozen=True)
class _File:
    """The content of an output file. table: its results."""

    path: Path
    table: JsonObject
    config: JsonObject
    metadata: JsonObject

    @cached_property
    def _numbers(self) -> dict[int, int]:
        return _number_prompts(self.table)

    def make_log(self, provider: str | None) -> Log:
        """The log of a provider, and its logs under each prompt if there are several prompts."""
        rows = [row for row in self.table["results"] if provider is None or _read_provider(row) == provider]
        prompts = _name_prompts(rows, self._numbers)
        log = self._make_part(provider, rows, None)
        if len(prompts) < 2:
            return log
        parts = {}
        for number, name in prompts.items():
            of_prompt = [row for row in rows if _find_number(row, self._numbers) == number]
            part = self._make_part(provider, of_prompt, number)
            parts[name] = replace(part, model=f"{provider}, {name}" if provider else name)
        return replace(log, prompts=parts)

    def _make_part(self, provider: str | None, rows: Sequence[JsonObject], prompt: int | None) -> Log:
        """The log of these rows. prompt: their number; None: of all prompts."""
        columns = [
            column
            for at, column in enumerate(self.table.get("prompts") or ())
            if prompt is None or self._numbers[at] == prompt
        ]
        task = TaskLog(
            partial(_read_rows, self.path, provider, prompt),
            settings=_read_settings(self.config, provider, rows),
            optional_metrics=True,
            ranges={"score": (0.0, 1.0)},
            samples=_count_tests(columns, provider),
            known_directions=dict.fromkeys(("score", *_list_pass_metrics(rows)), True),
        )
        environment = _read_environment(self.config, self.metadata)
        return Log("promptfoo", str(self.path), {"": task}, provider, environment=environment)


def _name_prompts(rows: Sequence[JsonObject], numbers: Mapping[int, int]) -> dict[int, str]:
    """The name of each prompt by its number: its label if that is short and no other prompt has it."""
    labels = {
        _find_number(row, numbers): str((row.get("prompt") or {}).get("label") or "").strip() for row in rows
    }
    counts = Counter(labels.values())

    def is_name(label: str) -> bool:
        return bool(label) and len(label) <= _LONGEST_LABEL and "\n" not in label and counts[label] == 1

    return {
        number: label if is_name(label) else f"prompt {number + 1}"
        for number, label in sorted(labels.items())
    }


def _find_number(row: JsonObject, numbers: Mapping[int, int]) -> int:
    """The number of a row's prompt."""
    number: int = numbers.get(row["promptIdx"], row["promptIdx"])
    return number


def _check_names(path: Path, prompts: Sequence[JsonObject]) -> None:
    """Raises DataError if two providers have one name, because their answers cannot be told apart."""
    columns = [
        (prompt.get("provider"), convert_to_text(prompt["raw"]), prompt.get("label"))
        for prompt in prompts
        if prompt.get("raw")
    ]
    twice = next((column for column in columns if column[0] and columns.count(column) > 1), None)
    if twice is not None:
        raise DataError(
            f"{path}: two providers are called {twice[0]}; give each a label of its own in the configuration "
            "of promptfoo, and run it again"
        )


def _count_tests(prompts: Sequence[JsonObject], provider: str | None) -> int | None:
    """How many tests of a provider promptfoo counts, also those that failed; None if it has no counts."""
    counts = [prompt.get("metrics") or {} for prompt in prompts if prompt.get("provider") == provider]
    total = sum(
        int(metrics.get(name) or 0)
        for metrics in counts
        for name in ("testPassCount", "testFailCount", "testErrorCount")
    )
    return total or None


def _list_pass_metrics(rows: Sequence[JsonObject]) -> set[str]:
    """The metrics of assertions that score 1 if they pass, whatever the metric is called.

    A metric of code, which may give any score, is not one of them.
    """
    kinds: dict[str, set[str]] = {}
    for row in rows:
        for assertion in (row.get("testCase") or {}).get("assert") or ():
            if isinstance(assertion, Mapping) and isinstance(assertion.get("metric"), str):
                kind = str(assertion.get("type")).removeprefix("not-")
                kinds.setdefault(assertion["metric"], set()).add(kind)
    return {metric for metric, types in kinds.items() if types <= _PASS_OR_FAIL}


def _read_provider(row: JsonObject) -> str:
    provider = row.get("provider") or {}
    return str(provider.get("label") or provider.get("id") or "")


def _read_environment(config: JsonObject, metadata: JsonObject) -> Environment:
    """The configuration and version of promptfoo in the file."""
    return make_environment(
        prompt={
            name: config.get(name) for name in ("prompts", "defaultTest", "scenarios", "nunjucksFilters")
        },
        sampling={"options": config.get("evaluateOptions"), "repeat": config.get("repeat")},
        model={"providers": config.get("providers")},
        harness={"promptfoo": metadata.get("promptfooVersion")},
        system={
            name: metadata.get(key)
            for name, key in (("OS", "platform"), ("architecture", "arch"), ("Node", "nodeVersion"))
        },
    )


def _read_settings(config: JsonObject, provider: str | None, rows: Sequence[JsonObject]) -> dict[str, object]:
    """Assertions and graders of the tests, and the generation of a provider that the configuration lists."""
    shared = config.get("defaultTest")
    shared = shared if isinstance(shared, dict) else {}
    stated = config.get("providers")
    listed = stated if isinstance(stated, list) else [stated]
    named: list[object] = [{"id": entry} if isinstance(entry, str) else entry for entry in listed]
    entries = [entry for entry in named if isinstance(entry, dict)]
    # A provider may also be a mapping of its id to its options.
    entries += [
        {"id": name, **part} for entry in entries for name, part in entry.items() if isinstance(part, dict)
    ]
    entries_of_provider = [entry for entry in entries if provider in (entry.get("label"), entry.get("id"))]
    configs = [entry.get("config") or {} for entry in entries_of_provider]
    # A text is the name of a file with the options, such as file://options.yaml.
    options = [config for config in configs if isinstance(config, Mapping)]
    generation = {name: options[0][name] for name in _GENERATION if name in options[0]} if options else None
    if replaced := _read_replaced(rows):
        generation = {**(generation or {}), _PROMPTS: replaced}
    tests = [(str(row.get("testIdx")), row.get("testCase") or {}) for row in rows]
    test_options = [(number, test.get("options") or {}) for number, test in tests]
    return {
        FILTERS: shared.get("assert"),
        SCORERS: {
            "defaultTest": drop_unset_options(
                {**(shared.get("options") or {}), **{name: shared.get(name) for name in _OF_TEST}}
            ),
            "tests": drop_unset_options(
                {
                    **{name: _read_values(tests, name) for name in _OF_TEST},
                    **{name: _read_values(test_options, name) for name in _OF_OPTIONS},
                }
            ),
            "derivedMetrics": config.get("derivedMetrics"),
            "providers": _read_values([("", entry) for entry in entries_of_provider], "transform"),
        },
        **({} if generation is None else {GENERATION: generation}),
    }


def _read_replaced(rows: Sequence[JsonObject]) -> list[object] | dict[str, list[object]]:
    """The options of the provider that prompts or tests replace, as `group_by_sample`; empty if none does."""
    texts = []
    for row in rows:
        stated = [(row.get("prompt") or {}).get("config"), (row.get("testCase") or {}).get("options")]
        # a text is the path of a file that the log does not contain
        merged = {key: value for part in stated if isinstance(part, dict) for key, value in part.items()}
        options = {name: merged[name] for name in _GENERATION if name in merged}
        texts.append((str(row.get("testIdx")), convert_to_text(options) if options else None))
    return group_by_sample(texts)


def _read_values(
    tables: Sequence[tuple[str, JsonObject]], name: str
) -> list[object] | dict[str, list[object]]:
    """The values of a key, as text. tables: each with the number of its test."""
    return group_by_sample([(number, convert_to_text(table.get(name))) for number, table in tables])


def _list_assertions(test: JsonObject) -> list[str]:
    """The named scores that a test must have; only promptfoo knows a name with a variable in it."""
    names = (assertion.get("metric") for assertion in test.get("assert") or ())
    return [name for name in names if isinstance(name, str) and "{{" not in name]


def _number_prompts(table: JsonObject) -> dict[int, int]:
    """The number of each prompt from 0, by promptIdx; it is the same for every provider that got its text."""
    stated = enumerate(table.get("prompts") or ())
    texts = {at: convert_to_text([prompt.get("raw"), prompt.get("label")]) for at, prompt in stated}
    if not texts:  # an older version, or a program that wrote only the rows
        texts = {row["promptIdx"]: row.get("promptId", row["promptIdx"]) for row in table["results"]}
    numbers: dict[object, int] = {}
    return {at: numbers.setdefault(texts[at], len(numbers)) for at in sorted(texts)}


def _is_failed(row: JsonObject) -> bool:
    """Whether there is no answer. Older versions state no reason, but an error without a response."""
    reason, response = row.get("failureReason"), row.get("response") or {}
    if reason is not None:
        return bool(reason == _ERROR)
    return bool(response.get("error") or (row.get("error") and response.get("output") is None))


def _read_rows(path: Path, provider: str | None, only: int | None) -> Iterator[Row]:
    """The rows. provider: whose answers; None for a file without a row. only: the number of the only prompt.

    With one prompt, a row is called by its test, so that the rows of two prompts can be paired.
    """
    table = read_object(path)["results"]
    numbers: dict[int, int] = {}
    for at, row in enumerate(table["results"]):
        with refuse_malformed(f"{path}: results.results[{at}] is not a result of promptfoo"):
            if provider != _read_provider(row):
                continue
            numbers = numbers or _number_prompts(table)
            number = _find_number(row, numbers)
            if only not in (None, number):
                continue
            test, response = row.get("testCase") or {}, row.get("response") or {}
            prompt = convert_to_text((row.get("prompt") or {}).get("raw"))
            failed = _is_failed(row)
            scores = {
                "pass": float(row["success"]),
                "score": row["score"],
                **dict.fromkeys(_list_assertions(test)),
                **(row.get("namedScores") or {}),
            }
            row_vars = row.get("vars") or {}
            inputs = [row.get("vars"), test.get("assert")]
            yield Row(
                id=f"{row['testIdx']}.{number}" if number and only is None else f"{row['testIdx']}",
                scores=dict.fromkeys(scores) if failed else scores,
                keys=make_keys(
                    # tests that differ only in their prompts do not show what they ask
                    document=convert_to_text(inputs) if any(inputs) else None,
                    prompt=prompt or "",
                ),
                error=str(row.get("error") or response.get("error")) if failed else None,
                truncated=is_cut_off(response.get("finishReason")),
                prompt=prompt,
                answer=convert_to_text(response.get("output")),
                target=convert_to_text([assertion.get("value") for assertion in test.get("assert") or ()]),
                fields={"description": test.get("description"), **(test.get("metadata") or {}), **row_vars},
                # promptfoo counts no tokens for a cached answer
                answer_tokens=(response.get("tokenUsage") or {}).get("completion"),
            )


reader = Promptfoo()
