"""What was measured on the machine: its description, sizes, times, memory."""

from __future__ import annotations

from slimgate.results.facts import Facts


class Rates(Facts):
    """The most that the CPU gave with so many threads; None if it was not measured.

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


class PeakRates(Facts):
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


class Machine(Facts):
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
