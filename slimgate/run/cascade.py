"""Builds a cascade of finished models: chooses its thresholds on `selection` rows, copies the models.

The rule: of the thresholds from which on the cascade loses at most `drop_points` of accuracy against its last
model, the one that passes on the fewest rows. "From which on": no larger share of rows passed on loses more,
so that one lucky dip of the curve does not decide. Of three models the last pair comes first, with half of
`drop_points`; the first model then has what is left of it. The model's temperature is 1, or the one with the
least log loss on the same rows, if fewer rows are passed on with it.

In an ensemble a model's scores are first averaged with those so far, by the weight with the least log loss on
these rows at the best temperature (stacking: Wolpert 1992, Neural Networks 5:241-259). The rule then takes
each mean for the model, and the mean of all for the last one.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate._system.digests import versions
from slimgate.errors import BuildError
from slimgate.loading import load, module_of
from slimgate.models.predict import predict_scores
from slimgate.outcomes import ClassOutcomes
from slimgate.protocols import BuildContext
from slimgate.run import keys
from slimgate.runtimes.cascade import KIND, Cascade, Member, blend, confidence, load_member, read_cascade
from slimgate.store.artifact import Artifact
from slimgate.store.store import files_of
from slimgate.suite.suite import Suite, Variant, params_json
from slimgate.suite.tables import FROM_SELECTION

Floats = npt.NDArray[np.float64]
SELECTION = "selection"
# Between these the temperature is looked for; a trained network's lies well inside.
COLDEST, HOTTEST = 0.05, 20.0


@dataclass(frozen=True)
class Answers:
    """What one model says of the selection rows: (rows, classes) scores, (rows,) labels and right answers."""

    scores: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    right: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Gate:
    """When a model answers: its temperature, and the least probability. passed_on: (rows,) the others."""

    temperature: float
    threshold: float
    passed_on: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CascadeModel:
    """What a build of a cascade saves. artifacts: of its members, in their order."""

    cascade: Cascade
    artifacts: tuple[Artifact, ...]
    kind: str = KIND

    def save(self, folder: Path) -> None:
        """A copy of each model's files, and cascade.json."""
        for member, artifact in zip(self.cascade.members, self.artifacts, strict=True):
            for name in files_of(artifact.folder):
                target = folder / member.folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(artifact.folder / name, target)
        self.cascade.write(folder)

    def footprint(self) -> dict[str, int | None]:
        """The sums of its models; None where that of one is not known."""
        keys = ("bytes", "parameters", "nonzero_parameters", "state_bytes")
        return {key: _sum([one.manifest.get(key) for one in self.artifacts]) for key in keys}

    def code_modules(self) -> list[str]:
        """What executes it."""
        runtimes = dict.fromkeys(member.runtime for member in self.cascade.members)
        return ["slimgate.runtimes.cascade", *(module_of(load("runtime", name)) for name in runtimes)]


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def describe_members(suite: Suite, variant: Variant, artifacts: Sequence[Artifact]) -> tuple[Member, ...]:
    """The models of a cascade without thresholds, with who reads which inputs."""
    assert variant.cascade is not None
    names, tokenizers = variant.cascade.models, [keys.tokenizer_key(one.folder) for one in artifacts]
    different = list(dict.fromkeys(tokenizers))
    return tuple(
        Member(
            name=name,
            folder=f"models/{number}",
            kind=artifact.kind,
            runtime=suite.model(name).runtime.name,
            params=params_json(suite.model(name).runtime.params),
            inputs=different.index(tokenizers[number]),
        )
        for number, (name, artifact) in enumerate(zip(names, artifacts, strict=True))
    )


def make_cascade(
    suite: Suite, variant: Variant, artifacts: tuple[Artifact, ...], context: BuildContext
) -> CascadeModel:
    """The cascade of these models, with its thresholds. Raises BuildError where a model has no class scores.

    Logs `cascade`: models, thresholds, temperatures; of an ensemble its weights; and with thresholds of
    selection, what they cost there.
    """
    table = variant.cascade
    assert table is not None
    members = describe_members(suite, variant, artifacts)
    log: dict[str, Any] = {"models": list(table.models)}
    answers, weights = list[Answers](), [1.0] * len(members)
    if table.reads_selection:
        with context.time_stage("evaluate"):
            answers = [_answers(suite, *pair, context) for pair in zip(members, artifacts, strict=True)]
    if table.ensemble:
        answers, weights = average_answers(answers)
        log["weights"] = weights[1:]
    if table.threshold == FROM_SELECTION:
        gates = choose_gates(answers, table.drop_points)
        log["selection"] = _selection_facts(gates, answers) | {"drop_points": table.drop_points}
    else:
        gates = [Gate(1.0, _above(one), np.zeros(0, dtype=np.bool_)) for one in table.thresholds]
    log |= {
        "thresholds": [one.threshold for one in gates],
        "temperatures": [one.temperature for one in gates],
    }
    context.log["cascade"] = log
    weighed = [
        member.model_copy(update={"weight": weight}) for member, weight in zip(members, weights, strict=True)
    ]
    decided = [
        member.model_copy(update={"threshold": one.threshold, "temperature": one.temperature})
        for member, one in zip(weighed, gates, strict=False)
    ]
    packages = {package for name in table.models for package in suite.model(name).runtime.object.packages}
    cascade = Cascade(members=(*decided, weighed[-1]), packages=dict(versions(tuple(sorted(packages)))))
    return CascadeModel(cascade, artifacts)


def _answers(suite: Suite, member: Member, artifact: Artifact, context: BuildContext) -> Answers:
    """What a model says of the selection rows, in the batches of the suite."""
    rows, task = context.rows(SELECTION), suite.setup.task
    encoded = task.object.row_encoder(task.params, artifact.folder)(rows)
    if encoded.row_of is not None:
        raise BuildError(f"{member.name}: its rows are cut into parts, and a cascade passes on whole rows")
    inside = member.model_copy(update={"folder": "."})
    predictor = load_member(artifact.folder, inside, device=context.device, threads=context.threads)
    try:
        scores = predict_scores(
            predictor,
            encoded,
            batch_size=suite.measure.batch_size,
            batch_tokens=suite.measure.batch_tokens,
            progress=context.progress,
        )
    finally:
        predictor.close()
    if scores.ndim != 2 or scores.shape[1] != len(context.facts.classes):
        raise BuildError(
            f"{member.name}: its scores have shape {scores.shape}, expected (rows, classes) = "
            f"({len(rows)}, {len(context.facts.classes)})"
        )
    outcomes = task.object.outcomes(context.facts, rows, scores, task.params, None)
    if not isinstance(outcomes, ClassOutcomes):
        raise BuildError(f"{member.name}: task {task.name} gives no class probabilities")
    return Answers(scores, outcomes.labels, outcomes.right > 0)


def average_answers(answers: Sequence[Answers]) -> tuple[list[Answers], list[float]]:
    """What the models say together: each one's scores averaged with those of the models before it.

    Also the weight of each model's own scores in its mean, which is 1 of the first.
    """
    means, weights = [answers[0]], [1.0]
    for own in answers[1:]:
        weight = best_weight(means[-1], own)
        scores = blend(means[-1].scores, own.scores, weight)
        means.append(Answers(scores, own.labels, scores.argmax(axis=1) == own.labels))
        weights.append(weight)
    return means, weights


def best_weight(before: Answers, own: Answers) -> float:
    """The weight of a model's own scores of which the mean has the least log loss at its best temperature."""
    from scipy.optimize import minimize_scalar

    def loss(weight: float) -> float:
        scores = blend(before.scores, own.scores, weight)
        mean = Answers(scores, own.labels, own.right)
        return log_loss(mean, best_temperature(mean))

    return float(minimize_scalar(loss, bounds=(0.0, 1.0), method="bounded").x)


def choose_gates(answers: Sequence[Answers], drop_points: float) -> list[Gate]:
    """When each model but the last answers. answers: of all models, in order."""
    last = answers[-1].right
    after, found = last, list[Gate]()
    for place, own in enumerate(reversed(answers[:-1]), 1):
        allowed = drop_points * place / (len(answers) - 1)
        candidates = [choose_gate(own, after, last, allowed, t) for t in (1.0, best_temperature(own))]
        gate = min(candidates, key=lambda one: int(one.passed_on.sum()))  # the first of equal ones
        after = np.where(gate.passed_on, after, own.right)
        found.append(gate)
    return found[::-1]


def choose_gate(
    own: Answers,
    after: npt.NDArray[np.bool_],
    last: npt.NDArray[np.bool_],
    allowed: float,
    temperature: float,
) -> Gate:
    """The threshold with the fewest rows passed on from which on at most `allowed` points are lost.

    after: (rows,) whether the models behind are right; last: whether the last one is, to which accuracy is
    compared. Rows of equal confidence stay together.
    """
    sure = confidence(own.scores, temperature)
    order = np.argsort(sure, kind="stable")
    ranked = sure[order]
    # right answers if the k rows of the least confidence are passed on, for k from 0 to all
    passed = np.concatenate([[0], np.cumsum(after[order])])
    kept = np.concatenate([[0], np.cumsum(own.right[order][::-1])])[::-1]
    lost = 100.0 * (int(last.sum()) - (passed + kept)) / len(sure)
    possible = np.concatenate([[True], ranked[1:] > ranked[:-1], [True]])
    bad = np.flatnonzero(possible & (lost > allowed))
    count = int(np.flatnonzero(possible & (np.arange(len(lost)) > (bad[-1] if len(bad) else -1)))[0])
    threshold = _between(ranked, count)
    return Gate(temperature, threshold, sure < threshold)


def _between(ranked: Floats, count: int) -> float:
    """A threshold below which the first `count` of the rising values lie, and no other."""
    if count == 0:
        return 0.0
    if count == len(ranked):
        return float(np.nextafter(ranked[-1], 2.0))
    middle = float((ranked[count - 1] + ranked[count]) / 2)
    return middle if middle > ranked[count - 1] else float(ranked[count])


def _above(threshold: float) -> float:
    """A threshold of 1 passes on every row, also those whose probability rounds to 1."""
    return float(np.nextafter(threshold, 2.0)) if threshold == 1.0 else threshold


def best_temperature(own: Answers) -> float:
    """The temperature with the least log loss (Guo et al. 2017, On Calibration of Modern Neural Networks)."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return log_loss(own, float(np.exp(log_temperature)))

    bounds = (float(np.log(COLDEST)), float(np.log(HOTTEST)))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def log_loss(own: Answers, temperature: float) -> float:
    """The mean of minus the log probability of the label."""
    scores = own.scores.astype(np.float64) / temperature
    scores -= scores.max(axis=1, keepdims=True)
    labelled = scores[np.arange(len(scores)), own.labels]
    return float(np.mean(np.log(np.exp(scores).sum(axis=1)) - labelled))


def _selection_facts(gates: Sequence[Gate], answers: Sequence[Answers]) -> dict[str, Any]:
    """What the thresholds cost on the rows that they were chosen on, which flatter them."""
    reached, right = np.ones(len(answers[0].right), dtype=np.bool_), answers[0].right
    shares = []
    for gate, after in zip(gates, answers[1:], strict=True):
        reached = reached & gate.passed_on
        shares.append(float(reached.mean()))
        right = np.where(reached, after.right, right)
    lost = 100.0 * (int(answers[-1].right.sum()) - int(right.sum())) / len(right)
    return {"rows": len(right), "passed_on": shares, "lost_points": lost}


def cascade_facts(artifact: Artifact, passed_on: Sequence[float] | None) -> dict[str, Any] | None:
    """What the record says of a cascade; None of other models. passed_on: shares of the gate rows."""
    if artifact.kind != KIND:
        return None
    members = read_cascade(artifact.folder).members
    return {
        "models": [one.name for one in members],
        "thresholds": [one.threshold for one in members[:-1]],
        "temperatures": [one.temperature for one in members[:-1]],
        "weights": artifact.manifest["log"]["cascade"].get("weights"),
        "selection": artifact.manifest["log"]["cascade"].get("selection"),
        "passed_on": None if passed_on is None else list(passed_on),
    }
