"""The environment of a run of slimgate, in the form of other tools' logs."""

from __future__ import annotations

from support.releases import make_machine
from support.sample_record import make_artifact, make_sample_record, make_variant

from slimgate.record.comparing.environment import read_record_environment

MACHINE = make_machine(
    device="cuda",
    gpu="Tesla T4",
    instructions=["avx2", "avx512_vnni"],
    libraries={"torch": "2.13.0", "onnxruntime": "1.24", "lm_eval": "0.4", "pip": None},
)


def test_each_setting_of_a_run_is_in_its_area() -> None:
    served = make_artifact(
        1, 1, kind="endpoint", server={"engine": {"slots": 4}, "prompt": {"template": "t"}}
    )
    variants = [make_variant("teacher", artifact=served), make_variant("int8")]
    sample = make_sample_record(machine=MACHINE, variants=variants)
    task = sample.task.model_copy(update={"params": {"max_tokens": 64}})
    record = sample.model_copy(update={"task": task})
    assert read_record_environment(record) == {
        "prompt": {"task": record.task.kind, "task settings": {"max_tokens": 64}, "template of teacher": "t"},
        "sampling": {"seeds": record.suite.seeds},
        "model": {"suite": record.suite.path, "digest of the suite": record.suite.digest},
        "engine": {"threads": 2, "onnxruntime": "1.24", "slots of teacher": 4},
        "harness": {"slimgate": record.slimgate, "lm-eval": "0.4"},
        "libraries": {"torch": "2.13.0"},
        "hardware": {
            "CPU": "a cpu",
            "instructions": "avx2 avx512_vnni",
            "cores": 2,
            "memory": 8_000_000_000,
            "device": "cuda",
            "GPU": "Tesla T4",
        },
        "system": {"OS": "Linux", "Python": "3.11"},
    }
