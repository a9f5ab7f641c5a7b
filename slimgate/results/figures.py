"""Figures of a model: its size, its peak memory, its operations, and those of the suite's measurements."""

from __future__ import annotations

from slimgate.budgets.figures import COMPRESSION_MIN
from slimgate.results.base import BudgetFacts
from slimgate.results.facts import Interval, JudgedFacts, MainFigure


class SizeFacts(JudgedFacts):
    """The judged size of a variant.

    compression: teacher bytes / variant bytes.
    """

    compression: float | None
    measured: str

    @property
    def figure(self) -> MainFigure | None:
        return MainFigure("compression", self.compression)

    def find_limited_value(self, budget: BudgetFacts) -> tuple[float | None, Interval | None]:
        if budget.kind == COMPRESSION_MIN:
            return self.compression, None
        return super().find_limited_value(budget)


class MemoryFacts(JudgedFacts):
    """Memory of a fresh process that loads the artifact and predicts a workload; medians of `readings`.

    It is resident memory. It includes mapped files, and what the process has before it imports the runtime
    (baseline_bytes). device_peak_bytes: what PyTorch's tensors held of a CUDA device. peaks: the peak of each
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
    measured: str

    @property
    def figure(self) -> MainFigure | None:
        return MainFigure("ratio", self.ratio, self.spread)


class FlopsFacts(JudgedFacts):
    """Operations of one call with one row, which has the teacher's median length.

    macs: multiply-adds of matrix products, convolutions and attention, whatever their number type; flops: two
    for each. macs_by_type: the multiply-adds by the type of their factors, such as float32 or int8; `mixed`
    if the weights have another type than the inputs. tokens: the row's number of tokens, if it has any. note:
    why the figures are missing. ratio: variant / teacher.
    """

    flops: int | None = None
    macs: int | None = None
    macs_by_type: dict[str, int] = {}
    tokens: int | None = None
    note: str | None = None
    ratio: float | None = None
    measured: str

    @property
    def figure(self) -> MainFigure | None:
        return MainFigure("ratio", self.ratio)


class MeasurementFacts(JudgedFacts):
    """One figure of a variant and of the teacher, measured in turns. A smaller value is better.

    title, unit: as the measurement states them. teacher, value: medians of the readings, (rounds,) values of
    each. ratio: the median of variant / teacher by round. interval: the exact 95 % interval of the ratio;
    None if there are too few rounds for one, or if the figure is counted.
    """

    named_by = "measurement"
    has_figure_per_budget = True
    title: str
    unit: str = ""
    teacher: float
    value: float
    teacher_readings: list[float]
    readings: list[float]
    ratio: float
    interval: tuple[float, float] | None = None
    measured: str

    @property
    def figure(self) -> MainFigure | None:
        return MainFigure("ratio", self.ratio, self.interval)
