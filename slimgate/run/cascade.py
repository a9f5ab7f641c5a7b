"""Builds a cascade of finished models: chooses its thresholds on `selection` rows, copies the models.

`choose_deferral_rule` takes the threshold that passes on the fewest rows, among those with which the cascade
loses at most `drop_points` of accuracy to its last model. A threshold counts only if no larger share of rows
passed on loses more, so one lucky dip of the curve does not decide. With three models the last pair is chosen
first, with half of `drop_points`; the first model gets the rest. The model's temperature is 1, or the
temperature with the least log loss on the same rows if that passes on fewer rows.

In an ensemble a model's scores are first averaged with those of the models before it. The weight has the
least log loss on these rows at the best temperature (stacking: Wolpert 1992, Neural Networks 5:241-259). Each
mean then takes the place of the model, and the mean of all takes the place of the last one.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate._system.digests import read_versions
from slimgate.errors import BuildError
from slimgate.models.predict import predict_scores
from slimgate.outcomes import ClassOutcomes, Floats
from slimgate.plugins.context import BuildContext
from slimgate.plugins.loading import list_code_modules, load
from slimgate.record.build import CascadeFacts
from slimgate.run.contents import digest_tokenizer
from slimgate.runtimes.cascade import (
    KIND,
    Cascade,
    Member,
    blend_scores,
    compute_confidence,
    load_member,
    read_cascade,
)
from slimgate.store.store import Artifact, list_files
from slimgate.suite.cascade_table import FROM_SELECTION
from slimgate.suite.suite import Suite, Variant, dump_params

SELECTION = "selection"
# The temperature is searched between these; that of a trained network is well inside.
COLDEST, HOTTEST = 0.05, 20.0


@dataclass(frozen=True)
class SelectionAnswers:
    """One model's answers on the selection rows: scores (rows, classes), labels (rows,), right (rows,)."""

    scores: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    right: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class DeferralRule:
    """When a model answers by itself: if its best probability at `temperature` is at least `threshold`.

    passed_on: (rows,) whether it passes the row on to the next model; empty if rows were not predicted.
    """

    temperature: float
    threshold: float
    passed_on: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CascadeModel:
    """A built cascade, ready to be saved. artifacts: those of its members, in order."""

    cascade: Cascade
    artifacts: tuple[Artifact, ...]
    kind: str = KIND

    def save(self, folder: Path) -> None:
        """A copy of each model's files, and cascade.json."""
        for member, artifact in zip(self.cascade.members, self.artifacts, strict=True):
            for name in list_files(artifact.folder):
                target = folder / member.folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(artifact.folder / name, target)
        self.cascade.write(folder)

    def measure_size(self) -> dict[str, int | None]:
        """The sums over its models; None if the value of one model is unknown."""
        sizes: dict[str, int | None] = {}
        for key in ("bytes", "parameters", "nonzero_parameters", "state_bytes"):
            values: list[Any] = [artifact.manifest.get(key) for artifact in self.artifacts]
            sizes[key] = None if None in values else sum(values)
        return sizes

    def code_modules(self) -> list[str]:
        """The modules that execute it."""
        modules = dict.fromkeys(
            module
            for member in self.cascade.members
            for module in list_code_modules("runtime", member.runtime, load("runtime", member.runtime))
        )
        return ["slimgate.runtimes.cascade", *modules]


def make_members(suite: Suite, variant: Variant, artifacts: Sequence[Artifact]) -> tuple[Member, ...]:
    """The models of a cascade, before thresholds are known, with the inputs that each one reads."""
    assert variant.cascade is not None
    names, tokenizers = variant.cascade.models, [digest_tokenizer(model.folder) for model in artifacts]
    different = list(dict.fromkeys(tokenizers))
    return tuple(
        Member(
            name=name,
            folder=f"models/{number}",
            kind=artifact.kind,
            runtime=suite.model(name).runtime.name,
            params=dump_params(suite.model(name).runtime.params),
            inputs=different.index(tokenizers[number]),
        )
        for number, (name, artifact) in enumerate(zip(names, artifacts, strict=True))
    )


def make_cascade(
    suite: Suite, variant: Variant, artifacts: tuple[Artifact, ...], context: BuildContext
) -> CascadeModel:
    """The cascade of these models, with its thresholds. Raises BuildError if a model has no class scores.

    Logs `cascade`: models, thresholds and temperatures; for an ensemble also its weights; for thresholds
    chosen on selection rows also their cost on these rows.
    """
    table = variant.cascade
    assert table is not None
    members = make_members(suite, variant, artifacts)
    log: dict[str, Any] = {"models": list(table.models)}
    answers, weights = list[SelectionAnswers](), [1.0] * len(members)
    if table.reads_selection:
        with context.time_stage("evaluate"):
            answers = [
                _predict_answers(suite, *pair, context) for pair in zip(members, artifacts, strict=True)
            ]
    if table.ensemble:
        answers, weights = average_answers(answers)
        log["weights"] = weights[1:]
    if table.threshold == FROM_SELECTION:
        rules = choose_deferral_rules(answers, table.drop_points)
        log["selection"] = _summarise_selection(rules, answers) | {"drop_points": table.drop_points}
    else:
        rules = [_make_stated_rule(threshold) for threshold in table.thresholds]
    log |= {
        "thresholds": [rule.threshold for rule in rules],
        "temperatures": [rule.temperature for rule in rules],
    }
    context.log["cascade"] = log
    members = _set_rules(members, weights, rules)
    packages = {package for name in table.models for package in suite.model(name).runtime.object.packages}
    cascade = Cascade(members=members, packages=dict(read_versions(tuple(sorted(packages)))))
    return CascadeModel(cascade, artifacts)


def _set_rules(
    members: Sequence[Member], weights: Sequence[float], rules: Sequence[DeferralRule]
) -> tuple[Member, ...]:
    """The members with their weights, and each except the last with its rule."""
    weighted = [
        member.model_copy(update={"weight": weight}) for member, weight in zip(members, weights, strict=True)
    ]
    decided = [
        member.model_copy(update={"threshold": rule.threshold, "temperature": rule.temperature})
        for member, rule in zip(weighted, rules, strict=False)
    ]
    return (*decided, weighted[-1])


def _make_stated_rule(threshold: float) -> DeferralRule:
    """The rule of a threshold in the suite. 1 is raised, so that rows whose probability rounds to 1 go on."""
    raised = float(np.nextafter(threshold, 2.0)) if threshold == 1.0 else threshold
    return DeferralRule(1.0, raised, np.zeros(0, dtype=np.bool_))


def _predict_answers(
    suite: Suite, member: Member, artifact: Artifact, context: BuildContext
) -> SelectionAnswers:
    """Predicts the selection rows with one model, in the suite's batches."""
    rows, task = context.rows(SELECTION), suite.setup.task
    encoded = task.object.row_encoder(task.params, artifact.folder)(rows)
    if encoded.row_of is not None:
        raise BuildError(
            f"{member.name}: its rows are split into parts, but a cascade can send only whole rows to its "
            "next model"
        )
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
    return SelectionAnswers(scores, outcomes.labels, outcomes.right > 0)


def average_answers(answers: Sequence[SelectionAnswers]) -> tuple[list[SelectionAnswers], list[float]]:
    """Averages each model's scores with those of the models before it.

    Returns the means, and the weight of each model's own scores in its mean; it is 1 for the first model.
    """
    means, weights = [answers[0]], [1.0]
    for model_answers in answers[1:]:
        weight = find_best_weight(means[-1], model_answers)
        scores = blend_scores(means[-1].scores, model_answers.scores, weight)
        means.append(
            SelectionAnswers(scores, model_answers.labels, scores.argmax(axis=1) == model_answers.labels)
        )
        weights.append(weight)
    return means, weights


def find_best_weight(before: SelectionAnswers, answers: SelectionAnswers) -> float:
    """The weight of `answers` whose mean with `before` has the least log loss at its best temperature."""
    from scipy.optimize import minimize_scalar

    def loss(weight: float) -> float:
        scores = blend_scores(before.scores, answers.scores, weight)
        mean = SelectionAnswers(scores, answers.labels, answers.right)
        return log_loss(mean, find_best_temperature(mean))

    return float(minimize_scalar(loss, bounds=(0.0, 1.0), method="bounded").x)


def choose_deferral_rules(answers: Sequence[SelectionAnswers], drop_points: float) -> list[DeferralRule]:
    """The rule of each model but the last. answers: those of all models, in order."""
    last = answers[-1].right
    after, rules = last, list[DeferralRule]()
    for number, model_answers in enumerate(reversed(answers[:-1]), 1):
        allowed = drop_points * number / (len(answers) - 1)
        candidates = [
            choose_deferral_rule(model_answers, after, last, allowed, temperature)
            for temperature in (1.0, find_best_temperature(model_answers))
        ]
        rule = min(candidates, key=lambda candidate: int(candidate.passed_on.sum()))  # at a tie, the first
        after = np.where(rule.passed_on, after, model_answers.right)
        rules.append(rule)
    return rules[::-1]


def choose_deferral_rule(
    answers: SelectionAnswers,
    after: npt.NDArray[np.bool_],
    last: npt.NDArray[np.bool_],
    allowed: float,
    temperature: float,
) -> DeferralRule:
    """The threshold that passes on the fewest rows and loses at most `allowed` points, as do all larger ones.

    after: (rows,) whether the models behind are right; last: (rows,) whether the last model is right; the
    loss is counted against it. Rows of equal confidence stay together.
    """
    sure = compute_confidence(answers.scores, temperature)
    order = np.argsort(sure, kind="stable")
    ranked = sure[order]
    # right answers if the k rows of the least confidence are passed on, for k from 0 to all
    passed = np.concatenate([[0], np.cumsum(after[order])])
    answered_right = np.concatenate([[0], np.cumsum(answers.right[order][::-1])])[::-1]
    lost = 100.0 * (int(last.sum()) - (passed + answered_right)) / len(sure)
    possible = np.concatenate([[True], ranked[1:] > ranked[:-1], [True]])
    bad = np.flatnonzero(possible & (lost > allowed))
    count = int(np.flatnonzero(possible & (np.arange(len(lost)) > (bad[-1] if len(bad) else -1)))[0])
    threshold = _place_threshold(ranked, count)
    return DeferralRule(temperature, threshold, sure < threshold)


def _place_threshold(ranked: Floats, count: int) -> float:
    """A threshold with exactly the first `count` of the sorted values below it."""
    if count == 0:
        return 0.0
    if count == len(ranked):
        return float(np.nextafter(ranked[-1], 2.0))
    middle = float((ranked[count - 1] + ranked[count]) / 2)
    return middle if middle > ranked[count - 1] else float(ranked[count])


def find_best_temperature(answers: SelectionAnswers) -> float:
    """The temperature with the least log loss (Guo et al. 2017, On Calibration of Modern Neural Networks)."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return log_loss(answers, float(np.exp(log_temperature)))

    bounds = (float(np.log(COLDEST)), float(np.log(HOTTEST)))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def log_loss(answers: SelectionAnswers, temperature: float) -> float:
    """The mean negative log probability of the label."""
    scores = answers.scores.astype(np.float64) / temperature
    scores -= scores.max(axis=1, keepdims=True)
    labelled = scores[np.arange(len(scores)), answers.labels]
    return float(np.mean(np.log(np.exp(scores).sum(axis=1)) - labelled))


def _summarise_selection(
    rules: Sequence[DeferralRule], answers: Sequence[SelectionAnswers]
) -> dict[str, Any]:
    """The cost of the thresholds on the rows they were chosen on; this estimate is optimistic."""
    reached, right = np.ones(len(answers[0].right), dtype=np.bool_), answers[0].right
    shares = []
    for rule, after in zip(rules, answers[1:], strict=True):
        reached = reached & rule.passed_on
        shares.append(float(reached.mean()))
        right = np.where(reached, after.right, right)
    lost = 100.0 * (int(answers[-1].right.sum()) - int(right.sum())) / len(right)
    return {"rows": len(right), "passed_on": shares, "lost_points": lost}


def describe_cascade(artifact: Artifact, passed_on: Sequence[float] | None) -> CascadeFacts | None:
    """The facts of a cascade for the record; None for other models. passed_on: shares of the gate rows."""
    if artifact.kind != KIND:
        return None
    members = read_cascade(artifact.folder).members
    return CascadeFacts(
        models=[member.name for member in members],
        thresholds=[member.threshold for member in members[:-1]],
        temperatures=[member.temperature for member in members[:-1]],
        weights=artifact.manifest["log"]["cascade"].get("weights"),
        selection=artifact.manifest["log"]["cascade"].get("selection"),
        passed_on=None if passed_on is None else list(passed_on),
    )
