"""Compiles a package that doubles its columns, and runs it, in a separate process.

    python -m tools.trust.doubling_package FOLDER

writes FOLDER/model.pt2. If this machine cannot run the code that its compiler makes, the process crashes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slimgate.runtimes.aoti import AotiPredictor, open_package
from slimgate.runtimes.compiled import compile_in_process
from slimgate.steps.convert._aoti_worker import PACKAGE, compile_network


class Doubling(torch.nn.Module):
    """A network that compiles in seconds."""

    def forward(self, columns: Any) -> Any:
        return type("Output", (), {"logits": columns * 2})


def main(folder: Path) -> None:
    """Makes a package for any number of rows and columns, and runs it once."""
    torch.set_num_threads(1)
    with compile_in_process("the fixture", "cpu"):
        compile_network(Doubling(), {"columns": torch.rand(3, 4)}, folder / PACKAGE, 1)
    predictor = AotiPredictor(open_package(folder / PACKAGE), ("columns",), "cpu")
    inputs: Any = predictor.prepare({"columns": np.ones((2, 2), np.float32)})
    predictor.forward(inputs)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
