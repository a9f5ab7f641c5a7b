"""How the variants of a suite are dealt to shards."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimgate.run.contents import read_variables
from slimgate.run.shards import Shard, assign_variants, list_shard_variants, parse_shard
from slimgate.suite.reader import load_suite
from slimgate.suite.suite import Suite

HEAD = (
    '[suite]\ntitle = "many"\n[task]\nkind = "text_classification"\nsource = { name = "library_docs" }\n'
    'text = ["paragraph"]\nlabel = "library"\n[teacher]\nmodel = "someone/model"\n'
)
VARIANTS = """[variants]
student = { steps = [{ keep_layers = [0, 2, 5] }, { fine_tune = { epochs = 2 } }] }
distilled = { steps = [{ keep_layers = [0, 2, 5] }, { distill = { epochs = 2 } }] }
int8 = { steps = [{ int8_dynamic = {} }] }
distilled-int8 = { from = "distilled", steps = [{ int8_dynamic = {} }] }
pruned-10 = { steps = [{ magnitude_prune = { sparsity = 0.1 } }] }
pruned-50 = { steps = [{ magnitude_prune = { sparsity = 0.5 } }] }
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    path = tmp_path_factory.mktemp("suite") / "six.toml"
    path.write_text(HEAD + VARIANTS)
    return load_suite(path, check_data=False)


@pytest.mark.parametrize("of", [1, 2, 3, 5, 9])
def test_each_variant_is_in_exactly_one_shard(suite: Suite, of: int) -> None:
    shares = assign_variants(suite, of)
    assert len(shares) == of
    assert sorted(name for share in shares for name in share) == sorted(suite.variants)
    assert shares == assign_variants(suite, of)
    assert list_shard_variants(suite, Shard(of, of)) == shares[-1]


@pytest.mark.parametrize("of", [2, 3])
def test_what_is_made_from_a_trained_variant_stays_with_it(suite: Suite, of: int) -> None:
    assert sum({"distilled", "distilled-int8"} <= set(share) for share in assign_variants(suite, of)) == 1


def test_what_is_trained_is_spread(suite: Suite) -> None:
    assert not any({"student", "distilled"} <= set(share) for share in assign_variants(suite, 2))


def test_a_long_chain_is_cut_where_retraining_beats_waiting(tmp_path: Path) -> None:
    variants = "\n".join(
        f'v{k} = {{ from = "first", steps = [{{ int8_dynamic = {{}} }}] }}' for k in range(40)
    )
    trained = "first = { steps = [{ fine_tune = { epochs = 1 } }] }"
    (tmp_path / "many.toml").write_text(f"{HEAD}[variants]\n{trained}\n{variants}\n")
    chain = load_suite(tmp_path / "many.toml", check_data=False)
    sizes = sorted(map(len, assign_variants(chain, 4)))
    assert sum(sizes) == 41
    assert sizes[-1] <= 13


def test_a_shard_is_number_and_count() -> None:
    assert parse_shard("2/5") == Shard(2, 5)
    assert str(Shard(2, 5)) == "2/5"
    for wrong in ("0/5", "6/5", "2", "2/", "a/b", "-1/5", "2/5/1", ""):
        with pytest.raises(ValueError, match="expected NUMBER/COUNT"):
            parse_shard(wrong)


def test_a_shard_notes_the_variables_that_change_results(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("DNNL_DEFAULT_FPMATH_MODE", "BF16"), ("MKL_CBWR", "AVX2"), ("MKL_NUM_THREADS", "1")):
        monkeypatch.setenv(name, value)
    variables = read_variables()
    assert variables["DNNL_DEFAULT_FPMATH_MODE"] == "BF16"
    assert variables["MKL_CBWR"] == "AVX2"
    assert "MKL_NUM_THREADS" not in variables
