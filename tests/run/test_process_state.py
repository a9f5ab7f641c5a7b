"""What a model's code changes in the process does not reach the other models of the run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from support.tiny_suite import make_tiny_run
from torch import nn

from slimgate.errors import BuildError
from slimgate.run.process_state import guard_process_state


def replace_linear_(_model: object, _context: object) -> None:
    """A step that ruins every linear layer of the process."""

    def forward(self: nn.Linear, features: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(features, self.weight * 0, self.bias)

    nn.Linear.forward = forward  # type: ignore[method-assign, assignment]


def change_settings_(_model: object, _context: object) -> None:
    """A step that leaves other settings of the process behind."""
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True)
    os.environ["SLIMGATE_TEST_SETTING"] = "1"
    os.chdir("/")


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        pytest.param(nn.Linear, "forward", id="class of torch"),
        pytest.param(nn.functional, "gelu", id="torch.nn.functional"),
        pytest.param(torch, "matmul", id="torch in C++"),
        pytest.param(torch.Tensor, "backward", id="tensor"),
    ],
)
def test_replaced_function_is_put_back_and_named(
    owner: object, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = getattr(owner, name)
    with monkeypatch.context() as patched:
        with (
            pytest.raises(BuildError, match=rf"\.{name} was replaced.*the teacher too"),
            guard_process_state(),
        ):
            patched.setattr(owner, name, lambda *_: None)
        assert getattr(owner, name) is before


def test_step_that_replaces_a_layer_is_refused(tmp_path: Path) -> None:
    run = make_tiny_run(
        tmp_path, **{"{ keep_layers = [0, 2] }": f'{{ "{__name__}:{replace_linear_.__name__}" = {{}} }}'}
    )
    with pytest.raises(BuildError, match=r"shorter: step .*Linear\.forward was replaced"):
        run.build("shorter")
    weights = nn.Linear(2, 2)
    assert torch.equal(weights(torch.ones(2)), weights.weight.sum(1) + weights.bias)


def test_settings_that_a_step_leaves_are_reset(tmp_path: Path) -> None:
    run = make_tiny_run(
        tmp_path, **{"{ keep_layers = [0, 2] }": f'{{ "{__name__}:{change_settings_.__name__}" = {{}} }}'}
    )
    folder = Path.cwd()
    run.build("shorter")
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() is torch.float32
    assert not torch.are_deterministic_algorithms_enabled()
    assert "SLIMGATE_TEST_SETTING" not in os.environ
    assert Path.cwd() == folder
