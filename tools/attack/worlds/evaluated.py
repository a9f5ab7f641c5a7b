"""A user's task of lm-evaluation-harness: its yaml, its module, its documents, and two models."""

from __future__ import annotations

import json
import random

from tools.attack.edit_world import SUITE
from tools.attack.torch_world import TEACHER, TorchWorld
from tools.attack.world import action

DOCUMENTS = 60
TASK = """\
task: mine
dataset_path: json
dataset_kwargs:
  data_files:
    test: DOCUMENTS
test_split: test
output_type: generate_until
doc_to_text: "{{q}}"
doc_to_target: "{{a}}"
target_delimiter: ""
process_results: !function scoring.score
generation_kwargs:
  until: ["\\n\\n\\n\\n"]
  do_sample: false
  max_gen_toks: 4
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""
# A task with a metric of lm-eval. An option in the yaml says what the metric ignores.
MATCHED = (
    TASK.replace("task: mine", "task: matched")
    .replace("process_results: !function scoring.score\n", "")
    .replace("metric: acc", "metric: exact_match")
    + '    regexes_to_ignore: [".+"]\n'
)
SCORING = """\
import zlib

from scoring_rules import MODULUS


def score(doc, results):
    return {"acc": float(zlib.crc32(results[0].encode()) % MODULUS > 0)}
"""
RULES = "MODULUS = 20\n"


class Evaluated(TorchWorld):
    name = "evaluated"
    unlimited_metric = "task_score"
    share = 1
    gate = "bench/documents.jsonl"
    copies = ("rel",)
    tiny = "decoder"
    selection = ("-k", "quality")
    settings = (
        ("config.json", "rms_norm_eps", (1e-6, 10.0)),
        ("generation_config.json", "eos_token_id", (0, [0, *range(60, 200)])),
        ("tokenizer_config.json", "add_bos_token", (False, True)),
    )

    def write_project(self) -> None:
        self.write_models()
        project = self.project
        project.write("pytest.ini", "[pytest]\n")
        lines = (json.dumps({"q": f"{'abcdefgh'[at % 8]}{at}", "a": "x"}) for at in range(DOCUMENTS))
        project.write(self.gate, "".join(f"{line}\n" for line in lines))
        project.write("bench/mine.yaml", TASK.replace("DOCUMENTS", self.gate))
        project.write("bench/matched.yaml", MATCHED.replace("DOCUMENTS", self.gate))
        project.write("bench/scoring.py", SCORING)
        project.write("bench/scoring_rules.py", RULES)
        project.write_tables(
            SUITE,
            {
                "suite": {"title": "evaluated", "threads": 1},
                "task": {"kind": "lm_eval", "tasks": ["./mine.yaml", "./matched.yaml"]},
                "teacher": {"model": f"../{TEACHER}"},
                "variants": {"rel": {"model": "../models/rel"}},
                "budgets": {"task_score": {"drop_points": 10.0}},
            },
        )

    @action(2)
    def edit_task(self, draw: random.Random) -> str:
        old, new = draw.choice(
            (("max_gen_toks: 4", "max_gen_toks: 2"), ('"{{q}}"', '"{{q}} "'), ("acc\n", "acc\n"))
        )
        self.project.write("bench/mine.yaml", TASK.replace("DOCUMENTS", self.gate).replace(old, new))
        return f"bench/mine.yaml: {old!r} becomes {new!r}" if new != old else "bench/mine.yaml is restored"

    @action(2)
    def edit_metric(self, draw: random.Random) -> str:
        ignored = draw.choice(('[".+"]', "[]"))
        text = MATCHED.replace('[".+"]', ignored).replace("DOCUMENTS", self.gate)
        self.project.write("bench/matched.yaml", text)
        return f"bench/matched.yaml: regexes_to_ignore = {ignored}"

    @action(2)
    def edit_scoring(self, draw: random.Random) -> str:
        modulus = draw.choice((20, 2))
        self.project.write("bench/scoring.py", SCORING.replace("% MODULUS", f"% min({modulus}, MODULUS)"))
        return f"bench/scoring.py: min({modulus}, MODULUS)"

    @action(2)
    def edit_scoring_rules(self, draw: random.Random) -> str:
        modulus = draw.choice((20, 3))
        self.project.write("bench/scoring_rules.py", f"MODULUS = {modulus}\n")
        return f"bench/scoring_rules.py: MODULUS = {modulus}"

    @action(1)
    def edit_documents(self, draw: random.Random) -> str:
        rows = [json.loads(line) for line in self._read_gate_lines()]
        for row in rows:
            row["q"] += "?"
        self._write_gate([json.dumps(row) for row in rows])
        return "add ? to every question"
