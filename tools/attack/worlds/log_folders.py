"""Log folders as lm-evaluation-harness writes them: several runs of a model path share one folder.

`slimgate judge` judges them, and a suite, of which sometimes only some tests run.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tools.attack.world import World, action

BASE, TARGET = "logs/base", "logs/int4"
TASKS = ("arc_easy", "gsm8k")
DOCUMENTS, LIMIT = 400, 2.0
RULE, CHOSEN = "a log is one run", "what was not asked for has no verdict"
FIRST = "2026-01-01T00-00-00.000000"
SUITE = f"""\
[logs]
base = "../{BASE}"
targets = {{ int4 = "../{TARGET}" }}
[budgets]
"*" = {{ drop_points = {LIMIT} }}
"""
_FAILS = re.compile(r": FAIL\b|\b[1-9]\d* FAIL")
_SAMPLES = re.compile(r"samples_(\w+)_(\d{4}-[^_]+)\.jsonl")
_RESULTS = re.compile(r"results_(\d{4}-[^_]+)\.json")


@dataclass(frozen=True)
class Run:
    """A results file with the samples of the same time. settings: must be equal. scores: by task."""

    time: str
    settings: Mapping[str, Any]
    scores: Mapping[str, Mapping[str, float]]


class LogFolders(World):
    name = "log_folders"
    share = 2
    closing = ("judge",)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._month = 2

    def write_project(self) -> None:
        for folder in (BASE, TARGET):
            self._write_run(folder, FIRST, TASKS, chat="A", wrong=0)
        self.project.write("bench/logs.toml", SUITE)
        self.project.write("pytest.ini", "[pytest]\n")

    def _write_run(self, folder: str, time: str, tasks: tuple[str, ...], *, chat: str, wrong: int) -> None:
        for task in tasks:
            lines = [
                json.dumps(_make_sample(task, at, float(at % 100 >= wrong), chat)) for at in range(DOCUMENTS)
            ]
            self.project.write(
                f"{folder}/samples_{task}_{time}.jsonl", "".join(f"{line}\n" for line in lines)
            )
        results = {
            "results": {task: {"acc,none": _compute_mean(wrong)} for task in tasks},
            "configs": {task: {"generation_kwargs": None, "filter_list": None} for task in tasks},
            "versions": dict.fromkeys(tasks, 1),
            "n-shot": dict.fromkeys(tasks, 0),
            "higher_is_better": {task: {"acc": True} for task in tasks},
            "n-samples": {task: {"original": DOCUMENTS, "effective": DOCUMENTS} for task in tasks},
            "config": {"model": "hf", "model_args": {"pretrained": folder}},
            "chat_template_sha": chat,
            "system_instruction_sha": None,
            "fewshot_as_multiturn": False,
        }
        self.project.write(f"{folder}/results_{time}.json", json.dumps(results))

    def _list_runs(self, folder: str) -> list[Run]:
        """The runs of a folder, the oldest first."""
        files = {path.name: path for path in sorted(self.project.find_path(folder).glob("*"))}
        runs = []
        for name, path in files.items():
            if match := _RESULTS.fullmatch(name):
                results, scores = json.loads(path.read_text()), {}
                for other, file in files.items():
                    samples = _SAMPLES.fullmatch(other)
                    if samples and samples[2] == match[1]:
                        rows = [json.loads(line) for line in file.read_text().splitlines()]
                        scores[samples[1]] = {
                            row["prompt_hash"] + row["doc_hash"]: row["acc"] for row in rows
                        }
                keys = ("chat_template_sha", "system_instruction_sha", "n-shot", "versions", "configs")
                settings = {key: _select_tasks(results[key], scores) for key in keys}
                runs.append(Run(match[1], settings, scores))
        return sorted(runs, key=lambda run: run.time)

    def _find_denial(self, text: str, tasks: Sequence[str] = TASKS) -> str | None:
        """Why a PASS of these tasks is not true; None if it may be."""
        bases, targets = self._list_runs(BASE), self._list_runs(TARGET)
        reasons = []
        for base in bases:
            for target in targets:
                reason = _find_difference(base, target, tasks)
                for run, runs in ((base, bases), (target, targets)):
                    if reason is None and run is not runs[-1] and run.time[:16] not in text.replace(":", "-"):
                        reason = f"the run of {run.time} is not the newest, and is not named"
                if reason is None:
                    return None
                reasons.append(f"base {base.time}, target {target.time}: {reason}")
        return "no single run passes: " + "; ".join(reasons)

    @action(6)
    def judge(self, draw: random.Random) -> str:
        chosen = draw.choice((["--run", "latest"], [], self._draw_runs(draw)))
        done = self.run_slimgate("judge", BASE, TARGET, "--drop-points", str(LIMIT), *chosen)
        self.verdict = f"exit {done.code}"
        if done.code == 0 and (reason := self._find_denial(done.text)):
            self.deny(RULE, f"exit code 0, and {reason}")
        return f"slimgate judge {' '.join(chosen)}: exit {done.code}"

    def _draw_runs(self, draw: random.Random) -> list[str]:
        """Options that name a run of each folder by its time."""
        sides = (("base", self._list_runs(BASE)), ("target", self._list_runs(TARGET)))
        return [
            word
            for side, runs in sides
            if runs
            for word in ("--run", f"{side}={draw.choice(runs).time[:10]}")
        ]

    @action(2)
    def judge_suite(self, draw: random.Random) -> str:
        words = draw.choice(("", *TASKS))
        tasks = TASKS if not words else [task for task in TASKS if words == task]
        options = draw.choice((["-k", words], [*_leave_out(tasks)])) if words else []
        done = self.run_module("pytest", "bench/logs.toml", "-q", "-p", "no:cacheprovider", *options)
        self.verdict = f"suite exit {done.code}"
        if done.code == 0 and (reason := self._find_denial(done.text, tasks)):
            self.deny(RULE, f"exit code 0 of {', '.join(tasks)}, and {reason}")
        if done.code == 0 and _FAILS.search(done.text):
            self.deny(CHOSEN, "exit code 0 with a FAIL")
        return f"pytest {' '.join(options)}: exit {done.code}"

    @action(4)
    def evaluate_again(self, draw: random.Random) -> str:
        """Replaces folders by a new run. Without it, most sequences end with logs that cannot be judged."""
        folders = draw.choice(((BASE,), (TARGET,), (BASE, TARGET), (BASE, TARGET)))
        self._month += 1
        time, wrong = f"2026-{self._month:02}-01T00-00-00.000000", draw.choice((0, 0, 0, 20))
        for folder in folders:
            shutil.rmtree(self.project.find_path(folder), ignore_errors=True)
            self._write_run(folder, time, TASKS, chat="A", wrong=wrong if folder == TARGET else 0)
        return f"{' and '.join(folders)}: empty, then a run of {time[:10]}, {wrong} % wrong in the target"

    @action(2)
    def add_run(self, draw: random.Random) -> str:
        self._month += 1
        time = f"2026-{self._month:02}-01T00-00-00.000000"
        folder = draw.choice((BASE, TARGET, TARGET, TARGET))
        tasks = draw.choice((TASKS, TASKS, TASKS[:1], TASKS[1:]))
        chat, wrong = draw.choice("AAAB"), draw.choice((0, 0, 1, 20))
        self._write_run(folder, time, tasks, chat=chat, wrong=wrong)
        return f"{folder}: a run of {time[:10]}, {', '.join(tasks)}, chat template {chat}, {wrong} % wrong"

    @action(2)
    def damage_samples(self, draw: random.Random) -> str:
        name = draw.choice(self._list_samples_files(TARGET))
        rows = [json.loads(line) for line in self.project.read(name).decode().splitlines()]
        for row in rows[: len(rows) // 5]:
            row["acc"] = 0.0
        self.project.write(name, "".join(json.dumps(row) + "\n" for row in rows))
        stated = draw.random() < 0.5 and self._state_mean(name, rows)
        return f"{name}: a fifth of the answers is wrong" + (", and the results say so" if stated else "")

    def _state_mean(self, name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Writes the mean of a samples file into the results of the same time; False if there are none."""
        match = _SAMPLES.fullmatch(name.rpartition("/")[2])
        assert match is not None
        file = f"{TARGET}/results_{match[2]}.json"
        if not self.project.find_path(file).is_file():
            return False
        results = json.loads(self.project.read(file))
        scores = [row["acc"] for row in rows if row["acc"] is not None]
        results["results"][match[1]] = {"acc,none": sum(scores) / max(len(scores), 1)}
        self.project.write(file, json.dumps(results))
        return True

    @action(1)
    def take_scores_away(self, draw: random.Random) -> str:
        names = self._list_samples_files(BASE)[:1] + self._list_samples_files(TARGET)[:1]
        for name in names:
            rows = [json.loads(line) for line in self.project.read(name).decode().splitlines()]
            for row in rows[: len(rows) // 5]:
                row["acc"] = None
            self.project.write(name, "".join(json.dumps(row) + "\n" for row in rows))
        return f"{' and '.join(names)}: a fifth of the rows has no score"

    @action(1)
    def repeat_samples(self, draw: random.Random) -> str:
        name = draw.choice(self._list_samples_files(TARGET))
        lines = self.project.read(name).decode().splitlines()
        right = [json.dumps({**json.loads(line), "acc": 1.0}) for line in lines]
        self.project.write(name, "".join(f"{line}\n" for line in [*lines, *right]))
        return f"{name}: each sample comes again, with a right answer"

    @action(1)
    def delete_file(self, draw: random.Random) -> str | None:
        names = self.project.list_files(TARGET)
        if len(names) < 4:
            return None
        name = draw.choice(names)
        self.project.find_path(name).unlink()
        return f"delete {name}"

    @action(1)
    def copy_samples_to_other_time(self, draw: random.Random) -> str | None:
        runs = self._list_runs(TARGET)
        if len(runs) < 2:
            return None
        task = draw.choice(TASKS)
        old, new = (f"{TARGET}/samples_{task}_{run.time}.jsonl" for run in (runs[0], runs[-1]))
        if not self.project.find_path(old).exists():
            return None
        self.project.write(new, self.project.read(old))
        return f"copy {old} to {new}"

    @action(1)
    def change_settings(self, draw: random.Random) -> str | None:
        names = [name for name in self.project.list_files(TARGET) if "/results_" in name]
        if not names:
            return None
        name, shots = draw.choice(names), draw.choice((0, 5))
        results = json.loads(self.project.read(name))
        results["n-shot"] = dict.fromkeys(results["n-shot"], shots)
        self.project.write(name, json.dumps(results))
        return f"{name}: {shots} shots"

    @action(1)
    def copy_folder(self, draw: random.Random) -> str:
        self.project.copy_folder(BASE, TARGET)
        return f"copy {BASE} over {TARGET}"

    def _list_samples_files(self, folder: str) -> list[str]:
        names = [name for name in self.project.list_files(folder) if "/samples_" in name]
        if not names:
            self._write_run(folder, FIRST, TASKS, chat="A", wrong=0)
            names = [name for name in self.project.list_files(folder) if "/samples_" in name]
        return names


def _make_sample(task: str, at: int, score: float, chat: str) -> dict[str, Any]:
    prompt = f"{chat}: {task} question {at}?"
    answer = "yes" if score else "no"
    return {
        "doc_id": at,
        "doc": {"question": f"question {at}?"},
        "target": "yes",
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": {}}},
        "resps": [[answer]],
        "filtered_resps": [answer],
        "filter": "none",
        "metrics": ["acc"],
        "doc_hash": _hash_text(f"{task} {at}"),
        "prompt_hash": _hash_text(prompt),
        "target_hash": _hash_text("yes"),
        "acc": score,
    }


def _hash_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _select_tasks(setting: Any, tasks: Mapping[str, Any]) -> Any:
    return {task: setting.get(task) for task in tasks} if isinstance(setting, dict) else setting


def _compute_mean(wrong: int) -> float:
    return sum(at % 100 >= wrong for at in range(DOCUMENTS)) / DOCUMENTS


def _leave_out(tasks: Sequence[str]) -> Iterator[str]:
    for task in TASKS:
        if task not in tasks:
            yield from ("--deselect", f"bench/logs.toml::test_logs[int4-{task}/acc]")


def _find_difference(base: Run, target: Run, tasks: Sequence[str]) -> str | None:
    """Why two runs do not give a PASS of these tasks; None if they do."""
    if not base.scores or set(base.scores) != set(target.scores):
        return f"tasks {sorted(base.scores)} and {sorted(target.scores)}"
    if base.settings != target.settings:
        return "other settings"
    for task, before in base.scores.items():
        if task not in tasks:
            continue
        after = target.scores[task]
        if set(before) != set(after):
            return f"{task}: other samples"
        pairs = [(score, after[key]) for key, score in before.items()]
        empty = [pair for pair in pairs if None in pair]
        if len(empty) > len(pairs) / 100:
            return f"{task}: {len(empty)} of {len(pairs)} samples have no score"
        drop = 100 * sum(pair[0] - pair[1] for pair in pairs if None not in pair) / len(pairs)
        if drop > LIMIT:
            return f"{task}: observed drop {drop:.1f} points, budget {LIMIT}"
    return None
