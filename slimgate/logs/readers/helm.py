"""HELM: a run folder with `per_instance_stats.json`, one or more entries per instance and trial.

Each class of metrics may write a separate entry, so the entries of an instance are joined. Each statistic of
quality (`exact_match`, `quasi_exact_match`, ...) is a metric: its mean over the instance. Perturbed copies of
instances, and other splits than `test`, are filters of their own. HELM also stores the cost and size of a run
(`inference_runtime`, `num_prompt_tokens`), which are not quality. `scenario_state.json` has the answers, if
it exists.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from math import inf
from pathlib import Path
from typing import NamedTuple, TypedDict

from slimgate._system.json_text import JsonObject
from slimgate.errors import DataError, list_names
from slimgate.logs.json_lines import convert_to_text, read_array, read_beginning, read_object
from slimgate.logs.readers._figures import make_figures_error
from slimgate.logs.readers._rows import is_cut_off, make_keys, refuse_malformed
from slimgate.logs.readers._settings import number_names, simplify_options
from slimgate.plugins.environments import Environment, join_environments, make_environment
from slimgate.plugins.reader import (
    GENERATION,
    SCORERS,
    TASK_ARGS,
    Log,
    Reader,
    Row,
    TaskLog,
    name_further_epoch,
)

# The model in a run's name, `mmlu:subject=anatomy,model=openai_gpt2`; the text after it stays.
_MODEL = re.compile(r"[:,]model=([^,]*)")
# HELM's own ranges: from 0 to 1, whereas sacrebleu has 0 to 100.
_SHARES = ("bleu_1", "bleu_4", "mer_score", "wip_score", "chinese_mer_score", "chinese_wip_score")
_ERROR_RATES = ("wer_score", "cer_score", "ter_score", "chinese_wer_score", "chinese_cer_score")
_RANGES = {**dict.fromkeys(_SHARES, (0.0, 1.0)), **dict.fromkeys(_ERROR_RATES, (0.0, inf))}
_STATS, _STATE = "per_instance_stats.json", "scenario_state.json"
# Statistics of cost, size and bookkeeping, and of the model's own probability of its answer.
_NO_QUALITY = re.compile(
    r"num_.*|training_.*|inference_.*|estimated_.*|finish_reason_.*|batch_size|prompt_truncated|max_prob"
    r"|logprob(_per_byte)?|predicted_index|.*_(cost|runtime|time|tokens)"
)
# Grades of safety judges: 1 is safe.
_SAFETY = re.compile(
    r"(harm_bench|safety|simple_safety_tests|xstest|anthropic_red_team)(_gpt|_llama|_claude)?_score"
)
# Further names whose direction HELM's schemas (schema_*.yaml) state, and which `find_known_direction` lacks.
_AIR = re.compile(r"air(_category_\d+(_\d+)*)?_score")
_HIGHER = (
    *("live_qa_score", "medication_qa_score", "wildbench_score", "wildbench_score_rescaled"),
    *("adjusted_macro_f1_score", "wip_score", "chinese_wip_score"),
)
_LOWER = ("mer_score", *(f"chinese_{name}_score" for name in ("wer", "mer", "cer")))
_DIRECTIONS = {**dict.fromkeys(_HIGHER, True), **dict.fromkeys(_LOWER, False)}
_MOST_NAMED = 4
# The split of most scenarios; others are named in the comparison.
_MAIN_SPLIT = "test"
# How many instances ran, in the figures of a run.
_INSTANCES = "num_instances"
# Other figures of perturbed copies are of the worst copy of each instance, or of the original.
_PERTURBED = "perturbed"
# The figures of a run; each entry begins with a name and a count.
_FIGURES = "stats.json"
_START_OF_FIGURES = re.compile(r'\[\s*\{\s*"name": \{[^}]*\},\s*"count":')
_SPEC = "run_spec.json"
_GENERATION_OPTIONS = ("temperature", "max_tokens", "num_outputs", "stop_sequences", "random")
_LIMIT = "max_eval_instances"
# An argument of a class of metrics that only chooses which it computes.
_NAMES_OF_METRICS = ("names",)
_SAMPLING = (*_GENERATION_OPTIONS, _LIMIT)
_SHOTS = ("max_train_instances", "num_train_trials", "sample_train")
_MODEL_KEYS = ("model", "model_deployment")
# The fields that an instance states.
_FIELDS = ("split", "sub_split", "extra_data")


class Helm(Reader):
    """One run folder, or a folder of several. The figures of a run alone are refused."""

    def recognizes(self, path: Path) -> bool:
        if path.is_dir():
            return any(path.glob(f"**/{_STATS}")) or _find_figures(path) is not None
        return path.name == _STATS or _has_figures(path)

    def read(self, path: Path) -> Log:
        files = [path] if path.is_file() else sorted(path.glob(f"**/{_STATS}"))
        alone = path if _has_figures(path) else None if files else _find_figures(path)
        if alone is not None:
            instances = alone.with_name(_STATS)
            remedy = f"give {instances}" if instances.is_file() else f"give the run folder with {_STATS}"
            raise make_figures_error(alone, _list_figures(alone), "the score of each instance", remedy)
        suites = sorted({file.parent.parent for file in files})
        if len(suites) > 1:
            names = ", ".join(folder.as_posix() for folder in suites[:3])
            raise DataError(f"{path}: runs of {len(suites)} suites ({names}); give the folder of one suite")
        models = sorted({match[1] for file in files if (match := _MODEL.search(file.parent.name))})
        tasks = {_MODEL.sub("", file.parent.name): file for file in files}
        if len(models) > 1 or len(tasks) < len(files):
            raise DataError(
                f"{path}: logs of several models ({', '.join(models[:3])}); give the folder of one model"
            )
        parts = {name: _read_task(name, file) for name, file in tasks.items()}
        return Log(
            "helm",
            str(path),
            {name: task for name, (task, _) in parts.items()},
            models[0] if models else None,
            tuple(note for _, notes in parts.values() for note in notes),
            environment=join_environments(*(_read_environment(file.with_name(_SPEC)) for file in files)),
        )


def _has_figures(path: Path) -> bool:
    return path.name == _FIGURES and bool(_START_OF_FIGURES.match(read_beginning(path)))


def _find_figures(folder: Path) -> Path | None:
    return next(filter(_has_figures, sorted(folder.glob(f"**/{_FIGURES}"))), None)


def _list_figures(file: Path) -> Iterator[tuple[str, float]]:
    """The means of statistics of quality over all instances of a split, without perturbed instances."""
    for entry in read_array(file):
        name = entry["name"]
        is_quality = not _NO_QUALITY.fullmatch(str(name["name"]))
        if is_quality and "perturbation" not in name and entry.get("mean") is not None:
            yield " ".join(str(name[key]) for key in ("name", "split") if key in name), entry["mean"]


def _read_environment(file: Path) -> Environment:
    """The environment in run_spec.json; empty without the file."""
    if not file.is_file():
        return {}
    spec = read_object(file)
    adapter = spec.get("adapter_spec") or {}
    elsewhere = {*_SAMPLING, *_MODEL_KEYS}
    return make_environment(
        prompt={
            **{name: value for name, value in adapter.items() if name not in elsewhere},
            "scenario": spec.get("scenario_spec"),
            "data augmenter": spec.get("data_augmenter_spec"),
        },
        sampling={name: adapter.get(name) for name in _SAMPLING},
        model={name: adapter.get(name) for name in _MODEL_KEYS},
    )


def _read_settings(file: Path) -> dict[str, object]:
    """The settings in run_spec.json that two logs must share; empty without the file."""
    if not file.is_file():
        return {}
    spec = read_object(file)
    adapter = spec.get("adapter_spec") or {}
    elsewhere = {*_SHOTS, *_GENERATION_OPTIONS, *_MODEL_KEYS, _LIMIT}
    arguments = {name: value for name, value in adapter.items() if name not in elsewhere}
    graders = [*(spec.get("metric_specs") or ()), *(spec.get("annotators") or ())]
    model_names = {str(adapter[name]) for name in _MODEL_KEYS if adapter.get(name)}
    return {
        "shots": {name: adapter[name] for name in _SHOTS if name in adapter},
        "limit": {"limit": convert_to_text(adapter.get(_LIMIT))},
        GENERATION: {name: adapter[name] for name in _GENERATION_OPTIONS if name in adapter},
        TASK_ARGS: simplify_options(
            {**arguments, "scenario": spec.get("scenario_spec")}, model_names=model_names
        ),
        SCORERS: number_names(
            (
                str(grader["class_name"]).rpartition(".")[2],
                simplify_options(grader.get("args") or {}, ignored=_NAMES_OF_METRICS),
            )
            for grader in graders
        ),
    }


def _read_task(task: str, file: Path) -> tuple[TaskLog, list[str]]:
    """The task of a run folder, and notes on statistics that are not judged."""
    entries = read_array(file)
    statistics = _find_statistics(file, entries)
    empty = [name for name in statistics if not statistics[name]]
    scores = [name for name in statistics if statistics[name] and not _NO_QUALITY.fullmatch(name)]
    groups = {
        "have no value of any sample": empty,
        "are not a measure of quality": [name for name in statistics if name not in (*empty, *scores)],
    }
    notes = [
        f"{task}: statistics that {why}, and are not judged: {list_names(names, _MOST_NAMED)}"
        for why, names in groups.items()
        if names
    ]
    samples, means = _read_figures(file.with_name(_FIGURES), entries, frozenset(scores))
    log = TaskLog(
        rows=partial(_read_rows, file, frozenset(scores)),
        samples=samples,
        means=means,
        settings=_read_settings(file.with_name(_SPEC)),
        shared_options=("shots", GENERATION, TASK_ARGS, SCORERS),
        known_directions=_DIRECTIONS
        | {name: True for name in scores if _SAFETY.fullmatch(name) or _AIR.fullmatch(name)},
        ranges=_RANGES | {name: (0.0, 1.0) for name in scores if _SAFETY.fullmatch(name)},
    )
    return log, notes


def _read_figures(
    file: Path, entries: Sequence[JsonObject], names: Collection[str]
) -> tuple[int | None, dict[tuple[str, str], float]]:
    """How many rows each filter has, and the means by filter and statistic, as stats.json states them.

    The number is None if filters have different ones. A mean is left out if it is over parts of a split, or
    if it weighs the instances by how many values they have. entries: of the instances; names: of the
    statistics that are scores.
    """
    if not file.is_file():
        return None, {}
    trials = {entry.get("train_trial_index") or 0 for entry in entries}
    weighted = {
        stat["name"]["name"] for entry in entries for stat in entry["stats"] if stat.get("count", 1) > 1
    }
    sizes: Counter[str] = Counter()
    stated: dict[tuple[str, str], set[float]] = {}
    divided: set[tuple[str, str]] = set()
    for entry in read_array(file):
        name, mean = entry["name"], entry.get("mean")
        statistic, perturbation = str(name["name"]), name.get("perturbation") or {}
        if mean is None or perturbation.get("computed_on", _PERTURBED) != _PERTURBED:
            continue
        key = _Place("", 0, _name_split(name), _name_perturbation(name)).filter, statistic
        if statistic == _INSTANCES:
            sizes[key[0]] += mean
        elif statistic in names and statistic not in weighted:
            stated.setdefault(key, set()).add(mean)
            if name.get("sub_split"):
                divided.add(key)
    samples = set(sizes.values())
    means = {key: values.pop() for key, values in stated.items() if len(values) == 1 and key not in divided}
    return round(samples.pop() * len(trials)) if len(samples) == 1 else None, means


class _Answer(TypedDict, total=False):
    """The fields of a Row about the prompt and the answer."""

    prompt: str | None
    answer: str | None
    target: str | None
    fields: dict[str, object]
    answer_tokens: int | None
    truncated: bool | None


class _Place(NamedTuple):
    """What a row is the scores of. perturbation: how the instance was changed; "" for the original."""

    instance: str
    trial: int
    split: str
    perturbation: str

    @property
    def filter(self) -> str:
        """Splits and perturbed copies are judged apart, as HELM's own figures are; "" for the test split."""
        return " ".join(part for part in (self.split, self.perturbation) if part)


def _name_split(name: JsonObject) -> str:
    """The split in the name of a statistic; "" for the test split."""
    split = str(name.get("split") or "")
    return "" if split == _MAIN_SPLIT else split


def _name_perturbation(holder: JsonObject) -> str:
    return str((holder.get("perturbation") or {}).get("name") or "")


def _read_rows(file: Path, names: Collection[str]) -> Iterator[Row]:
    """The rows of a file, the originals first. names: of the statistics that are scores."""
    answers = _read_answers(file.with_name(_STATE))
    instances: dict[_Place, dict[str, float | None]] = {}
    listed: dict[_Place, None] = {}
    for at, entry in enumerate(read_array(file)):
        with refuse_malformed(f"{file}: entry {at} does not have HELM's format"):
            listed[_read_place(entry)] = None
            for place, statistic, value in _read_scores(entry, names):
                scores = instances.setdefault(place, {})
                if scores.setdefault(statistic, value) != value:
                    raise DataError(
                        f"{file}: entry {at}: {statistic} of instance {place.instance} is {value}, and "
                        f"{scores[statistic]} in an earlier entry; expected one value per instance, trial, "
                        "split and perturbation"
                    )
    # an instance without a score is missing; only a score would name its split
    scored = {place._replace(split="") for place in instances}
    instances |= {place: {} for place in listed if place not in scored}
    for place in sorted(instances, key=lambda place: place.filter != ""):
        key = place.instance, place.perturbation, place.trial
        stated = answers.get(key, {})
        prompt = stated.get("prompt")
        yield Row(
            id=name_further_epoch(place.instance, place.trial + 1),
            scores=instances[place],
            filter=place.filter,
            keys={} if prompt is None else make_keys(prompt=prompt, target=stated["target"] or ""),
            cluster=place.instance,
            **stated,
        )


def _find_statistics(file: Path, entries: Iterable[JsonObject]) -> dict[str, bool]:
    """Whether a statistic has a mean in any entry, by name, in order."""
    has_mean: dict[str, bool] = {}
    with refuse_malformed(f"{file}: an entry does not have HELM's format"):
        for entry in entries:
            for stat in entry["stats"]:
                name = str(stat["name"]["name"])
                has_mean[name] = has_mean.get(name, False) or "mean" in stat
    return has_mean


def _read_scores(entry: JsonObject, names: Collection[str]) -> Iterator[tuple[_Place, str, float | None]]:
    """The place, name and mean of each statistic that is a score."""
    for stat in entry["stats"]:
        name = stat["name"]
        if str(name["name"]) in names:
            yield _read_place(entry, name), str(name["name"]), stat.get("mean")


def _read_place(entry: JsonObject, name: JsonObject | None = None) -> _Place:
    """The place of a statistic, from its entry and its name; without a name, that of the entry."""
    stated = {} if name is None else name
    perturbation = _name_perturbation(stated) or _name_perturbation(entry)
    if entry["instance_id"] in (None, ""):
        raise TypeError("instance_id is empty")
    return _Place(
        str(entry["instance_id"]),
        int(entry.get("train_trial_index") or 0),
        _name_split(stated),
        perturbation,
    )


def _read_cut_off(completion: JsonObject) -> bool | None:
    """Whether the answer ended at the limit of its length; None if the log does not state why it ended."""
    reason = (completion.get("finish_reason") or {}).get("reason")
    return None if reason == "unknown" else is_cut_off(reason)


def _read_answers(file: Path) -> dict[tuple[str, str, int], _Answer]:
    """The fields of a Row about the prompt and the answer, by instance, perturbation and trial.

    Empty if the file does not exist.
    """
    if not file.is_file():
        return {}
    answers: dict[tuple[str, str, int], _Answer] = {}
    for state in read_object(file).get("request_states") or ():
        instance, result = state.get("instance") or {}, state.get("result") or {}
        completions = result.get("completions") or [{}]
        right = [
            (reference.get("output") or {}).get("text")
            for reference in instance.get("references") or ()
            if "correct" in (reference.get("tags") or ())
        ]
        trial = int(state.get("train_trial_index") or 0)
        answers[str(instance.get("id")), _name_perturbation(instance), trial] = {
            "prompt": convert_to_text((state.get("request") or {}).get("prompt")),
            "answer": convert_to_text(completions[0].get("text")),
            "target": convert_to_text(right[0] if right else None),
            "fields": {name: instance[name] for name in _FIELDS if instance.get(name) is not None},
            "answer_tokens": len(completions[0].get("tokens") or ()) or None,
            "truncated": _read_cut_off(completions[0]),
        }
    return answers


reader = Helm()
