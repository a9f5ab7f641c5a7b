"""Tasks of lm-evaluation-harness for slimgate's models: by name, or by their YAML files.

[task]
kind = "lm_eval"                                  # needs slimgate[lm-eval]; a suite has no source here
tasks = ["arc_easy", "./mine.yaml"]
fewshot = 5                                       # default: as each task states
limit = 500                                       # documents of each task, or a share below 1
score = { arc_easy = "acc_norm" }                 # the metric for task_score; default: a task's first metric
slices = ["task"]

lm-evaluation-harness makes documents, prompts, filters and scores, so the results equal its results. PyTorch
models and the runtime llama_cpp run every kind of task. A graph gives log-likelihoods and writes no text.
task_score is the score of each document, from 0 to 1; acc and acc_norm are available if every task has them.
Tasks of loglikelihood_rolling have no score: bits_per_byte and perplexity judge them.

Documents of a task's training split become the rows of `train`, from which calibration and selection are
drawn. Models learn their targets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BeforeValidator, Field

from slimgate._system.digests import digest_json, read_versions
from slimgate.errors import DataError
from slimgate.models.config import check_positions
from slimgate.models.saved_files import check_language_model
from slimgate.outcomes import RIGHT, Ints, Outcomes
from slimgate.plugins.base import Json
from slimgate.plugins.models import ModelRef, Predictor
from slimgate.plugins.params import Table, resolve_path
from slimgate.plugins.rows import Rows, TaskFacts, number_groups
from slimgate.plugins.source import Source
from slimgate.plugins.task import AnswerPlan
from slimgate.tasks.parts.token_task import TokenTask

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from slimgate.tasks.parts.language_model import Windows
    from slimgate.tasks.parts.lm_eval_documents import Documents, TaskSelection
    from slimgate.tasks.parts.lm_eval_model import EncodedDocuments

TASK_SCORE = "task_score"
SCORES = ("acc", "acc_norm", "exact_match")
ROLLING = ("nats", "tokens", "bytes")
COLUMNS = ("id", "task", "prompt", "target", "requests")


def _resolve_task_name(value: object) -> object:
    """A task's name unchanged, or the path of a YAML file from the folder of the suite."""
    if not isinstance(value, str) or not value.endswith((".yaml", ".yml")):
        return value
    path = resolve_path(value)
    if not path.is_file():
        raise ValueError(f"{value}: no such file")
    return str(path)


class Params(Table):
    """[task] of tasks of lm-evaluation-harness."""

    tasks: tuple[Annotated[str, BeforeValidator(_resolve_task_name)], ...] = Field(min_length=1)
    """Names of tasks, groups or tags, or YAML files with a path relative to the suite's folder."""
    fewshot: int | None = Field(default=None, ge=0)
    """Number of examples before each document; default: the setting of each task."""
    limit: int | float | None = Field(default=None, gt=0)
    """Largest number of documents of each task, counted from the first document; a value below 1 is a share
    of the documents; default: all."""
    score: dict[str, str] = Field(default_factory=dict)
    """For each task name, the metric that becomes task_score, "METRIC" or "METRIC,FILTER"; default: the
    task's first metric under its first filter."""
    apply_chat_template: bool = False
    """Put each document into the chat template of the model that answers."""
    fewshot_as_multiturn: bool = True
    """With a chat template: true makes the examples turns of a user and an assistant; false puts them into
    one message."""
    max_tokens: int | None = Field(default=None, ge=2)
    """Largest number of tokens that a model reads; default: the number of positions in its config.json."""

    @property
    def selection(self) -> TaskSelection:
        """The tasks and documents that lm-evaluation-harness loads."""
        from slimgate.tasks.parts.lm_eval_documents import TaskSelection

        return TaskSelection(self.tasks, self.fewshot, self.limit, self.fewshot_as_multiturn)


class LmEvalSource(Source[Params]):
    """The documents of the tasks. lm-evaluation-harness reads them, from the hub or from local files."""

    def columns(self, params: Params) -> tuple[str, ...]:
        """The columns, known before a document is read."""
        return COLUMNS

    def parts(self, params: Params) -> tuple[str, ...]:
        """The gate, and train, which only a task with training documents has."""
        return ("train", "gate")

    def is_real(self, params: Params) -> bool:
        """True: people write benchmarks, or help to write them."""
        return True

    def digest(self, params: Params) -> str:
        """The digest of every document with its requests and targets, and of lm-eval's version."""
        rows = _load_task_documents(params).rows
        parts = {part: [list(row.values()) for row in part_rows] for part, part_rows in rows.items()}
        return digest_json([parts, dict(read_versions(("lm_eval",)))])

    def read(self, params: Params, *, scratch: Path) -> Mapping[str, pa.Table]:
        """One row for each document. Raises DataError for a task that does not exist or cannot be run."""
        schema = pa.schema([(name, pa.string()) for name in COLUMNS])
        rows = _load_task_documents(params).rows
        return {part: pa.Table.from_pylist(part_rows, schema=schema) for part, part_rows in rows.items()}


class LmEval(TokenTask[Params]):
    default_metrics = (TASK_SCORE,)
    source = LmEvalSource()

    def columns(self, params: Params) -> tuple[str, ...]:
        """The columns of the source."""
        return COLUMNS[1:]

    def text_columns(self, params: Params) -> tuple[str, ...]:
        """The document's prompt without examples: it must not occur in two splits."""
        return ("prompt", "target")

    def folders(self, params: Params) -> tuple[Path, ...]:
        """The folders of YAML files, and of the files that these include."""
        from slimgate.tasks.parts.lm_eval_documents import list_task_files

        return tuple(sorted({file.parent for file in list_task_files(params.tasks)}))

    def environment(self, params: Params) -> Json:
        """The configuration of each task as lm-evaluation-harness resolves it, and its version."""
        from slimgate.tasks.parts.lm_eval_documents import format_configuration

        configured = {
            name: format_configuration(task)
            for name, task in sorted(_load_task_documents(params).tasks.items())
        }
        return {"configuration": configured, **read_versions(("lm_eval",))}

    def provides(self) -> frozenset[str]:
        """The scores of documents; for rolling tasks the nats of their text."""
        return frozenset({TASK_SCORE, RIGHT, *SCORES, *ROLLING})

    def facts(self, params: Params, splits: Mapping[str, Rows]) -> TaskFacts:
        """No facts: nothing is learnt from the rows. Raises DataError if `score` names an unknown task."""
        known = sorted({str(name) for name in splits["gate"].table["task"].unique().to_pylist()})
        if unknown := [name for name in params.score if name not in known]:
            raise DataError(f'score names "{unknown[0]}", and the tasks are {", ".join(known)}')
        return TaskFacts(())

    def check_model(self, params: Params, ref: ModelRef, config: Json, facts: TaskFacts | None) -> None:
        """Raises SuiteError if the model of a config.json cannot serve this task."""
        check_positions(params.max_tokens or 0, ref, config)
        check_language_model(ref, config)

    def list_texts(self, params: Params, rows: Rows) -> list[str]:
        """Each prompt with its target."""
        prompts, targets = (rows.table[name].to_pylist() for name in ("prompt", "target"))
        return [prompt + target for prompt, target in zip(prompts, targets, strict=True)]

    def encode_rows(self, params: Params, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Windows:
        """Prompts with their targets; models learn the targets."""
        from slimgate.tasks.parts.choice_scores import make_pair_windows, tokenize_pairs
        from slimgate.tasks.parts.lm_eval_documents import put_into_chat
        from slimgate.tasks.parts.lm_eval_model import DEFAULT_TOKENS

        prompts, targets = (rows.table[name].to_pylist() for name in ("prompt", "target"))
        if params.apply_chat_template:
            prompts, targets = put_into_chat(tokenizer, prompts, targets)
        pairs = tokenize_pairs(tokenizer, prompts, targets)
        max_tokens = params.max_tokens or DEFAULT_TOKENS
        return make_pair_windows(pairs, max_tokens=max_tokens, padding=tokenizer.pad_token_id or 0)

    def row_encoder(self, params: Params, folder: Path) -> Callable[[Rows], EncodedDocuments]:
        """Returns a function that encodes each document's first request with an artifact's tokenizer."""
        from slimgate.tasks.parts.lm_eval_model import make_document_encoder

        return make_document_encoder(_load_task_documents(params, folder), folder, params.max_tokens)

    def answer(
        self, params: Params, predictor: Predictor, encoded: EncodedDocuments, plan: AnswerPlan
    ) -> npt.NDArray[Any]:
        """(rows,) the results of lm-evaluation-harness for each document: an Answered."""
        from slimgate.tasks.parts.lm_eval_model import answer_documents

        documents = _load_task_documents(params, encoded.folder)
        return answer_documents(documents, predictor, encoded, plan, params.max_tokens)

    def outcomes(
        self, facts: TaskFacts, rows: Rows, scores: npt.NDArray[Any], params: Params, group: str | None
    ) -> Outcomes:
        """The scores that every document has, and task_score if no task is a rolling task."""
        tasks = rows.table["task"].to_pylist()
        shared = set.intersection(*(set(result.values) for result in scores)) if len(scores) else set()
        names = [name for name in (*SCORES, *ROLLING) if name in shared]
        values = {name: np.asarray([float(result.values[name]) for result in scores]) for name in names}
        if not set(ROLLING) <= shared:
            pairs = zip(tasks, scores, strict=True)
            task_scores = np.asarray([result.score(params.score.get(task), task) for task, result in pairs])
            values |= {TASK_SCORE: task_scores, RIGHT: (task_scores == 1).astype(np.float64)}
        return Outcomes(
            np.asarray(rows.ids, dtype=np.str_),
            values=values,
            given=("bytes",) if "bytes" in values else (),
            answers=np.asarray([result.answer for result in scores], dtype=np.str_),
            groups=number_groups(rows, group),
        )

    def with_planted_fault(self, outcomes: Outcomes, rows: Ints) -> Outcomes:
        """The outcomes in which the given rows have score 0; in rolling tasks, 2 nats more per token."""
        values = {name: column.copy() for name, column in outcomes.values.items()}
        for name in {TASK_SCORE, RIGHT, *SCORES} & values.keys():
            values[name][rows] = 0.0
        if "nats" in values:
            values["nats"][rows] += 2.0 * values["tokens"][rows]
        return replace(outcomes, values=values)


task = LmEval()


def _load_task_documents(params: Params, folder: Path | None = None) -> Documents:
    """The documents of the tasks. folder: of the model that answers them."""
    from slimgate.tasks.parts.lm_eval_documents import digest_task_files, load_documents

    chat = folder if params.apply_chat_template else None
    return load_documents(params.selection, chat, digest_task_files(params.tasks))
