"""Generated answers on a tiny Llama as a user runs it: verdicts, noise floor, planted faults by name."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import csv
from support.user_repository import Ran, run_pytest

from fixtures.models.architectures import write_tiny
from fixtures.models.tiny import BAD, GOOD, OTHER

pytestmark = pytest.mark.slow

FAULTS = '''
"""Faults of a conversion, and a score of our own."""


def never_ends(model, context):
    """The end token gets the opposite of its logit."""
    model.network.lm_head.weight.data[model.tokenizer.eos_token_id] *= -1


def loops(model, context):
    """Each token calls for itself."""
    for layer in model.network.model.layers:
        layer.self_attn.o_proj.weight.data.zero_()
        layer.mlp.down_proj.weight.data.zero_()
    model.network.lm_head.weight.data = 5 * model.network.model.embed_tokens.weight.data.clone()


def other_template(model, context):
    model.tokenizer.chat_template = "{% for one in messages %}is {{ one['content'] }}{% endfor %}"


def pads_right(model, context):
    model.tokenizer.padding_side = model.tokenizer.init_kwargs["padding_side"] = "right"


def one_word(answer, reference):
    return float(len(answer.split()) == 1)


one_word.higher_is_better = True
'''
SUITE = """\
[suite]
title = "which word follows"
threads = 1

[task]
kind = "text_generation"
source = { name = "files", path = "rows.csv", real = false }
prompt = "prompt"
reference = "answer"
scores = ["exact_match", "faults:one_word"]
chat = true
max_new_tokens = 12
splits = { train = 1500, calibration = 16, selection = 20, gate = 300 }

[teacher]
model = "../model"
steps = [{ fine_tune = { epochs = 6, learning_rate = 5e-3, batch_size = 32 } }]

[variants]
int8 = { steps = [{ int8_dynamic = {} }] }
never_ends = { steps = [{ "faults:never_ends" = {} }] }
loops = { steps = [{ "faults:loops" = {} }] }
other_template = { steps = [{ "faults:other_template" = {} }] }
pads_right = { steps = [{ "faults:pads_right" = {} }] }

[variants.halved]
steps = [
  { keep_layers = [0, 3] },
  { sequence_distill = { epochs = 2, learning_rate = 2e-3 } },
  { on_policy_distill = { epochs = 1, learning_rate = 1e-3 } },
]

[budgets]
exact_match = { drop_points = 5.0 }
"faults:one_word" = { drop_points = 5.0 }
same_answers = { drop_points = 5.0 }
truncated = { drop_points = 2.0 }
looping = { drop_points = 2.0 }

[measure]
batch_size = 32
workloads = [{ batch = 1 }]
"""
TEMPLATE = "{% for one in messages %}{{ one['content'] }} is{% endfor %}"
WORDS = [word for word in (*GOOD, *BAD, *OTHER) if word not in ("is", "was")]


def questions(rows: int) -> pa.Table:
    """The answer is the word that follows the last one in the list."""
    draws, answers = random.Random(0), dict[str, str]()
    while len(answers) < rows:
        prompt = [draws.choice(WORDS) for _ in range(draws.randint(2, 6))]
        answers[" ".join(prompt)] = WORDS[(WORDS.index(prompt[-1]) + 1) % len(WORDS)]
    return pa.table({"prompt": list(answers), "answer": list(answers.values())})


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("generation")
    (folder / "bench").mkdir()
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    (folder / "faults.py").write_text(FAULTS)
    (folder / "bench/answers.toml").write_text(SUITE)
    csv.write_csv(questions(2200), folder / "bench/rows.csv")
    write_tiny(folder / "model", "llama", causal=True, intermediate_size=32)
    tokenizer = AutoTokenizer.from_pretrained(folder / "model", padding_side="left")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder / "model")
    return folder


@pytest.fixture(scope="module")
def ran(repository: Path) -> Ran:
    return run_pytest(
        repository, "bench/answers.toml", "-v", "-k", "behaviour or quality or selftest", "-p", "no:xdist"
    )


def verdicts(ran: Ran, name: str) -> dict[str, str]:
    quality = ran.find_variant("answers", name)["quality"]
    return {metric: facts["verdict"] for metric, facts in quality.items() if facts["verdict"]}


def test_the_teacher_has_learnt_its_answers(ran: Ran) -> None:
    quality = ran.find_variant("answers", "teacher")["quality"]
    assert quality["exact_match"]["value"] > 0.9, ran.out[-3000:]
    assert quality["truncated"]["value"] < 0.05


def test_int8_passes_beside_the_noise_floor(ran: Ran) -> None:
    assert set(verdicts(ran, "int8").values()) == {"PASS"}
    quality = ran.find_variant("answers", "int8")["quality"]["same_answers"]
    figures = ran.find_variant("answers", "int8")["behaviour"]["figures"]["changed_answers"]
    assert figures["teacher"] == pytest.approx(100 * (1 - quality["teacher"]))
    assert figures["variant"] == pytest.approx(100 * (1 - quality["value"]))
    assert quality["method"] == "Tango"


def test_an_answer_that_never_ends_is_named(ran: Ran) -> None:
    by_metric = verdicts(ran, "never_ends")
    assert by_metric["truncated"] == by_metric["exact_match"] == by_metric["same_answers"] == "FAIL"
    assert by_metric["faults:one_word"] == "FAIL"
    line = ran.find_variant("answers", "never_ends")["quality"]["truncated"]["message"]
    assert line.startswith("never_ends: truncated ")
    assert ran.find_outcome("bench/answers.toml::test_quality[never_ends-truncated]") == "FAILED"


def test_a_loop_is_named(ran: Ran) -> None:
    by_metric = verdicts(ran, "loops")
    assert by_metric["looping"] == "FAIL"
    assert ran.find_variant("answers", "loops")["quality"]["looping"]["value"] > 0.9


def test_another_chat_template_is_named_in_line_and_report(ran: Ran) -> None:
    behaviour = ran.find_variant("answers", "other_template")["behaviour"]
    assert verdicts(ran, "other_template")["same_answers"] == "FAIL"
    (finding,) = behaviour["findings"]
    assert finding.startswith("its chat template makes other prompts than the teacher's, of 300 of 300 rows")
    assert finding in behaviour["message"]
    report = (ran.folder / "reports/latest/answers/report.md").read_text()
    assert (
        "**other\\_template**: its chat template" in report
        or "**other_template**: its chat template" in report
    )


def test_another_padding_side_is_named_and_changes_no_answer(ran: Ran) -> None:
    assert set(verdicts(ran, "pads_right").values()) == {"PASS"}
    (finding,) = ran.find_variant("answers", "pads_right")["behaviour"]["findings"]
    assert finding.startswith("its tokenizer pads on the right, the teacher's on the left")


def test_half_the_layers_learn_from_teacher_and_student_answers(ran: Ran) -> None:
    halved = ran.find_variant("answers", "halved")
    assert halved["quality"]["exact_match"]["value"] > 0.9
    _, sequence, on_policy = (step["log"] for step in halved["steps"])
    assert sequence["teacher_wrote"]["train"]["rows"] > 1400
    assert on_policy["student_wrote"]["answers"] > 300


def test_the_report_quotes_both_answers(ran: Ran) -> None:
    quoted = ran.find_variant("answers", "never_ends")["behaviour"]["flips"]["quoted"][0]
    assert len(quoted["teacher"].split()) == 1
    assert len(quoted["variant"].split()) == 12
    assert quoted["text"]


def test_the_self_test_holds(ran: Ran) -> None:
    self_test = ran.record("answers")["self_test"]
    assert self_test["identical"]["verdict"] == "PASS"
    # that a damaged layer shows is a matter of the model, and this one hardly needs its attention
    assert (
        "answers exchanged: exact_match drop 10.0 points of a budget of 5, 300 rows: FAIL"
        in (self_test["planted_fault"]["message"])
    )
