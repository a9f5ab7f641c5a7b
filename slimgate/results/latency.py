"""The times of a call, the budgets on them, and the speed-up over the teacher."""

from __future__ import annotations

from math import inf

from slimgate.results.base import BudgetFacts, Verdict, find_worst_verdict
from slimgate.results.facts import Facts, Interval, JudgedFacts, MainFigure


class TimeLimitFacts(JudgedFacts):
    """The budgets on milliseconds of one workload, each with the quantile that it limits and its interval.

    An interval is a 90 % interval, 3 % wider on both sides, because another process may be that much faster
    or slower. rounds: how many rounds were timed. counted: how many independent rounds they count as, because
    successive calls have similar times.
    """

    named_by = "workload"
    has_figure_per_budget = True
    rounds: int
    counted: int
    measured: str


class SpeedupFacts(JudgedFacts):
    """The duel of a variant with its teacher on one workload, and its budget; see LatencyFacts."""

    named_by = "workload"
    speedup: float | None = None
    speedup_interval: tuple[float, float] | None = None
    speedup_of_minima: float | None = None
    noise_floor: float | None = None
    clearance: float | None = 1.0
    duel_rounds: int | None = None
    duel_threads: int | None = None
    duel_measured: str | None = None

    @property
    def figure(self) -> MainFigure | None:
        return MainFigure("speedup", self.speedup, self.speedup_interval)

    def find_limited_value(self, budget: BudgetFacts) -> tuple[float | None, Interval | None]:
        """The speed-up, and its interval, wider by the factor by which it must clear a budget.

        The interval is without end if no factor is enough.
        """
        if self.speedup_interval is None:
            return self.speedup, None
        if self.clearance is None:
            return self.speedup, (0.0, inf)
        low, high = self.speedup_interval
        return self.speedup, (low / self.clearance, high * self.clearance)


class TimesFacts(Facts):
    """Times of one forward call on prepared tensors, in milliseconds; see LatencyFacts."""

    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    mean_ms: float | None = None
    std_ms: float | None = None
    min_ms: float | None = None
    rounds: int | None = None
    warmup: int | None = None
    threads: int | None = None
    throughput_per_s: float | None = None
    tokens: int | None = None
    new_tokens: int | None = None
    tokens_per_s: float | None = None
    cache_bytes: int | None = None
    tokenize_ms: float | None = None
    turns: int | None = None
    passed_on: list[float] | None = None
    failed_requests: int | None = None
    service_level: dict[str, float] | None = None
    good_share: float | None = None
    goodput_per_s: float | None = None
    limits: TimeLimitFacts | None = None
    measured: str


class LatencyFacts(SpeedupFacts, TimesFacts):
    """Times of one forward call on prepared tensors, in milliseconds, and the duel with the teacher.

    For a workload that ends in -e2e (b1-e2e), the call is timed end to end: from the text of the rows to
    their answers, tokenizing included. For a workload that writes (p128n64b1), the call is a whole answer;
    -ttft is the time to its first token, and -tpot the time of each token after it. new_tokens: tokens that
    each row gets; tokens_per_s: of all rows, in whole answers or, for -tpot, after the first token;
    cache_bytes: of the key-value cache after the answer.

    A percentile is None if the rounds are too few for it (p90 needs 29, p95 59, p99 299).
    turns: how many different batches of rows the timed calls used in turn, in a suite with a cascade; None:
    all calls used the same batch. passed_on: for a cascade, the shares of the rows of these calls that
    reached each model after the first. limits: the budgets on milliseconds, None without any.
    For a server under load (c8: 8 users; r2.5: 2.5 requests a second) a call is a request, -ttft its time to
    the first token, and -tpot the time between tokens; failed_requests have no time.
    service_level: the milliseconds that a good request meets; good_share: of all requests that were sent;
    goodput_per_s: good requests a second.
    speedup: teacher / variant; its interval is 95 %, widened by the noise floor, which is on the log scale
    (0.03: 3 % up or down may be noise). clearance: the factor by which the interval had to clear a budget,
    above 1 if the self-test saw larger delays only; None if it saw none, so that nothing is decided.
    budgets, verdict, message: of the duel.
    measured: when the calls were timed, or else when the duel was; duel_measured: when the duel was.
    """

    @property
    def worst(self) -> Verdict | None:
        """The worse verdict of the duel and of the limits in milliseconds; None without a budget."""
        limits = None if self.limits is None else self.limits.verdict
        return find_worst_verdict([verdict for verdict in (self.verdict, limits) if verdict is not None])

    @classmethod
    def merge(cls, times: TimesFacts | None, duel: SpeedupFacts | None) -> LatencyFacts:
        """Merges what two tests measured of one workload; one of them may be missing.

        Raises:
            ValueError: if both are missing.
        """
        if times is None and (duel is None or duel.duel_measured is None):
            raise ValueError("a workload has neither times nor a duel")
        fields = dict(duel or SpeedupFacts())
        fields |= dict(times) if times is not None else {"measured": duel and duel.duel_measured}
        return cls(**fields)

    def split(self) -> tuple[TimesFacts | None, SpeedupFacts | None]:
        """The result of the test of the times, and that of the duel; None if there is none."""
        times = TimesFacts(**{name: getattr(self, name) for name in TimesFacts.model_fields})
        duel = SpeedupFacts(**{name: getattr(self, name) for name in SpeedupFacts.model_fields})
        if duel.duel_measured is None:
            duel = duel.replace(duel_measured=self.measured)
        return times if self.p50_ms else None, duel if self.speedup is not None else None
