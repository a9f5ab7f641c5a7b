"""The step external: scripts in other environments, what they get, how they fail, what belongs to the key."""

from __future__ import annotations

import datetime
import json
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from pydantic import ValidationError
from support.tiny_suite import make_tiny_run

from fixtures.models.building import load_tiny, make_tiny_causal, save_model
from slimgate.errors import BuildError, SuiteError
from slimgate.plugins.params import Located
from slimgate.steps.convert import external

build = partial(make_tiny_causal, calibration=8)

START = """
import json, pathlib, sys
request = json.loads(pathlib.Path(sys.argv[1]).read_text())
source, output = pathlib.Path(request["input"]), pathlib.Path(request["output"])
"""
HALVE = (
    START
    + """
import safetensors.torch, shutil
state = safetensors.torch.load_file(source / "model.safetensors")
state["lm_head.weight"] = state["lm_head.weight"] * request["options"]["factor"]
safetensors.torch.save_file(state, output / "model.safetensors", {"format": "pt"})
shutil.copy(source / "config.json", output)
print("halved", len(open(request["calibration"]).readlines()), "rows")
"""
)
# Gives two tokens each other's numbers, in the weights and in the tokenizer.
RENUMBER = (
    START
    + """
import safetensors.torch, shutil
state = safetensors.torch.load_file(source / "model.safetensors")
rows = list(range(len(state["lm_head.weight"])))
rows[7], rows[9] = 9, 7
for name in ("model.embed_tokens.weight", "lm_head.weight"):
    state[name] = state[name][rows].clone()
safetensors.torch.save_file(state, output / "model.safetensors", {"format": "pt"})
for name in ("config.json", "tokenizer_config.json"):
    shutil.copy(source / name, output)
tokenizer = json.loads((source / "tokenizer.json").read_text())
vocabulary = tokenizer["model"]["vocab"]
words = {number: word for word, number in vocabulary.items()}
vocabulary[words[7]], vocabulary[words[9]] = 9, 7
(output / "tokenizer.json").write_text(json.dumps(tokenizer))
"""
)
# Writes int4 in the layout of compressed-tensors, by that package alone.
QUANTIZE = (
    START
    + """
from transformers import AutoModelForCausalLM
from compressed_tensors.compressors import ModelCompressor
from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config
network = AutoModelForCausalLM.from_pretrained(source)
weights = {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True, "dynamic": False}
groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
config = QuantizationConfig(config_groups=groups, ignore=["lm_head"], quantization_status="frozen")
apply_quantization_config(network, config)
for module in network.modules():
    if hasattr(module, "quantization_scheme"):
        module.weight_scale.data = module.weight.detach().abs().amax(1, keepdim=True) / 127
compressor = ModelCompressor.from_pretrained_model(network)
compressor.compress_model(network)
network.save_pretrained(output)
compressor.update_config(str(output))
"""
)


def options(tmp_path: Path, script: str, **more: Any) -> external.Params:
    file = tmp_path / "compress.py"
    file.write_text(script, "utf-8")
    return external.Params(**{"python": Path(sys.executable), "script": file, **more})


def applied(tmp_path: Path, script: str, **more: Any) -> tuple[Any, Any, external.Params]:
    model, context = build(tmp_path)
    params = options(tmp_path, script, **more)
    return external.step.resolve(params).apply(model, params, context), context, params


def test_floats_come_back_as_a_model_for_further_steps(tmp_path: Path) -> None:
    model, context, _ = applied(tmp_path, HALVE, options={"factor": 0.5}, gives="torch")
    before = load_tiny(tmp_path / "hub", context)
    assert torch.equal(model.network.lm_head.weight, before.network.lm_head.weight * 0.5)
    assert torch.equal(model.network.model.norm.weight, before.network.model.norm.weight)
    assert model.kind == "torch"
    [log] = context.extra_files
    assert log.read_text() == "halved 8 rows\n"


def test_a_script_may_change_the_numbers_of_tokens(tmp_path: Path) -> None:
    changed, context, _ = applied(tmp_path, RENUMBER, gives="torch")
    before = load_tiny(tmp_path / "hub", context)
    text = before.tokenizer.decode([7, 5, 9, 8])
    ids = [model.tokenizer(text, return_tensors="pt")["input_ids"] for model in (before, changed)]
    swapped = {7: 9, 9: 7}
    assert ids[1].tolist() == [[swapped.get(number, number) for number in ids[0][0].tolist()]]
    assert {7, 9} <= set(ids[0][0].tolist())
    with torch.inference_mode():
        old, new = (m.network.eval()(x).logits[0] for m, x in zip((before, changed), ids, strict=True))
    columns = [swapped.get(number, number) for number in range(old.shape[-1])]
    assert torch.equal(new, old[:, columns])


def test_the_script_gets_calibration_texts_and_its_options(tmp_path: Path) -> None:
    _, context, _ = applied(tmp_path, HALVE, options={"factor": 2.0, "names": ("a", "b")}, gives="torch")
    request = json.loads((context.scratch / "external" / "request.json").read_text())
    rows = [json.loads(line) for line in Path(request["calibration"]).read_text().splitlines()]
    assert [row["text"] for row in rows] == context.rows("calibration").table["text"].to_pylist()
    assert set(rows[0]) == {"text"}
    assert request["options"] == {"factor": 2.0, "names": ["a", "b"]}
    assert (request["seed"], request["device"]) == (0, "cpu")
    assert (Path(request["input"]) / "tokenizer.json").is_file()


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Path]:
    """The model that a script quantized, its context, and its saved folder. The script takes seconds."""
    pytest.importorskip("compressed_tensors")
    folder = tmp_path_factory.mktemp("quantized")
    model, context, _ = applied(folder, QUANTIZE)
    return model, context, save_model(model, folder / "saved")


def test_a_quantized_folder_is_judged_as_it_is(quantized: tuple[Any, Any, Path]) -> None:
    from transformers import AutoModelForCausalLM

    model, context, folder = quantized
    ids = torch.tensor([[2, 7, 9, 11, 5]])
    with torch.inference_mode():
        alone = AutoModelForCausalLM.from_pretrained(folder).eval()(ids).logits
        assert torch.equal(model.network.eval()(ids).logits, alone)
    assert context.log["format"] == "compressed-tensors"
    assert (folder / "tokenizer.json").is_file(), "that of the input, which the script did not write"


@pytest.mark.parametrize(
    ("script", "more", "message"),
    [
        (
            "import sys\nprint('loading')\nprint('no such layer')\nsys.exit(3)",
            {},
            "compress.py ended with exit code 3; it printed last: loading | no such layer",
        ),
        ("raise SystemExit(1)", {}, "compress.py ended with exit code 1; it printed nothing"),
        (
            "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)",
            {},
            "compress.py was killed by SIGSEGV; it printed nothing",
        ),
        (
            "pass",
            {},
            "compress.py ended without an error, but its output folder has no weights (it has nothing)",
        ),
        (
            START + "(output / 'model.safetensors').touch()",
            {},
            "compress.py wrote weights without config.json; save the model with save_pretrained",
        ),
        (
            HALVE.replace('request["options"]["factor"]', "0.5"),
            {},
            'compress.py wrote weights that are not quantized; set gives = "torch", so that they are timed, '
            "and further steps can follow",
        ),
        (
            "import time\nprint('slow', flush=True)\ntime.sleep(60)",
            {"timeout_minutes": 0.02},
            "compress.py did not end within timeout_minutes = 0.02; it printed last: slow",
        ),
    ],
    ids=["exit code", "silent", "signal", "no output", "no config", "floats", "time"],
)
def test_a_script_that_fails_is_one_line(tmp_path: Path, script: str, more: Any, message: str) -> None:
    with pytest.raises(BuildError) as caught:
        applied(tmp_path, script, **more)
    assert str(caught.value) == message


def test_quantized_weights_in_place_of_floats_are_one_line(
    tmp_path: Path, quantized: tuple[Any, Any, Path]
) -> None:
    *_, folder = quantized
    script = f"{START}import shutil\nshutil.copytree({str(folder)!r}, output, dirs_exist_ok=True)"
    with pytest.raises(BuildError) as caught:
        applied(tmp_path, script, gives="torch")
    assert str(caught.value) == (
        "compress.py wrote weights that are quantized (compressed-tensors), expected floats; set gives = "
        '"transformers"'
    )


def interrupt_after_line(log: Path) -> None:
    """Ctrl-C, as soon as the script has printed a line."""
    while not log.is_file() or "\n" not in log.read_text():
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("how", ["the time limit", "Ctrl-C"])
def test_what_the_script_started_ends_with_it(tmp_path: Path, how: str) -> None:
    script = START + (
        "import subprocess, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\n"
        "print(child.pid, flush=True)\ntime.sleep(300)\n"
    )
    log = tmp_path / "rows" / "external" / "external.log"
    if how == "Ctrl-C":
        # a job in the background ignores it
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=interrupt_after_line, args=(log,), daemon=True).start()
        try:
            with pytest.raises(KeyboardInterrupt):
                applied(tmp_path, script)
        finally:
            signal.signal(signal.SIGINT, before)
    else:
        with pytest.raises(BuildError, match="did not end within"):
            applied(tmp_path, script, timeout_minutes=0.03)
    pid = int(log.read_text())
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the child lives on"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        (
            {"python": Path("gone/bin/python")},
            "python = 'gone/bin/python': no such program, or not executable; expected the Python of an "
            "environment, such as ../venv/bin/python",
        ),
        ({"script": Path("/gone.py")}, "script = '/gone.py': no such file, expected a Python script"),
    ],
    ids=["python", "script"],
)
def test_missing_files_are_reported_before_any_model_loads(
    tmp_path: Path, replaced: Any, message: str
) -> None:
    params = options(tmp_path, "pass").model_copy(update=replaced)
    with pytest.raises(SuiteError) as caught:
        external.step.check(params, {})
    assert str(caught.value) == message


def test_the_key_has_the_script_and_its_environments_packages(tmp_path: Path) -> None:
    params = options(tmp_path, "pass")
    first = external.step.environment(params)
    assert ["torch", torch.__version__.partition("+")[0]] in [
        [name, version.partition("+")[0]] for name, version in first["packages"][1]
    ]
    assert external.step.environment(params) == first
    assert external.step.environment(options(tmp_path, "pass  # changed")) != first


def test_a_program_that_is_no_python_is_one_line(tmp_path: Path) -> None:
    params = options(tmp_path, "pass", python=Path("/bin/false"))
    with pytest.raises(
        BuildError, match="/bin/false does not work as a Python interpreter: it ended with code 1"
    ):
        external.step.environment(params)


def test_the_path_of_a_venvs_python_keeps_its_link(tmp_path: Path) -> None:
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "suite").mkdir()
    stated = Located.at("../venv/bin/python", tmp_path / "suite")
    params = external.Params.model_validate({"python": stated, "script": "compress.py"})
    assert params.python == tmp_path / "venv" / "bin" / "python"


def test_options_of_no_json_type_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="timeout_minutes"):
        options(tmp_path, "pass", timeout_minutes=0.0)


def test_a_suite_keeps_the_log_and_reruns_a_changed_script(tmp_path: Path) -> None:
    script = START + (
        "import shutil, time\n"
        "for file in source.iterdir():\n    shutil.copy(file, output)\n"
        "print(time.time_ns(), request['calibration'])\n"
    )
    (tmp_path / "compress.py").write_text(script, "utf-8")
    options = f'python = "{sys.executable}", script = "compress.py", gives = "torch"'
    step = f"steps = [{{ external = {{ {options} }} }}]"
    replaced = {"steps = [{ keep_layers = [0, 2] }]": step}

    built = make_tiny_run(tmp_path, **replaced).build("shorter")
    [artifact] = built.steps
    assert (artifact.folder / "external.log").read_text().endswith(" None\n"), "no calibration rows"
    stored = [
        path for path in artifact.folder.iterdir() if path.name not in ("external.log", "manifest.json")
    ]
    assert artifact.manifest["bytes"] == sum(path.stat().st_size for path in stored)
    assert make_tiny_run(tmp_path, **replaced).build("shorter").from_store

    (tmp_path / "compress.py").write_text(script + "x = 1\n", "utf-8")
    again = make_tiny_run(tmp_path, **replaced).build("shorter")
    assert not again.from_store
    assert again.artifact.digest == artifact.digest, "the same weights, whatever the log says"


@pytest.mark.slow
def test_a_real_venv_runs_with_its_own_packages(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", str(tmp_path / "venv")],
        check=True,
    )
    # the venv's base is not this environment's: it is told where the packages lie
    [site] = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "base.pth").write_text(packages, "utf-8")
    (site / "only_here.py").write_text("FACTOR = 0.25\n", "utf-8")
    script = HALVE.replace('request["options"]["factor"]', "only_here.FACTOR").replace(
        "import safetensors", "import only_here, safetensors"
    )
    python = tmp_path / "venv" / "bin" / "python"
    model, context, _ = applied(tmp_path, script, python=python, gives="torch")
    before = load_tiny(tmp_path / "hub", context)
    assert torch.equal(model.network.lm_head.weight, before.network.lm_head.weight * 0.25)
    assert os.path.realpath(python) == os.path.realpath(sys.executable)


def test_the_suites_script_needs_nothing_but_python(tmp_path: Path) -> None:
    script = Path(__file__).parents[3] / "fixtures" / "own" / "truncate_to_bfloat16.py"
    model, context, _ = applied(tmp_path, script.read_text("utf-8"), gives="torch")
    before = load_tiny(tmp_path / "hub", context).network.lm_head.weight.detach()
    after = model.network.lm_head.weight.detach()
    assert torch.equal(after, after.bfloat16().float())
    assert torch.allclose(after, before, rtol=2**-7)
    assert not torch.equal(after, before)


@pytest.mark.parametrize(
    "value",
    [datetime.date(2024, 1, 1), {"since": datetime.time(1)}, float("nan")],
    ids=["date", "inner", "nan"],
)
def test_options_that_json_cannot_hold_are_an_error_of_the_suite(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ValueError, match=r"since = .* cannot be written as JSON"):
        options(tmp_path, "", options={"since": value})
