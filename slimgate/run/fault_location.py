"""Finds the block in which a variant with a failed KL budget diverges from its teacher."""

from __future__ import annotations

from slimgate.errors import SlimgateError
from slimgate.results.behaviour import FaultLocationFacts
from slimgate.run.model_handle import ModelHandle

# Gate rows that both networks read; gate rows are in random order.
ROWS = 16


def locate_fault(teacher: ModelHandle, variant: ModelHandle) -> FaultLocationFacts:
    """The error of each block, and the worst one; only a note if the networks cannot be followed."""
    import torch

    from slimgate.models.block_errors import measure_block_errors
    from slimgate.models.module_outputs import UNKNOWN

    run = variant.run
    artifacts = [model.built.artifact for model in (teacher, variant)]
    if any(artifact.loader is None for artifact in artifacts):
        return FaultLocationFacts(note="its blocks are not known: only networks of PyTorch can be followed")
    encoded = run.encoder.encode_for(artifacts[0])
    rows = min(ROWS, len(encoded.lengths))
    try:
        teacher_model, variant_model = (artifact.load(run.device) for artifact in artifacts)
        inputs = {
            name: torch.from_numpy(values).to(run.device)
            for name, values in encoded.batch(range(rows)).items()
        }
        comparison = measure_block_errors(teacher_model.network, variant_model.network, inputs)
    except (SlimgateError, *UNKNOWN) as error:
        return FaultLocationFacts(note=f"its blocks are not known: {' '.join(str(error).split())}")
    return FaultLocationFacts(
        parts=list(comparison.parts),
        rows=rows,
        worst=comparison.worst.name,
        ratio=comparison.ratio,
        stands_out=comparison.stands_out,
    )
