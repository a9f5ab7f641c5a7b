"""Counts the operations of one call of an artifact, once, and stores the count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from slimgate.errors import SlimgateError, to_one_line
from slimgate.plugins.base import Arrays, Json
from slimgate.run import keys
from slimgate.store.store import Artifact, Store
from slimgate.suite.named_plugin import SuiteRuntime

FACTS = "operations"
# The input that has the tokens, for models that read text.
_TOKENS = "input_ids"
# Errors of a network of unknown type: it needs other inputs, or its modules cannot be observed.
_UNKNOWN = (AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Operations:
    """The operations of one call. macs: multiply-adds; None if unknown, with a `note`. tokens: of the row.

    by_type: the multiply-adds by the number type of their factors.
    """

    macs: int | None
    tokens: int | None
    note: str | None = None
    by_type: Mapping[str, int] = field(default_factory=dict)

    @property
    def flops(self) -> int | None:
        """Floating-point operations: two for each multiply-add."""
        return None if self.macs is None else 2 * self.macs


def count_operations(
    artifact: Artifact, runtime: SuiteRuntime, inputs: Arrays, store: Store, *, device: str
) -> Operations:
    """The operations of one call with these inputs."""

    def fill(_folder: Path) -> Json:
        return {FACTS: asdict(_count_macs(artifact, runtime, inputs, device))}

    key = keys.make_operations_key(artifact, runtime, inputs, device)
    return Operations(**store.make("operations", key, fill).manifest[FACTS])


def _count_macs(artifact: Artifact, runtime: SuiteRuntime, inputs: Arrays, device: str) -> Operations:
    tokens = int(inputs[_TOKENS].shape[1]) if _TOKENS in inputs else None
    try:
        macs = runtime.object.count_macs(artifact.folder, inputs, device=device)
    except (SlimgateError, *_UNKNOWN) as error:
        return Operations(None, tokens, to_one_line(error))
    if macs.total <= 0:
        return Operations(None, tokens, "no operation that multiplies was seen")
    return Operations(macs.total, tokens, by_type=dict(macs.by_type))
