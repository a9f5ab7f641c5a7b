"""OpenAI simple-evals: `NAME_allresults.json` with the examples; `NAME.json` has only figures.

For HealthBench, `metadata.example_level_metadata` has the score of each example. For the other evals only the
example's HTML page in `htmls` has it ("Score: 1.0"). `convos` are the conversations. Source: common.py,
simple_evals.py and healthbench_eval.py as of 2025.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from slimgate._system.json_text import JsonObject
from slimgate.errors import DataError
from slimgate.logs.json_lines import convert_to_text, read_beginning, read_object
from slimgate.logs.readers._figures import make_figures_error
from slimgate.logs.readers._rows import make_keys
from slimgate.plugins.reader import Log, Reader, Row, TaskLog

_END = "_allresults.json"
_STATISTICS = (":std", ":n_samples", ":bootstrap_std")
_SCORE = re.compile(r"<p>Score: ([^<]*)</p>")
_CORRECT_ANSWER = re.compile(r"<p>Correct Answer: (.*?)</p>", re.DOTALL)
_METRIC = "score"
# How many characters at the beginning of a file show its form.
_BEGINNING = 20_000


class SimpleEvals(Reader):
    """The results of one eval."""

    def recognizes(self, path: Path) -> bool:
        start = read_beginning(path, _BEGINNING)
        if path.suffix != ".json" or not start.startswith("{"):
            return False
        if path.name.endswith(_END):
            return '"score"' in start or '"htmls"' in start
        return '"htmls"' in start or _has_only_figures(path, start)

    def read(self, path: Path) -> Log:
        results = read_object(path)
        if "htmls" not in results and "metadata" not in results:
            examples = path.with_name(path.stem + _END)
            remedy = f"give {examples.name}" + (
                ", which is next to it" if examples.is_file() else ", which simple-evals writes too"
            )
            raise make_figures_error(path, _list_figures(results), "the score of each example", remedy)
        metadata = _list_metadata(results)
        pages = results.get("htmls") or []
        if not any("score" in entry for entry in metadata) and not any(map(_SCORE.search, map(str, pages))):
            raise make_figures_error(
                path,
                _list_figures({_METRIC: results.get("score"), **(results.get("metrics") or {})}),
                "the score of each example",
                "neither its metadata nor its pages have one",
            )
        count = max(len(metadata), len(pages))
        # HealthBench cuts its mean off at 0 and 1
        stated = None if metadata else results.get("score")
        task = TaskLog(
            partial(_read_rows, path),
            {_METRIC: True},
            samples=count,
            means={} if stated is None else {("", _METRIC): float(stated)},
        )
        # The name of the file begins with the eval: `mmlu_MODEL_TIME_allresults.json`.
        return Log("simple_evals", str(path), {path.name.partition("_")[0]: task})


def _has_only_figures(path: Path, start: str) -> bool:
    """Whether a small file has a score, a statistic such as its deviation, and nothing but numbers."""
    has_statistic = any(f'{ending}"' in start for ending in _STATISTICS)
    if '"score"' not in start or not has_statistic or len(start) == _BEGINNING:
        return False
    try:
        figures = read_object(path)
    except DataError:
        return False
    return "score" in figures and len(_list_figures(figures)) == len(figures)


def _list_figures(results: JsonObject) -> list[tuple[str, float]]:
    return [(name, value) for name, value in results.items() if isinstance(value, int | float)]


def _list_metadata(results: JsonObject) -> Sequence[JsonObject]:
    """The metadata of each example; empty if no example has any."""
    entries = (results.get("metadata") or {}).get("example_level_metadata") or []
    return [entry or {} for entry in entries] if any(entries) else []


def _read_rows(path: Path) -> Iterator[Row]:
    results = read_object(path)
    metadata, pages, convos = _list_metadata(results), results.get("htmls") or [], results.get("convos") or []
    for number in range(max(len(metadata), len(pages))):
        entry = metadata[number] if number < len(metadata) else {}
        page = str(pages[number]) if number < len(pages) else ""
        convo = convos[number] if number < len(convos) and convos[number] else []
        messages = entry.get("prompt") or convo[:-1]
        answers = entry.get("completion") or convo[-1:]
        match = _CORRECT_ANSWER.search(page)
        prompt = convert_to_text(messages) if messages else None
        target = convert_to_text(match[1] if match else entry.get("correct_answer"))
        yield Row(
            id=str(entry.get("prompt_id") or number),
            scores={_METRIC: _read_score(path, number, entry, page)},
            keys=make_keys(prompt=prompt, target=target),
            prompt=prompt,
            answer=convert_to_text(answers[-1].get("content")) if answers else None,
            target=target,
            answer_tokens=(entry.get("usage") or {}).get("output_tokens"),
        )


def _read_score(path: Path, number: int, entry: JsonObject, page: str) -> float | None:
    """The score from the metadata, else from the page. Raises DataError if the page's is not a number."""
    if "score" in entry:
        return None if entry["score"] is None else float(entry["score"])
    match = _SCORE.search(page)
    if match is None or match[1] == "None":
        return None
    text = match[1].strip()
    try:
        return float(text == "True") if text in ("True", "False") else float(text)
    except ValueError:
        raise DataError(f'{path}: htmls[{number}] says Score: "{text}", expected a number') from None


reader = SimpleEvals()
