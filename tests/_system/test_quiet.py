"""Lines of torchao's import do not reach somebody who does not use it; all else that it logs does."""

from __future__ import annotations

import logging
import subprocess
import sys
from importlib.util import find_spec

import pytest

from slimgate._system.quiet import hide_import_notes

pytestmark = pytest.mark.slow

LIBRARY = "Failed to load %s: Could not load this library"


def test_only_the_lines_of_its_import_are_kept_back(caplog: pytest.LogCaptureFixture) -> None:
    hide_import_notes()
    hide_import_notes()
    torchao = logging.getLogger("torchao")
    caplog.set_level(logging.WARNING, "torchao")  # a library that another test loads raises it
    torchao.warning(LIBRARY, "/packages/torchao/_C_cutlass_90a.abi3.so")
    torchao.error("Failed to load the checkpoint")
    torchao.warning("int4 needs a GPU")
    logging.getLogger("torch.utils._pytree").warning("a pytree of another kind")
    assert [record.getMessage() for record in caplog.records] == [
        "Failed to load the checkpoint",
        "int4 needs a GPU",
        "a pytree of another kind",
    ]


@pytest.mark.slow
def test_loading_a_model_says_nothing_where_torchao_is_installed() -> None:
    if find_spec("torchao") is None:
        pytest.skip("torchao is not installed")
    loaded = "slimgate.models.torch_model, transformers.modeling_utils"
    code = f"import sys, {loaded}; print('torchao' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("True\n", "")
