"""PyTorch will drop torch.ao: no step needs it, and a torchao that still does is one clear line."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import slimgate

GONE = ("torch.ao", "torch.quantization")

# What is left of PyTorch itself may use it until it goes; nobody else is given it.
HIDDEN = """
import builtins, sys
import torch, torch._inductor.decomposition

for name in [name for name in sys.modules if name.startswith(HIDES)]:
    del sys.modules[name]
torch.__dict__.pop("ao", None), torch.__dict__.pop("quantization", None)
ours = builtins.__import__

def guarded(name, globals=None, locals=None, fromlist=(), level=0):
    asked = (globals or {}).get("__name__", "").partition(".")[0]
    full = [name, *(f"{name}.{part}" for part in fromlist or ())]
    if asked != "torch" and any(one.startswith(("torch.ao", "torch.quantization")) for one in full):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return ours(name, globals, locals, fromlist, level)

builtins.__import__ = guarded
"""


def code_without_it(then: str) -> subprocess.CompletedProcess[str]:
    """Runs code where it is gone."""
    code = HIDDEN.replace("HIDES", repr(GONE)) + then
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_no_file_of_slimgate_names_it() -> None:
    named = [
        f"{path.name}:{node.lineno}"
        for path in Path(slimgate.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if (isinstance(node, ast.Attribute | ast.Import | ast.ImportFrom))
        and ast.unparse(node)
        .partition("import ")[2 if isinstance(node, ast.Import) else 0]
        .startswith((*GONE, *(f"from {name}" for name in GONE)))
    ]
    assert named == []


INT8 = """
from torch import nn
from slimgate.steps.layers.int8_linear import Int8Linear
import slimgate.steps.quantize.int8_dynamic, slimgate.steps.quantize.int8_static
import slimgate.steps.quantize.quantization_aware_training
import slimgate.steps.quantize._quantization_aware_training
layer = Int8Linear.from_linear(nn.Linear(64, 32))
print(tuple(layer(torch.randn(3, 64)).shape))
"""
TORCHAO = """
from torch import nn
from slimgate.steps.quantize.torchao_quantize import Params, make_configuration
from slimgate.steps.layers.torchao_linear import TorchaoLinear
from slimgate.errors import SlimgateError
try:
    config = make_configuration(Params(config="int8_weight_only"), "cpu")
    layer = TorchaoLinear.from_linear(nn.Linear(64, 32), config, compute="float32")
    print(tuple(layer(torch.randn(3, 64)).shape))
except SlimgateError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.slow
def test_the_int8_steps_work_without_it() -> None:
    done = code_without_it(INT8)
    assert done.stdout == "(3, 32)\n", done.stderr


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torchao") is None, reason="torchao is not installed")
def test_the_torchao_step_works_without_it_or_says_what_to_do() -> None:
    done = code_without_it(TORCHAO)
    [line] = done.stdout.splitlines()
    refused = line.startswith("BuildError torchao ") and "install a torchao that fits it" in line
    assert line == "(3, 32)" or refused, (done.stdout, done.stderr)
