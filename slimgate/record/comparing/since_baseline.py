"""Pairs a variant's answers with those of the baseline, row by row, or says why that is impossible."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from slimgate.errors import SlimgateError
from slimgate.judge.metrics import compute_value
from slimgate.outcomes import Outcomes
from slimgate.record.comparing.answers import Pair, has_same_answers, pair_answers
from slimgate.record.comparing.metrics import is_same_value, load_known_metrics
from slimgate.record.files import StoredRecord
from slimgate.record.outcome_files import read_outcomes
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.record.task import Machine


class Since(NamedTuple):
    """The answers of a model in the baseline and now, for a comparison.

    model: its record in the baseline; None if it was not measured there. pair: its answers then and now; None
    if they cannot be compared, for the reason in `why_not`.
    """

    model: VariantRecord | None
    pair: Pair | None
    why_not: str | None


def pair_with_baseline(baseline: StoredRecord, name: str, now: Outcomes, gate_digest: str) -> Since:
    """Pairs a variant's answers with its own in the baseline. gate_digest: of the current gate rows.

    An error while the answers are read and paired is the reason in `why_not`.
    """
    model = next((variant for variant in baseline.record.variants if variant.name == name), None)
    if model is None:
        return Since(None, None, "new since then")
    if not model.is_measured:
        return Since(None, None, "not measured then")
    if baseline.record.task.find_digest("gate") != gate_digest:
        return Since(model, None, "the gate rows are other ones (the digests of the split differ)")
    try:
        pair = pair_answers(baseline.make_outcomes_path(name), now)
        then, _ = pair
        difference = _find_difference(baseline.record, model, then)
    except SlimgateError as error:
        return Since(model, None, str(error))
    except (OSError, ValueError, KeyError, TypeError) as error:  # its message may hold a path of this machine
        return Since(model, None, f"its outcomes in the baseline cannot be read ({type(error).__name__})")
    return Since(model, None, difference) if difference else Since(model, pair, None)


def is_same_model(
    earlier: Since,
    baseline: StoredRecord,
    artifact_digest: str,
    runtime: str,
    runtime_params: Mapping[str, Any],
    machine: Machine,
) -> bool:
    """Whether a variant is known to be the baseline's: its answers and all that computes them are the same.

    Args:
        earlier: its answers, as `pair_with_baseline` paired them.
        baseline: the record of the baseline.
        artifact_digest: of its files now. A server's model has no files, so it is never known to be the same.
        runtime: the name of the runtime that computes it now. It is not known whether the code of a user's
            runtime has changed.
        runtime_params: the runtime's options now.
        machine: the machine that computes it now, with the versions of its libraries.
    """
    if earlier.model is None or earlier.pair is None or earlier.model.artifact is None:
        return False
    artifact, before = earlier.model.artifact, baseline.record.machine
    return (
        artifact.bytes is not None
        and ":" not in runtime
        and (artifact.digest, artifact.runtime, artifact.runtime_params)
        == (artifact_digest, runtime, runtime_params)
        and (before.hardware, before.libraries) == (machine.hardware, machine.libraries)
        and has_same_answers(*earlier.pair)
    )


def find_wrong_answers(record: RunRecord, model: VariantRecord, file: Path) -> str | None:
    """Why a file cannot hold the answers that a record judged; None if it holds them, as far as is known."""
    try:
        return _find_difference(record, model, read_outcomes(file))
    except (SlimgateError, OSError, ValueError, KeyError, TypeError) as error:
        return f"its outcomes cannot be read: {error}"


def _find_difference(record: RunRecord, model: VariantRecord, answers: Outcomes) -> str | None:
    """Why the answers cannot be those that the record judged: a metric of them differs; None if none does."""
    metrics = load_known_metrics(record)
    for name, facts in model.quality.items():
        metric = metrics[name]
        if metric is None:  # it cannot be loaded here
            continue
        value = compute_value(metric, answers)
        if not is_same_value(value, facts.value):
            difference = f"{name} of the answers is {value:.4g}, of the record {facts.value:.4g}"
            return f"its outcomes are of another run than its record: {difference}"
    return None
