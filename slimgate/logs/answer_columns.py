"""How answers in logs behave: their length, and whether they are cut off, empty or refusals.

| metric          | of a sample                                    | unknown if                        |
|-----------------|------------------------------------------------|-----------------------------------|
| `answer_length` | completion tokens of the log, else tokens of a | the log has no answer             |
|                 | tokenizer, else characters; the same in both   |                                   |
| `truncated`     | 1 if the answer was cut off at its limit       | the log does not say why it ended |
| `empty`         | 1 if the answer is blank                       | the log has no answer             |
| `refused`       | 1 if a pattern of refusals matches, or what    | the log has no answer             |
|                 | a user's score gives                           |                                   |

The answer is what the model wrote, and not what a filter of the tool took from it to score.
They are judged like other metrics, if a budget or `--answers` names them. Lower is better, except for the
length, which has its own budgets (`length_ratio_max`, `length_ratio_min`).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf, nan
from pathlib import Path

import numpy as np

from slimgate._system.digests import digest_json, digest_user_code
from slimgate._system.escape import is_blank
from slimgate._system.requirements import import_extra
from slimgate.budgets.base import ANSWER_LENGTH
from slimgate.errors import SuiteError
from slimgate.judge.named_scores import Range
from slimgate.outcomes import EMPTY, TRUNCATED, Floats
from slimgate.plugins.reader import Row, TaskLog

REFUSED = "refused"
ANSWER_METRICS = (ANSWER_LENGTH, TRUNCATED, EMPTY, REFUSED)
WHY_ABSENT: Mapping[str, str] = {
    ANSWER_LENGTH: "the logs contain neither the answers nor their lengths",
    TRUNCATED: "the logs do not say why answers ended (a budget on answer_length limits longer answers)",
    EMPTY: "the logs do not contain the answers",
    REFUSED: "the logs do not contain the answers",
}
TOKENS, COUNTED, CHARACTERS = "completion tokens", "tokens", "characters"


@dataclass(frozen=True)
class AnswerChecks:
    """How answers are checked.

    rate_refusal(answer): whether the answer is a refusal, from 0 to 1. refusal_characters: how many
    characters it reads. count_tokens(text): by the tokenizer of this name; None if the user passed no
    tokenizer. refusals: a digest of the user's patterns or code; None if there are none.
    """

    rate_refusal: Callable[[str], float]
    refusal_characters: float
    count_tokens: Callable[[str], int] | None = None
    tokenizer: str | None = None
    refusals: str | None = None


def read_answer_checks(tokenizer: Path | None = None, refusals: str | None = None) -> AnswerChecks:
    """Reads the options of `slimgate judge` on answers.

    tokenizer: a tokenizer.json, or a folder with one. refusals: "package.module:function" that rates an
    answer, or a file with a regular expression on each line, in addition to slimgate's own.

    Raises SuiteError, or MissingExtra if the package tokenizers is missing.
    """
    from slimgate.judge.scores import load_score
    from slimgate.judge.scores.refused import LOOKED_AT, compile_patterns, is_refusal

    count = None if tokenizer is None else _load_tokenizer(tokenizer)
    name = None if tokenizer is None else tokenizer.as_posix()
    if refusals is not None and ":" in refusals and not Path(refusals).exists():
        chosen = load_score(refusals, {})
        digest = digest_user_code(refusals.partition(":")[0])
        return AnswerChecks(lambda answer: chosen.rate(answer, None), inf, count, name, digest)
    lines = [] if refusals is None else _read_lines(Path(refusals))
    try:
        patterns = compile_patterns(lines)
    except ValueError as error:
        raise SuiteError(f"{refusals}: {error}") from None
    digest_of_lines = digest_json(lines) if lines else None
    return AnswerChecks(partial(is_refusal, patterns=patterns), LOOKED_AT, count, name, digest_of_lines)


def _read_lines(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(
            f"--refusals {path}: {getattr(error, 'strerror', None) or error}; expected a file with a regular "
            'expression on each line, or "package.module:function"'
        ) from error
    return [line for line in lines if line and not line.startswith("#")]


def _load_tokenizer(path: Path) -> Callable[[str], int]:
    tokenizers = import_extra("tokenizers", "models", "--tokenizer")
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise SuiteError(f"--tokenizer {path}: no such file, expected a tokenizer.json or a folder with one")
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:
        raise SuiteError(f"--tokenizer {file}: {error}") from error
    # A file often has the settings of a model's batches, which make all counts equal.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def read_written_text(row: Row) -> str | None:
    """What the model wrote, of which a filter of the tool may score a part; None if the log has no answer."""
    return row.answer if row.response is None else row.response


def count_characters(row: Row) -> int | None:
    """The characters of all that the model wrote; None if the log has none."""
    if row.answer_characters is not None:
        return row.answer_characters
    text = read_written_text(row)
    return None if text is None else len(text)


@dataclass(frozen=True, eq=False)
class AnswerColumns:
    """Arrays (rows,), NaN if unknown. lengths: by TOKENS, COUNTED and CHARACTERS. faults: by other metric."""

    lengths: Mapping[str, Floats]
    faults: Mapping[str, Floats]


@dataclass
class GrowingAnswers:
    """The columns, to which `add` appends a row at a time."""

    checks: AnswerChecks
    columns: dict[str, array[float]] = field(
        default_factory=lambda: {
            name: array("d") for name in (TOKENS, COUNTED, CHARACTERS, TRUNCATED, EMPTY, REFUSED)
        }
    )

    def add(self, row: Row) -> None:
        """Appends a row. If only the beginning of an answer is in the log, what needs the rest is unknown."""
        columns, characters = self.columns, count_characters(row)
        text = read_written_text(row)
        is_cut = text is not None and characters is not None and characters > len(text)
        # a tool that counts no tokens writes 0, also for an answer with a text
        tokens = row.answer_tokens if row.answer_tokens or not characters else None
        columns[TOKENS].append(nan if tokens is None else float(tokens))
        columns[CHARACTERS].append(nan if characters is None else float(characters))
        count_tokens = self.checks.count_tokens
        counted = nan if count_tokens is None or text is None or is_cut else count_tokens(text)
        columns[COUNTED].append(float(counted))
        columns[TRUNCATED].append(nan if row.truncated is None else float(row.truncated))
        columns[EMPTY].append(nan if text is None else float(is_blank(text)))
        can_rate = text is not None and not (is_cut and len(text) < self.checks.refusal_characters)
        columns[REFUSED].append(
            float(self.checks.rate_refusal(text)) if can_rate and text is not None else nan
        )

    def finish(self) -> AnswerColumns:
        """The columns as arrays."""
        arrays = {name: np.frombuffer(values, np.float64) for name, values in self.columns.items()}
        lengths = {name: arrays.pop(name) for name in (TOKENS, COUNTED, CHARACTERS)}
        return AnswerColumns(lengths, arrays)


@dataclass(frozen=True, eq=False)
class AnswerScores:
    """Metric -> scores of how answers behave, for base and target, each (rows,) of its log.

    length_in: the unit of lengths; None without lengths. length_range: the range of a length.
    """

    base: Mapping[str, Floats]
    target: Mapping[str, Floats]
    length_in: str | None
    length_range: Range


def compare_answers(
    base: AnswerColumns, target: AnswerColumns, tasks: Sequence[TaskLog], checks: AnswerChecks
) -> AnswerScores:
    """The scores for metrics that both logs have. tasks: the tasks of base and target."""
    unit = next((name for name in base.lengths if _has_all_lengths(base, target, name)), None)
    scores: list[dict[str, Floats]] = []
    for columns in (base, target):
        lengths = {} if unit is None else {ANSWER_LENGTH: columns.lengths[unit]}
        scores.append({**lengths, **columns.faults})
    for name in [*scores[0]]:
        if any(np.isnan(side[name]).all() for side in scores):
            for side in scores:
                del side[name]
    limits = [task.most_tokens for task in tasks]
    length_range = (0.0, inf)
    if unit == TOKENS and None not in limits:
        limit = float(max(limit or 0 for limit in limits))
        longest = max(float(np.nanmax(side[ANSWER_LENGTH])) for side in scores)
        length_range = (0.0, limit if longest <= limit else inf)
    shown_unit = f"{COUNTED} of {checks.tokenizer}" if unit == COUNTED else unit
    return AnswerScores(scores[0], scores[1], shown_unit, length_range)


def _has_all_lengths(base: AnswerColumns, target: AnswerColumns, unit: str) -> bool:
    """Whether each answer of both logs has a length in this unit."""
    for columns in (base, target):
        known = ~np.isnan(columns.lengths[unit])
        has_answer = ~np.isnan(columns.lengths[CHARACTERS]) | ~np.isnan(columns.lengths[TOKENS])
        if not known.any() or (has_answer & ~known).any():
            return False
    return True
