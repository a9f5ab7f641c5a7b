"""How much one call of an artifact computes, counted once and stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from slimgate.errors import SlimgateError
from slimgate.protocols import Arrays
from slimgate.run import keys
from slimgate.store.artifact import Artifact
from slimgate.store.store import Json, Store
from slimgate.suite.suite import SuiteRuntime

FACTS = "operations"
# Where tokens are, in the inputs of models that read text.
_TOKENS = "input_ids"
# What a network of unknown make raises: it wants other inputs, or its parts cannot be watched.
_UNKNOWN = (AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Operations:
    """macs: multiply-adds; None where they are not known, which `note` explains. tokens: of the row.

    by_type: the multiply-adds by the number type of their factors.
    """

    macs: int | None
    tokens: int | None
    note: str | None = None
    by_type: Mapping[str, int] = field(default_factory=dict)

    @property
    def flops(self) -> int | None:
        """Floating-point operations: a product and a sum for each multiply-add."""
        return None if self.macs is None else 2 * self.macs


def operations(
    artifact: Artifact, runtime: SuiteRuntime, inputs: Arrays, store: Store, *, device: str
) -> Operations:
    """Of one call with these inputs."""

    def fill(_folder: Path) -> Json:
        return {FACTS: asdict(_count(artifact, runtime, inputs, device))}

    key = keys.operations_key(artifact, runtime, inputs, device)
    return Operations(**store.make("operations", key, fill).manifest[FACTS])


def _count(artifact: Artifact, runtime: SuiteRuntime, inputs: Arrays, device: str) -> Operations:
    tokens = int(inputs[_TOKENS].shape[1]) if _TOKENS in inputs else None
    try:
        found = runtime.object.count_macs(artifact.folder, inputs, device=device)
    except (SlimgateError, *_UNKNOWN) as error:
        return Operations(None, tokens, " ".join(str(error).split()))
    if found.total <= 0:
        return Operations(None, tokens, "no operation that multiplies was seen")
    return Operations(found.total, tokens, by_type=dict(found.by_type))
