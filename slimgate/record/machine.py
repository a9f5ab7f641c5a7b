"""What was measured on the machine: its description, sizes, times, memory."""

from __future__ import annotations

from slimgate.judge.parts import BudgetFacts, Part
from slimgate.judge.verdict import Verdict


class Rates(Part):
    """The most that the CPU gave with so many threads; None where it was not measured.

    Products of square matrices in billions (10⁹) of operations a second, two for each multiply-add, and
    10⁹ bytes a second that a copy of an array reads and writes, larger than the caches.
    """

    threads: int
    float32_gflop_per_s: float | None = None
    bfloat16_gflop_per_s: float | None = None
    int8_gop_per_s: float | None = None
    memory_gb_per_s: float | None = None


# A field of Rates -> what it is called, and its unit.
RATE_WORDS = {
    "float32_gflop_per_s": ("float32", "GFLOP/s"),
    "bfloat16_gflop_per_s": ("bfloat16", "GFLOP/s"),
    "int8_gop_per_s": ("int8", "GOP/s"),
    "memory_gb_per_s": ("memory", "GB/s"),
}


class PeakRates(Part):
    """What the CPU gives, from a probe of about two seconds before the first model was timed.

    one_thread, all_threads: with one thread and with the suite's. int8_by: the library that multiplied int8.
    notes: why a figure is missing. seconds: that the probe took.
    """

    one_thread: Rates | None = None
    all_threads: Rates | None = None
    int8_by: str | None = None
    notes: list[str] = []
    seconds: float
    measured: str


class Machine(Part):
    """What ran.

    instructions: of the processor, those by which libraries choose kernels, such as avx512_vnni; warnings:
    what made its times less steady than they could be, as the run began. peak_rates: of the CPU; None where
    no model was timed on it.
    """

    cpu: str
    instructions: list[str] = []
    cores: int
    threads: int
    memory_bytes: int
    device: str
    os: str
    python: str
    libraries: dict[str, str | None]
    warnings: list[str] = []
    peak_rates: PeakRates | None = None

    @property
    def hardware(self) -> tuple[str, tuple[str, ...], int, int, str]:
        """What tells machines apart where times are compared. Memory does not: it changes no time."""
        return (self.cpu, tuple(self.instructions), self.cores, self.threads, self.device)


class SizeFacts(Part):
    """compression: teacher bytes / variant bytes."""

    compression: float | None
    budgets: list[BudgetFacts] = []
    verdict: Verdict | None = None
    message: str | None = None
    measured: str


class FlopsFacts(Part):
    """Operations of one call with one row, that of the teacher's median length.

    macs: multiply-adds of matrix products, convolutions and attention, whatever their number type; flops: two
    for each. macs_by_type: the multiply-adds by the type of their factors, such as float32 or int8; `mixed`
    where the weights have another type than the inputs. tokens: of the row, where it has any. note: why they
    are not known. ratio: variant / teacher.
    """

    flops: int | None = None
    macs: int | None = None
    macs_by_type: dict[str, int] = {}
    tokens: int | None = None
    note: str | None = None
    ratio: float | None = None
    budgets: list[BudgetFacts] = []
    verdict: Verdict | None = None
    message: str | None = None
    measured: str


class TimeLimitFacts(Part):
    """The budgets on milliseconds of one workload, each with the quantile that it limits and its interval.

    The interval is 90 %, and 3 % wider on both sides: another process may be that much faster or slower.
    rounds: timed; counted: as how many independent rounds they count, because calls that follow each other
    are alike.
    """

    rounds: int
    counted: int
    budgets: list[BudgetFacts] = []
    verdict: Verdict | None = None
    message: str | None = None
    measured: str


class LatencyFacts(Part):
    """Times of one forward call on prepared tensors, in milliseconds, and the duel with the teacher.

    Of a workload that ends in -e2e (b1-e2e), the call is timed end to end: from the text of the rows to their
    answers, tokenizing included.
    Of a workload that writes (p128n64b1), the call is a whole answer; -ttft is the time to its first token,
    and -tpot the time of each token after it. new_tokens: that each row gets; tokens_per_s: of all rows, in
    whole answers or, of -tpot, after the first token; cache_bytes: of the key-value cache after the answer.

    A percentile is None where the rounds are too few for it (p90 wants 29, p95 59, p99 299).
    speedup: teacher / variant; its interval is 95 %, widened by the noise floor, which is on the log scale
    (0.03: 3 % up or down may be noise). clearance: the factor by which the interval had to clear a budget,
    above 1 where the self-test saw larger delays only; None where it saw none, so that nothing is decided.
    turns: how many different batches of rows the timed calls took by turns, in a suite with a cascade; None:
    all took one. passed_on: of a cascade, the shares of the rows of these calls that reached each model after
    the first. budgets, verdict, message: of the duel; limits: the budgets on milliseconds, None without any.
    Of a server under load (c8: 8 users; r2.5: 2.5 requests a second) a call is a request, -ttft its time to
    the first token, and -tpot that between tokens; failed_requests have no time.
    service_level: the milliseconds that a good request meets; good_share: of all requests that were sent;
    goodput_per_s: good requests a second.
    measured: when the calls were timed; duel_measured: when the duel was.
    """

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
    speedup: float | None = None
    speedup_interval: tuple[float, float] | None = None
    speedup_of_minima: float | None = None
    noise_floor: float | None = None
    clearance: float | None = 1.0
    duel_rounds: int | None = None
    duel_threads: int | None = None
    budgets: list[BudgetFacts] = []
    verdict: Verdict | None = None
    message: str | None = None
    limits: TimeLimitFacts | None = None
    measured: str
    duel_measured: str | None = None


class MemoryFacts(Part):
    """Memory of a fresh process that loads the artifact and predicts a workload; medians of `readings`.

    Resident memory, with that of the process before the runtime is imported (baseline_bytes) and with mapped
    files; device_peak_bytes: what PyTorch's tensors held of a CUDA device. peaks: the peak of each reading,
    of the device where one is told: what is judged. ratio: variant / teacher, of medians; its spread is the
    least and the most that the readings allow.
    """

    peak_bytes: int | None = None
    resident_after_load_bytes: int | None = None
    load_peak_bytes: int | None = None
    baseline_bytes: int | None = None
    device_peak_bytes: int | None = None
    load_seconds: float | None = None
    workload: str | None = None
    readings: int | None = None
    peaks: list[int] = []
    ratio: float | None = None
    spread: tuple[float, float] | None = None
    budgets: list[BudgetFacts] = []
    verdict: Verdict | None = None
    message: str | None = None
    measured: str
