"""Broken files of each format of quantized weights, and what a KL budget says of them.

    python -m tools.measuring.quantization_faults > reports/quantization_faults.md

A tiny Llama is trained, quantized by each format's own package, and copied with a fault in one block. One
suite judges all folders and files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pyarrow import csv
from tabulate import tabulate

from fixtures.models.quantization_faults import (
    ABOVE_CAP_MAX,
    BLOCKS,
    BROKEN_BLOCK,
    CASES,
    FORMATS,
    Case,
    write_suite,
)
from fixtures.models.word_chains import draw_sentences, write_trained_llama

LIMIT = 0.02
# MXFP4 rounds to powers of 2, and GGUF Q4_0 the embeddings and the output layer too.
LIMITS = {"mxfp4": 0.1, "q4_0": 0.028}
ROWS = 520
PAGE = """\
# Broken files of quantized weights

    python -m tools.measuring.quantization_faults > reports/quantization_faults.md

A small Llama with {blocks} blocks of width 64 was trained for a few seconds on made-up sentences. For each
format, its own package quantizes this model. Then the tool changes the files of block
`model.layers.{broken}`, with one of these faults:

- *wrong scale*: the scales of `mlp.down_proj` are multiplied by four.
- *zero point off by one*: every zero point of the block is one level too high. compressed-tensors W4A16 and
  GGUF Q4_0 do not store zero points, because their zero points are always 8. For these two formats, the tool
  makes the levels one too low instead. The formats without this fault in the table have signed levels, so
  they have no zero point.
- *transposed*: the levels of the seven matrices of the block are transposed. In this model all seven
  matrices are square.

All models are variants of one suite, with {gate} gate rows and the budget
`kl = {{ mean_max = {limit}, above_cap_max = {above_cap_max} }}`. With only {gate} rows, even a model without
damage may have up to {share:.1g} % of the rows above the cap. The default limit for this share is lower.
So the suite sets `above_cap_max` to {above_cap_max}. Two formats have a higher `mean_max`: it is {mxfp4} for
MXFP4, whose scales are powers of 2, and {q4_0} for Q4_0, which also rounds the embeddings and the output
layer.

The limits were chosen after a first run, so that they are between the intact files and the weakest fault.
The strength of the faults and the shape of the model were also chosen after a first run. In the first run,
the scales were only twice as large and the model had fewer square matrices. So most faults stayed below a
limit of 0.05.

If [the KL budget](../docs/budgets.md#kl-of-language-models) fails, the report names the block that adds the
largest error itself. The last column of the table is the ratio of this error to the median over all blocks.
If the ratio is at least 4, the report says that the fault is in this block. If the ratio is lower, the
report says that no block stands out, and names the block with the largest error. The intact files do not
FAIL, so slimgate does not look for a block in these files.

The weakest of these faults is a zero point that is off by one in one block. In GPTQ, AWQ, auto-round and
Q4_0, some groups have negative scales. So the fault moves the weights of some groups up and the weights of
other groups down, and the errors partly cancel.

{table}
"""


def write_repository(folder: Path) -> Path:
    """A folder with the suite bench/faults.toml and everything that it names."""
    rows = draw_sentences(ROWS)
    source = write_trained_llama(folder / "trained", rows["text"].to_pylist()[:200], blocks=BLOCKS)
    suite = write_suite(folder, source, limit=LIMIT, limits=LIMITS)
    csv.write_csv(rows, suite.with_name("rows.csv"))
    return suite


def format_page(record: dict[str, Any]) -> str:
    """The page of the table. record: run.json of the suite."""
    gate = record["task"]["splits"]["gate"]["n"]
    return PAGE.format(
        blocks=BLOCKS,
        broken=BROKEN_BLOCK,
        limit=LIMIT,
        above_cap_max=ABOVE_CAP_MAX,
        share=300 / gate,  # by the rule of three
        gate=gate,
        table=format_table(record),
        **LIMITS,
    )


def format_table(record: dict[str, Any]) -> str:
    """A row for each case. record: run.json of the suite."""
    variants = {variant["name"]: variant for variant in record["variants"]}
    rows = [_format_row(case, variants[case.variant]["behaviour"]) for case in CASES]
    headers = ["format", "fault", "mean KL, nats", "verdict", "named block", "own error / median"]
    return tabulate(
        rows, headers, tablefmt="github", colalign=("left", "left", "right", "left", "left", "right")
    )


def _format_row(case: Case, record_variant: dict[str, Any]) -> list[str]:
    low, high = record_variant["kl"]["mean_interval"]
    kl = f"{record_variant['kl']['mean']:.3g} [{low:.3g}, {high:.3g}]"
    location = record_variant["fault_location"]
    named = f"`{location['worst']}`" if location else ""
    ratio = f"{location['ratio']:.2g}" if location else ""
    fault = "none" if case.fault is None else case.fault.replace("_", " ")
    return [FORMATS[case.form].name, fault, kl, record_variant["verdict"], named, ratio]


def main() -> None:
    """Prints the page."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_repository(folder)
        subprocess.run(
            [sys.executable, "-m", "pytest", "bench/faults.toml", "-q", "-k", "behaviour"],
            cwd=folder,
            stdout=sys.stderr,
            env={
                **os.environ,
                "HF_HUB_OFFLINE": "1",
                "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
            },
        )
        record = json.loads((folder / "reports/latest/faults/run.json").read_text("utf-8"))
    sys.stdout.write(format_page(record))


if __name__ == "__main__":
    main()
