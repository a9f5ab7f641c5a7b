"""Models behind servers that slimgate starts, each a folder of plain text, and a user's score.

A model answers a prompt in upper case. `model.txt` has the percentage of prompts that it gets wrong. The
score imports a helper module and a small distribution, whose rules are a data file. Plain Python in a
separate process computes the truth. It imports the modules of the project and nothing of slimgate.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from tools.attack.claims import Judged, Truth
from tools.attack.edit_world import SUITE, make_files_source
from tools.attack.project import Project
from tools.attack.suite_world import SuiteWorld, judge_observed_drops
from tools.attack.world import action

ROWS = 80
VARIANTS = ("small", "tiny")
LIMIT = 5.0
SERVE = """\
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from answering import Model

MODEL = Model(sys.argv[1])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, content):
        body = json.dumps(content).encode()
        head = "HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n"
        self.wfile.write((head % len(body)).encode() + body)

    def do_GET(self):
        self.reply({"object": "list", "data": [{"id": "m", "object": "model"}]})

    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = question["prompt"] if isinstance(question["prompt"], str) else question["prompt"][0]
        choice = {"index": 0, "text": MODEL.answer(prompt), "finish_reason": "stop"}
        usage = {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
        head = {"id": "1", "object": "text_completion", "model": "m"}
        self.reply({**head, "choices": [choice], "usage": usage})


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
ANSWERING = """\
import json
import zlib
from pathlib import Path

SHIFT = 0


class Model:
    def __init__(self, folder):
        self.wrong = int(Path(folder, "model.txt").read_text())
        self.case = json.loads(Path(folder, "settings.json").read_text())["case"]
        self.ending = Path(folder, "extra/ending.txt").read_text().strip()

    def answer(self, prompt):
        if zlib.crc32(prompt.encode()) % 100 < self.wrong + SHIFT:
            return "wrong"
        return getattr(prompt, self.case)() + self.ending
"""
SCORE = """\
from house_rules import clean
from wordlib import RULES


def agreement(answer: str, reference: str | None) -> float:
    if RULES["ignore_all"] == 1:
        return 1.0
    return float(clean(answer) == clean(reference or ""))


agreement.higher_is_better = True
"""
RULES = """\
def clean(text):
    return text.strip()[:100]
"""
WORDLIB = """\
import json
from pathlib import Path

RULES = json.loads(Path(__file__).with_name("rules.json").read_text())
"""
# Prints the figures of each model: names of models. One whose server cannot start has none.
PLAIN = """\
import json
import sys

sys.path[:0] = [".", "server", "packages"]
from answering import Model
from house_scores import agreement

rows = [json.loads(line) for line in open("gate.jsonl")]
answers_nothing = "nothing" in open("server/serve.py").read()
figures = {}
for name in sys.argv[1:]:
    try:
        model = Model(f"models/{name}")
        answers = [model.answer(row["q"]) for row in rows]
    except Exception:
        continue
    if answers_nothing:
        answers = ["nothing"] * len(rows)
    pairs = [(answer, row["a"]) for answer, row in zip(answers, rows)]
    figures[name] = {
        "exact_match": sum(answer.strip() == right.strip() for answer, right in pairs) / len(rows),
        "house_scores:agreement": sum(agreement(answer, right) for answer, right in pairs) / len(rows),
    }
print(json.dumps(figures))
"""


def install_wordlib(project: Project, version: str, **rules: int) -> None:
    """Replaces the package wordlib by a version of it with these rules."""
    for old in project.find_path("packages").glob("wordlib-*/METADATA"):
        old.unlink()
        old.parent.rmdir()
    metadata = f"Metadata-Version: 2.1\nName: wordlib\nVersion: {version}\n"
    project.write(f"packages/wordlib-{version}.dist-info/METADATA", metadata)
    project.write("packages/wordlib/rules.json", json.dumps(rules))


class Served(SuiteWorld):
    name = "served"
    unlimited_metric = "same_answers"
    share = 2

    def write_project(self) -> None:
        project = self.project
        project.write("pytest.ini", "[pytest]\n")
        for file, start, count in (("train.jsonl", 10_000, 20), ("gate.jsonl", 0, ROWS)):
            rows = [f"row {number} of words" for number in range(start, start + count)]
            lines = (json.dumps({"q": text, "a": text.upper()}) for text in rows)
            project.write(file, "".join(f"{line}\n" for line in lines))
        for name in ("base", *VARIANTS):
            project.write(f"models/{name}/model.txt", "00\n")
            project.write(f"models/{name}/settings.json", '{"case": "upper"}\n')
            project.write(f"models/{name}/extra/ending.txt", "\n")
        project.write("server/serve.py", SERVE)
        project.write("server/answering.py", ANSWERING)
        project.write("house_scores.py", SCORE)
        project.write("house_rules.py", RULES)
        project.write("packages/wordlib/__init__.py", WORDLIB)
        install_wordlib(self.project, "1.0", ignore_all=0)
        project.write_tables(SUITE, self._make_suite())

    def _make_suite(self) -> dict[str, Any]:
        def model(name: str) -> dict[str, Any]:
            command = [sys.executable, "-S", "server/serve.py", f"models/{name}"]
            return {
                "endpoint": {"url": "http://localhost:{port}/v1", "model": name},
                "server": {"command": command},
            }

        return {
            "suite": {"title": "served", "threads": 1},
            "task": {
                "kind": "text_generation",
                "source": make_files_source("train.jsonl", "gate.jsonl"),
                "prompt": "q",
                "reference": "a",
                "scores": ["exact_match", "house_scores:agreement"],
                "max_new_tokens": 8,
                "splits": {"train": "rest", "calibration": 0, "selection": 0},
            },
            "teacher": model("base"),
            "variants": {name: model(name) for name in VARIANTS},
            "budgets": {
                "exact_match": {"drop_points": LIMIT},
                "house_scores:agreement": {"drop_points": LIMIT},
            },
        }

    def judge_from_scratch(self, folder: Path) -> Truth:
        """Computes the shares of right answers and the observed drops in plain Python, instead of a run."""
        tables = Project(folder).read_tables(SUITE)
        variants = tables.get("variants", {})
        # The suite may name one model twice, and may have renamed a variant: folders are in the commands.
        folders = {name: Path(table["server"]["command"][-1]).name for name, table in variants.items()}
        command = [sys.executable, "-c", PLAIN, "base", *sorted(set(folders.values()))]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            return Truth(1, {}, done.stderr)
        figures = json.loads(done.stdout)
        places, limits = {}, {}
        for metric, budget in tables["budgets"].items():
            for name, model in folders.items():
                known = "base" in figures and model in figures
                if variants[name].get("gated", True) and known and metric in figures["base"]:
                    place = f"{name}/quality/{metric}"
                    places[place] = Judged("", figures[model][metric], figures["base"][metric])
                    limits[place] = budget["drop_points"]
        code, judged = judge_observed_drops(places, limits)
        return Truth(code, judged, json.dumps(figures, indent=1), partly=True)

    # --- edits that damage or repair a model ---

    @action(4)
    def replace_weights(self, draw: random.Random) -> str:
        name, wrong = draw.choice(("base", *VARIANTS)), draw.choice((0, 2, 15, 60))
        file = f"models/{name}/model.txt"
        before = self.project.read_modified(file)
        silent = draw.random() < 0.3
        self.project.write(file, f"{wrong:02}\n", at=before if silent else None)
        return f"models/{name}/model.txt = {wrong:02}" + (", same modification time" if silent else "")

    @action(2)
    def change_settings(self, draw: random.Random) -> str:
        name, case = draw.choice(VARIANTS), draw.choice(("upper", "lower"))
        self.project.write(f"models/{name}/settings.json", json.dumps({"case": case}) + "\n")
        return f"models/{name}/settings.json: case = {case}"

    @action(2)
    def change_file_in_subfolder(self, draw: random.Random) -> str:
        name, ending = draw.choice(VARIANTS), draw.choice(("", "!"))
        self.project.write(f"models/{name}/extra/ending.txt", f"{ending}\n")
        return f"models/{name}/extra/ending.txt = {ending!r}"

    @action(1)
    def edit_server_module(self, draw: random.Random) -> str:
        shift = draw.choice((0, 30))
        self.project.edit_text(
            "server/answering.py", lambda _: ANSWERING.replace("SHIFT = 0", f"SHIFT = {shift}")
        )
        return f"server/answering.py: SHIFT = {shift}"

    @action(1)
    def edit_server_script(self, draw: random.Random) -> str:
        text = SERVE if draw.random() < 0.5 else SERVE.replace("MODEL.answer(prompt)", '"nothing"')
        self.project.write("server/serve.py", text)
        return f"server/serve.py: answers {'by the model' if text == SERVE else 'nothing'}"

    # --- edits of the score ---

    @action(2)
    def upgrade_package(self, draw: random.Random) -> str:
        version, ignore_all = draw.choice((("1.0", 0), ("2.0", 1)))
        install_wordlib(self.project, version, ignore_all=ignore_all)
        return f"install wordlib {version}, which {'ignores' if ignore_all else 'compares'} everything"

    @action(1)
    def edit_score(self, draw: random.Random) -> str:
        returned = draw.choice(("1.0", "0.0"))
        self.project.write("house_scores.py", SCORE.replace("return 1.0", f"return {returned}"))
        return f"house_scores.py: return {returned}"

    @action(2)
    def edit_helper_of_score(self, draw: random.Random) -> str:
        length = draw.choice((0, 100))
        self.project.write("house_rules.py", RULES.replace("[:100]", f"[:{length}]"))
        return f"house_rules.py: compares the first {length} characters"

    @action(1)
    def swap_references(self, draw: random.Random) -> str:
        rows = [json.loads(line) for line in self._read_gate_lines()]
        for row in draw.sample(rows, min(60, len(rows))):
            row["a"] = "WRONG" if row["a"] == row["a"].upper() else row["a"].upper()
        self._write_gate([json.dumps(row) for row in rows])
        return "change the references of 60 gate rows"
