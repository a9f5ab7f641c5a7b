"""MLPerf Inference: `mlperf_log_accuracy.json` of LoadGen, an entry per answer, with the right answers.

The log holds the bytes of each answer and not which are right. So labels are read from `val_map.txt` in the
same folder (a file name and a label on each line, in the order of the sample library, as in ImageNet's), and
an answer that is a single number is right if it equals the label. Other answers, such as tokens, are scored
by the benchmark's script. LoadGen may send a sample twice; as in MLPerf's scripts the first answer counts.
Written by LoadGen 6.0.17.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from slimgate.errors import DataError
from slimgate.logs.json_lines import read_array, read_beginning
from slimgate.logs.readers._rows import refuse_malformed
from slimgate.outcomes import Ints
from slimgate.plugins.reader import TARGET, Log, Reader, Row, TaskLog

_LOG, _LABELS = "mlperf_log_accuracy.json", "val_map.txt"
# Types of a number by its size in bytes, the likeliest first.
_TYPES = {4: ("<f4", "<i4"), 8: ("<i8", "<f8")}
_LARGEST_LABEL = 1_000_000


class Mlperf(Reader):
    """The log, or the folder of LoadGen that has it."""

    def recognizes(self, path: Path) -> bool:
        if path.is_dir():
            return (path / _LOG).is_file()
        start = read_beginning(path)
        return path.suffix == ".json" and start.startswith("[") and '"qsl_idx"' in start and '"data"' in start

    def read(self, path: Path) -> Log:
        file = path / _LOG if path.is_dir() else path
        answers = _read_answers(file)
        labels = _read_labels(file, len(answers))
        numbers = _read_numbers(file, answers)
        task = TaskLog(
            partial(_read_rows, file, answers, numbers, labels),
            {"accuracy": True},
            ids=tuple(map(str, range(len(labels)))),
            written=False,
        )
        return Log("mlperf", str(path), {"": task})


def _read_answers(file: Path) -> dict[int, str]:
    """The bytes of each answer in hex, by the index of the sample. Raises DataError for an empty log."""
    answers: dict[int, str] = {}
    for at, entry in enumerate(read_array(file)):
        with refuse_malformed(f"{file}: entry {at} does not have LoadGen's format"):
            answers.setdefault(int(entry["qsl_idx"]), str(entry["data"]))
    if not answers:
        raise DataError(f"{file}: it has no answer; run LoadGen in AccuracyOnly mode")
    return answers


def _read_labels(file: Path, answer_count: int) -> list[int]:
    labels = file.with_name(_LABELS)
    if not labels.is_file():
        raise DataError(
            f"{file}: it has {answer_count:,} answers, but does not say which are right; put {_LABELS} next "
            "to it, with a name and a label on each line, or score it by the benchmark's accuracy script and "
            "give a table with columns id and score"
        )
    numbers = []
    for line, text in enumerate(labels.read_text("utf-8-sig", "replace").splitlines(), 1):
        words = text.split()
        if not words:
            continue
        if len(words) != 2 or not words[1].isdecimal():
            raise DataError(f'{labels}: line {line} is "{text[:60]}", expected a name and a label')
        numbers.append(int(words[1]))
    return numbers


def _read_numbers(file: Path, answers: Mapping[int, str]) -> Ints:
    """The answers as whole numbers, of the type that makes each of them a label.

    Raises DataError for answers that are not one whole number of 4 or 8 bytes.
    """
    size = len(next(iter(answers.values()))) // 2
    if size not in _TYPES or any(len(text) != 2 * size for text in answers.values()):
        longest = max(len(text) // 2 for text in answers.values())
        raise DataError(
            f"{file}: answers of up to {longest:,} bytes, expected one number of 4 or 8 bytes each; score "
            "it by the benchmark's accuracy script and give a table with columns id and score"
        )
    try:
        raw = bytes.fromhex("".join(answers.values()))
    except ValueError as error:
        raise DataError(f"{file}: data that is not hexadecimal ({error})") from None
    for kind in _TYPES[size]:
        with np.errstate(invalid="ignore"):
            numbers = np.frombuffer(raw, kind)
            if np.all(numbers == np.round(numbers)) and np.all(np.abs(numbers) <= _LARGEST_LABEL):
                return numbers.astype(np.int64)
    raise DataError(
        f"{file}: its answers are not labels in {' or '.join(_TYPES[size])}, expected whole numbers"
    )


def _read_rows(file: Path, answers: Mapping[int, str], numbers: Ints, labels: list[int]) -> Iterator[Row]:
    for index, number in zip(answers, numbers.tolist(), strict=True):
        if index >= len(labels):
            raise DataError(
                f"{file}: it has an answer to sample {index}, but {_LABELS} has {len(labels):,} labels; "
                "expected the labels of the same samples"
            )
        right = str(labels[index])
        yield Row(
            id=str(index),
            scores={"accuracy": float(number == labels[index])},
            keys={TARGET: right},
            answer=str(number),
            target=right,
        )


reader = Mlperf()
