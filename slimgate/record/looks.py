"""How often rows have judged: each look at another set of models is one more chance to PASS by luck."""

from __future__ import annotations

from slimgate.judge.parts import Part


class TimingFacts(Part):
    """A speed budget that was judged more than once for the same models; `passed` of these times it held."""

    variant: str
    workload: str
    times: int
    passed: int


class LookFacts(Part):
    """The looks at these gate rows that the store and the last record know of, this run's included.

    runs: how many judged a model that no run before them had judged; models: how many models that were.
    timings: the speed budgets that were judged more than once. run: the run of this record; log: by run the
    models that no run before it had judged, empty in records from before it was kept. cuts: into how many
    different gates the same data was cut and judged.
    """

    runs: int
    models: int
    timings: list[TimingFacts] = []
    run: str | None = None
    log: dict[str, list[str]] = {}
    cuts: int = 1


class ConfirmFacts(Part):
    """The rows of the split confirm, which judged what had passed on the gate.

    digest, n, groups: of these rows; measured: when they last judged. looks, models: as `runs` and `models`
    of LookFacts. The verdicts are in `confirm` of each variant.
    """

    digest: str
    n: int
    groups: int | None = None
    looks: int
    models: int
    measured: str
