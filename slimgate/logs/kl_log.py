"""What `llama-perplexity --kl-divergence` prints: figures of a quantized model against its base, by chunks.

Each chunk of text has a line with the means over all chunks so far. Their differences give each chunk's own
means, to about the number of the chunk times 0.00001; their sum is exact. Format: kl_divergence() in
tools/perplexity/perplexity.cpp of llama.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np

from slimgate.errors import DataError
from slimgate.outcomes import Floats

_HEAD = "ln(PPL(Q)/PPL(base))"
_NUMBER = r"(-?(?:\d+\.\d+|inf|nan))"
_PAIR = rf"\s+{_NUMBER} ±\s+{_NUMBER}"
_CHUNK = re.compile(rf"^\s*(\d+)\s{_PAIR}{_PAIR}{_PAIR}{_PAIR} %{_PAIR} %\s*$")
_QUANTILE = re.compile(rf"^\s*(Median|99\.0%|99\.9%|Maximum)\s+KLD:\s+{_NUMBER}\s*$")
_NAMES = {"Median": "median", "99.0%": "p99", "99.9%": "p999", "Maximum": "maximum"}


@dataclass(frozen=True, eq=False)
class KlLog:
    """kl, log_ratio, same_top: (chunks,) means over a chunk's tokens: KL in nats, the logarithm of the
    perplexities' ratio, the share of equal likeliest tokens. quantiles: of all tokens' KL: median, p99, p999,
    maximum; empty where the tool printed none."""

    path: Path
    kl: Floats
    log_ratio: Floats
    same_top: Floats
    quantiles: Mapping[str, float]


def is_kl_log(path: Path) -> bool:
    """Whether a file looks like the output of that tool."""
    try:
        return path.is_file() and any(_HEAD in line for line in _lines(path))
    except UnicodeDecodeError:
        return False


def read_kl_log(path: Path) -> KlLog:
    """Raises DataError where lines of chunks are missing, cut off or not finite."""
    chunks: list[Sequence[float]] = []
    quantiles: dict[str, float] = {}
    for number, line in enumerate(_lines(path), 1):
        if match := _CHUNK.match(line):
            if int(match[1]) != len(chunks) + 1:
                raise DataError(f"{path}:{number}: chunk {match[1]} came, expected chunk {len(chunks) + 1}")
            values = [float(match[at]) for at in (6, 4, 10)]
            if not all(map(isfinite, values)):
                raise DataError(f"{path}:{number}: chunk {match[1]} is not finite: the model is broken")
            chunks.append(values)
        elif quantile := _QUANTILE.match(line):
            quantiles[_NAMES[quantile[1]]] = float(quantile[2])
    if len(chunks) < 2:
        raise DataError(
            f"{path}: {len(chunks)} lines of chunks came, expected at least 2, as llama-perplexity "
            "--kl-divergence prints them; keep all of its output"
        )
    kl, log_ratio, same_top = (_own_means(column) for column in np.asarray(chunks).T)
    return KlLog(path, kl, log_ratio, np.clip(same_top / 100, 0.0, 1.0), quantiles)


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


def _own_means(running: Floats) -> Floats:
    """Each chunk's own mean, from the means over all chunks so far."""
    sums = running * np.arange(1, len(running) + 1)
    return np.diff(sums, prepend=0.0)
