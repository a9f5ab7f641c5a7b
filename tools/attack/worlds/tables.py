"""Tables of scores, judged by `slimgate judge`: repeated ids, empty scores, other scales and directions."""

from __future__ import annotations

import csv
import io
import random
from collections import Counter, defaultdict
from typing import NamedTuple

from tools.attack.world import World, action

BASE, TARGET = "base.csv", "int4.csv"
ROWS, LIMIT = 400, 2.0
RULE = "a log is one run"
# Of these metrics lower is better.
LOWER = ("toxicity", "hallucination")


class Row(NamedTuple):
    """A row of the file. higher_is_better: "" if the direction is not stated."""

    id: str
    metric: str
    score: str
    higher_is_better: str = "true"


class Tables(World):
    name = "tables"
    share = 2
    closing = ("judge",)

    def write_project(self) -> None:
        for name in (BASE, TARGET):
            self._write(name, [Row(str(number), "em", str(int(number % 4 > 0))) for number in range(ROWS)])

    def _read(self, name: str) -> list[Row]:
        rows = csv.DictReader(io.StringIO(self.project.read(name).decode()))
        return [Row(**{"higher_is_better": "", **row}) for row in rows]

    def _write(self, name: str, rows: list[Row]) -> None:
        """Writes a table. If no row states a direction, it has no column for it."""
        width = 4 if any(row.higher_is_better for row in rows) else 3
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerows(row[:width] for row in [Row._fields, *rows])
        self.project.write(name, stream.getvalue())

    def _find_denial(self) -> str | None:
        """Why a PASS is not true; None if it may be."""
        base, target = self._read(BASE), self._read(TARGET)
        if Counter(row[:2] for row in base) != Counter(row[:2] for row in target):
            return "the two tables do not have the same rows"
        for name, rows in ((BASE, base), (TARGET, target)):
            empty = sum(not row.score for row in rows)
            if empty > len(rows) / 100:
                return f"{empty} of {len(rows)} rows of {name} have no score"
        before, after = _compute_means(base), _compute_means(target)
        for metric, mean in before.items():
            drop = 100 * (mean - after[metric]) * (-1 if metric in LOWER else 1)
            if drop > LIMIT:
                return f"{metric}: observed drop {drop:.1f} points, budget {LIMIT}"
            if (mean > 1) != (after[metric] > 1):
                return f"{metric}: means {mean:.3f} and {after[metric]:.3f} are of other scales"
        return None

    @action(8)
    def judge(self, draw: random.Random) -> str:
        done = self.run_slimgate("judge", BASE, TARGET, "--drop-points", str(LIMIT))
        self.verdict = f"exit {done.code}"
        if done.code == 0 and (reason := self._find_denial()):
            self.deny(RULE, f"exit code 0, and {reason}")
        return f"slimgate judge: exit {done.code}"

    @action(3)
    def turn_scores(self, draw: random.Random) -> str:
        """Right answers become wrong, and wrong ones right."""
        name, count = draw.choice((BASE, TARGET, TARGET)), draw.choice((4, 60))
        rows = self._read(name)
        hit = set(draw.sample(range(len(rows)), count))
        turned = {"1": "0", "0": "1"}
        self._write(
            name,
            [
                row._replace(score=turned.get(row.score, row.score)) if at in hit else row
                for at, row in enumerate(rows)
            ],
        )
        return f"{name}: {count} scores are turned"

    @action(1)
    def lose_answers(self, draw: random.Random) -> str:
        rows = self._read(TARGET)
        self._write(TARGET, [row._replace(score="0") if at % 3 == 1 else row for at, row in enumerate(rows)])
        return f"{TARGET}: every third score is 0"

    @action(2)
    def repeat_ids(self, draw: random.Random) -> str:
        """Repeats each row, next to the first or after all rows. In the target, the first one is wrong."""
        is_beside = draw.random() < 0.5
        for name in (BASE, TARGET):
            rows = self._read(name)
            first = [row._replace(score="0") for row in rows] if name == TARGET else rows
            pairs = [row for pair in zip(first, rows, strict=True) for row in pair]
            self._write(name, pairs if is_beside else [*first, *rows])
        return f"each row comes twice; in {TARGET}, the first of the two is wrong"

    @action(1)
    def empty_scores(self, draw: random.Random) -> str:
        count = draw.choice((3, 150))
        for name in (BASE, TARGET):
            rows = self._read(name)
            self._write(name, [row._replace(score="") if at < count else row for at, row in enumerate(rows)])
        return f"{count} rows have no score in both tables"

    @action(1)
    def delete_rows(self, draw: random.Random) -> str:
        rows = self._read(TARGET)
        self._write(TARGET, [row for at, row in enumerate(rows) if row.score != "0" or at % 2])
        return f"{TARGET}: every second wrong row is deleted"

    @action(2)
    def rename_metric(self, draw: random.Random) -> str:
        metric, better = draw.choice((("em", "true"), ("em", "true"), (draw.choice(LOWER), "false"),
                                      (draw.choice(LOWER), "")))  # fmt: skip
        for name in (BASE, TARGET):
            rows = self._read(name)
            self._write(name, [row._replace(metric=metric, higher_is_better=better) for row in rows])
        return f"the metric is {metric}, higher_is_better = {better or 'not stated'}"

    @action(1)
    def add_metric(self, draw: random.Random) -> str:
        for name in (BASE, TARGET):
            rows = self._read(name)
            known = {row.id for row in rows if row.metric == "f1"}
            self._write(name, [*rows, *(Row(row.id, "f1", "1") for row in rows if row.id not in known)])
        return "each id has a second metric, f1, always 1"

    @action(1)
    def rescale(self, draw: random.Random) -> str:
        names = draw.choice(((TARGET,), (BASE, TARGET)))
        for name in names:
            scores = {"1": "100", "100": "1"}
            self._write(
                name, [row._replace(score=scores.get(row.score, row.score)) for row in self._read(name)]
            )
        return f"{' and '.join(names)}: another scale"

    @action(1)
    def reorder(self, draw: random.Random) -> str:
        rows = self._read(TARGET)
        draw.shuffle(rows)
        self._write(TARGET, rows)
        return f"reorder {TARGET}"


def _compute_means(rows: list[Row]) -> dict[str, float]:
    """The mean score of each metric, over every row that has one."""
    scores: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row.score:
            scores[row.metric].append(float(row.score))
    return {metric: sum(values) / len(values) for metric, values in scores.items()}
