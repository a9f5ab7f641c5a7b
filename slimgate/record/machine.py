"""The machine and what was measured on it: description, peak rates."""

from __future__ import annotations

from slimgate.results.facts import Facts

# A field of Rates -> its name in texts, and its unit.
RATE_WORDS = {
    "float32_gflop_per_s": ("float32", "GFLOP/s"),
    "bfloat16_gflop_per_s": ("bfloat16", "GFLOP/s"),
    "int8_gop_per_s": ("int8", "GOP/s"),
    "memory_gb_per_s": ("memory", "GB/s"),
}


class Rates(Facts):
    """The peak rates of the CPU with a number of threads; None if a rate was not measured.

    Products of square matrices are in billions (10⁹) of operations a second, two for each multiply-add.
    Memory is in 10⁹ bytes a second that a copy of an array larger than the caches reads and writes.
    """

    threads: int
    float32_gflop_per_s: float | None = None
    bfloat16_gflop_per_s: float | None = None
    int8_gop_per_s: float | None = None
    memory_gb_per_s: float | None = None


class PeakRates(Facts):
    """The peak rates of the CPU, from a probe of about two seconds before the first model was timed.

    one_thread, all_threads: with one thread and with the suite's. int8_by: the library that multiplied int8.
    notes: why a figure is missing. seconds: the duration of the probe.
    """

    one_thread: Rates | None = None
    all_threads: Rates | None = None
    int8_by: str | None = None
    notes: list[str] = []
    seconds: float
    measured: str


class Machine(Facts):
    """The machine of a run.

    instructions: of the processor, those by which libraries choose kernels, such as avx512_vnni; warnings:
    what made its times less steady than possible, at the start of the run. gpu: of the device; None on the
    CPU, and in a record from before this field. peak_rates: of the CPU; None if no model was timed on it.
    """

    cpu: str
    instructions: list[str] = []
    cores: int
    threads: int
    memory_bytes: int
    device: str
    gpu: str | None = None
    os: str
    python: str
    libraries: dict[str, str | None]
    warnings: list[str] = []
    peak_rates: PeakRates | None = None

    @property
    def hardware(self) -> tuple[str, tuple[str, ...], int, int, str, str | None]:
        """What identifies a machine if times are compared. Memory is not included: it changes no time."""
        return (self.cpu, tuple(self.instructions), self.cores, self.threads, self.device, self.gpu)

    @property
    def device_and_gpu(self) -> str:
        """`cpu`, `cuda (NVIDIA H200 (compute capability 9.0))`."""
        return self.device if self.gpu is None else f"{self.device} ({self.gpu})"

    @property
    def kind(self) -> str:
        """The processor, its cores and the GPU: `AMD EPYC 9654, 96 cores, NVIDIA H200 …`."""
        return ", ".join([self.cpu, f"{self.cores} cores", *([self.gpu] if self.gpu else [])])
