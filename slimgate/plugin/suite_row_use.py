"""How one run uses its rows: which models and speed budgets it judged on them, noted in the store."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from slimgate.plugins.rows import GATE
from slimgate.record.row_use import RowUseLog, Timing, make_model_id, make_row_use_facts, read_row_use
from slimgate.record.run import RowUseFacts
from slimgate.results.base import Verdict
from slimgate.results.checks import LATENCY, TEACHER
from slimgate.results.latency import SpeedupFacts, TimesFacts
from slimgate.run.gate_results import GateResult
from slimgate.run.rows import PreparedRows


class SuiteRowUse:
    """What a run of one suite has judged so far.

    earlier: by run, the models that the suite's last record lists; see `RowUse.with_log`.
    """

    def __init__(self, began: str) -> None:
        """began: the time when the session began, which identifies the run."""
        self.earlier: Mapping[str, list[str]] = {}
        self._began = began
        self._judged_times: list[tuple[str, str, bool]] = []  # variant, workload, passed
        self._gate_log: RowUseLog | None = None
        self._cut_log: RowUseLog | None = None

    def add(self, result: GateResult) -> None:
        """Remembers a result if it has a budget on time."""
        if (verdict := _find_time_verdict(result)) is not None:
            workload = f"{result.name} ms" if result.kind == LATENCY else result.name
            self._judged_times.append((result.variant, workload, verdict is Verdict.PASS))

    def note(
        self, root: Path, rows: PreparedRows, digests: Mapping[str, str], judged_names: Collection[str]
    ) -> RowUseFacts:
        """Notes in the store what this run has judged on its gate rows. Returns what all runs judged.

        Args:
            root: the folder of the store.
            rows: the rows of the run.
            digests: the digest of each model's artifact, by the model's name.
            judged_names: the names of the models whose answers this run judged.
        """
        digest = rows.reports[GATE].digest
        self._gate_log = self._gate_log or RowUseLog(root, digest, self._began)
        models = {
            name: make_model_id(digests[TEACHER], artifact)
            for name, artifact in digests.items()
            if name != TEACHER and TEACHER in digests
        }
        judged = [model for name, model in models.items() if name in judged_names]
        timings = [
            Timing(models[name], workload, passed)
            for name, workload, passed in self._judged_times
            if name in models
        ]
        self._gate_log.note(judged, timings)
        # Another seed cuts another gate from the same data. In place of models, the log of the data lists the
        # digests of the gates that judged.
        self._cut_log = self._cut_log or RowUseLog(root, rows.source_digest, self._began)
        self._cut_log.note([digest] if judged else [])
        cuts = max(1, read_row_use(root, rows.source_digest).count)
        use = read_row_use(root, digest).with_log(self.earlier)
        return make_row_use_facts(use, models, run=self._began, cuts=cuts)


def _find_time_verdict(result: GateResult) -> Verdict | None:
    """The verdict of a duel, or of a budget on milliseconds; None for other results or without a budget."""
    if isinstance(result.facts, SpeedupFacts):
        return result.facts.verdict
    limits = result.facts.limits if isinstance(result.facts, TimesFacts) else None
    return None if limits is None else limits.verdict
