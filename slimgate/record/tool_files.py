"""What files of other tools alone tell: load tests of servers, and KL logs of llama.cpp."""

from __future__ import annotations

from typing import Any

from slimgate.judge.parts import BudgetFacts, Part
from slimgate.judge.verdict import Verdict
from slimgate.plugins.workloads import LoadPart


class LoadRunFacts(Part):
    """The requests of one load. unfinished: that the end of the run cut off; seconds: that it took."""

    requests: int
    failed: int
    unfinished: int
    seconds: float | None
    settings: dict[str, Any] = {}


class TimeRatioFacts(Part):
    """A quantile of one part of the requests. base, target: in milliseconds; inf where it is of a failed one.

    ratio: base / target, above 1 where the target is faster. interval: 90 %, of the requests alone;
    claimed_interval: widened by the noise floor, which is on the log scale and None without a second run of
    the base. counted: as how many independent requests those of base and target count.
    """

    part: LoadPart
    quantile: float
    base: float
    target: float
    ratio: float
    interval: tuple[float, float]
    noise_floor: float | None
    claimed_interval: tuple[float, float]
    counted: tuple[int, int]


class LoadTestFacts(Part):
    """One load of a server, in a load test of the target beside one of the base.

    repeated: whether a second run of the base tells how much two runs of it differ.
    """

    base: LoadRunFacts
    target: LoadRunFacts
    repeated: bool
    times: list[TimeRatioFacts]
    budgets: list[BudgetFacts] = []
    verdict: Verdict | None = None
    message: str | None = None
    measured: str


class KlFigure(Part):
    """value: with its 90 % interval."""

    value: float
    interval: tuple[float, float]


class KlLogFacts(Part):
    """What `llama-perplexity --kl-divergence` printed. chunks: of text, the units of the intervals.

    figures: by the kind of budget that limits them: mean_max (mean KL, nats a token), floor (share of equal
    likeliest tokens), increase_relative (growth of the perplexity). quantiles: of all tokens' KL.
    """

    chunks: int
    figures: dict[str, KlFigure]
    quantiles: dict[str, float] = {}
    budgets: list[BudgetFacts] = []
    verdict: Verdict | None = None
    message: str | None = None
    measured: str
