"""Opens an artifact of a store as slimgate does: python -m tools.trust.hostile.opening KIND FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from slimgate.errors import SlimgateError


def main(kind: str, folder: str) -> int:
    """Opens the artifact. Returns 4 if slimgate refuses it, as slimgate's commands do."""
    try:
        _OPEN[kind](Path(folder))
    except SlimgateError as error:
        sys.stderr.write(f"{error}\n")
        return 4
    return 0


def _open_graph(folder: Path) -> Any:
    from slimgate.models.onnx_model import read_graph

    return read_graph(folder)


def _open_session(folder: Path) -> Any:
    from slimgate.runtimes import onnxruntime

    return onnxruntime.runtime.load(folder, onnxruntime.Params(), device="cpu", threads=1)


def _open_package(folder: Path) -> Any:
    from slimgate.models.aoti_model import PACKAGE, check_package

    return check_package(folder / PACKAGE)


_OPEN = {"graph": _open_graph, "session": _open_session, "package": _open_package}

if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
