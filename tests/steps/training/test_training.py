"""slimgate.steps.training.trainer: it learns, is quiet, gives equal weights for equal seeds, and keeps
the best epoch.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.models.architectures import write_tiny, write_tiny_classifier
from fixtures.models.building import MEAN, load_tiny, make_tiny_context
from slimgate.errors import BuildError
from slimgate.models.precision import resolve_precision
from slimgate.plugins.context import BuildContext
from slimgate.steps.training.params import TrainingParams
from slimgate.steps.training.scoring import MeanScore
from slimgate.steps.training.trainer import make_label_loss, train
from slimgate.tasks import text_classification
from slimgate.tasks.parts.objectives import ClassObjective, encode_labelled_rows, encode_training_rows


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    return write_tiny_classifier(tmp_path / "hub", num_hidden_layers=1)


def params(**options: Any) -> TrainingParams:
    return TrainingParams(**{"learning_rate": 3e-3, "batch_size": 16, "precision": "float32", **options})


def trained(
    hub: Path, seed: int = 0, loss: Any = None, hooks: Any = (), **options: Any
) -> tuple[Any, BuildContext]:
    context = make_tiny_context(hub.parent / "rows", seed=seed)
    model = load_tiny(hub, context)
    data = encode_training_rows(model, context)
    train(model, data, params(**options), context, loss=loss, hooks=hooks)
    return model, context


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.network.state_dict().items()}


def same(a: Any, b: Any) -> bool:
    return all(torch.equal(x, y) for x, y in zip(weights(a).values(), weights(b).values(), strict=True))


def test_the_loss_falls_on_rows_that_can_be_learnt(hub: Path) -> None:
    model, context = trained(hub, epochs=8, batch_size=4, learning_rate=2e-3)
    history = context.log["epochs"]
    assert [entry["epoch"] for entry in history] == list(range(1, 9))
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    assert max(entry["accuracy_selection"] for entry in history) > 0.7
    assert all(set(entry) == {"epoch", "loss", "loss_selection", "accuracy_selection"} for entry in history)
    assert context.log["precision"] == "float32"
    assert context.log["rows"] == 48
    encoded, _ = encode_training_rows(model, context)
    assert context.log["tokens"] == sum(len(ids) for ids in encoded.columns["input_ids"])
    assert not model.network.training


def test_training_prints_nothing(hub: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_tiny(hub, make_tiny_context(hub.parent / "rows"))
    capfd.readouterr()
    trained(hub)
    assert capfd.readouterr() == ("", "")


def test_the_generators_of_everybody_else_are_left_as_they_were(hub: Path) -> None:
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    trained(hub)
    assert random.getstate() == before[0]
    assert (np.random.get_state()[1] == before[1]).all()
    assert torch.equal(torch.get_rng_state(), before[2])


def test_equal_seeds_give_equal_weights_to_the_bit(hub: Path) -> None:
    first, _ = trained(hub)
    torch.rand(7)
    random.random()
    assert same(first, trained(hub)[0])
    assert not same(first, trained(hub, seed=1)[0])


def test_a_seed_beyond_32_bits_is_taken(hub: Path) -> None:
    assert same(trained(hub, seed=2**40)[0], trained(hub, seed=2**40)[0])


@pytest.mark.parametrize("order", [("float32", "bfloat16", "float32"), ("bfloat16", "float32", "bfloat16")])
def test_both_precisions_run_in_one_process_in_either_order(hub: Path, order: tuple[str, ...]) -> None:
    models = []
    for precision in order:
        model, context = trained(hub, precision=precision)
        assert context.log["precision"] == precision
        assert {weight.dtype for weight in model.network.parameters()} == {torch.float32}
        models.append(model)
    assert same(models[0], models[2])
    assert not same(models[0], models[1])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_leaves_no_environment_behind(hub: Path, precision: str) -> None:
    import os

    before = dict(os.environ)
    trained(hub, precision=precision)
    added = {key: value for key, value in os.environ.items() if before.get(key) != value}
    assert "ACCELERATE_MIXED_PRECISION" not in added
    assert {key for key in added if key != "PYTEST_CURRENT_TEST"} == set()


def test_the_configuration_is_not_changed_by_training(hub: Path) -> None:
    before = load_tiny(hub, make_tiny_context(hub.parent / "rows")).config.to_dict()
    assert trained(hub)[0].config.to_dict() == before


def test_a_loss_that_is_not_finite_is_a_clear_error(hub: Path) -> None:
    def broken(network: Any, batch: Any, labels: Any, positions: Any) -> torch.Tensor:
        loss = make_label_loss(ClassObjective())(network, batch, labels, positions)
        broken.calls += 1  # type: ignore[attr-defined]
        return loss * float("nan") if broken.calls == 3 else loss  # type: ignore[attr-defined]

    broken.calls = 0  # type: ignore[attr-defined]
    with pytest.raises(
        BuildError,
        match=r"loss became nan in epoch 1, batch 3 of 3 \(step 3\): lower learning_rate, or set prec",
    ):
        trained(hub, loss=broken)
    before = torch.get_rng_state()
    trained(hub)
    assert torch.equal(torch.get_rng_state(), before)


def test_gradients_that_overflow_are_a_clear_error(hub: Path) -> None:
    """Trainer clips by their norm: an infinite one makes all gradients 0, and training changes nothing."""
    context = make_tiny_context(hub.parent / "rows")
    model = load_tiny(hub, context)
    with torch.no_grad():
        model.network.classifier.weight.mul_(1e30)
    with pytest.raises(
        BuildError,
        match=r"the gradients overflow in epoch 1, batch 1 of 3 .* is .*e\+\d+, in classifier.weight;",
    ):
        train(model, encode_training_rows(model, context), params(), context)


def best_of(
    monkeypatch: pytest.MonkeyPatch,
    hub: Path,
    accuracies: list[float],
    keep_best: bool = True,
    hooks: Any = (),
) -> Any:
    """Trains with these accuracies on `selection`; gives model, log, and weights of each epoch."""
    from slimgate.steps.training import callbacks

    states: list[dict[str, torch.Tensor]] = []

    def evaluate(self: Any, *_: Any) -> MeanScore:
        states.append({k: v.clone() for k, v in self._model.network.state_dict().items()})
        return MeanScore(loss=0.0, quality=accuracies[len(states) - 1])

    monkeypatch.setattr(callbacks.EpochTracker, "_evaluate", evaluate)
    model, context = trained(hub, epochs=len(accuracies), keep_best=keep_best, hooks=hooks)
    return model, context.log, states


@pytest.mark.parametrize(
    ("accuracies", "best"),
    [([0.5, 0.9, 0.7], 2), ([0.9, 0.5, 0.7], 1), ([0.5, 0.7, 0.9], 3), ([0.9, 0.5, 0.9], 3), ([0.4], 1)],
)
def test_the_epoch_that_is_best_on_selection_is_kept(
    monkeypatch: pytest.MonkeyPatch, hub: Path, accuracies: list[float], best: int
) -> None:
    model, log, states = best_of(monkeypatch, hub, accuracies)
    assert log.get("best_epoch", len(accuracies)) == best
    restored = weights(model)
    assert all(torch.equal(restored[name], tensor) for name, tensor in states[best - 1].items())


def test_without_keep_best_the_last_epoch_stays(monkeypatch: pytest.MonkeyPatch, hub: Path) -> None:
    model, log, states = best_of(monkeypatch, hub, [0.9, 0.5], keep_best=False)
    assert "best_epoch" not in log
    assert all(torch.equal(weights(model)[name], tensor) for name, tensor in states[1].items())


@pytest.mark.parametrize(
    ("settles", "best"),
    [(0, 1), (3, 3), (8, 3), (9, 4)],  # three steps an epoch, from 0
)
def test_an_epoch_that_a_hook_calls_unsettled_is_never_the_best(
    monkeypatch: pytest.MonkeyPatch, hub: Path, settles: int, best: int
) -> None:
    class Hook:
        settled = False

        def before_step(self, step: int, steps: int) -> None:
            assert steps == 12
            self.settled = step >= settles

        def after_step(self, step: int, steps: int) -> None:
            """Nothing to do."""

    model, log, states = best_of(monkeypatch, hub, [0.9, 0.5, 0.7, 0.6], hooks=[Hook()])
    assert log.get("best_epoch", 4) == best
    assert all(torch.equal(weights(model)[name], tensor) for name, tensor in states[best - 1].items())


def test_without_selection_rows_nothing_is_evaluated(hub: Path) -> None:
    context = make_tiny_context(hub.parent / "rows", selection=0)
    model = load_tiny(hub, context)
    assert encode_labelled_rows(model, "selection", context) is None
    train(model, encode_training_rows(model, context), params(epochs=2), context)
    assert [set(entry) for entry in context.log["epochs"]] == [{"epoch", "loss"}] * 2


def test_every_row_is_read_once_an_epoch_with_its_own_label(hub: Path) -> None:
    seen: list[tuple[int, int]] = []

    def recording(network: Any, batch: Any, labels: torch.Tensor, positions: list[int]) -> torch.Tensor:
        seen.extend(zip(positions, labels.tolist(), strict=True))
        return make_label_loss(ClassObjective())(network, batch, labels, positions)

    trained(hub, loss=recording)
    context = make_tiny_context(hub.parent / "rows")
    labels = text_classification.task.label_indices(context.task_params, context.rows("train"), context.facts)
    assert sorted(seen) == list(enumerate(labels.tolist()))
    assert [position for position, _ in seen] != list(range(48))


@pytest.mark.parametrize(
    ("architecture", "task"),
    [("distilbert", None), ("roberta", None), ("gpt2", None), ("llama", None), ("bert", MEAN)],
    ids=["distilbert", "roberta", "gpt2", "llama", "bert-mean"],
)
def test_other_architectures_train_too(tmp_path: Path, architecture: str, task: Any) -> None:
    context = make_tiny_context(tmp_path / "rows", **({"params": task} if task else {}))
    labels = None if task else ("neg", "pos")
    model = load_tiny(write_tiny(tmp_path / "hub", architecture, labels=labels), context)
    before = weights(model)
    train(model, encode_training_rows(model, context), params(), context)
    after = weights(model)
    assert sum(not torch.equal(before[name], after[name]) for name in before) > 10
    model.save(tmp_path)


def test_auto_precision_is_bfloat16_only_where_the_cpu_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from slimgate.models import precision

    assert resolve_precision("float32", "cpu") == "float32"
    assert resolve_precision("bfloat16", "cpu") == "bfloat16"
    for native, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(precision, "_has_cpu_bf16", lambda native=native: native)
        assert resolve_precision("auto", "cpu") == expected


def test_the_module_is_not_needed_to_read_a_suite() -> None:
    assert "transformers" not in vars(sys.modules["slimgate.steps.training.params"])


def test_batches_have_rows_of_like_length_and_log_the_padding(hub: Path) -> None:
    model, context = trained(hub, batch_size=2)
    lengths = encode_training_rows(model, context)[0].lengths
    assert len(set(lengths.tolist())) > 4
    draws = np.random.default_rng(0)
    batches = [draws.permutation(lengths).reshape(-1, 2) for _ in range(20)]
    shares = [1 - batch.sum() / (batch.max(axis=1).sum() * 2) for batch in batches]
    assert 0 < context.log["padding"] < 0.7 * np.mean(shares)


def test_the_seconds_of_a_step_are_reported_by_stage(hub: Path) -> None:
    _, context = trained(hub)
    assert set(context.log["seconds"]) == {"tokenise", "train", "evaluate"}
    assert context.log["seconds"]["train"] > 0
    with context.time_stage("outer"), context.time_stage("inner"):
        time.sleep(0.02)
    assert context.log["seconds"]["inner"] >= 0.02
    assert context.log["seconds"]["outer"] < 0.02
