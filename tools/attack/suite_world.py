"""A project with one suite: runs, shards, stores and baselines, and the oracle that checks each PASS."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tools.attack.claims import PASS, Claims, Judged, Truth, list_claims, read_record
from tools.attack.edit_world import SECOND_STORE, STORE, SUITE, EditWorld
from tools.attack.processes import Done
from tools.attack.project import Project
from tools.attack.promises import find_broken_promise
from tools.attack.world import Shared, action

LATEST = "reports/latest"
BASELINES = "reports/baselines"
QUIET = ("-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:xdist", "-p", "no:warnings",
         "-p", "no:timeout", "-p", "no:benchmark")  # fmt: skip
BINDS = "a baseline binds"
FAIL_ON = ("regressed", "loosened", "removed")


@dataclass(frozen=True)
class Accepted:
    """The newest accepted run: its record, and the rows that judged it."""

    record: Mapping[str, Any]
    rows: frozenset[str]


class SuiteWorld(EditWorld):
    """A world with one suite."""

    # Options of a whole run. They leave out the tests that time models, which the attack does not check.
    selection: ClassVar[Sequence[str]] = ()
    closing = ("run_all",)

    def __init__(self, shared: Shared, folder: Path) -> None:
        super().__init__(shared, folder)
        self.accepted: Accepted | None = None
        # Folder of a record -> model -> the state that its results are of.
        self.states: dict[str, dict[str, str]] = {}
        self._saved: tuple[dict[str, str], Accepted | None] = ({}, None)

    def warm_up(self) -> None:
        """Runs the suite once, which must pass."""
        done = self._run_pytest(*self.selection)
        if done.code != 0:
            raise RuntimeError(f"the project of world {self.name} does not pass as it is:\n{done}")

    def begin(self) -> None:
        """Notes that the results of the first run are of the first state."""
        self.states[LATEST] = dict.fromkeys(("teacher", *self._list_variants()), self.remember())

    # --- the oracle ---

    def find_truth(self, state: str) -> Truth:
        """The truth of a state that `remember` has stored."""
        key = (self.name, state)
        if key not in self.shared.truths:
            self.shared.truths[key] = self.judge_from_scratch(self._find_copy(state))
        truth: Truth = self.shared.truths[key]
        return truth

    def judge_from_scratch(self, folder: Path) -> Truth:
        """Runs the suite in a copy of the state, with an empty store and in a new process."""
        fresh = folder.with_name(f"{folder.name}-fresh")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(folder, fresh, symlinks=True)
        done = self._run_pytest(*self.selection, "--slimgate-rebuild", folder=fresh)
        record = read_record(fresh / LATEST / "gate/run.json")
        shutil.rmtree(fresh)
        return Truth(done.code, list_claims(record) if record else {}, str(done))

    def remember(self) -> str:
        """Returns the current state, and keeps a copy of its files for the oracle."""
        state = self.project.digest_state()
        if not self._find_copy(state).exists():
            self.project.copy_state(self._find_copy(state))
        return state

    def _find_copy(self, state: str) -> Path:
        """The folder with the copy of a state."""
        return self.shared.scratch / "states" / f"{self.name}-{state}"

    def _check_claims(self, report: str) -> None:
        """Checks rule 1: each PASS of a record is of the state in which it was made."""
        record = read_record(self.project.find_path(report) / "gate/run.json")
        if record is None:
            return
        states = self.states.get(report, {})
        for place, claim in list_claims(record).items():
            state = states.get(place.partition("/")[0])
            if claim.verdict != PASS or state is None:
                continue
            truth = self.find_truth(state)
            if reason := truth.deny(place, claim):
                self.deny("a PASS is of the state", reason, "from scratch:", truth.text)

    # --- runs ---

    def _run_pytest(
        self, *arguments: str, store: str = STORE, report: str = LATEST, folder: Path | None = None
    ) -> Done:
        places = ("--slimgate-store", store, "--slimgate-report", report)
        words = (SUITE, *QUIET, *places, *arguments)
        return self.run_module("pytest", *words, folder=folder, PYTHONPATH="packages")

    def _run(self, *arguments: str, complete: bool, store: str = STORE, report: str = LATEST) -> Done:
        """Runs pytest, and checks rules 1 and 2. complete: whether it is a run of the whole suite."""
        state = self.remember()
        before = read_record(self.project.find_path(report) / "gate/run.json")
        done = self._run_pytest(*arguments, store=store, report=report)
        record = read_record(self.project.find_path(report) / "gate/run.json")
        self.verdict = f"exit {done.code}"
        if record is not None and record != before:  # else the run was refused
            self.states[report] = dict.fromkeys((facts["name"] for facts in record["variants"]), state)
            self._check_claims(report)
        if complete and done.code == 0 and (truth := self.find_truth(state)).code != 0:
            self.deny("exit code 0 is a PASS", "exit code 0", "from scratch:", truth.text)
        return done

    @action(8)
    def run_all(self, draw: random.Random) -> str:
        done = self._run(*self.selection, complete=True)
        return f"pytest: exit {done.code}"

    @action(2)
    def run_quality(self, draw: random.Random) -> str:
        done = self._run("-k", "quality", complete=False)
        return f"pytest -k quality: exit {done.code}"

    @action(3)
    def run_one_variant(self, draw: random.Random) -> str | None:
        if not (variants := self._list_variants()):
            return None
        name = draw.choice(variants)
        done = self._run("-k", f"{name} and not latency and not speedup", complete=False)
        return f"pytest -k {name}: exit {done.code}"

    @action(1)
    def run_one_metric(self, draw: random.Random) -> str | None:
        budgets = sorted(self.project.read_tables(SUITE).get("budgets", {}))
        if not budgets:
            return None
        name = draw.choice(budgets)
        done = self._run("-k", f"quality and {name.rpartition(':')[2]}", complete=False)
        return f"pytest -k {name}: exit {done.code}"

    @action(1)
    def run_rebuild(self, draw: random.Random) -> str:
        done = self._run(*self.selection, "--slimgate-rebuild", complete=True)
        return f"pytest --slimgate-rebuild: exit {done.code}"

    @action(1)
    def run_in_second_store(self, draw: random.Random) -> str:
        done = self._run(*self.selection, complete=True, store=SECOND_STORE)
        return f"pytest --slimgate-store {SECOND_STORE}: exit {done.code}"

    @action(1)
    def run_shard(self, draw: random.Random) -> str:
        number = draw.choice((1, 2))
        done = self._run(
            *self.selection, "--slimgate-shard", f"{number}/2", complete=False, report=f"shards/{number}"
        )
        return f"pytest --slimgate-shard {number}/2: exit {done.code}"

    @action(1)
    def run_shards_and_merge(self, draw: random.Random) -> str:
        for number in (1, 2):
            self._run(
                *self.selection, "--slimgate-shard", f"{number}/2", complete=False, report=f"shards/{number}"
            )
        return f"both shards; {self.merge(draw)}"

    @action(2)
    def merge(self, draw: random.Random) -> str | None:
        shards = ["shards/1", "shards/2"]
        records = [read_record(self.project.find_path(shard) / "gate/run.json") for shard in shards]
        if None in records:
            return None
        done = self.run_slimgate("merge", *(f"{shard}/gate" for shard in shards), "--out", f"{LATEST}/gate")
        self.verdict = f"exit {done.code}"
        if done.code == 4:
            return "slimgate merge: refused"
        states: dict[str, str] = {}
        for shard, record in zip(shards, records, strict=True):
            assert record is not None
            judged = set(record["shards"][0]["variants"])
            states |= {name: state for name, state in self.states[shard].items() if name in judged}
        self.states[LATEST] = states
        self._check_claims(LATEST)
        if done.code == 0:
            self._check_merged(states)
        return f"slimgate merge: exit {done.code}"

    def _check_merged(self, states: Mapping[str, str]) -> None:
        """Checks rule 2 for a merged record, whose shards may be of two states."""
        record = read_record(self.project.find_path(LATEST) / "gate/run.json")
        assert record is not None
        rule = "exit code 0 is a PASS"
        for facts in record["variants"][1:]:
            state = states.get(facts["name"]) if facts["gated"] else None
            if state is not None and (broken := self._find_broken_place(state, facts["name"])):
                self.deny(rule, f"merge: exit code 0, and {broken}", self.find_truth(state).text)
        if (
            len(set(states.values())) == 1
            and (truth := self.find_truth(next(iter(states.values())))).code != 0
        ):
            self.deny(rule, "merge: exit code 0", "from scratch:", truth.text)

    def _find_broken_place(self, state: str, variant: str) -> str | None:
        """A budget of the variant that fails by the truth of a state, with its verdict; None if none does."""
        measure = Project(self._find_copy(state)).read_tables(SUITE).get("measure", {})
        failing = {"FAIL"} if measure.get("on_inconclusive") == "warn" else {"FAIL", "INCONCLUSIVE"}
        for place, fact in self.find_truth(state).judged.items():
            if place.partition("/")[0] == variant and fact.verdict in failing:
                return f"{place} is {fact} from scratch"
        return None

    # --- baselines ---

    @action(2)
    def accept(self, draw: random.Random) -> str | None:
        return self._accept(draw)

    @action(1)
    def accept_with_reason(self, draw: random.Random) -> str | None:
        return self._accept(draw, "--reason", "the owner wants it")

    def _accept(self, draw: random.Random, *reason: str) -> str | None:
        record = read_record(self.project.find_path(LATEST) / "gate/run.json")
        if record is None or LATEST not in self.states:
            return None
        name = f"v{draw.randrange(1000)}"
        done = self.run_slimgate("accept", f"{LATEST}/gate", "--name", name, *reason)
        if done.code == 0:
            if not reason:
                self._check_ships(record, "accept without a reason")
                self._check_bound(record, "accept without a reason")
            self.accepted = Accepted(record, self._list_rows(self.states[LATEST]))
        return f"slimgate accept --name {name} {' '.join(reason[:1])}: exit {done.code}"

    @action(3)
    def compare(self, draw: random.Random) -> str | None:
        record = read_record(self.project.find_path(LATEST) / "gate/run.json")
        if self.accepted is None or record is None or not self.project.find_path(BASELINES).is_dir():
            return None
        options = [word for name in FAIL_ON for word in ("--fail-on", name)]
        done = self.run_slimgate("compare", BASELINES, f"{LATEST}/gate", *options)
        if done.code == 0:
            self._check_bound(record, "compare: exit code 0")
        return f"slimgate compare: exit {done.code}"

    @action(2)
    def run_with_baseline(self, draw: random.Random) -> str | None:
        if self.accepted is None or not self.project.find_path(BASELINES).is_dir():
            return None
        done = self._run(*self.selection, "--slimgate-baseline", BASELINES, complete=True)
        record = read_record(self.project.find_path(LATEST) / "gate/run.json")
        if done.code == 0 and record is not None:
            self._check_bound(record, "pytest --slimgate-baseline: exit code 0")
        return f"pytest --slimgate-baseline: exit {done.code}"

    def _check_ships(self, record: Mapping[str, Any], claim: str, variant: str | None = None) -> None:
        """Checks rule 4: variants pass by the truth of their state. variant: by default all gated ones."""
        for facts in record["variants"][1:]:
            name = facts["name"]
            is_selected = facts["gated"] if variant is None else name == variant
            state = self.states[LATEST].get(name)
            if is_selected and state is not None and (broken := self._find_broken_place(state, name)):
                self.deny("only what passed ships", f"{claim}, and {broken}", self.find_truth(state).text)

    def _check_bound(self, record: Mapping[str, Any], claim: str) -> None:
        """Checks rule 3: the record still has everything that the accepted run promised."""
        if self.accepted is None:
            return
        rows = self._list_rows(self.states[LATEST])
        if gone := self.accepted.rows - rows:
            self.deny(BINDS, f"{claim}, and {len(gone)} accepted gate rows are gone, such as {min(gone)}")
        now = {facts["name"]: facts for facts in record["variants"]}
        for before in self.accepted.record["variants"][1:]:
            if before["gated"] and (broken := find_broken_promise(before, now.get(before["name"]))):
                self.deny(BINDS, f"{claim}, and {broken}")

    def _list_rows(self, states: Mapping[str, str]) -> frozenset[str]:
        """The lines of the gate file in the states of a record."""
        files = (self._find_copy(state) / self.gate for state in sorted(set(states.values())))
        return frozenset(line for file in files for line in file.read_text("utf-8").splitlines() if line)

    def _draw_recorded(self, draw: random.Random) -> tuple[dict[str, Any], str] | None:
        """The newest record and one of its variants; None if there is none."""
        record = read_record(self.project.find_path(LATEST) / "gate/run.json")
        if record is None or LATEST not in self.states:
            return None
        variants = [facts["name"] for facts in record["variants"][1:]]
        return (record, draw.choice(variants)) if variants else None

    @action(1)
    def write_card(self, draw: random.Random) -> str | None:
        if (chosen := self._draw_recorded(draw)) is None:
            return None
        record, name = chosen
        done = self.run_slimgate("card", f"{LATEST}/gate", name)
        if done.code == 0 and "verdict: PASS" in done.text:
            self._check_ships(record, f"the card of {name} says PASS", name)
        return f"slimgate card {name}: exit {done.code}"

    @action(1)
    def export(self, draw: random.Random) -> str | None:
        if (chosen := self._draw_recorded(draw)) is None:
            return None
        record, name = chosen
        done = self.run_slimgate("export", f"{LATEST}/gate", name, "exported", "--force")
        if done.code == 0:
            self._check_ships(record, f"export of {name} without a reason", name)
        return f"slimgate export {name}: exit {done.code}"

    # --- copies of the results ---

    @action(1)
    def save_results(self, draw: random.Random) -> str:
        for folder in (STORE, "reports"):
            self.project.copy_folder(folder, f"saved/{folder}")
        self._saved = dict(self.states.get(LATEST, {})), self.accepted
        return "save copies of the store and of reports"

    @action(1)
    def restore_results(self, draw: random.Random) -> str | None:
        if not self.project.find_path("saved/reports").is_dir():
            return None
        chosen = draw.choice(((STORE, "reports"), (STORE,), ("reports",)))
        for folder in chosen:
            self.project.copy_folder(f"saved/{folder}", folder)
        if "reports" in chosen:
            self.states[LATEST], self.accepted = dict(self._saved[0]), self._saved[1]
        return f"restore the saved {' and '.join(chosen)}"


def judge_observed_drops(figures: Claims, limits: Mapping[str, float]) -> tuple[int, Claims]:
    """The exit code of a suite by observed drops alone. figures: by place; limits: in points, by place."""
    judged = {}
    for place, figure in figures.items():
        assert figure.value is not None
        assert figure.teacher is not None
        drop = 100 * (figure.teacher - figure.value)
        judged[place] = Judged(PASS if drop <= limits[place] else "FAIL", figure.value, figure.teacher)
    return int(any(figure.verdict != PASS for figure in judged.values())), judged
