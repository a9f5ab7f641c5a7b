"""How a model was built: its steps, the stages on the way, the artifact, what the steps promised."""

from __future__ import annotations

from typing import Any

from slimgate.results.facts import Facts


class StepFacts(Facts):
    """One step as it was built; seconds and log are those of the build, even if it came from the store.

    given: the params without those that equal the defaults of the step; None if that is not known.
    from_store: whether the store had the step before the run; None in records that do not say it for each
    step. reads: rows of each split that the step was given. kind, bytes, parameters, nonzero_parameters: of
    the artifact that the step made.
    """

    name: str
    params: Any
    given: Any = None
    seconds: float
    log: dict[str, Any]
    from_store: bool | None = None
    reads: dict[str, int] | None = None
    kind: str | None = None
    bytes: int | None = None
    parameters: int | None = None
    nonzero_parameters: int | None = None


class StageFacts(Facts):
    """The model after one step of a variant; the first stage is the model that the steps begin with.

    step: None for the first stage. selection: values of metrics on the `selection` rows, empty if they could
    not be computed, which `note` explains.
    """

    variant: str
    step: str | None
    kind: str
    bytes: int
    parameters: int
    nonzero_parameters: int
    seconds: float | None = None
    selection: dict[str, float] = {}
    note: str | None = None


class StoredFacts(Facts):
    """Weights that another tool has quantized, as the files store them. format: `gptq`; scheme: `W4A16`.

    group_size: weights that share a scale, null if a whole row or tensor shares it; left_out: layers that
    stay in floating point, with * for the number of a block; dtype: of what is not quantized, and of the
    products; computed: `kernels`, or `dequantized` if the weights were unpacked to floating point before.
    """

    format: str
    scheme: str
    group_size: int | None = None
    left_out: tuple[str, ...] = ()
    dtype: str
    computed: str


class WeightFacts(Facts):
    """The precision in which the files store the weights. counts: kind of layer -> precision -> numbers.

    quantized_share: of the weights in the blocks' matrices, those with fewer than 16 bits. claim: what the
    model's quantization_config, or a GGUF file's type, says; null if nothing is claimed. unmatched: the
    patterns of the configuration that match no module.
    """

    counts: dict[str, dict[str, int]]
    quantized_share: float
    claim: str | None = None
    unmatched: list[str] = []


class SelectionCost(Facts):
    """The cost of a cascade's thresholds on the selection rows, which is too low: they chose the thresholds.

    drop_points: the allowed drop; lost_points: of accuracy, compared with the last model, in an ensemble with
    the mean of all. passed_on: shares of the rows that reached each model after the first.
    """

    rows: int
    drop_points: float
    lost_points: float
    passed_on: list[float]


class CascadeFacts(Facts):
    """The models of a cascade in order, and when each but the last answers.

    thresholds: the least highest probability, after dividing the scores by the temperature. weights: in an
    ensemble, of the scores of each model after the first in its mean with the models before. selection: their
    cost on the rows that chose them; None for thresholds that the suite gives. passed_on: shares of the gate
    rows that reached each model after the first; None before the gate rows were answered.
    """

    models: list[str]
    thresholds: list[float]
    temperatures: list[float]
    weights: list[float] | None = None
    selection: SelectionCost | None = None
    passed_on: list[float] | None = None


class ArtifactFacts(Facts):
    """An artifact. bytes: the files needed to predict; state_bytes: the state saved in memory.

    runtime_params: its options, also those that no suite sets, such as the precision that it computes in;
    empty in a record from before this field.

    compile_seconds, compiled_graphs: for a runtime that compiles at the first call of a shape, over all
    workloads so far; null for others. unreadable_rows: share of the gate rows (the first 2,000) of which the
    tokenizer does not know one token in five; null for rows that are not text alone. stored: for a checkpoint
    that was already quantized, how its files store the weights. weights: their precision by kind of layer;
    null for graphs and endpoints. cascade: for a cascade, its models. bytes, parameters: null for an
    endpoint. server: the settings that a server stated when it answered: area (engine, model, prompt,
    sampling) -> setting -> value; empty for other models, and for a server that states nothing.
    """

    kind: str
    digest: str
    bytes: int | None
    parameters: int | None
    nonzero_parameters: int | None
    state_bytes: int | None = None
    runtime: str
    runtime_params: dict[str, Any] = {}
    load_seconds: float | None = None
    compile_seconds: float | None = None
    compiled_graphs: int | None = None
    unreadable_rows: float | None = None
    stored: StoredFacts | None = None
    weights: WeightFacts | None = None
    cascade: CascadeFacts | None = None
    server: dict[str, dict[str, Any]] = {}


class ClaimFacts(Facts):
    """The promise of a step, and whether it held; None if that is not known (yet) or cannot be measured."""

    step: str
    claim: str
    held: bool | None
    message: str


class BuildFacts(Facts):
    """How a model was built, and the artifact that resulted."""

    steps: list[StepFacts]
    artifact: ArtifactFacts
    from_store: bool | None = None
    claims: list[ClaimFacts] = []


class StagesFacts(Facts):
    """The models on the way to a variant."""

    stages: list[StageFacts]
