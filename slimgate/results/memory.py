"""The peak memory of a model."""

from __future__ import annotations

from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.facts import Facts


class MemoryFacts(Facts):
    """Memory of a fresh process that loads the artifact and predicts a workload; medians of `readings`.

    It is resident memory, with that of the process before the runtime is imported (baseline_bytes) and with
    mapped files. device_peak_bytes: what PyTorch's tensors held of a CUDA device. peaks: the peak of each
    reading, of the device if that is known; these are judged. ratio: variant / teacher, of medians; its
    spread is the smallest and the largest that the readings allow.
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
