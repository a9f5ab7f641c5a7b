"""Pictures as SVG that are the same bytes for the same figures. matplotlib is an extra."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Okabe and Ito's colours, which colour-blind readers can distinguish.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7A7A00")


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


@contextmanager
def picture(path: Path, size: tuple[float, float]) -> Iterator[Any]:
    """An empty figure of that width and height in inches, which is saved when the block ends."""
    import matplotlib

    # parse_math: names of labels, slices and folders may hold "$", which would begin a formula
    with (
        matplotlib.rc_context({"svg.hashsalt": "slimgate", "svg.fonttype": "none", "text.parse_math": False}),
        warnings.catch_warnings(),
    ):
        # the SVG holds the text, so the viewer's font draws what matplotlib's font lacks
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        from matplotlib.figure import Figure

        figure = Figure(figsize=size, layout="constrained")
        yield figure
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
