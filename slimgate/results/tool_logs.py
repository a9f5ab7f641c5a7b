"""What other tools measured: a load test of a server, and a KL log of llama.cpp."""

from __future__ import annotations

from typing import Any

from slimgate.plugins.workloads import LoadPart
from slimgate.results.facts import Facts, JudgedFacts


class LoadRunFacts(Facts):
    """The requests of one load. unfinished: how many the end of the run cut off. seconds: its duration.

    prompt_tokens, answer_tokens: the mean lengths; None if the log states none, and without answers.
    """

    requests: int
    failed: int
    unfinished: int
    seconds: float | None
    prompt_tokens: float | None = None
    answer_tokens: float | None = None
    settings: dict[str, Any] = {}


class TimeRatioFacts(Facts):
    """A quantile of the times of one part of the requests.

    base, target: in milliseconds; inf if a failed request is at the quantile. ratio: base / target, above 1
    if the target is faster. interval: 90 %, from the requests alone. claimed_interval: the same, widened by
    noise_floor, which is on the log scale and None without a second run of the base. counted: how many
    independent requests those of base and target count as.
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


class LoadTestFacts(JudgedFacts):
    """One load of a server, in a load test of the target and in one of the base.

    repeated: whether there is a second run of the base, which shows how much its runs differ.
    """

    named_by = "workload"
    has_figure_per_budget = True
    base: LoadRunFacts
    target: LoadRunFacts
    repeated: bool
    times: list[TimeRatioFacts]
    measured: str


class KlFigure(Facts):
    """A figure with its 90 % interval.

    uncapped: the value if no chunk is capped. In `value`, a chunk counts for at most 1 nat per token. None if
    no chunk has more.
    """

    value: float
    interval: tuple[float, float]
    uncapped: float | None = None


class KlLogFacts(JudgedFacts):
    """The figures that `llama-perplexity --kl-divergence` printed.

    chunks: how many chunks of text; they are the units of the intervals. figures: by the kind of budget that
    limits them: mean_max (mean KL in nats per token), floor (share of tokens with the same likeliest next
    token), increase_relative (growth of the perplexity). quantiles: of the KL of all tokens. base_perplexity:
    of the base on the text; None if the log does not state it.
    """

    has_figure_per_budget = True
    chunks: int
    figures: dict[str, KlFigure]
    quantiles: dict[str, float] = {}
    base_perplexity: float | None = None
    measured: str
