"""The tables of a suite file, as written in TOML. reader.py validates the options of plug-ins."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from slimgate.data.splits import SplitSizes
from slimgate.models.started_servers import PORT, ServerTable
from slimgate.plugins.params import VARIANT_NAME, SuitePath, Table
from slimgate.results.base import OnInconclusive
from slimgate.runtimes.endpoint import EndpointTable
from slimgate.suite.cascade_table import CascadeTable
from slimgate.suite.tune_space import TuneTable

SHA256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
MAX_SEED = 2**32 - 1
# A slice by the number of words, made if the rows have no column of this name.
LENGTH_BUCKET = "length_bucket"
Dtype = Literal["float32", "bfloat16", "float16"]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
_SERVER = 'url = "http://localhost:8000/v1", model = "name"'
_COMMAND = 'command = ["vllm", "serve", "model", "--port", "{port}"]'


def _require_table(example: str) -> BeforeValidator:
    """Requires a table. If the suite has something else, such as a name, the error shows the example."""

    def check(value: object) -> Any:
        if isinstance(value, dict):
            return value
        raise PydanticCustomError(
            "table_such_as", "expected a table, such as {example}", {"example": example}
        )

    return BeforeValidator(check)


Step = Annotated[dict[str, Any], _require_table("{ int8_dynamic = {} }")]
Steps = tuple[Step, ...]


class SuiteTable(Table):
    """[suite]"""

    title: str
    """The question that the suite answers; the heading of the report."""
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    """Seed of the splits and of every step that draws random numbers."""
    seeds: tuple[Seed, ...] | None = None
    """Seeds: every stochastic variant is built once with each seed. The first seed replaces `seed`. Ship the
    build of the first seed."""
    opt_in: bool = False
    """true: the suite runs only if the command line names its file."""
    extends: str | tuple[str, ...] | None = None
    """Suite files that this file extends: tables are merged, lists are replaced."""
    threads: int | None = Field(default=None, ge=1, le=1024)
    """Number of threads of every build and call, even if OMP_NUM_THREADS differs; default: OMP_NUM_THREADS,
    else the number of physical cores, but never more than the CPUs that the process may use."""
    reference: SuitePath | None = None
    """A markdown file of published figures, which the report shows next to the measured figures."""

    @model_validator(mode="after")
    def _check_seeds(self) -> Self:
        if self.seeds is None:
            return self
        if "seed" in self.model_fields_set:
            raise ValueError(
                "seed and seeds were given, expected one of them; the first of seeds is the seed"
            )
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds = {list(self.seeds)} was given, expected one or more different seeds")
        return self


class TaskTable(Table):
    """[task]: the keys that all tasks have; each task adds the keys of its Params."""

    kind: str
    """Name of the task, which decides the other keys of this table; name your own task as
    package.module:object."""
    source: Annotated[dict[str, Any], _require_table('{ name = "files", path = "rows.csv" }')] = Field(
        default_factory=dict
    )
    """Where rows come from: { name = "files", train = "a.csv", gate = "b.csv" }, or { name = "hub", … }."""
    group: str | None = None
    """Column with the group of each row, such as a document or a user; rows of one group stay in one split
    and are judged as one unit."""
    slices: tuple[str, ...] = ()
    """Columns; the gate rows of each value are also judged separately. "length_bucket" means the
    lengths of the rows."""
    splits: SplitSizes = SplitSizes()
    """Number of rows in each split, such as { gate = 3000, calibration = 512 }."""


Endpoint = Annotated[EndpointTable, _require_table(f"{{ {_SERVER} }}")]
Server = Annotated[ServerTable, _require_table(f"{{ {_COMMAND} }}")]
Cascade = Annotated[CascadeTable, _require_table('{ models = ["small", "large"] }')]


def _check_endpoint(table: TeacherTable | VariantTable, options: dict[str, Any]) -> None:
    """Raises ValueError if an endpoint has an option that only a loaded model can have."""
    if table.endpoint is None:
        if table.server is not None:
            raise ValueError("server was given without endpoint = { url, model }; give both")
        return
    if table.server is not None:
        table.server.check_url(table.endpoint.url)
    elif PORT in table.endpoint.url:
        raise ValueError(
            f"endpoint: {PORT} in url is for a server that slimgate starts; add server = {{ … }}"
        )
    conflicting = [name for name, value in options.items() if value is not None]
    if conflicting:
        raise ValueError(
            f"endpoint and {conflicting[0]} were given; a server runs the model, so "
            f"leave {conflicting[0]} out"
        )
    if table.steps:
        raise ValueError(
            "endpoint and steps were given; a server's model cannot be changed, so leave steps out"
        )


def _check_cascade(table: VariantTable) -> None:
    """Raises ValueError if a cascade has an option that only its models can have."""
    if table.cascade is None:
        return
    options = {
        "from": table.parent,
        "model": table.model,
        "endpoint": table.endpoint,
        "sha256": table.sha256,
        "dtype": table.dtype,
        "steps": table.steps or None,
        "runtime": table.runtime,
    }
    conflicting = [name for name, value in options.items() if value is not None]
    if conflicting:
        raise ValueError(
            f"cascade and {conflicting[0]} were given; each model of a cascade has its own {conflicting[0]}"
        )


class TeacherTable(Table):
    """[teacher]"""

    not_yet: ClassVar[frozenset[str]] = frozenset({"trust_remote_code"})
    model: str | None = None
    """The model: a folder (of transformers, quantized or not, or with an ONNX or OpenVINO graph as `slimgate
    export` writes it), a GGUF file, a hub id (name@revision), package:NAME/PATH, or fresh:FOLDER for random
    weights."""
    sha256: SHA256 | None = None
    """Expected sha256 of the model's weights. Loading fails if the weights differ."""
    dtype: Dtype | None = None
    """Floating-point format that the model is loaded in; default: the format of its weights."""
    endpoint: Endpoint | None = None
    """A model behind an OpenAI-compatible server: { url, model, key_env, … }. Write endpoint or model."""
    server: Server | None = None
    """With endpoint: how slimgate starts the server for the run: { command = [...], ready, stop, … }."""
    steps: Steps = ()
    """Steps that make the teacher from this model, such as fine_tune."""
    runtime: Annotated[dict[str, Any], _require_table('{ name = "eager" }')] | None = None
    """The runtime that executes the model: its name and its options; default: the runtime for the artifact's
    kind."""

    @model_validator(mode="after")
    def _check_model_or_endpoint(self) -> Self:
        if self.endpoint is None and self.model is None:
            raise ValueError("needs model = … (a folder, a GGUF file, a hub id), or endpoint = …")
        loads = {"model": self.model, "runtime": self.runtime}
        _check_endpoint(self, {**loads, "sha256": self.sha256, "dtype": self.dtype})
        return self


class VariantTable(Table):
    """[variants.NAME]: a parent or a finished model, then steps."""

    not_yet: ClassVar[frozenset[str]] = frozenset({"trust_remote_code"})
    parent: str | None = Field(default=None, alias="from")
    """The variant that the steps start from; default: the teacher."""
    model: str | None = None
    """The model that the steps start from, instead of `from`; named as in [teacher]."""
    endpoint: Endpoint | None = None
    """A model behind an OpenAI-compatible server: { url, model, key_env, … }."""
    server: Server | None = None
    """With endpoint: how slimgate starts the server for the run: { command = [...], ready, stop, … }."""
    cascade: Cascade | None = None
    """Several models of this suite as one: { models = ["small", "large"], threshold = "selection" }."""
    sha256: SHA256 | None = None
    """Expected sha256 of the model's weights. Loading fails if the weights differ."""
    dtype: Dtype | None = None
    """With model: the floating-point format that the model is loaded in; default: the format of its
    weights."""
    new_head: bool = False
    """With model: true ignores the head in the model's files and fits a new head on the train rows; false
    requires a head and every weight in the files."""
    steps: Steps = ()
    """The steps, in order."""
    twin: str | None = None
    """Name of a variant of the same shape that is trained without a teacher's answers; the report compares
    the two."""
    gated: bool = True
    """false: the variant's verdicts are shown, but cannot fail the run."""
    reason: str | None = None
    """Reason why the variant is not gated; required if gated = false."""
    runtime: Annotated[dict[str, Any], _require_table('{ name = "eager" }')] | None = None
    """The runtime that executes the model: its name and its options; default: the runtime for the artifact's
    kind."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_dotted_name(cls, data: object) -> Any:
        """Explains an unquoted name with a dot: TOML reads v1.2 = { … } as a table v1 with a table 2."""
        for key, value in data.items() if isinstance(data, dict) else ():
            is_option = key in cls.model_fields or not isinstance(value, dict)
            if not is_option and {"steps", "from", "model", "endpoint", "cascade"} & set(value):
                raise PydanticCustomError(
                    "dotted_name",
                    'unknown key {key}; a name with a dot is written in quotes, as in "v1.2" = { … }',
                    {"key": key},
                )
        return data

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        if self.parent is not None and self.model is not None:
            raise ValueError("a variant has exactly one of from and model, got both")
        loads = {"from": self.parent, "model": self.model, "runtime": self.runtime}
        _check_endpoint(self, {**loads, "sha256": self.sha256, "dtype": self.dtype})
        _check_cascade(self)
        sources = (self.model, self.runtime, self.endpoint, self.cascade)
        if not self.steps and all(source is None for source in sources):
            raise ValueError("a variant needs steps, a runtime, or model = … for a model built elsewhere")
        if not self.gated and not (self.reason or "").strip():
            raise ValueError('gated = false needs a reason = "…", which the report shows')
        if self.sha256 is not None and self.model is None:
            raise ValueError("sha256 is only for a variant with model = …")
        if self.dtype is not None and self.model is None:
            raise ValueError("dtype is only for a variant with model = …")
        if self.new_head and self.model is None:
            raise ValueError("new_head is only for a variant with model = …")
        return self


class BaselineTable(Table):
    """[budgets.baseline]: the earlier release. Its other keys are metrics, as in [budgets]."""

    file: SuitePath | None = None
    """A run.json, its folder, or a folder of baselines, from which slimgate takes the newest baseline of this
    suite; --slimgate-baseline overrides this key."""
    reason: str | None = None
    """Reason why this gate demands less than the baseline's gate: other rows, fewer variants or budgets, or
    other settings. The report shows the reason. The reason is valid until a baseline contains the same
    reason."""


class MeasureTable(Table):
    """[measure]"""

    metrics: tuple[str, ...] | None = None
    """Metrics to measure in addition to those with a budget; default: the default metrics of the task."""
    workloads: tuple[WorkloadTable, ...] | None = None
    """Calls that are timed; default: a call with one gate row and a call with 32 gate rows."""
    end_to_end: bool = False
    """Also time each workload from text to answer, tokenizing included, with a separate duel and separate
    budgets."""
    loads: tuple[LoadTable, ...] = ()
    """Loads under which the servers of endpoints are timed; the teacher's server and the variant's server
    take turns."""
    warmup: int = Field(default=10, ge=0)
    """Number of calls before timing starts."""
    rounds: int = Field(default=100, ge=1)
    """Largest number of timed calls of a workload; with a budget p95_ms_max, ten times as many."""
    max_seconds: float = Field(default=2.0, gt=0)
    """Largest time in seconds for one workload of one model, for the timed calls and the duel together."""
    batch_size: int = Field(default=64, ge=1)
    """Largest number of rows in a batch of predictions; the rows of a batch have about the same length."""
    batch_tokens: int | None = Field(default=None, ge=1)
    """Largest number of tokens in a batch of predictions, padding included; default: no limit."""
    on_inconclusive: OnInconclusive = "fail"
    """What happens if a verdict is INCONCLUSIVE: "fail", or "warn" and pass."""
    memory: bool = False
    """Measure the peak memory of every model. slimgate loads each model in its own process, which takes
    seconds. The memory of a variant with a memory budget is always measured, six times."""


class WorkloadTable(Table):
    """One timed call on `batch` gate rows, at their own lengths, or padded and cut to `tokens`.

    With prompt_tokens and new_tokens the call writes an answer; the time until the first token and the time
    of each later token are measured.
    """

    batch: int = Field(ge=1, le=65536)
    """Number of gate rows in one call."""
    tokens: int | None = Field(default=None, ge=1)
    """Number of tokens to which each row is padded or cut; default: rows keep their lengths."""
    prompt_tokens: int | None = Field(default=None, ge=1)
    """For text generation, together with new_tokens: number of tokens to which the prompt of each gate row is
    cut or repeated."""
    new_tokens: int | None = Field(default=None, ge=2)
    """Exact number of tokens of each answer; generation continues past end-of-sequence tokens."""

    @model_validator(mode="after")
    def _check_answer_tokens(self) -> Self:
        if (self.prompt_tokens is None) != (self.new_tokens is None):
            actual = "prompt_tokens" if self.new_tokens is None else "new_tokens"
            raise ValueError(
                f"{actual} was given alone, expected both, as in "
                "{ prompt_tokens = 128, new_tokens = 64, batch = 1 }"
            )
        if self.tokens is not None and self.prompt_tokens is not None:
            raise ValueError(
                "tokens and prompt_tokens were given, expected one of them; prompt_tokens is for calls that "
                "write answers"
            )
        return self


class ServiceLevelTable(Table):
    """Limits of a good request. A request counts for goodput if it meets every limit that the suite sets."""

    ttft_ms: float | None = Field(default=None, gt=0)
    """Largest time until the first token, in milliseconds."""
    tpot_ms: float | None = Field(default=None, gt=0)
    """Largest mean time from one token of a request to the next, in milliseconds."""
    e2el_ms: float | None = Field(default=None, gt=0)
    """Largest time until the answer is complete, in milliseconds."""

    @model_validator(mode="after")
    def _check_has_limit(self) -> Self:
        if not self.model_dump(exclude_none=True):
            names = ", ".join(type(self).model_fields)
            raise ValueError(f"expected at least one of {names}, as in {{ ttft_ms = 200, tpot_ms = 30 }}")
        return self


class LoadTable(Table):
    """A load on a server: a number of users sends gate prompts, or gate prompts arrive at a rate.

    A block is one turn of a model.
    """

    exactly_one = ("concurrency", "request_rate")
    concurrency: int | None = Field(default=None, ge=1, le=1024)
    """Number of users; each user sends the next request when the previous request is answered."""
    request_rate: float | None = Field(default=None, gt=0, le=10_000)
    """Requests per second; they arrive as a Poisson process and do not wait for each other."""
    requests: int = Field(default=32, ge=1, le=100_000)
    """Number of requests in one turn. The prompts are gate rows of all lengths, in random order. Every turn
    has the same prompts."""
    blocks: int = Field(default=12, ge=6, le=1000)
    """Number of timed turns of the variant. For each turn of the variant, the teacher has two turns; the
    difference between these two is the noise."""
    service_level: ServiceLevelTable | None = None
    """Limits on the times of a request, such as { ttft_ms = 200, tpot_ms = 30 }. Requests that meet every
    limit count for goodput."""


class SuiteFile(Table):
    """A whole suite file."""

    suite: SuiteTable
    """Title of the suite, and how it runs."""
    task: dict[str, Any]
    """What the rows are, where they come from, and how they are split."""
    teacher: TeacherTable
    """The model that every variant is compared with."""
    variants: dict[Annotated[str, StringConstraints(pattern=VARIANT_NAME)], VariantTable] = Field(default={})
    """The models that you may ship, by name: a parent or a finished model, then steps."""
    budgets: dict[str, Any] = Field(default={})
    """Limits on what a variant may lose or cost. Keys: the names of metrics, and size, latency, memory,
    flops, flips, slices, measurements. [budgets.variants.NAME] is for one variant."""
    measure: MeasureTable = MeasureTable()
    """Which metrics and timed calls are measured, and for how long."""
    tune: TuneTable | None = None
    """What `slimgate tune` searches; see docs/tune.md."""


MeasureTable.model_rebuild()
SuiteFile.model_rebuild()
