"""The output of `llama-perplexity --kl-divergence`: figures of a quantized model and its base, by chunks.

Each chunk of text has a line with the means over all chunks so far. Their differences give each chunk's own
means, to about the number of the chunk times 0.00001; their sum is exact. Format: kl_divergence() in
tools/perplexity/perplexity.cpp of llama.cpp.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from slimgate.errors import DataError
from slimgate.outcomes import Floats
from slimgate.plugins.reader import KlChunks, Log, Reader

_HEAD = re.compile(rb"^chunk\s+PPL\s+ln\(PPL\(Q\)/PPL\(base\)\)", re.MULTILINE)
# The table of chunks comes after the output of loading the model.
_BEGINNING = 2**20
_NUMBER = r"(-?(?:\d+\.\d+|inf|nan))"
_PAIR = rf"\s+{_NUMBER} ±\s+{_NUMBER}"
_CHUNK = re.compile(rf"^\s*(\d+)\s{_PAIR}{_PAIR}{_PAIR}{_PAIR} %{_PAIR} %\s*$")
_PLANNED = re.compile(r"\bcomputing over (\d+) chunks\b")
_QUANTILE = re.compile(rf"^\s*(Median|99\.0%|99\.9%|Maximum)\s+KLD:\s+{_NUMBER}\s*$")
_MEAN = re.compile(rf"^\s*Mean\s+KLD:{_PAIR}\s*$")
_BASE = re.compile(rf"^\s*Mean\s+PPL\(base\)\s*:\s+{_NUMBER} ±")
# The lines of chunks have five decimals.
_ROUNDING = 2e-5
_NAMES = {"Median": "median", "99.0%": "p99", "99.9%": "p999", "Maximum": "maximum"}


class LlamaPerplexity(Reader):
    """Finds such a log by the heading of its table of chunks."""

    def recognizes(self, path: Path) -> bool:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return _HEAD.search(file.read(_BEGINNING)) is not None

    def read(self, path: Path) -> Log:
        """Raises DataError if lines are missing, such as those of a run that was interrupted."""
        chunks: list[list[float]] = []
        quantiles: dict[str, float] = {}
        planned: int | None = None
        mean: float | None = None
        base_perplexity: float | None = None
        for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), 1):
            if match := _CHUNK.match(line):
                if int(match[1]) != len(chunks) + 1:
                    raise DataError(
                        f"{path}:{number}: chunk {match[1]} was given, expected chunk {len(chunks) + 1}"
                    )
                chunks.append([float(match[at]) for at in (6, 4, 10)])
            elif head := _PLANNED.search(line):
                planned = int(head[1])
            elif stated := _MEAN.match(line):
                mean = float(stated[1])
            elif of_base := _BASE.match(line):
                base_perplexity = float(of_base[1])
            elif quantile := _QUANTILE.match(line):
                quantiles[_NAMES[quantile[1]]] = float(quantile[2])
        if len(chunks) < 2:
            raise DataError(
                f"{path}: {len(chunks)} lines of chunks were given, expected at least 2, as llama-perplexity "
                "--kl-divergence prints them; keep all of its output"
            )
        if mean is not None and not abs(mean - chunks[-1][0]) <= _ROUNDING:
            raise DataError(
                f"{path}: the final statistics state a mean KL of {mean:.6f}, and the lines of chunks end "
                f"with {chunks[-1][0]:.5f}: lines are missing, or of another run; give the whole output of "
                "one run"
            )
        _check_end(path, len(chunks), planned, has_statistics=mean is not None or bool(quantiles))
        # each chunk's own mean, from the means over all chunks so far
        sums = np.asarray(chunks).T * np.arange(1, len(chunks) + 1)
        kl, log_ratio, same_top = np.diff(sums, prepend=0.0)
        shares = _bound_shares(same_top / 100)
        kl_chunks = KlChunks(kl.tolist(), log_ratio.tolist(), shares, quantiles, base_perplexity)
        return Log("llama_perplexity", str(path), {}, kl=kl_chunks)


def _bound_shares(shares: Floats) -> list[float]:
    """(chunks,) the shares within 0 to 1. What a chunk has in excess counts for the next one.

    Rounding takes a chunk beyond 0 or 1, and its neighbour as far to the other side. If shares were cut off
    at 1, only one of the two would change, and the mean of 5,000 chunks would be up to 0.02 points too low.
    """
    bounded, excess = list[float](), 0.0
    for share in shares.tolist():
        bounded.append(min(max(share + excess, 0.0), 1.0))
        excess += share - bounded[-1]
    return bounded


def _check_end(path: Path, chunks: int, planned: int | None, *, has_statistics: bool) -> None:
    """Raises DataError if the log was cut off: the later part of the text may be the harder one."""
    if planned is not None and chunks < planned:
        raise DataError(
            f"{path}: it says that {planned:,} chunks are computed, but has {chunks:,}: the run was "
            "interrupted, or its output was cut off; finish the run, and give its whole output"
        )
    if not has_statistics:
        raise DataError(
            f"{path}: it has {chunks:,} chunks, but no final statistics of the KL: the run was interrupted, "
            "or its output was cut off; finish the run, and give its whole output"
        )


reader = LlamaPerplexity()
