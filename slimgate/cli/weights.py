"""`slimgate weights MODEL`: shows the precision of the stored weights, and what the model claims."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from slimgate._system.number_text import count_digits_apart, format_percent
from slimgate.errors import DataError

if TYPE_CHECKING:
    from slimgate.models.weight_shares import WeightShares

DESCRIPTION = """\
Shows, for each kind of layer, how many weights are stored in which precision, and what quantization_config
claims. MODEL is a folder, a GGUF file, a model of the hub, or a graph of ONNX or OpenVINO. Also lists the
patterns of quantization_config that match no module. Exit codes: 0 shown; 1 fewer weights are quantized than
asked for, or none although the model claims it; 4 wrong usage or input.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="Model: a folder, a GGUF file, a graph (.onnx, .xml), or a hub id (name@revision)",
    )
    parser.add_argument(
        "--quantized-share-min",
        type=float,
        metavar="SHARE",
        help="Least share, such as 0.95, of the weights in the transformer blocks' matrices that have "
        "fewer than 16 bits; with a smaller share, the exit code is 1",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints the table, and returns the exit code. Raises DataError for a share that is not from 0 to 1."""
    from slimgate.models.weight_shares import read_weight_shares

    least: float | None = options.quantized_share_min
    if least is not None and not 0 <= least <= 1:
        raise DataError(f"--quantized-share-min {least:g}: expected a share from 0 to 1")
    shares = read_weight_shares(options.model)
    problem = describe_problem(shares, least)
    sys.stdout.write("\n".join([format_shares(shares), *([problem] if problem else [])]) + "\n")
    return 0 if problem is None else 1


def format_shares(shares: WeightShares) -> str:
    """A table with a row for each kind of layer, then the claim, and the patterns that match no module."""
    from tabulate import tabulate

    rows = [
        (kind, f"{sum(by_precision.values()):,}", _format_precisions(by_precision))
        for kind, by_precision in shares.counts.items()
    ]
    alignments = ("left", "right", "left")
    table = tabulate(
        rows, headers=("layers", "weights", "stored as"), colalign=alignments, disable_numparse=True
    )
    claim = shares.claim or "no quantization"
    lines = [
        table,
        "",
        f"claimed: {claim}",
        f"quantized: {format_percent(shares.quantized_share)} of the blocks' matrices",
    ]
    lines += [f'"{pattern}" of the configuration matches no module' for pattern in shares.unmatched]
    return "\n".join(lines)


def _format_precisions(by_precision: Mapping[str, int]) -> str:
    total = sum(by_precision.values())
    ordered = sorted(by_precision.items(), key=lambda item: -item[1])
    return ", ".join(f"{precision} {format_percent(count / total)}" for precision, count in ordered)


def describe_problem(shares: WeightShares, least: float | None) -> str | None:
    """Why the weights do not match the claim or the requested share; None if they do."""
    share = shares.quantized_share
    if least is not None and share < least:
        digits = count_digits_apart([100 * share], [100 * least], fewest=1)
        return (
            f"FAIL: {share:.{digits}%} of the blocks' matrices are quantized, expected at least "
            f"{least:.{digits}%}"
        )
    if shares.claim and not share:
        return f"FAIL: the configuration claims {shares.claim}, and no weight of the blocks is quantized"
    return None
