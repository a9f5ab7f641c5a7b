"""Writes logs of llama-perplexity --kl-divergence, with the format strings of the tool."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from slimgate.outcomes import Floats

HEAD = (
    "chunk             PPL               ln(PPL(Q)/PPL(base))          KL Divergence"
    "              Δp RMS            Same top p"
)
SUMMARY = """
====== Perplexity statistics ======
Mean PPL(Q)                   :   7.217795 ±   0.266893
Mean PPL(base)                :   {base:.6f} ±   0.265427
Cor(ln(PPL(Q)), ln(PPL(base))):  99.83%
Mean ln(PPL(Q)/PPL(base))     :   0.004121 ±   0.001184

====== KL divergence statistics ======
Mean    KLD:   {mean:.6f} ±   0.000410
Maximum KLD:   0.732611
99.9%   KLD:   0.412337
99.0%   KLD:   0.123456
Median  KLD:   0.004062
 0.1%   KLD:  -0.000003
Minimum KLD:  -0.000423

====== Token probability statistics ======
Mean    Δp: -0.012 ± 0.045 %
Same top p: 96.774 ± 0.553 %
"""


def write_kl_log(path: Path, kl: Floats, *, lines: int | None = None, base: float = 7.188108) -> Path:
    """Writes a log. kl: (chunks,) the KL of each chunk. lines: how many chunks it lists; None: all. base: the
    perplexity of the base.

    As in the tool, the line of a chunk has the means of all chunks so far.
    """
    counts = np.arange(1, len(kl) + 1)
    means, ratios = np.cumsum(kl) / counts, np.cumsum(kl / 2) / counts
    same_top = 100 * np.cumsum(1 - kl) / counts
    chunks = [
        f"{count:4d}    {7.2:9.4f} ± {0.27:9.4f}    {ratio:10.5f} ± {0.00118:10.5f}"
        f"    {mean:10.5f} ± {0.00041:10.5f}    {2.512:6.3f} ± {0.109:6.3f} %"
        f"    {top:6.3f} ± {0.553:6.3f} %"
        for count, mean, ratio, top in zip(counts[:lines], means, ratios, same_top, strict=False)
    ]
    text = "\n".join(["llama_model_loader: loaded", HEAD, *chunks, SUMMARY.format(mean=means[-1], base=base)])
    path.write_text(text, "utf-8")
    return path
