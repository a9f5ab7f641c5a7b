"""Classifiers: released folders, steps and a metric of the user's own, and what these import."""

from __future__ import annotations

import random

from tools.attack.edit_world import SUITE, Tables, make_files_source
from tools.attack.torch_world import TEACHER, TorchWorld
from tools.attack.world import action
from tools.attack.worlds.served import WORDLIB, install_wordlib

STEPS = """\
from house_rules import SHARE
from wordlib import RULES


def adjust(model, context, *, amount: float = 1.0):
    weight = model.network.classifier.weight.data
    weight *= 1.0 - amount * (SHARE + RULES["harm"])
"""
RULES = """\
SHARE = 0.0
"""
METRIC = """\
import numpy as np
from house_rules import SHARE
from slimgate import Metric
from wordlib import RULES

OFFSET = 0.0


def statistic(outcomes, weights):
    right = (outcomes.predictions == outcomes.labels) * (1.0 - 0.1 * RULES["harm"] - OFFSET)
    return np.asarray(weights @ right / weights.sum(axis=-1))


agreement = Metric(
    name="agreement", higher_is_better=True, value_range=(0.0, 1.0), needs="prediction", statistic=statistic
)
"""


class Classified(TorchWorld):
    name = "classified"
    unlimited_metric = "mcc"
    share = 2
    gate = "gate.csv"
    copies = ("rel",)
    tiny = "classifier"
    settings = (
        ("config.json", "hidden_act", ("gelu", "relu")),
        ("config.json", "layer_norm_eps", (1e-12, 10.0)),
        ("config.json", "num_hidden_layers", (4, 1)),
        ("config.json", "id2label", ({"0": "neg", "1": "pos"}, {"0": "pos", "1": "neg"})),
        ("tokenizer_config.json", "do_lower_case", (True, False)),
        ("tokenizer_config.json", "model_max_length", (512, 4)),
        ("tokenizer_config.json", "truncation_side", ("right", "left")),
        ("special_tokens_map.json", "unk_token", ("[UNK]", "good")),
        ("sentence_bert_config.json", "max_seq_length", (64, 3)),
        ("generation_config.json", "max_length", (20, 5)),
    )

    def write_project(self) -> None:
        project = self.project
        self.write_models()
        project.write("pytest.ini", "[pytest]\n")
        project.write("house_steps.py", STEPS)
        project.write("house_rules.py", RULES)
        project.write("house_metric.py", METRIC)
        project.write("packages/wordlib/__init__.py", WORDLIB)
        install_wordlib(self.project, "1.0", harm=0)
        project.write_tables(
            SUITE,
            {
                "suite": {"title": "classified", "threads": 1},
                "task": {
                    "kind": "text_classification",
                    "source": make_files_source("train.csv", "gate.csv"),
                    "text": ["text"],
                    "label": "label",
                    "max_tokens": 16,
                    "splits": {"train": "rest", "calibration": 0, "selection": 0},
                },
                "teacher": {"model": f"../{TEACHER}"},
                "variants": {
                    "rel": {"model": "../models/rel"},
                    "own": {"steps": [{"house_steps:adjust": {"amount": 1.0}}]},
                },
                "budgets": {
                    "accuracy": {"drop_points": 5.0},
                    "house_metric:agreement": {"drop_points": 5.0},
                },
            },
        )

    @action(2)
    def upgrade_package(self, draw: random.Random) -> str:
        version, harm = draw.choice((("1.0", 0), ("2.0", 2)))
        install_wordlib(self.project, version, harm=harm)
        return f"install wordlib {version}: harm = {harm}"

    @action(1)
    def edit_step(self, draw: random.Random) -> str:
        factor = draw.choice(("1.0", "-1.0"))
        self.project.write("house_steps.py", STEPS.replace("1.0 - amount", f"{factor} - amount"))
        return f"house_steps.py: {factor} - amount"

    @action(1)
    def edit_helper(self, draw: random.Random) -> str:
        share = draw.choice((0.0, 2.0))
        self.project.write("house_rules.py", RULES.replace("0.0", str(share)))
        return f"house_rules.py: SHARE = {share}"

    @action(1)
    def edit_metric(self, draw: random.Random) -> str:
        offset = draw.choice((0.0, 0.5))
        self.project.write("house_metric.py", METRIC.replace("OFFSET = 0.0", f"OFFSET = {offset}"))
        return f"house_metric.py: OFFSET = {offset}"

    @action(1)
    def change_step_option(self, draw: random.Random) -> str:
        amount = draw.choice((1.0, 0.5))

        def edit(tables: Tables) -> None:
            for variant in tables["variants"].values():
                if "steps" in variant:
                    variant["steps"] = [{"house_steps:adjust": {"amount": amount}}]

        self._edit_suite(edit)
        return f"amount = {amount}"

    @action(1)
    def change_labels(self, draw: random.Random) -> str:
        lines = self._read_gate_lines()
        for at in draw.sample(range(1, len(lines)), min(30, len(lines) - 1)):
            text, _, label = lines[at].rpartition(",")
            lines[at] = f"{text},{'pos' if label == 'neg' else 'neg'}"
        self._write_gate(lines)
        return "change 30 gate labels"

    @action(1)
    def add_slice_budget(self, draw: random.Random) -> str:
        slices = {"accuracy": {"drop_points": draw.choice((20.0, 6.0))}}
        self._edit_suite(lambda tables: tables["budgets"].update(slices=slices))
        return f"add a slice budget: {slices}"
