"""Prediction files, judged by `slimgate judge`; the truth is counted row by row."""

from __future__ import annotations

import csv
import io
import random
from collections import Counter

from tools.attack.world import World, action

BASE, TARGET = "teacher.csv", "small.csv"
ROWS, LIMIT = 600, 2.0
LABELS = ("blue", "green", "red")
RULE = "a log is one run"


class Predictions(World):
    name = "predictions"
    share = 2
    closing = ("judge",)

    def write_project(self) -> None:
        for name in (BASE, TARGET):
            rows = [(str(number), LABELS[number % 3], LABELS[number % 3]) for number in range(ROWS)]
            self._write(name, rows)

    def _read(self, name: str) -> list[tuple[str, str, str]]:
        rows = csv.reader(io.StringIO(self.project.read(name).decode()))
        return [(row[0], row[1], row[2]) for row in rows][1:]

    def _write(self, name: str, rows: list[tuple[str, str, str]]) -> None:
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerows([("id", "label", "prediction"), *rows])
        self.project.write(name, stream.getvalue())

    def _find_denial(self, metric: str) -> str | None:
        """Why a PASS is not true; None if it may be."""
        base, target = self._read(BASE), self._read(TARGET)
        for name, rows in ((BASE, base), (TARGET, target)):
            counts = Counter(row[0] for row in set(rows))
            if differing := sum(count > 1 for count in counts.values()):
                return f"{differing} ids of {name} have several rows that differ"
            if missing := sum(not row[2] for row in rows):
                return f"{missing} rows of {name} have no prediction"
        if {row[0]: row[1] for row in base} != {row[0]: row[1] for row in target}:
            return "the two files do not have the same rows with the same labels"
        drop = 100 * (_compute_metric(metric, base) - _compute_metric(metric, target))
        return f"{metric}: observed drop {drop:.1f} points, budget {LIMIT}" if drop > LIMIT else None

    @action(8)
    def judge(self, draw: random.Random) -> str:
        metric = draw.choice(("accuracy", "f1_macro", "balanced_accuracy"))
        done = self.run_slimgate("judge", BASE, TARGET, "--metric", metric, "--drop-points", str(LIMIT))
        self.verdict = f"exit {done.code}"
        if done.code == 0 and (reason := self._find_denial(metric)):
            self.deny(RULE, f"{metric}: exit code 0, and {reason}")
        return f"slimgate judge --metric {metric}: exit {done.code}"

    @action(3)
    def damage_answers(self, draw: random.Random) -> str:
        name = draw.choice((BASE, TARGET))
        rows, count = self._read(name), draw.choice((3, 30, 120))
        hit = set(draw.sample(range(len(rows)), min(count, len(rows))))
        spoilt = draw.choice((*LABELS, "unknown"))
        rows = [(row[0], row[1], spoilt if at in hit else row[2]) for at, row in enumerate(rows)]
        self._write(name, rows)
        return f"{name}: {len(hit)} predictions become {spoilt}"

    @action(2)
    def damage_one_class(self, draw: random.Random) -> str:
        name, label, answer = draw.choice((BASE, TARGET)), draw.choice(LABELS), draw.choice(LABELS)
        rows = [(row[0], row[1], answer if row[1] == label else row[2]) for row in self._read(name)]
        self._write(name, rows)
        return f"{name}: every {label} is predicted {answer}"

    @action(1)
    def mend_answers(self, draw: random.Random) -> str:
        name = draw.choice((BASE, TARGET))
        self._write(name, [(row[0], row[1], row[1]) for row in self._read(name)])
        return f"{name}: every prediction is right"

    @action(2)
    def repeat_ids(self, draw: random.Random) -> str:
        count = draw.choice((10, 200))
        line = f"{count} rows of"
        for name in draw.choice(((BASE,), (TARGET,), (BASE, TARGET))):
            rows = self._read(name)
            self._write(name, [*rows, *((row[0], row[1], row[1]) for row in rows[:count])])
            line += f" {name}"
        return f"{line} come again, with right answers"

    @action(1)
    def delete_rows(self, draw: random.Random) -> str:
        names, line = draw.choice(((BASE,), (TARGET,), (BASE, TARGET))), "delete wrong rows of"
        for name in names:
            rows = self._read(name)
            self._write(name, [row for at, row in enumerate(rows) if row[1] == row[2] or at % 2])
            line += f" {name}"
        return line

    @action(2)
    def empty_predictions(self, draw: random.Random) -> str:
        count = draw.choice((4, 200))
        for name in (BASE, TARGET):
            rows = self._read(name)
            self._write(name, [(row[0], row[1], "" if at < count else row[2]) for at, row in enumerate(rows)])
        return f"{count} rows have no prediction in both files"

    @action(1)
    def swap_files(self, draw: random.Random) -> str:
        contents = self.project.read(BASE), self.project.read(TARGET)
        self.project.write(BASE, contents[1])
        self.project.write(TARGET, contents[0])
        return "swap the two files"

    @action(1)
    def reorder(self, draw: random.Random) -> str:
        rows = self._read(TARGET)
        draw.shuffle(rows)
        self._write(TARGET, rows)
        return f"reorder {TARGET}"

    @action(1)
    def change_labels(self, draw: random.Random) -> str:
        rows = self._read(TARGET)
        hit = set(draw.sample(range(len(rows)), 20))
        self._write(
            TARGET, [(row[0], row[2] if at in hit else row[1], row[2]) for at, row in enumerate(rows)]
        )
        return f"{TARGET}: 20 labels become what was predicted"


def _compute_metric(metric: str, rows: list[tuple[str, str, str]]) -> float:
    """Accuracy, or a macro average over the classes of the labels, over rows with distinct ids."""
    rows = sorted(set(rows))
    if metric == "accuracy":
        return sum(label == answer for _, label, answer in rows) / len(rows)
    figures = []
    for name in sorted({label for _, label, _ in rows}):
        right = sum(label == answer == name for _, label, answer in rows)
        actual = sum(label == name for _, label, _ in rows)
        answered = sum(answer == name for _, _, answer in rows)
        figures.append(right / actual if metric == "balanced_accuracy" else 2 * right / (actual + answered))
    return sum(figures) / len(figures)
