"""The documents of lm-evaluation-harness's tasks, with their requests, and the scores of answers.

Tasks are prepared as `lm_eval.simple_evaluate` prepares them (version 0.4.13, evaluator.py): the same seeds,
shots, limits and order, so that prompts and results are the same.
"""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from slimgate._system import quiet
from slimgate._system.digests import digest_json, file_sha256
from slimgate._system.requirements import import_extra
from slimgate.errors import DataError, MeasureError, format_error, format_suggestion
from slimgate.models.saved_files import load_tokenizer
from slimgate.models.seeding import isolated_seed
from slimgate.plugins.rows import GATE

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.api.task import Task as LmEvalTask
    from transformers import PreTrainedTokenizerBase

    from slimgate.plugins.base import Json

# The seeds of simple_evaluate.
RANDOM_SEED, SEED = 0, 1234
ROLLING = "loglikelihood_rolling"
TRAIN = "train"
# An include in the YAML file of a task, and the memory address in the text of an object.
_INCLUDE = re.compile(r"^\s*include:\s*(\S+)\s*$", re.MULTILINE)
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_READ_SUFFIXES = frozenset({".yaml", ".yml", ".py", ".json", ".jsonl", ".csv", ".tsv", ".txt", ".parquet"})
_DOCUMENT_FOLDERS: list[TemporaryDirectory[str]] = []
# (kind of request, requests) -> an answer to each request.
AnswerRequests = Callable[[str, list[Any]], Sequence[Any]]
DocumentRow = dict[str, str]
ChatTemplate = Callable[..., str]


@dataclass(frozen=True)
class TaskSelection:
    """Which tasks, by name or path of a YAML file, and the number of shots and documents of each.

    multiturn: with a chat template, whether shots are separate turns.
    """

    tasks: tuple[str, ...]
    fewshot: int | None
    limit: int | float | None
    multiturn: bool = True


@dataclass(frozen=True)
class Answered:
    """The answer to a document, and its values.

    values: by metric of the first filter that has it, and by "METRIC,FILTER"; answer: the text.
    directions: by metric, whether a higher value is better; None if the task does not say it.
    """

    values: Mapping[str, float]
    answer: str
    directions: Mapping[str, bool | None] = field(default_factory=dict)

    def score(self, name: str | None, task: str) -> float:
        """The score with that name, or the first score.

        Raises MeasureError if it is not from 0 to 1, or if it is not known that higher values are better.
        """
        if name is not None and name not in self.values:
            raise MeasureError(
                f'task {task} has no score "{name}"; it has {", ".join(self.values) or "none"}'
            )
        chosen = name or next(iter(self.values), None)
        if chosen is None:
            raise MeasureError(f"task {task} has no score for a single document, so it cannot be judged")
        if not 0 <= self.values[chosen] <= 1:
            raise MeasureError(
                f"{chosen} of task {task} is {self.values[chosen]:g}, expected a score from 0 to 1; choose "
                f'another by [task] score = {{ {task} = "…" }}: {", ".join(self.values)}'
            )
        metric = chosen.partition(",")[0]
        if (is_higher_better := self.directions.get(metric)) is not True:
            problem = "is better if it is lower" if is_higher_better is False else "has no higher_is_better"
            raise MeasureError(
                f"{metric} of task {task} {problem}, expected a score with higher_is_better: true in the "
                f'task\'s metric_list; choose another by [task] score = {{ {task} = "…" }}: '
                f"{', '.join(self.values)}"
            )
        return self.values[chosen]


@dataclass(frozen=True, eq=False)
class Documents:
    """The documents of tasks.

    tasks: name -> lm-evaluation-harness's task. rows: part (gate, train) -> a row for each document.
    gate: id of a row -> the requests of its document. training: name of a task -> its training documents.
    request_options: what lm-evaluation-harness needs to make the requests of training documents.
    """

    tasks: Mapping[str, Any]
    rows: Mapping[str, list[DocumentRow]]
    gate: Mapping[str, list[Any]]
    training: Mapping[str, Sequence[Any]]
    request_options: Mapping[str, Any]
    _training_requests: dict[str, list[Any]] = field(default_factory=dict)

    def make_requests(self, row: str) -> list[Any]:
        """The requests of a row's document, in order. Requests of training documents are made here."""
        if row in self.gate:
            return self.gate[row]
        if row not in self._training_requests:
            name, _, number = row.rpartition(f"/{TRAIN}/")
            training_requests = _make_training_requests(
                self.tasks[name], self.training[name], int(number), self.request_options
            )
            self._training_requests[row] = training_requests
        return self._training_requests[row]


@lru_cache(maxsize=4)
def load_documents(
    selection: TaskSelection, chat: Path | None = None, _digests: tuple[tuple[str, str], ...] = ()
) -> Documents:
    """Loads the documents of tasks, with their requests.

    Raises DataError for a task that does not exist or cannot be run here, MissingExtra without lm-eval.

    chat: the folder of a model whose chat template formats the requests; None: prompts without a template.
    _digests: of the tasks' files (`digest_task_files`), for the cache only: changed files are read again.
    """
    template = None if chat is None else make_chat_template(load_tokenizer(chat))
    with quiet.silent(), isolated_seed(SEED), _without_cached_local_files():
        random.seed(RANDOM_SEED)
        tasks = _load_tasks(selection)
        request_options = {
            "apply_chat_template": template is not None,
            "fewshot_as_multiturn": selection.multiturn,
            "chat_template": template,
        }
        for name, task in tasks.items():
            _prepare_requests(name, task, selection, request_options)
        requests: dict[str, list[Any]] = defaultdict(list)
        for task in tasks.values():
            for instance in task.instances:
                requests[f"{instance.task_name}/{instance.doc_id}"].append(instance)
        rows = {
            GATE: [
                _make_gate_row(tasks[row_requests[0].task_name], row, row_requests)
                for row, row_requests in requests.items()
            ]
        }
        training = {
            name: task.training_docs() or () for name, task in tasks.items() if task.has_training_docs()
        }
        train = [row for name, docs in training.items() for row in _list_train_rows(name, tasks[name], docs)]
    if train:
        rows[TRAIN] = train
    return Documents(tasks, rows, requests, training, request_options)


def list_task_files(tasks: Sequence[str]) -> list[Path]:
    """The YAML files among the names of tasks, and all files that they include, directly or indirectly."""
    todo = [Path(name) for name in tasks if name.endswith((".yaml", ".yml"))]
    files: dict[Path, None] = {}
    while todo:
        file = todo.pop()
        if file in files or not file.is_file():
            continue
        files[file] = None
        included = _INCLUDE.findall(file.read_text("utf-8", errors="replace"))
        todo += [file.parent / name.strip("\"'") for name in included]
    return list(files)


def digest_task_files(tasks: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Name and digest of the files in the folders of tasks that lm-evaluation-harness may read."""
    folders = sorted({file.parent for file in list_task_files(tasks)})
    paths = [path for folder in folders for path in sorted(folder.iterdir())]
    files = [path for path in paths if path.suffix in _READ_SUFFIXES]
    return tuple((str(path), file_sha256(path)) for path in files)


@contextmanager
def _without_cached_local_files() -> Iterator[None]:
    """Keeps what datasets makes of local files in a new folder, until the process ends.

    datasets identifies a local file by its path and its time alone. If a file got other documents and kept
    its time (rsync -t, tar, a build that sets all times to one value), the old documents would be judged.
    """
    import datasets
    from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES as FORMATS

    load: Callable[..., Any] = datasets.load_dataset
    folder = TemporaryDirectory(prefix="slimgate-documents-")
    _DOCUMENT_FOLDERS.append(folder)  # documents are memory-mapped from its files

    def load_local_files(path: str, *args: object, **options: Any) -> Any:
        is_remote = "://" in str(options.get("data_files", ""))
        if (path in FORMATS or Path(path).exists()) and not is_remote:
            options.setdefault("cache_dir", folder.name)
        return load(path, *args, **options)

    datasets.load_dataset = load_local_files
    try:
        yield
    finally:
        datasets.load_dataset = load


def format_configuration(task: LmEvalTask) -> str:
    """All settings of a task as text: with the YAML files that it includes, and the code of its functions."""
    try:
        settings = task.dump_config()
    except Exception:  # a task that is a Python class may have none; its code counts
        settings = {}
    return _ADDRESS.sub("", json.dumps(settings, sort_keys=True, default=str))


def _load_tasks(selection: TaskSelection) -> dict[str, Any]:
    files = all(name.endswith((".yaml", ".yml")) for name in selection.tasks)
    manager = _make_task_manager(include_defaults=not files)
    try:
        return dict(manager.load(list(selection.tasks))["tasks"])
    except KeyError as error:
        for name in selection.tasks:
            if not name.endswith((".yaml", ".yml")) and name not in manager.all_tasks:
                hint = format_suggestion(name, manager.all_tasks)
                raise DataError(f'tasks: lm-eval has no task "{name}"{hint}') from error
        raise DataError(f"tasks: lm-eval cannot load them: {format_error(error)}") from error
    # a task's own code, and the libraries that read its files, may raise any error
    except Exception as error:
        raise DataError(f"tasks: lm-eval cannot load them: {format_error(error)}") from error


@cache
def _make_task_manager(*, include_defaults: bool) -> Any:
    """The manager of lm-evaluation-harness. With the defaults, it reads the 14,000 files of its own tasks."""
    package = import_extra("lm_eval.tasks", "lm_eval", "task lm_eval")
    return package.TaskManager(include_defaults=include_defaults)


def make_chat_template(tokenizer: PreTrainedTokenizerBase) -> ChatTemplate:
    """Returns a function: messages -> prompt, as in lm-evaluation-harness. DataError without a template."""
    from lm_eval.models.huggingface import HFLM

    if not getattr(tokenizer, "chat_template", None):
        raise DataError(
            f"apply_chat_template = true, but {type(tokenizer).__name__} has no chat template; leave it "
            "out, or use a model whose tokenizer has a chat_template"
        )
    model = SimpleNamespace(tokenizer=tokenizer, chat_template_args={})

    def apply(messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return str(HFLM.apply_chat_template(model, messages, add_generation_prompt=add_generation_prompt))

    return apply


def put_into_chat(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], targets: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Prompts as a user's messages, and the assistant's answers, for training.

    The template ends at the start of an answer, so the blank before a target is removed. A start token that
    the tokenizer adds by itself is removed too.
    """
    template, start = make_chat_template(tokenizer), tokenizer.bos_token or ""
    adds_start = tokenizer.bos_token_id in tokenizer("a")["input_ids"][:1]
    chats = [template([{"role": "user", "content": prompt}]) for prompt in prompts]
    prompts = [text.removeprefix(start) for text in chats] if adds_start else chats
    return prompts, [text.lstrip() for text in targets]


def _prepare_requests(
    name: str, task: LmEvalTask, selection: TaskSelection, request_options: Mapping[str, object]
) -> None:
    """Prepares shots and requests, as simple_evaluate makes them."""
    from lm_eval.evaluator_utils import get_sample_size

    if getattr(task, "UNSAFE_CODE", False):
        raise DataError(f"task {name} runs code that a model writes, which slimgate does not do")
    if getattr(task, "MULTIMODAL", False):
        raise DataError(f"task {name} needs more than text, which slimgate does not give its models")
    stated = task.get_config("num_fewshot")
    if stated is None or (selection.fewshot is not None and stated != 0):
        task.set_config(key="num_fewshot", value=selection.fewshot or 0)
    task.set_fewshot_seed(seed=SEED)
    try:
        task.build_all_requests(limit=get_sample_size(task, selection.limit), **request_options)
    except Exception as error:  # templates of a task
        raise DataError(f"task {name}: lm-eval cannot make its requests: {format_error(error)}") from error


def _make_training_requests(
    task: LmEvalTask, docs: Sequence[Json], number: int, request_options: Mapping[str, object]
) -> list[Any]:
    """A training document's requests, as from build_all_requests. The document is not its own example."""
    doc, sampler = docs[number], task.sampler
    pool = sampler.fewshot_docs()
    examples = [candidate for candidate in pool if candidate != doc] if task.config.num_fewshot else pool
    sampler.set_rnd(SEED + number)
    sampler.df = examples
    try:
        context = task.fewshot_context(
            doc,
            num_fewshot=min(task.config.num_fewshot, len(examples)),
            gen_prefix=task.doc_to_prefix(doc),
            **request_options,
        )
    finally:
        sampler.df = pool
    requests = task.construct_requests(
        doc=doc,
        ctx=context,
        metadata=(task.config["task"], f"{TRAIN}/{number}", task.config.repeats),
        apply_chat_template=request_options["apply_chat_template"],
        chat_template=request_options["chat_template"],
    )
    return requests if isinstance(requests, list) else [requests]


def _make_gate_row(task: LmEvalTask, row: str, requests: Sequence[Instance]) -> DocumentRow:
    first = requests[0]
    return {
        "id": row,
        "task": first.task_name,
        "prompt": _render_prompt(task, first.doc) or str(first.args[0]) or _render_target(task, first.doc),
        "target": _render_target(task, first.doc) or str(first.args[-1]),
        "requests": digest_json(
            [
                [[request.request_type, list(map(str, request.args))] for request in requests],
                _ADDRESS.sub("", json.dumps(first.doc, sort_keys=True, default=str)),
            ]
        ),
    }


def _list_train_rows(name: str, task: LmEvalTask, docs: Sequence[Json]) -> Iterator[DocumentRow]:
    """Documents of the training split that have a prompt and a target."""
    for number, doc in enumerate(docs):
        prompt, target = _render_prompt(task, doc), _render_target(task, doc)
        if prompt.strip() and target.strip():
            row = f"{name}/{TRAIN}/{number}"
            yield {"id": row, "task": name, "prompt": prompt, "target": target, "requests": ""}


def _render_prompt(task: LmEvalTask, doc: Json) -> str:
    text = task.doc_to_text(doc)
    return text if isinstance(text, str) else ""


def _render_target(task: LmEvalTask, doc: Json) -> str:
    """The text after the prompt if the model is right, including the text between the two."""
    target = task.doc_to_target(doc)
    if isinstance(target, list | tuple):
        target = target[0] if target else ""
    if isinstance(target, int) and not isinstance(target, bool) and task.config.doc_to_choice is not None:
        choices = task.doc_to_choice(doc)
        target = choices[target] if target in range(len(choices)) else ""
    text = str(target)
    return f"{task.config.target_delimiter}{text}" if text else ""


def score_documents(
    documents: Documents, rows: Sequence[str], answer_requests: AnswerRequests
) -> dict[str, Answered]:
    """The answer to each row's document, with its scores."""
    requests_by_row = {
        row: [replace(request, resps=[], filtered_resps={}) for request in documents.make_requests(row)]
        for row in rows
    }
    by_kind: dict[str, list[Any]] = defaultdict(list)
    for row_requests in requests_by_row.values():
        for request in row_requests:
            by_kind[request.request_type] += [request] * (request.repeats or 1)
    for kind, requests in by_kind.items():
        for request, answer in zip(requests, answer_requests(kind, requests), strict=True):
            request.resps.append(answer)
    by_task: dict[str, dict[str, list[Any]]] = defaultdict(dict)
    for row, row_requests in requests_by_row.items():
        by_task[row_requests[0].task_name][row] = row_requests
    answered: dict[str, Answered] = {}
    for name, task_requests in by_task.items():
        answered |= _score_task(documents.tasks[name], task_requests)
    return answered


def _score_task(task: LmEvalTask, requests_by_row: Mapping[str, list[Instance]]) -> dict[str, Answered]:
    """Filters, then scores, in the order of lm_eval.evaluator.evaluate."""
    all_instances = task._instances
    task._instances = [request for row_requests in requests_by_row.values() for request in row_requests]
    try:
        task.apply_filters()
    finally:
        task._instances = all_instances
    directions = dict(task.higher_is_better())
    return {
        row: Answered(_compute_task_values(task, row_requests), _read_answer(row_requests), directions)
        for row, row_requests in requests_by_row.items()
    }


def _compute_task_values(task: LmEvalTask, requests: Sequence[Instance]) -> dict[str, float]:
    ordered = sorted(requests, key=lambda request: request.idx)
    if task.OUTPUT_TYPE == ROLLING:
        text = str(ordered[0].args[0])
        return {"nats": -float(ordered[0].resps[0]), "bytes": float(len(text.encode()))}
    values: dict[str, float] = {}
    for name in ordered[0].filtered_resps:
        scores = task.process_results(ordered[0].doc, [request.filtered_resps[name] for request in ordered])
        for metric, value in scores.items():
            if isinstance(value, bool | int | float) or getattr(value, "shape", None) == ():
                values.setdefault(metric, float(value))
                values.setdefault(f"{metric},{name}", float(value))
    return values


def _read_answer(requests: Sequence[Instance]) -> str:
    """The text that the model wrote, or the likeliest continuation."""
    first = requests[0]
    if first.request_type == "generate_until":
        return str(first.resps[0])
    if first.request_type == ROLLING:
        return ""
    if len(requests) == 1:
        return "likeliest" if first.resps[0][1] else ""
    best = max(requests, key=lambda request: float(request.resps[0][0]))
    return str(best.args[1])
