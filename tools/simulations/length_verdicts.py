"""How often verdicts on the length of answers are wrong: all a little longer, and a few far too long.

python -m tools.simulations.length_verdicts [--reps N] [--seed S] [--out FILE]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from math import inf, nan, sqrt
from statistics import NormalDist

import numpy as np

from slimgate.budgets.base import ANSWER_LENGTH
from slimgate.judge import QualityBudget, Verdict, judge_quality
from slimgate.judge.contrast import make_ratio_excess
from slimgate.judge.decision import ALPHA
from slimgate.judge.mean_evidence import PairedMeans
from slimgate.judge.score_metric import make_score_metric, make_score_outcomes
from slimgate.outcomes import Floats, Ints
from tools.simulations.outcomes import make_ids
from tools.simulations.page import (
    TARGET,
    Options,
    format_error_at_5,
    format_head,
    format_percent,
    format_table,
    run,
)
from tools.simulations.rounds import RUN_AGAIN, Rates, Simulated, format_worst_cells, simulate_cells

NAME = "length_verdicts"
ROWS = (100, 300, 1000, 3000)
LONGEST, USUAL, SPREAD, NOISE = 1024.0, 150.0, 0.6, 0.3
CAP = 300.0
MAX, MIN = "length_ratio_max", "length_ratio_min"
# Rows are drawn from this number of pairs, so the true ratio of means is known exactly.
_POOL = 200_000
Damage = Callable[[np.random.Generator, Floats], Floats]


def _make_longer(factor: float) -> Damage:
    return lambda _rng, lengths: lengths * factor


def _make_partly_longer(share: float, length: float, factor: float = 1.0) -> Damage:
    """A share of the answers gets a fixed length; the others get longer by a factor."""

    def damage(rng: np.random.Generator, lengths: Floats) -> Floats:
        return np.where(rng.random(len(lengths)) < share, length, lengths * factor)

    return damage


@dataclass(frozen=True)
class Answers:
    """Lengths of the answers of two models.

    damage: of the target's answers. group: rows of a prompt, which are damaged alike.

    longest: of an answer; inf if it is unknown, so that a row counts for at most CAP tokens.
    """

    label: str
    kind: str
    damage: Damage
    longest: float = LONGEST
    group: int = 1

    def make_pool(self) -> tuple[Floats, Floats]:
        """Returns (_POOL / group, group) lengths of base and target."""
        return _make_pool(self)

    @property
    def ratio(self) -> float:
        """The ratio of the means of the pool."""
        base, target = self.make_pool()
        return float(target.mean() / base.mean())


@cache
def _make_pool(answers: Answers) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(0)
    prompts = _POOL // answers.group
    usual = USUAL * np.exp(rng.normal(0, SPREAD, (prompts, 1)))
    base, target = (usual * np.exp(rng.normal(0, NOISE, (prompts, answers.group))) for _ in range(2))
    damaged = answers.damage(rng, target.ravel() if answers.group == 1 else target[:, 0])
    if answers.group > 1:  # all answers to a prompt are damaged alike
        factor = damaged / target[:, 0]
        damaged = (target * factor[:, None]).ravel()
    ends = answers.longest if answers.longest < inf else 4 * LONGEST
    shape = (prompts, answers.group)
    lengths, damaged_lengths = np.clip(base, 1, ends).round(), np.clip(damaged, 0, ends).round()
    return lengths, damaged_lengths.reshape(shape)


ANSWERS = (
    Answers("all 10 % longer", MAX, _make_longer(1.1)),
    Answers("1 % at the limit", MAX, _make_partly_longer(0.01, LONGEST)),
    Answers("0.3 % at the limit", MAX, _make_partly_longer(0.003, LONGEST)),
    Answers("all 3 % longer, 0.5 % at the limit", MAX, _make_partly_longer(0.005, LONGEST, 1.03)),
    Answers("4 answers a prompt, all 10 % longer", MAX, _make_longer(1.1), group=4),
    Answers(
        "4 answers a prompt, 1 % of prompts at the limit", MAX, _make_partly_longer(0.01, LONGEST), group=4
    ),
    Answers("no limit known, cap 300, 0.5 % at 4,096", MAX, _make_partly_longer(0.005, 4096.0), inf),
    Answers("all 15 % shorter", MIN, _make_longer(0.85)),
    Answers("5 % empty", MIN, _make_partly_longer(0.05, 0.0)),
    Answers("1 % empty", MIN, _make_partly_longer(0.01, 0.0)),
    Answers("4 answers a prompt, 3 % of prompts empty", MIN, _make_partly_longer(0.03, 0.0), group=4),
)
_EQUAL = Answers("equal", MAX, _make_longer(1.0))


@dataclass(frozen=True)
class Shares:
    """Shares of PASS, of FAIL where it is wrong, and of PASS by a normal interval of the ratio."""

    passed: float
    failed: float
    by_normal: float

    @property
    def worst(self) -> float:
        return max(self.passed, 0.0 if np.isnan(self.failed) else self.failed)


@dataclass(frozen=True)
class Cell:
    """Answers whose true ratio is the limit, on a number of rows."""

    answers: Answers
    rows: int
    seed: tuple[int, ...]

    def simulate(self, reps: int, *, again: int = 0) -> Shares:
        rng = np.random.default_rng((*self.seed, again))
        limit, is_minimum = self.answers.ratio, self.answers.kind == MIN
        sums = np.zeros(3)
        for _ in range(reps):
            base, target, groups = draw_lengths(self.answers, rng, self.rows)
            verdict = judge_by_test(base, target, groups, self.answers.kind, limit, self.answers.longest)
            low, high = compute_normal_interval(base, target)
            sums += (
                verdict is Verdict.PASS,
                verdict is Verdict.FAIL,
                low > limit if is_minimum else high < limit,
            )
        passed, failed, by_normal = (sums / reps).tolist()
        # above the cap the share of rows may be over its own limit, where FAIL is right
        return Shares(passed, nan if self.answers.longest == inf else failed, by_normal)


def draw_lengths(answers: Answers, rng: np.random.Generator, rows: int) -> tuple[Floats, Floats, Ints | None]:
    """Draws (rows,) lengths of base and target, and their prompts if each prompt has several answers."""
    base, target = answers.make_pool()
    prompts = rng.integers(len(base), size=rows // answers.group)
    groups = None if answers.group == 1 else np.repeat(np.arange(len(prompts)), answers.group)
    return base[prompts].ravel(), target[prompts].ravel(), groups


def judge_lengths(
    base: Floats, target: Floats, groups: Ints | None, kind: str, limit: float, longest: float
) -> Verdict | None:
    """Returns the verdict of slimgate on such lengths in logs."""
    metric = make_score_metric(
        ANSWER_LENGTH, higher_is_better=False, zero_one=False, score_range=(0.0, longest)
    )
    ids = make_ids(len(base))
    before, after = (make_score_outcomes(ids, values, groups, right=False) for values in (base, target))
    budget = QualityBudget(kind, limit, cap=CAP if longest == inf else None)
    return judge_quality(metric, before, after, [budget]).verdict


def judge_by_test(
    base: Floats, target: Floats, groups: Ints | None, kind: str, limit: float, longest: float
) -> Verdict | None:
    """Returns the verdict of `judge_lengths` faster, because no intervals are computed."""
    if longest == inf:
        return judge_lengths(base, target, groups, kind, limit, longest)
    paired = PairedMeans(
        before=base,
        after=target,
        sizes=np.ones(len(base)),
        groups=groups,
        ends=(0.0, longest),
        most_lost=longest,
    )
    losses = paired.compute_losses(make_ratio_excess(limit, is_minimum=kind == MIN))
    if losses.p_at_least(0.0) <= ALPHA:
        return Verdict.PASS
    return Verdict.FAIL if losses.p_at_most(0.0) <= ALPHA else Verdict.INCONCLUSIVE


def compute_normal_interval(base: Floats, target: Floats) -> tuple[float, float]:
    """The 90 % interval of the ratio of means by the delta method, as in most tools."""
    ratio = float(target.mean() / base.mean())
    error = float((target - ratio * base).std(ddof=1)) / sqrt(len(base)) / float(base.mean())
    reach = NormalDist().inv_cdf(0.95) * error
    return ratio - reach, ratio + reach


def list_cells(seed: int) -> Iterator[Cell]:
    for number, answers in enumerate(ANSWERS):
        for rows in ROWS:
            yield Cell(answers, rows, (seed, number, rows))


def make_page(options: Options) -> str:
    simulated = simulate_cells(list_cells(options.seed), reps=options.reps)
    text = format_head(
        "The length of answers: how often verdicts are wrong",
        NAME,
        options,
        error=f"{format_error_at_5(options.reps)}.",
        text=_TEXT,
    )
    text += format_worst_cells([_make_rates(cell) for cell in simulated])
    header = ["answers", "budget", "n", "true ratio", "PASS, %", "FAIL, %", "normal PASS, %", "runs"]
    text += "\n## The true ratio is the limit\n" + format_table(header, map(_format_row, simulated))
    columns = ["limit", *(f"{rows:,} rows" for rows in ROWS)]
    return (
        text
        + "\n## What an equal model passes\n"
        + _POWER
        + format_table(columns, _format_equal_rows(options))
    )


def _make_rates(simulated: Simulated[Cell, Shares]) -> Rates:
    answers = simulated.cell.answers
    where = f"{answers.label}, n {simulated.cell.rows:,}"
    return Rates(answers.kind, where, simulated.result.passed, simulated.result.failed, simulated.runs)


def _format_row(simulated: Simulated[Cell, Shares]) -> list[str]:
    cell, runs = simulated.cell, simulated.runs or 1
    return [
        cell.answers.label,
        cell.answers.kind,
        f"{cell.rows:,}",
        f"{cell.answers.ratio:.3f}",
        format_percent(simulated.result.passed, limit=TARGET, reps=runs),
        format_percent(simulated.result.failed, limit=TARGET, reps=runs),
        format_percent(simulated.result.by_normal),
        f"{runs:,}",
    ]


def _format_equal_rows(options: Options) -> Iterator[list[str]]:
    rng = np.random.default_rng((options.seed, 99))
    for kind, limit in ((MAX, 1.05), (MAX, 1.1), (MAX, 1.2), (MAX, 1.5), (MIN, 0.95), (MIN, 0.9), (MIN, 0.8)):
        shares = []
        for rows in ROWS:
            drawn = (draw_lengths(_EQUAL, rng, rows) for _ in range(options.reps))
            verdicts = [judge_by_test(*pair, kind, limit, LONGEST) for pair in drawn]
            shares.append(format_percent(verdicts.count(Verdict.PASS) / options.reps))
        yield [f"{kind} {limit:g}", *shares]


_TEXT = f"""\
Verdicts on the length of answers, by the test of `judge_quality`.
A base's answers have {USUAL:g} tokens (median; log
normal, {SPREAD:g}), at most {LONGEST:g}; both models add noise of {NOISE:g}. The true ratio of means is the
limit, so PASS and FAIL are wrong. `normal`: PASS if the interval of the ratio by the delta method is inside
the limit. It passes a model that runs into the limit in few answers. Where no limit is known, a row counts
for {CAP:g} tokens more at most, and FAIL may come from the share of rows above: it is left out.
{RUN_AGAIN} Bold: above 6 % by more than two standard errors.
"""
_POWER = """
PASS in percent of a model whose answers are as long on average, each with its own noise.
"""

if __name__ == "__main__":
    run(NAME, make_page, reps=100)
