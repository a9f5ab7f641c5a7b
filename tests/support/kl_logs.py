"""What llama-perplexity --kl-divergence prints, as its format strings write it."""

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
Mean PPL(base)                :   7.188108 ±   0.265427
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


def write_kl_log(path: Path, kl: Floats, *, lines: int | None = None) -> Path:
    """A log with these KL of chunks, as the tool's format strings write it."""
    count = np.arange(1, len(kl) + 1)
    means, ratio, top = np.cumsum(kl) / count, np.cumsum(kl / 2) / count, 100 * np.cumsum(1 - kl) / count
    chunks = [
        f"{at:4d}    {7.2:9.4f} ± {0.27:9.4f}    {ratio[at - 1]:10.5f} ± {0.00118:10.5f}"
        f"    {means[at - 1]:10.5f} ± {0.00041:10.5f}    {2.512:6.3f} ± {0.109:6.3f} %"
        f"    {top[at - 1]:6.3f} ± {0.553:6.3f} %"
        for at in count[:lines]
    ]
    text = "\n".join(["llama_model_loader: loaded", HEAD, *chunks, SUMMARY.format(mean=means[-1])])
    path.write_text(text, "utf-8")
    return path
