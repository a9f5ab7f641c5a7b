"""What llama-perplexity --kl-divergence prints, and budgets on it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from support.added_package import add_package
from support.junit import read_junit
from support.kl_logs import write_kl_log as written

from slimgate import assert_budgets
from slimgate.cli.main import main
from slimgate.errors import DataError, SuiteError
from slimgate.logs.find import read_any_log
from slimgate.logs.suite import load_log_suite
from slimgate.logs.suite_run import judge_log_suite
from slimgate.record.run import read_record


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return written(tmp_path / "q4.txt", np.random.default_rng(0).exponential(0.01, 580))


def write_budgets(tmp_path: Path, text: str) -> str:
    path = tmp_path / "quality.toml"
    path.write_text(f"[budgets]\n{text}\n")
    return str(path)


def test_chunks_get_their_own_means_back(log: Path) -> None:
    kl = np.random.default_rng(0).exponential(0.01, 580)
    chunks = read_any_log(log).kl
    assert chunks is not None
    assert chunks.kl == pytest.approx(kl, abs=1.2e-5 * 580)
    assert np.mean(chunks.kl) == pytest.approx(kl.mean(), abs=1e-5)
    assert np.mean(chunks.log_ratio) == pytest.approx(kl.mean() / 2, abs=1e-5)
    assert np.mean(chunks.same_top) == pytest.approx(1 - kl.mean(), abs=1e-4)
    assert chunks.quantiles == {"median": 0.004062, "p99": 0.123456, "p999": 0.412337, "maximum": 0.732611}


def test_budgets_are_judged_over_chunks(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """\
kl = { mean_max = 0.03, above_cap_max = 0.01 }
top1_agreement = { floor = 0.97 }
perplexity = { increase_relative = 0.05, above_cap_max = 0.01 }"""
    assert main(["judge", str(log), "--budgets", write_budgets(tmp_path, text)]) == 0
    out = capsys.readouterr().out
    assert "580 chunks" in out
    assert out.count(": PASS") == 3
    # 3 of 580 chunks
    assert out.count("above the cap of 1: 0 % [0, 0.52], limit 1 %: PASS") == 2
    # 580 chunks leave 0.5 % open, and 0.03 / 8 is less
    assert main(["judge", str(log), "--budgets", write_budgets(tmp_path, "kl = { mean_max = 0.03 }")]) == 1
    undecided = "the mean is inside, and the share above the cap (above_cap_max) is undecided: about"
    assert f" %: INCONCLUSIVE, {undecided}" in capsys.readouterr().out
    strict = write_budgets(tmp_path, "kl = { mean_max = 0.005 }")
    assert main(["judge", str(log), "--budgets", strict, "--json"]) == 1
    (target,) = json.loads(capsys.readouterr().out).values()
    facts = target["kl_log"]
    assert [budget["verdict"] for budget in facts["budgets"]] == ["FAIL"]
    low, high = facts["figures"]["mean_max"]["interval"]
    assert 0.005 < low < facts["figures"]["mean_max"]["value"] < high < 0.03


def test_a_quantile_has_no_interval_and_is_not_decided(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_budgets(tmp_path, "kl = { p999_max = 1.0 }")
    assert main(["judge", str(log), "--budgets", file]) == 1
    why = "the log has no interval of it, so no log decides this budget: use mean_max"
    assert f"0.4123, budget 1: INCONCLUSIVE, {why}\n" in capsys.readouterr().out
    assert main(["judge", str(log), "--budgets", file, "--on-inconclusive", "warn"]) == 0


def test_few_chunks_decide_little_and_say_how_many_would(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = written(tmp_path / "few.txt", np.full(20, 0.01))
    assert main(["judge", str(log), "--budgets", write_budgets(tmp_path, "kl = { mean_max = 0.02 }")]) == 1
    assert "chunks would decide" in capsys.readouterr().out


def test_without_budgets_figures_are_shown(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", str(log)]) == 0
    assert capsys.readouterr().out.count("not gated") == 3


def test_lines_that_are_missing_or_broken_are_one_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "cut.txt", np.full(20, 0.01), lines=1)
    with pytest.raises(DataError, match="1 lines of chunks were given, expected at least 2"):
        read_any_log(path)
    text = written(path, np.full(20, 0.01)).read_text("utf-8").splitlines()
    del text[5]
    path.write_text("\n".join(text), "utf-8")
    with pytest.raises(DataError, match="chunk 5 was given, expected chunk 4"):
        read_any_log(path)
    path.write_text(written(path, np.full(20, 0.01)).read_text("utf-8").replace("0.01000", "nan", 1), "utf-8")
    assert main(["judge", str(path)]) == 4
    assert (
        f"{path}: kl of chunk 1 is nan, expected a finite number: one of the models gives"
        in capsys.readouterr().err
    )


def test_one_file_of_another_kind_and_other_options_are_refused(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.csv"
    other.write_text("id,label\n1,a\n")
    assert main(["judge", str(other)]) == 4
    assert "expected two files, BASE and TARGET" in capsys.readouterr().err
    assert main(["judge", str(log), "--drop-points", "1"]) == 4
    assert "--drop-points cannot be used with KL logs; write --budgets FILE.toml" in capsys.readouterr().err
    for options in (["--slice-points", "1"], ["--answers"], ["--explain-environment"], ["--label", "x"]):
        assert main(["judge", str(log), *options]) == 4
        assert f"{options[0]} cannot be used with KL logs" in capsys.readouterr().err
    assert (
        main(["judge", str(log), "--budgets", write_budgets(tmp_path, "accuracy = { drop_points = 1.0 }")])
        == 4
    )
    assert "kl = { mean_max = 0.02 }" in capsys.readouterr().err


def test_what_to_ship_has_no_line_without_a_metric(log: Path, tmp_path: Path) -> None:
    """The figures of a KL log are no metrics, from which the report chooses what it names."""
    stated = write_budgets(tmp_path, "kl = { mean_max = 0.1, above_cap_max = 0.05 }")
    assert main(["judge", str(log), "--budgets", stated, "--report", str(tmp_path / "report")]) == 0
    report = (tmp_path / "report/report.md").read_text("utf-8")
    shipping = report.split("**What to ship**")[1].split("## Figures")[0]
    assert shipping.split() == ["-", "Ship", "**q4**:", "inside", "all", "budgets."]


def test_targets_of_other_texts_or_bases_are_noted(tmp_path: Path) -> None:
    logs = {
        "q4": written(tmp_path / "q4.txt", np.full(200, 0.01)),
        "rounded": written(tmp_path / "rounded.txt", np.full(200, 0.01), base=7.1945),
        "other_base": written(tmp_path / "other_base.txt", np.full(200, 0.02), base=9.5),
        "shorter": written(tmp_path / "shorter.txt", np.full(120, 0.02)),
    }
    targets = ", ".join(f'{name} = "{log.name}"' for name, log in logs.items())
    suite = tmp_path / "kl.toml"
    suite.write_text(f"[logs]\ntargets = {{ {targets} }}\n[budgets]\nkl = {{ mean_max = 0.1 }}\n")
    judged = judge_log_suite(load_log_suite(suite, "kl.toml"))
    notes = {name: model.notes for name, model in judged.targets.items()}
    end = ": they are of different texts or bases, so do not compare their figures with each other"
    assert notes == {
        "q4": [],
        "rounded": [],
        "other_base": [
            f"other_base: its log has a base of perplexity 9.5, and the log of q4 has 7.18811{end}"
        ],
        "shorter": [f"shorter: its log has 120 chunks, and the log of q4 has 200{end}"],
    }


def test_a_report_and_a_suite_of_kl_logs_have_the_verdicts(log: Path, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    stated = write_budgets(tmp_path, "kl = { mean_max = 0.005 }")
    assert main(["judge", str(log), "--budgets", stated, "--report", str(folder)]) == 1
    record = read_record(folder / "run.json")
    assert record.verdict.status == "FAIL"
    assert "mean KL, nats a token" in (folder / "report.md").read_text("utf-8")
    suite = tmp_path / "kl.toml"
    suite.write_text(f'[logs]\ntargets = {{ q4 = "{log.name}" }}\n[budgets]\nkl = {{ mean_max = 0.005 }}\n')
    judged = judge_log_suite(load_log_suite(suite, "kl.toml"))
    assert judged.judge_target("q4").status == "FAIL"


def test_budgets_that_a_kl_log_does_not_answer_are_refused(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "kl = { mean_max = 0.03, above_cap_max = 0.01 }\nsize = { compression_min = 2.0 }"
    file = write_budgets(tmp_path, text)
    assert main(["judge", str(log), "--budgets", file]) == 4
    problem = f"{file} [budgets.size]: {{ compression_min = 2.0 }} was given, but KL logs are judged by kl, "
    assert problem in capsys.readouterr().err


OWN = """
from slimgate import KlChunks, Log, LogReader


class Divergences(LogReader):
    def recognizes(self, path):
        return path.suffix == ".kl"

    def read(self, path):
        rows = [tuple(map(float, line.split())) for line in path.read_text().splitlines()]
        kl, log_ratio, same_top = zip(*rows)
        return Log("divergences", str(path), {}, kl=KlChunks(kl, log_ratio, same_top), notes=("of a test",))


reader = Divergences()
"""


def test_an_installed_package_adds_a_reader_of_kl_logs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "q4.kl"
    log.write_text("\n".join(f"{0.01 + k % 3 / 1000} 0.005 0.99" for k in range(580)), "utf-8")
    file = write_budgets(tmp_path, "kl = { mean_max = 0.03, above_cap_max = 0.01 }")
    suite = tmp_path / "kl.toml"
    suite.write_text(f'[logs]\ntargets = {{ q4 = "q4.kl" }}\n{Path(file).read_text("utf-8")}', "utf-8")
    with add_package(
        tmp_path / "site", "kl_reader", OWN, "[slimgate.logs]\ndivergences = kl_reader:reader\n"
    ):
        assert main(["judge", str(log), "--budgets", file, "--report", str(tmp_path / "report")]) == 0
        out = capsys.readouterr().out
        assert "q4, read as a KL log of divergences" in out
        assert "note: of a test" in out
        judged = judge_log_suite(load_log_suite(suite, "kl.toml")).targets["q4"]
        assert judged.kl_log is not None
        assert judged.kl_log.figures["mean_max"].value == pytest.approx(
            np.mean([0.01, 0.011, 0.012]), rel=1e-3
        )
        with pytest.warns(UserWarning, match="of a test"):
            record = assert_budgets(None, log, {"kl": {"mean_max": 0.03, "above_cap_max": 0.01}})
        assert record.notes == ["of a test"]
        with pytest.raises(AssertionError, match="FAIL"), pytest.warns(UserWarning, match="of a test"):
            assert_budgets(None, log, {"kl": {"mean_max": 0.005}})
    assert read_record(tmp_path / "report/run.json").task.source["name"] == "divergences"
    assert main(["judge", str(log)]) == 4


def test_rounding_near_all_equal_does_not_lower_the_share(tmp_path: Path) -> None:
    """Cutting off each chunk at 100 % gave 99.972 % where the tool prints 99.980 %."""
    kl = np.random.default_rng(0).exponential(0.0002, 5_000)
    chunks = read_any_log(written(tmp_path / "q8.txt", kl)).kl
    assert chunks is not None
    assert min(chunks.same_top) >= 0
    assert max(chunks.same_top) <= 1
    assert np.mean(chunks.same_top) == pytest.approx(1 - kl.mean(), abs=1e-5)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (
            "0.1 0.1 0.9",
            "1 of kl, 1 of log_ratio, 1 of same_top was given, expected a value of each for at least 2",
        ),
        ("0.1 0.1 99\n0.1 0.1 98", "same_top has 98 to 99, expected shares of 0 to 1"),
        ("0.1 0.1 0.9\n0.1 nan 0.9", "log_ratio of chunk 2 is nan, expected a finite number"),
    ],
    ids=["few", "percent", "nan"],
)
def test_values_that_no_kl_log_has_are_refused(
    tmp_path: Path, lines: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "q4.kl"
    log.write_text(lines, "utf-8")
    with add_package(
        tmp_path / "site", "kl_reader", OWN, "[slimgate.logs]\ndivergences = kl_reader:reader\n"
    ):
        assert main(["judge", str(log)]) == 4
    assert f"{log}: {problem}" in capsys.readouterr().err


def test_a_kl_log_is_judged_alone(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = written(tmp_path / "q3.txt", np.full(20, 0.01))
    assert main(["judge", str(log), str(other)]) == 4
    assert f"{log}: it is a KL log, which contains base and target; judge it alone" in capsys.readouterr().err
    suite = tmp_path / "kl.toml"
    suite.write_text(
        '[logs]\nbase = "q3.txt"\ntargets = { q4 = "q4.txt" }\n[budgets]\nacc = { drop_points = 1 }\n'
    )
    with pytest.raises(DataError, match=r"q3.txt: it is a KL log, .* leave \[logs\] base out"):
        judge_log_suite(load_log_suite(suite, "kl.toml"))


def test_a_kl_log_of_two_targets_is_refused(log: Path, tmp_path: Path) -> None:
    (tmp_path / "linked.txt").symlink_to(log)
    suite = tmp_path / "kl.toml"
    text = '[logs]\ntargets = { q4 = "q4.txt", q3 = "linked.txt" }\n[budgets]\nkl = { mean_max = 0.5 }\n'
    suite.write_text(text)
    with pytest.raises(SuiteError, match=r"targets\.q3: .*/q4\.txt is the log of targets\.q4 too"):
        load_log_suite(suite, "kl.toml")


@pytest.mark.parametrize("action", ["warn", "fail"])
def test_junit_of_a_kl_log_fails_as_the_exit_code(log: Path, tmp_path: Path, action: str) -> None:
    """A quantile has no interval, so a budget on it is undecided."""
    text = "kl = { p99_max = 0.2 }\ntop1_agreement = { floor = 0.97 }"
    options = ["--on-inconclusive", action, "--report", str(tmp_path / "report")]
    code = main(["judge", str(log), "--budgets", write_budgets(tmp_path, text), *options])
    failures, cases = read_junit(tmp_path / "report/junit.xml")
    case = cases["kl_log"]
    assert (code, failures) == ((0, 0) if action == "warn" else (1, 1))
    assert "INCONCLUSIVE" in str(case.output if action == "warn" else case.failure)
    properties = case.properties
    assert (properties["slimgate.value.p99_max"], properties["slimgate.budget.p99_max"]) == (
        "0.123456",
        "0.2",
    )
    assert "slimgate.interval.p99_max" not in properties
    assert (properties["slimgate.verdict.p99_max"], properties["slimgate.verdict.floor"]) == (
        "INCONCLUSIVE",
        "PASS",
    )
    assert properties["slimgate.verdict"] == "INCONCLUSIVE"


def test_a_mean_that_the_chunks_do_not_have_is_refused(log: Path) -> None:
    text = log.read_text("utf-8")
    [line] = [line for line in text.splitlines() if line.startswith("Mean    KLD:")]
    log.write_text(text.replace(line, "Mean    KLD:   0.900000 ±   0.000410"), "utf-8")
    with pytest.raises(
        DataError, match=r"the final statistics state a mean KL of 0\.900000, and the lines of"
    ):
        read_any_log(log)


def cut_log(path: Path, planned: int | None, lines: int) -> Path:
    """The output of a run of 200 chunks that was interrupted."""
    text = written(path, np.full(200, 0.01), lines=lines).read_text("utf-8")
    head = "" if planned is None else f"kl_divergence: computing over {planned} chunks, n_ctx=512\n"
    path.write_text(head + text.partition("\n====== Perplexity")[0], "utf-8")
    return path


CUT_OFF = [
    pytest.param(200, 120, "it says that 200 chunks are computed, but has 120", id="chunks"),
    pytest.param(None, 120, "it has 120 chunks, but no final statistics of the KL", id="no head"),
    pytest.param(200, 200, "it has 200 chunks, but no final statistics of the KL", id="statistics"),
]


@pytest.mark.parametrize(("planned", "lines", "problem"), CUT_OFF)
def test_the_output_of_an_interrupted_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], planned: int | None, lines: int, problem: str
) -> None:
    path = cut_log(tmp_path / "kl.txt", planned, lines)
    assert main(["judge", str(path), "--budgets", write_budgets(tmp_path, "kl = { mean_max = 0.5 }")]) == 4
    out, err = capsys.readouterr()
    assert (out, f"{path}: {problem}: the run was interrupted" in err) == ("", True)
    suite = tmp_path / "kl.toml"
    suite.write_text('[logs]\ntargets = { q4 = "kl.txt" }\n[budgets]\nkl = { mean_max = 0.5 }\n')
    with pytest.raises(DataError, match=problem):
        judge_log_suite(load_log_suite(suite, "kl.toml"))


@pytest.mark.parametrize("planned", [200, None], ids=["head", "no head"])
def test_the_whole_output_of_a_run_is_read(tmp_path: Path, planned: int | None) -> None:
    path = written(tmp_path / "kl.txt", np.full(200, 0.01))
    head = "" if planned is None else f"kl_divergence: computing over {planned} chunks, n_ctx=512\n"
    path.write_text(head + path.read_text("utf-8"), "utf-8")
    log = read_any_log(path)
    assert log.kl is not None
    assert (len(log.kl.kl), log.notes) == (200, ())


def test_a_capped_mean_is_shown_with_the_mean_without_the_cap(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kl = np.full(200, 0.01)
    kl[7] = 5.0
    broken = written(tmp_path / "broken.txt", kl)
    main(["judge", str(broken)])
    assert re.search(
        r"0\.01495 \[0\.01\d*, 0\.0\d+\]; 0\.03495 without the cap of 1 nat", capsys.readouterr().out
    )
