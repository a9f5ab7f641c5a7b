"""`slimgate portability SUITE VARIANT`: does a model answer the same where instructions are missing?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimgate.cli.options import add_store, store_root

if TYPE_CHECKING:
    from slimgate.outcomes import Outcomes
    from slimgate.run.portability import Setting
    from slimgate.run.run import SuiteRun

DESCRIPTION = """\
Answers the gate rows as processors with fewer instructions would, and judges those answers by the variant's
own budgets. int8 products of oneDNN (PyTorch) and ONNX Runtime saturate where a processor has no VNNI.
PyTorch and OpenVINO models answer in a process of their own under ONEDNN_MAX_CPU_ISA. ONNX Runtime has no
such switch: its models are built again with reduce_range, the weights for such processors. Models come from
the store; what is not there is built. Exit codes: 0 all budgets hold everywhere, 1 one does not or cannot be
decided, 4 wrong usage or input.
"""


def add_to(commands: Any) -> None:
    """Adds the command to argparse's subparsers."""
    parser = commands.add_parser(
        "portability", help="answer the gate rows as other processors would", description=DESCRIPTION
    )
    parser.add_argument("suite", type=Path, metavar="SUITE", help="a suite file")
    parser.add_argument("variant", metavar="VARIANT", help="a variant's name")
    add_store(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Answers under each setting and prints what changed. Raises SlimgateError for wrong input."""
    from slimgate._system.escape import visible
    from slimgate._system.processor import describe_processor
    from slimgate.errors import SuiteError, format_suggestion
    from slimgate.run.portability import answers_under, settings_of
    from slimgate.run.run import SuiteRun
    from slimgate.store.store import Store
    from slimgate.suite.load import load_suite

    sys.path.append(str(options.suite.absolute().parent))
    suite = load_suite(options.suite.absolute(), str(options.suite))
    name = options.variant
    if name not in suite.variants:
        raise SuiteError(f'{suite.shown}: "{name}" is no variant{format_suggestion(name, suite.variants)}')
    suite_run = SuiteRun(suite, Store(store_root(options).resolve()), device="cpu")
    settings = settings_of(suite_run, name)
    here = suite_run.outcomes(name)
    told = f"{suite.shown}: {name}, {len(here):,} gate rows"
    sys.stdout.write(visible(f"{told}, {describe_processor('cpu', threads=suite.threads)}") + "\n")
    held = True
    for setting in settings:
        lines, holds = _judge(suite_run, name, setting, here, answers_under(suite_run, name, setting))
        sys.stdout.write("".join(f"{visible(line)}\n" for line in lines))
        held = held and holds
    return 0 if held else 1


def _judge(
    suite_run: SuiteRun, name: str, setting: Setting, here: Outcomes, there: Outcomes
) -> tuple[list[str], bool]:
    """A line on what changed and one for each budget; whether all of them hold."""
    from slimgate.judge.message import message
    from slimgate.judge.metrics import load_metric
    from slimgate.judge.quality import judge_quality
    from slimgate.judge.verdict import Verdict
    from slimgate.suite.suite import TEACHER

    suite, teacher = suite_run.suite, suite_run.outcomes(TEACHER)
    judged = [
        judge_quality(load_metric(metric), teacher, there, budgets, seed=suite.seed)
        for metric, budgets in suite.budgets[name].quality.items()
    ]
    lines = [f"{setting.name}: {_changes(here, there)}"]
    lines += [f"  {message(name, one)}" for one in judged] or ["  no budget on quality, so nothing is judged"]
    return lines, all(one.verdict is Verdict.PASS for one in judged)


def _changes(here: Outcomes, there: Outcomes) -> str:
    from slimgate.judge.flips import flip_share, flipped_rows

    changed = int(here.changed_rows(there).sum())
    share = f"{changed:,} answers change ({100 * changed / len(here):.1f} %)"
    if here.right is None:
        return share
    lost, won = flipped_rows(here, there)
    low, high = flip_share(here, there).interval
    return (
        f"{share}, {len(lost):,} from right to wrong [{100 * low:.1f}, {100 * high:.1f} %], "
        f"{len(won):,} from wrong to right"
    )
