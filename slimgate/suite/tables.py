"""The tables of a suite file, as they are written. What plug-ins add is validated in reader.py."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from slimgate.data.splits import SplitSizes
from slimgate.judge.budget_kinds import OnInconclusive
from slimgate.params import VARIANT_NAME, SuitePath, Table
from slimgate.suite.tune_tables import TuneTable

SHA256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
MAX_SEED = 2**32 - 1
# A slice that is made of the number of words, where the rows have no column of this name.
LENGTH_BUCKET = "length_bucket"
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


def _table_such_as(example: str) -> BeforeValidator:
    """Tells those who wrote only the name how a table is written."""

    def check(value: Any) -> Any:
        if isinstance(value, dict):
            return value
        raise PydanticCustomError(
            "table_such_as", "expected a table, such as {example}", {"example": example}
        )

    return BeforeValidator(check)


Step = Annotated[dict[str, Any], _table_such_as("{ int8_dynamic = {} }")]
Steps = tuple[Step, ...]
MODEL = (
    "a folder (of transformers, or with an ONNX or OpenVINO graph as `slimgate export` writes it), a hub id "
    "(name@revision), package:NAME/PATH, or fresh:FOLDER for random weights"
)
WEIGHTS_DIGEST = "sha256 of its weights, which are checked against it"


class SuiteTable(Table):
    """[suite]"""

    title: str = Field(description="what the suite asks; the report's heading")
    seed: int = Field(
        default=0, ge=0, le=MAX_SEED, description="of the splits and of every step that draws numbers"
    )
    seeds: tuple[Seed, ...] | None = Field(
        default=None,
        description="stochastic variants are built for each; the first takes the place of seed, and ships",
    )
    opt_in: bool = Field(default=False, description="runs only where it is named on the command line")
    extends: str | tuple[str, ...] | None = Field(
        default=None,
        description="suite files that this one is laid over: tables merge, lists are replaced",
    )
    threads: int | None = Field(
        default=None, ge=1, le=1024, description="of every build and call; default: physical cores"
    )
    reference: SuitePath | None = Field(
        default=None, description="a markdown file of published figures, which the report shows beside ours"
    )

    @model_validator(mode="after")
    def _one_way_to_seed(self) -> Self:
        if self.seeds is None:
            return self
        if "seed" in self.model_fields_set:
            raise ValueError("seed and seeds came, expected one of them; the first of seeds is the seed")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds = {list(self.seeds)} came, expected one or more different seeds")
        return self


class TaskTable(Table):
    """[task]: what is common to all tasks; the other keys belong to the task's own Params."""

    kind: str = Field(description="the task, which says what the other keys of this table are")
    source: Annotated[dict[str, Any], _table_such_as('{ name = "files", path = "rows.csv" }')] = Field(
        description="where rows come from: its name, and its options"
    )
    group: str | None = Field(
        default=None, description="a column; rows of one value stay in one split, and are judged as one unit"
    )
    slices: tuple[str, ...] = Field(
        default=(), description="columns whose values are judged apart, and length_bucket"
    )
    splits: SplitSizes = Field(default=SplitSizes(), description="rows of each split")


class TeacherTable(Table):
    """[teacher]"""

    not_yet: ClassVar[frozenset[str]] = frozenset({"trust_remote_code"})
    model: str = Field(description=MODEL)
    sha256: SHA256 | None = Field(default=None, description=WEIGHTS_DIGEST)
    steps: Steps = Field(default=(), description="steps that make the teacher of it, such as fine_tune")


class VariantTable(Table):
    """[variants.NAME]: a parent or a ready-made model, then steps."""

    not_yet: ClassVar[frozenset[str]] = frozenset({"trust_remote_code"})
    parent: str | None = Field(
        default=None, alias="from", description="the variant that the steps start from; default: the teacher"
    )
    model: str | None = Field(default=None, description=f"instead of from: {MODEL}")
    sha256: SHA256 | None = Field(default=None, description=WEIGHTS_DIGEST)
    new_head: bool = Field(
        default=False,
        description="with model: true leaves out the head in its files and fits a new one on the train rows; "
        "false needs a head and every weight in the files",
    )
    steps: Steps = Field(default=(), description="the steps, in order")
    twin: str | None = Field(
        default=None, description="a variant of the same shape, built without a teacher's answers"
    )
    gated: bool = Field(default=True, description="false: its verdicts are shown, and fail no run")
    reason: str | None = Field(default=None, description="why it is not gated; needed where it is not")
    runtime: Annotated[dict[str, Any], _table_such_as('{ name = "eager" }')] | None = Field(
        default=None,
        description="what executes it: its name, and its options; default: by the artifact's kind",
    )

    @model_validator(mode="before")
    @classmethod
    def _whole_name(cls, data: Any) -> Any:
        """TOML reads v1.2 = { … } as a table v1 that holds a table 2."""
        for key, value in data.items() if isinstance(data, dict) else ():
            if isinstance(value, dict) and {"steps", "from", "model"} & set(value):
                message = 'unknown key {key}; a name with a dot is written in quotes, as in "v1.2" = {{ … }}'
                raise PydanticCustomError(
                    "dotted_name", message.replace("{{", "{").replace("}}", "}"), {"key": key}
                )
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.parent is not None and self.model is not None:
            raise ValueError("a variant has exactly one of from and model, got both")
        if not self.steps and self.model is None and self.runtime is None:
            raise ValueError("a variant needs steps, a runtime, or model = … for one built elsewhere")
        if not self.gated and not self.reason:
            raise ValueError('gated = false needs a reason = "…" that the report can show')
        if self.sha256 is not None and self.model is None:
            raise ValueError("sha256 belongs to a variant with model = …")
        if self.new_head and self.model is None:
            raise ValueError("new_head belongs to a variant with model = …")
        return self


class BaselineTable(Table):
    """[budgets.baseline]: the earlier release. Its other keys are metrics, as in [budgets]."""

    file: SuitePath | None = Field(
        default=None,
        description="a run.json, its folder, or a folder of baselines, of which the newest of this suite is "
        "taken; --slimgate-baseline goes before it",
    )


class MeasureTable(Table):
    """[measure]

    batch_size, batch_tokens: outcomes are predicted in batches of rows of about one length, at most so many
    rows, and so many tokens with padding.
    """

    metrics: tuple[str, ...] | None = Field(
        default=None, description="what is measured beside the metrics with a budget; default: the task's"
    )
    workloads: tuple[WorkloadTable, ...] | None = Field(
        default=None, description="the calls that are timed; default: one and 32 gate rows"
    )
    warmup: int = Field(default=10, ge=0, description="calls before timing starts")
    rounds: int = Field(default=100, ge=1, description="timed calls of a workload, at most")
    max_seconds: float = Field(
        default=2.0, gt=0, description="a workload and model: timed calls and duel together"
    )
    batch_size: int = Field(default=64, ge=1, description="rows of a batch in which answers are predicted")
    batch_tokens: int | None = Field(
        default=None, ge=1, description="tokens of such a batch with padding, at most"
    )
    on_inconclusive: OnInconclusive = Field(
        default="fail",
        description="where the rows cannot tell whether a budget holds: fail, or warn and pass",
    )
    memory: bool = Field(
        default=False,
        description="peak memory of every model, each loaded in a process of its own, which takes seconds; "
        "a variant with a memory budget is measured without this, three times",
    )


class WorkloadTable(Table):
    """One timed call: so many gate rows, of their own lengths or padded and cut to `tokens`."""

    batch: int = Field(ge=1, le=65536, description="gate rows of one call")
    tokens: int | None = Field(
        default=None, ge=1, description="padded or cut to so many; default: the rows' own lengths"
    )


class SuiteFile(Table):
    """A whole suite file."""

    suite: SuiteTable
    task: dict[str, Any]
    teacher: TeacherTable
    variants: dict[Annotated[str, StringConstraints(pattern=VARIANT_NAME)], VariantTable] = Field(default={})
    budgets: dict[str, Any] = Field(default={})
    measure: MeasureTable = MeasureTable()
    tune: TuneTable | None = None


MeasureTable.model_rebuild()
SuiteFile.model_rebuild()
