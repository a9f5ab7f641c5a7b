"""The session of a pytest run: made when a suite is found, or when a test's mark names a suite.

    state = ensure_session(config)

A run without suites never imports this file, nor what it needs.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from slimgate._system.escape import escape_invisible
from slimgate._system.signals import handle_on_own_stack
from slimgate._system.threads import RAYON_NUM_THREADS
from slimgate._system.timestamps import format_now
from slimgate.errors import SuiteError
from slimgate.plugin.config import NOTES, SESSION, find_project_root, is_xdist_worker, read_shard_option
from slimgate.plugin.log_suites import LogRuns
from slimgate.plugin.report_facts import FailureLines, RecordKeeper
from slimgate.plugin.run_settings import RunSettings
from slimgate.plugin.session import Session
from slimgate.plugin.terminal_watch import make_watch
from slimgate.plugins.rows import CONFIRM, GATE
from slimgate.suite.suite import Suite

if TYPE_CHECKING:
    from slimgate.logs.suite import LogSuite
    from slimgate.record.run import RunRecord
    from slimgate.run.baseline import Baseline, BaselineSource, WeakerGate


TERMINATED = "SIGTERM"


class Stopping:
    """Handles SIGTERM, which would end the process at once, like Ctrl-C; prints a stopped run's last lines.

    A KeyboardInterrupt that Python raises in a destructor or a callback is printed and lost. This class
    remembers it, and raises it again before the next test begins.
    """

    def __init__(self, state: Session, config: pytest.Config) -> None:
        self._state, self._config = state, config
        self._stopped_by: str | None = None
        self._has_lost_interrupt = False
        if _can_handle_sigterm():
            signal.signal(signal.SIGTERM, self._on_terminate)
            config.add_cleanup(_restore_default_handler)
        self._watch_lost_interrupts()
        handle_on_own_stack(signal.SIGINT, signal.SIGTERM)

    def _watch_lost_interrupts(self) -> None:
        """Remembers, until the run ends, whether Python had a KeyboardInterrupt that it could not raise."""
        previous_hook = sys.unraisablehook

        def hook(unraisable: sys.UnraisableHookArgs) -> None:
            if issubclass(unraisable.exc_type, KeyboardInterrupt):
                self._has_lost_interrupt = True
            previous_hook(unraisable)

        def restore_hook() -> None:
            if sys.unraisablehook is hook:
                sys.unraisablehook = previous_hook

        sys.unraisablehook = hook
        self._config.add_cleanup(restore_hook)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self) -> None:
        """Raises again a KeyboardInterrupt that was lost."""
        if self._has_lost_interrupt:
            self._has_lost_interrupt = False
            raise KeyboardInterrupt

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remembers which signal stopped the run; no further work begins."""
        # pytest's Interrupted, raised for files that cannot be collected, is a KeyboardInterrupt too
        if excinfo.errisinstance(KeyboardInterrupt) and not excinfo.errisinstance(pytest.Session.Interrupted):
            self._stopped_by = self._stopped_by or "Ctrl-C"
            self._state.stopped = True

    def _on_terminate(self, _number: int, _frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second SIGTERM must not interrupt the writing
        # remembered here, because Ray's C code raises a new exception in place of this one
        self._stopped_by = TERMINATED
        raise KeyboardInterrupt(TERMINATED)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, Any, Any]:
        """Prints the closing lines below everything else."""
        result = yield
        reporter: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        if self._stopped_by is not None and reporter is not None:
            for line in list_saved_work(self._state, self._stopped_by):
                reporter.write_line(line)
        return result


def list_saved_work(state: Session, stopped_by: str) -> Iterator[str]:
    """Lines that say what a stopped run has kept, and how to continue. stopped_by: SIGTERM or Ctrl-C."""
    store = os.path.relpath(state.settings.store_root)
    yield f"slimgate: stopped by {stopped_by}. Kept: finished steps and answers, in {store}"
    yield from (f"slimgate: {error}" for error in state.list_problems())
    for path, record in state.records.items():
        where, missing = os.path.relpath(state.find_folder(path) / "run.json"), record.verdict.missing
        done = state.count_checks(path) - missing
        yield f"slimgate: {done} of {state.count_checks(path)} checks of {record.suite.path} are in {where}"
    yield "slimgate: run the same command again, it continues from there; only timings are repeated"


def _can_handle_sigterm() -> bool:
    """Whether no other handler of SIGTERM is set, and this thread may set one."""
    is_main_thread = threading.current_thread() is threading.main_thread()
    return is_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def _restore_default_handler() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def ensure_session(config: pytest.Config) -> Session:
    """The run's session. It is made now if no suite was found before."""
    return config.stash[SESSION] if SESSION in config.stash else start_session(config, {})


def start_session(
    config: pytest.Config,
    suites: dict[Path, Suite],
    logs: Mapping[Path, LogSuite] | None = None,
    blocked: Mapping[Path, str] | None = None,
) -> Session:
    """Makes the session of the run, which then collects the results of tests.

    blocked: the suites of models that cannot run here, each with the line that says why. Raises SuiteError
    for options that do not fit together or do not fit a suite, and for a baseline that cannot be used.
    """
    report_root = _find_report_root(config)
    _refuse_gone_suites(config)
    baselines = _find_baselines(config, suites, report_root, has_logs=bool(logs))
    settings = _read_settings(config, report_root)
    log_baselines = _find_log_baselines(config, logs or {}, report_root, is_alone=not suites)
    log_runs = LogRuns(logs or {}, blocked, log_baselines)
    state = Session(suites, settings, baselines=baselines, logs=log_runs)
    without_baseline = [suite.shown for path, suite in suites.items() if path not in baselines]
    log_suites = [suite.shown for suite in (logs or {}).values()]
    config.stash[NOTES] += _list_uncompared(config, [*without_baseline, *log_suites])
    _refuse_family_in_shards(config, suites)
    _set_tokenizer_threads(config, suites)
    if config.getoption("slimgate_confirm"):
        from slimgate.plugin.confirmation import Confirmation

        refuse_options_with_confirm(config)
        state.confirmation = Confirmation(state)
    config.stash[SESSION] = state
    config.add_cleanup(state.stop_servers)
    _register_listeners(config, state)
    return state


def _register_listeners(config: pytest.Config, state: Session) -> None:
    """Registers what listens to the tests' reports and to signals, in the process that writes the records."""
    if not is_xdist_worker(config):
        config.pluginmanager.register(RecordKeeper(state), "slimgate-record")
        config.pluginmanager.register(Stopping(state, config), "slimgate-stopping")
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and config.get_verbosity() >= 0:
            config.pluginmanager.register(FailureLines(reporter), "slimgate-failures")


def _refuse_family_in_shards(config: pytest.Config, suites: Mapping[Path, Suite]) -> None:
    """Raises SuiteError for a shard of a suite whose variants are judged together."""
    with_family = [suite.shown for suite in suites.values() if suite.family is not None]
    if with_family and read_shard_option(config) is not None:
        raise SuiteError(
            f"{with_family[0]} [budgets] family: all variants are judged together, "
            "so leave out --slimgate-shard"
        )


def _read_settings(config: pytest.Config, report_root: Path) -> RunSettings:
    return RunSettings(
        store_root=_resolve_folder(
            config, config.getoption("slimgate_store") or os.environ.get("SLIMGATE_STORE"), ".slimgate"
        ),
        report_root=report_root,
        rebuild_mark=read_rebuild_mark(config),
        device=config.getoption("slimgate_device"),
        workers=int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")),
        command=shlex.join(["pytest", *map(str, config.invocation_params.args)]),
        watch=make_watch(config),
        shard=read_shard_option(config),
        time_limit=config.getoption("slimgate_time_limit"),
        split=CONFIRM if config.getoption("slimgate_confirm") else GATE,
    )


def _set_tokenizer_threads(config: pytest.Config, suites: Mapping[Path, Suite]) -> None:
    """Sets the number of threads that tokenizers start with their first batch, for end-to-end times.

    With several suites it is the largest number. A number that the user has set stays.
    """
    threads = [suite.threads for suite in suites.values() if suite.measure.end_to_end]
    if threads and RAYON_NUM_THREADS not in os.environ:
        os.environ[RAYON_NUM_THREADS] = str(max(threads))
        config.add_cleanup(_forget_tokenizer_threads)


def _forget_tokenizer_threads() -> None:
    os.environ.pop(RAYON_NUM_THREADS, None)


def refuse_options_with_confirm(config: pytest.Config) -> None:
    """Raises SuiteError for options that cannot be combined with a run on the confirm rows."""
    from slimgate.plugin.confirmation import OPTION

    for name in ("shard", "rebuild"):
        if config.getoption(f"slimgate_{name}"):
            raise SuiteError(f"{OPTION} judges models of the store, so leave out --slimgate-{name}")
    if config.getoption("slimgate_engine") != "local":
        raise SuiteError(f"{OPTION} judges in this process, so leave out --slimgate-engine")


def read_rebuild_mark(config: pytest.Config) -> str | None:
    """With --slimgate-rebuild, the start time of the session, which all of its workers share; else None."""
    if hasattr(config, "workerinput"):
        shared: str | None = config.workerinput["slimgate_rebuild_mark"]
        return shared
    return format_now("microseconds") if config.getoption("slimgate_rebuild") else None


def _find_baselines(
    config: pytest.Config, suites: Mapping[Path, Suite], report_root: Path, *, has_logs: bool
) -> Mapping[Path, Baseline]:
    """The baselines of suites of models; workers of xdist, which judge variants, read them again.

    has_logs: whether the run has suites of logs, which --slimgate-baseline is for too.
    """
    source = _read_baseline_option(config)
    if source is not None and has_logs and not suites:
        return {}
    if source is None and not any(suite.baseline or suite.since_baseline for suite in suites.values()):
        return {}
    from slimgate.run.baseline import find_baselines, refuse_last_run

    baselines = find_baselines(source, suites, find_project_root(config))
    refuse_last_run(baselines, suites, report_root)
    return baselines


def _find_log_baselines(
    config: pytest.Config, logs: Mapping[Path, LogSuite], report_root: Path, *, is_alone: bool
) -> BaselineSource | None:
    """The baselines with which suites of logs are compared. is_alone: whether there are no suites of models.

    Raises SuiteError if the baseline cannot be read, if a run with suites of logs alone has no baseline for
    any of them, and if the run would overwrite its baseline.
    """
    source = _read_baseline_option(config)
    if source is None or not logs:
        return None
    from slimgate.run.baseline import find_newest, make_mismatch_error

    paths = [suite.shown for suite in logs.values()]
    newest = [find_newest(source, path) for path in paths]
    if is_alone and not any(newest):
        raise make_mismatch_error(source, paths)
    for path, run in zip(logs, newest, strict=True):
        if run is not None and run.file.resolve().parent == (report_root / path.stem).resolve():
            raise SuiteError(
                f"{logs[path].shown}: this run overwrites its baseline {source.shown}; keep a release with "
                "slimgate accept, and use that as the baseline"
            )
    return source


def _read_baseline_option(config: pytest.Config) -> BaselineSource | None:
    """The value of --slimgate-baseline; None without it."""
    option: str | None = config.getoption("slimgate_baseline")
    if option is None:
        return None
    from slimgate.run.baseline import BaselineSource

    return BaselineSource(Path(config.invocation_params.dir, option), option)


def _list_uncompared(config: pytest.Config, suites: Sequence[str]) -> Iterator[str]:
    """With --slimgate-baseline: a line for each suite without a baseline.

    suites: the paths of the suites that were not compared with a baseline of their own.
    """
    source = _read_baseline_option(config)
    if source is None:
        return
    from slimgate.run.baseline import find_newest

    for path in suites:
        if find_newest(source, path) is None:
            yield f"{path}: no baseline in {source.shown}, so its gate was not compared"


def _refuse_gone_suites(config: pytest.Config) -> None:
    """Raises SuiteError if the file of a suite with a baseline is gone, because no run judges its budgets."""
    source = _read_baseline_option(config)
    if source is None:
        return
    root = find_project_root(config)
    if gone := [path for path in _find_suite_baselines(source) if not (root / path).is_file()]:
        raise SuiteError(
            f"{', '.join(gone)}: a baseline is in {source.shown}, but the file {root / gone[0]} is gone; "
            "restore the file, or remove all baselines of this suite from the folder"
        )


def refuse_left_out_suites(config: pytest.Config, find_left_out: Callable[[], Set[Path]]) -> None:
    """Raises SuiteError if a file that was a suite with a baseline is not run, and would run by its name.

    It may be opt-in now, unless it was opt-in in its newest baseline, or no suite any more. find_left_out:
    finds the files of this run that are not run; called only with --slimgate-baseline.
    """
    source = _read_baseline_option(config)
    if source is None or not (left_out := find_left_out()):
        return
    root = find_project_root(config)
    for path, record in _find_suite_baselines(source).items():
        was_opt_in = record.demands is not None and record.demands.settings.get("suite.opt_in")
        if (root / path).resolve() in left_out and not was_opt_in:
            raise SuiteError(
                f"{path}: a baseline is in {source.shown}, but this run leaves the suite out, because it is "
                "opt-in now, or has neither [suite] nor [logs]; name its file on the command line, or remove "
                "all baselines of this suite from the folder"
            )


def _find_suite_baselines(source: BaselineSource) -> dict[str, RunRecord]:
    """By path the newest baseline of each suite. Records of `slimgate judge` never had a suite."""
    if not source.is_folder_of_baselines:
        return {}
    from slimgate.record.files import read_records_in

    baselines = sorted(read_records_in(source.path), key=lambda baseline: baseline.at)
    return {
        baseline.record.suite.path: baseline.record
        for baseline in baselines
        if not baseline.record.command.startswith("slimgate judge ")
    }


def write_weaker_comment(config: pytest.Config, error: WeakerGate) -> None:
    """Writes pr-comment.md, and the step summary of GitHub, about a gate that demands less than before."""
    from slimgate._system.escape import escape
    from slimgate._system.files import write_atomically
    from slimgate.report.files import PR_COMMENT
    from slimgate.report.github import append_summary, is_in_actions
    from slimgate.report.pr_comment import format_weaker_comment

    text = format_weaker_comment(error.title, f"the baseline {escape(error.name)}", error.weaker)
    write_atomically(_find_report_root(config) / PR_COMMENT, text)
    if is_in_actions(os.environ) and (summary := os.environ.get("GITHUB_STEP_SUMMARY")):
        append_summary(Path(summary), text)


def describe_earlier_records(config: pytest.Config) -> str | None:
    """A line for a run that ends before it judges anything; None if the folder of reports has no record."""
    folder = _find_report_root(config)
    if not any(folder.glob("*/run.json")):
        return None
    where = escape_invisible(os.path.relpath(folder, config.invocation_params.dir))
    return f"{where}: its records come from an earlier run, because this run judged nothing"


def _find_report_root(config: pytest.Config) -> Path:
    return _resolve_folder(config, config.getoption("slimgate_report"), "reports/latest")


def _resolve_folder(config: pytest.Config, option: str | None, default: str) -> Path:
    """The folder that an option names, from the folder of the call; or else the default in the project."""
    if option:
        return Path(config.invocation_params.dir, option).resolve()
    return find_project_root(config) / default
