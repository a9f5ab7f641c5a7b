"""Where a variant whose KL budget failed parts from its teacher: in which block."""

from __future__ import annotations

from slimgate.errors import SlimgateError
from slimgate.judge.behaviour_parts import BlockErrorFacts, PartedFacts
from slimgate.run.run import ModelHandle

# Rows of the gate that both networks read; they lie in random order.
ROWS = 16


def find_parted_block(teacher: ModelHandle, variant: ModelHandle) -> PartedFacts:
    """A note alone where the two networks cannot be followed."""
    import torch

    from slimgate.models.block_errors import block_errors
    from slimgate.models.module_outputs import UNKNOWN

    run = variant.run
    artifacts = [one.built.artifact for one in (teacher, variant)]
    if any(one.loader is None for one in artifacts):
        return PartedFacts(note="its blocks are not known: only networks of PyTorch can be followed")
    encoded = run.encoder.of(artifacts[0])
    rows = min(ROWS, len(encoded.lengths))
    try:
        theirs, ours = (one.load(run.device) for one in artifacts)
        inputs = {
            name: torch.from_numpy(one).to(run.device) for name, one in encoded.batch(range(rows)).items()
        }
        found = block_errors(theirs.network, ours.network, inputs)
    except (SlimgateError, *UNKNOWN) as error:
        return PartedFacts(note=f"its blocks are not known: {' '.join(str(error).split())}")
    return PartedFacts(
        parts=[BlockErrorFacts(name=one.name, own=one.own, after=one.after) for one in found.parts],
        rows=rows,
        worst=found.worst.name,
        ratio=found.ratio,
        stands_out=found.stands_out,
    )
