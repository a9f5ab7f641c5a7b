"""The samples of lm-eval: a row for each document and filter, from a file of lines or of one array.

Version 0.4.4 and later write a line per sample with `metrics`, `filter` and hashes. Before, a file was one
array (some with the suffix .jsonl), without these: then each key that lm-eval does not know is a metric, the
n-th row of a document is of the n-th filter of the task, and the hashes are computed as lm-eval does.

| value of a metric                 | read as                                                             |
|-----------------------------------|---------------------------------------------------------------------|
| a number                          | the score                                                           |
| [log-likelihood, words or bytes]  | nats (of bits_per_byte bits) of this many words or bytes            |
| a log-likelihood of `perplexity`  | nats of one document                                                |
| SQuAD's [prediction, references]  | exact and f1 by SQuAD's script                                      |
| another list or text              | no number                                                           |
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from math import log
from pathlib import Path
from typing import Literal

from slimgate._system.json_text import JsonObject
from slimgate.errors import DataError
from slimgate.logs.json_lines import convert_to_text, read_array, read_beginning, read_objects
from slimgate.logs.readers._rows import refuse_malformed
from slimgate.plugins.reader import DOCUMENT, PROMPT, TARGET, Row

# How lm-eval computes the figure of a metric from its values: exp(-sum of log-likelihoods / sum of words),
# the same in bits, exp(-mean of log-likelihoods).
Aggregation = Literal["weighted_perplexity", "bits_per_byte", "perplexity"]
AGGREGATIONS: Mapping[str, Aggregation] = {
    "word_perplexity": "weighted_perplexity",
    "byte_perplexity": "weighted_perplexity",
    "bits_per_byte": "bits_per_byte",
    "perplexity": "perplexity",
}
_KEYS = {DOCUMENT: "doc_hash", PROMPT: "prompt_hash", TARGET: "target_hash"}
_NO_METRICS = frozenset(
    ("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", *_KEYS.values())
)
# A filter of this name means no filter.
_NO_FILTER = "none"
_EXPECTED = "; expected doc_id, metrics and a number for each metric"


def convert_filter_name(name: object) -> str:
    """slimgate's name of a filter of lm-eval: "" for none."""
    return "" if str(name) == _NO_FILTER else str(name)


def read_rows(file: Path, filters: Sequence[str], aggregations: Mapping[str, Aggregation]) -> Iterator[Row]:
    """The rows of a file. filters: of the task, in order. aggregations: of metrics that are not means.

    Raises DataError.
    """
    seen: Counter[str] = Counter()
    for place, row in _read_entries(file):
        with refuse_malformed(f"{file}: {place} is not a sample of lm-eval", expected=_EXPECTED):
            key = str(row["doc_id"])
            # a row too many gets the last filter, which then repeats
            of_file = filters[min(seen[key], len(filters) - 1)] if filters else _NO_FILTER
            name = convert_filter_name(row.get("filter", of_file))
            seen[key] += 1
            yield _make_row(key, name, row, aggregations)
    if not seen:
        raise DataError(f"{file}: no samples, expected at least one; run the benchmark again")


def read_generation_kwargs(file: Path) -> dict[str, object] | None:
    """The generation settings that the first sample states; None for a choice. Raises DataError."""
    for _, row in _read_entries(file):
        request = next(iter(_list_arguments(row.get("arguments"))), None)
        settings = request[1] if isinstance(request, list) and len(request) > 1 else None
        return settings if isinstance(settings, dict) else None
    return None


def _read_entries(file: Path) -> Iterator[tuple[str, JsonObject]]:
    """(place, row) of each sample, from lines or from an array. The place is for messages."""
    if read_beginning(file, 100).startswith("["):
        yield from ((f"entry {at}", row) for at, row in enumerate(read_array(file)))
    else:
        yield from ((f"line {number}", row) for number, row in read_objects(file))


def _make_row(key: str, name: str, row: JsonObject, aggregations: Mapping[str, Aggregation]) -> Row:
    if "filtered_resps" in row and "metrics" not in row:
        metrics = [metric for metric in row if metric not in _NO_METRICS]
    else:
        metrics = row["metrics"]
    scores: dict[str, float | None] = {}
    sizes: dict[str, float] = {}
    not_numbers: list[str] = []
    for metric in metrics:
        value, aggregation = row.get(metric), aggregations.get(metric)
        if aggregation is not None and (sums := _read_sums(aggregation, value)) is not None:
            scores[metric], sizes[metric] = sums
        elif value is None or isinstance(value, int | float):
            scores[metric] = value
        elif (score := _score_squad(metric, value)) is not None:
            scores[metric] = score
        else:
            not_numbers.append(metric)
    prompt = _read_prompt(row.get("arguments"))
    answer = _read_answer(row.get("filtered_resps"), row.get("arguments"))
    response = _read_response(row.get("resps"))
    return Row(
        id=key,
        scores=scores,
        sizes=sizes,
        not_numbers=tuple(not_numbers),
        filter=name,
        keys=_read_keys(row, prompt),
        prompt=prompt,
        answer=answer,
        target=_read_target(row),
        fields=doc if isinstance(doc := row.get("doc"), dict) else None,
        response=None if response == answer else response,
    )


def _read_keys(row: JsonObject, prompt: str | None) -> dict[str, str]:
    """The hashes; if the file has none, as lm-eval computes them."""
    if any(column in row for column in _KEYS.values()):
        return {key: row[column] for key, column in _KEYS.items() if column in row}
    texts = {
        DOCUMENT: json.dumps(row["doc"], indent=2, ensure_ascii=False) if "doc" in row else None,
        PROMPT: prompt,
        TARGET: str(row["target"]) if "target" in row else None,
    }
    return {
        key: sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        for key, text in texts.items()
        if text is not None
    }


def _read_sums(aggregation: Aggregation, value: object) -> tuple[float, float] | None:
    """Nats or bits of a sample, and its words, bytes or documents; None for another value."""
    if aggregation == "perplexity":
        # above 0 it is not a log-likelihood: a task may give the perplexity itself
        return (-float(value), 1.0) if isinstance(value, int | float) and value <= 0 else None
    if not isinstance(value, list) or len(value) != 2 or not all(isinstance(v, int | float) for v in value):
        return None
    if value[1] <= 0:
        return None
    nats = -float(value[0])
    return (nats / log(2) if aggregation == "bits_per_byte" else nats), float(value[1])


def _score_squad(metric: str, value: object) -> float | None:
    """exact and f1 of [prediction, references] in the form of SQuAD; None for other values.

    Source: the evaluation script of SQuAD 2.0 (Rajpurkar et al. 2018).
    """
    if metric not in ("exact", "f1") or not (isinstance(value, list) and len(value) == 2):
        return None
    prediction, references = value
    if not (isinstance(prediction, dict) and isinstance(references, dict)):
        return None
    texts = (references.get("answers") or {}).get("text")
    answer = prediction.get("prediction_text")
    answer = answer[0] if isinstance(answer, list) and answer else answer
    if not isinstance(answer, str) or not isinstance(texts, list):
        return None
    from slimgate.judge.scores.normalized_match import normalize_answer

    answer = normalize_answer(answer)
    right = [text for text in map(normalize_answer, texts) if text] or [""]
    if metric == "exact":
        return float(answer in right)
    return max(_compute_token_f1(answer.split(), text.split()) for text in right)


def _compute_token_f1(words: list[str], right: list[str]) -> float:
    if not words or not right:
        return float(words == right)
    shared = (Counter(words) & Counter(right)).total()
    return 2 * shared / (len(words) + len(right))


def _list_arguments(arguments: object) -> list[Sequence[object]]:
    """The arguments of each request: lists, or in newer versions `gen_args_0: {arg_0: …}`."""
    if isinstance(arguments, dict):
        return [[*part.values()] if isinstance(part, dict) else part for part in arguments.values()]
    if isinstance(arguments, list) and arguments and isinstance(arguments[0], str):
        return [arguments]
    return arguments if isinstance(arguments, list) else []


def _read_prompt(arguments: object) -> str | None:
    first = next(iter(_list_arguments(arguments)), None)
    return convert_to_text(first[0] if isinstance(first, list) and first else first)


def _read_answer(responses: object, arguments: object) -> str | None:
    """The text, or for a multiple choice the likeliest continuation."""
    if not isinstance(responses, list) or not responses:
        return convert_to_text(responses)
    if _is_choice(responses):
        try:
            best = max(range(len(responses)), key=lambda k: float(responses[k][0]))
            return convert_to_text(_list_arguments(arguments)[best][1])
        except (IndexError, KeyError, TypeError, ValueError):
            return convert_to_text(responses)
    return convert_to_text(responses[0] if len(responses) == 1 else responses)


def _is_choice(responses: object) -> bool:
    """Whether these are the log-likelihoods of several continuations."""
    return (
        isinstance(responses, list)
        and len(responses) > 1
        and all(isinstance(response, list) and len(response) == 2 for response in responses)
    )


def _read_target(row: JsonObject) -> str | None:
    """The right answer; if it is the number of a choice, the text of this choice, as for the answer."""
    target = convert_to_text(row.get("target"))
    if target is None or not target.isdecimal() or not _is_choice(row.get("filtered_resps")):
        return target
    requests = _list_arguments(row.get("arguments"))
    choices = [convert_to_text(part[1]) for part in requests if isinstance(part, list) and len(part) > 1]
    return choices[int(target)] if int(target) < len(choices) else target


def _read_response(responses: object) -> str | None:
    """The model's text before any filter, the first of several repeats; None for a choice."""
    requests = responses if isinstance(responses, list) and len(responses) == 1 else [None]
    repeats = requests[0]
    first = repeats[0] if isinstance(repeats, list) and repeats else repeats
    return first if isinstance(first, str) else None
