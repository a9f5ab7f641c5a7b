"""pytest's hooks: suites are test files, their gates are tests, and the record is written at the end."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from slimgate.errors import SlimgateError, SuiteError
from slimgate.plugin.collect import (
    UNTIMED,
    find_gate_check,
    find_suite,
    is_timing_gate,
    list_named_models,
    list_params,
)
from slimgate.plugin.config import (
    NOTES,
    RESULTS,
    SESSION,
    VERDICT,
    find_project_root,
    is_xdist_worker,
    make_no_budget_error,
    read_shard_option,
)
from slimgate.plugin.find_suites import (
    Search,
    describe_suites_not_run,
    find_left_out,
    find_log_suites,
    find_suites,
    has_candidates,
)

if TYPE_CHECKING:
    from slimgate.plugin.session import Session
    from slimgate.run.gate_results import GateResult
    from slimgate.suite.suite import Suite

pytest.register_assert_rewrite("slimgate.plugin.gates")

pytest_plugins = (
    "slimgate.plugin.collect",
    "slimgate.plugin.sharding",
    "slimgate.plugin.fixtures",
    "slimgate.plugin.log_suites",
)
# Exit codes of a run in which nothing failed except tests.
_JUDGED = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)


def pytest_configure(config: pytest.Config) -> None:
    """Registers the mark that gives a hand-written test its suite."""
    config.addinivalue_line("markers", 'slimgate("bench/x.toml"): the suite that this test\'s fixtures use')


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Finds and validates the suites. A configuration error ends the run with exit code 4.

    If no file can be a suite, no other module of slimgate is imported.
    """
    config = session.config
    search = _make_search(config)
    config.stash[NOTES] = []
    needs_suites = config.getoption("slimgate_baseline") is not None or config.getoption("slimgate_confirm")
    if not has_candidates(search) and not needs_suites:
        return
    from slimgate._system.garbage import rare_collection
    from slimgate._system.threads import limit_spinning

    limit_spinning()
    with rare_collection():
        _start_session(config, search)


def _start_session(config: pytest.Config, search: Search) -> None:
    """Reads the suites of the run. Raises pytest.UsageError for a configuration error."""
    from slimgate.plugin.session_start import refuse_left_out_suites, start_session
    from slimgate.plugins.loading import add_import_folder

    notes = config.stash[NOTES]
    try:
        blocked: dict[Path, str] = {}
        add_import_folder(search.root)
        suites = find_suites(search, note=notes.append, block=blocked.__setitem__)
        logs = find_log_suites(search, suites)
        if blocked and (suites or not logs):  # with logs alone, they are reported as errors
            raise SuiteError("\n".join(dict.fromkeys(blocked.values())))
        refuse_left_out_suites(config, lambda: find_left_out(search, {*suites, *logs, *blocked}))
        state = start_session(config, suites, logs, blocked)
        if logs and (shard := read_shard_option(config)) is not None and shard.number > 1:
            state.logs.is_judged_in_shard = False
            names = ", ".join(suite.shown for suite in logs.values())
            notes.append(f"not judged in shard {shard}, as shard 1 does: {names}")
        _check_engine(config, state)
        if config.getoption("slimgate_require_budget"):
            require_budgets(suites)
    except SlimgateError as error:
        raise _make_usage_error(config, error) from None


def require_budgets(suites: Mapping[Path, Suite]) -> None:
    """Raises SuiteError for a suite without budgets, or in which no variant is gated."""
    from slimgate.run.gate_results import describe_ungated

    for suite in suites.values():
        if why := describe_ungated(suite):
            raise make_no_budget_error(suite.shown, why)


def _make_usage_error(config: pytest.Config, error: SlimgateError) -> pytest.UsageError:
    """Makes the error that ends a run without verdicts. It says if records of an earlier run remain.

    If the gate is weaker than the baseline, it also writes the comment on the pull request.
    """
    from slimgate.plugin.session_start import describe_earlier_records, write_weaker_comment
    from slimgate.run.baseline import WeakerGate

    if isinstance(error, WeakerGate) and not is_xdist_worker(config):
        write_weaker_comment(config, error)
    writes = not (config.getoption("slimgate_plan") or config.option.collectonly)
    earlier = [line] if writes and (line := describe_earlier_records(config)) else []
    return pytest.UsageError("\n".join([_make_visible(error), *earlier]))


def _make_visible(error: BaseException | str) -> str:
    """The lines of an error, with control characters escaped, because suites and rows may hold some."""
    from slimgate._system.escape import escape_invisible

    return "\n".join(map(escape_invisible, str(error).split("\n")))


def _check_engine(config: pytest.Config, state: Session) -> None:
    """Raises if the engine cannot build and predict. Imports Ray only if it is the engine."""
    options = ("slimgate_ray_address", "slimgate_ray_needs")
    if config.getoption("slimgate_engine") == "local" and not any(map(config.getoption, options)):
        return
    from slimgate.plugin.ray import check_engine

    if not is_xdist_worker(config):
        check_engine(config, state.suites)


class XdistWorker(Protocol):
    """A worker of xdist before it starts. workerinput: the data that the controller sends to it."""

    config: pytest.Config
    workerinput: dict[str, object]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: XdistWorker) -> None:
    """Passes the suites to an xdist worker, because a worker does not see the command line."""
    config = node.config
    node.workerinput.update(slimgate_suites=[], slimgate_rebuild_mark=None)
    if SESSION in config.stash or config.getoption("slimgate_rebuild"):  # tests with the mark use it too
        from slimgate.plugin.session_start import ensure_session

        state = ensure_session(config)
        paths = (*state.suites, *state.logs.suites, *state.logs.blocked)
        node.workerinput["slimgate_suites"] = [str(path) for path in paths]
        node.workerinput["slimgate_rebuild_mark"] = state.settings.rebuild_mark


def _make_search(config: pytest.Config) -> Search:
    folder = config.invocation_params.dir
    if hasattr(config, "workerinput"):
        paths = [Path(path) for path in config.workerinput["slimgate_suites"]]
    else:
        paths = [Path(folder, arg.partition("::")[0]) for arg in config.args]
    # `pytest` without arguments in the rootdir runs suites below it only if testpaths names them.
    at_root = config.invocation_params.dir == find_project_root(config)
    return Search(
        root=find_project_root(config),
        paths=paths,
        patterns=config.getini("slimgate_files"),
        skip=config.getini("norecursedirs"),
        ignore=[Path(folder, path).resolve() for path in config.getoption("ignore") or ()],
        ignore_globs=[str(Path(folder, glob)) for glob in config.getoption("ignore_glob") or ()],
        shallow=at_root and config.args_source is pytest.Config.ArgsSource.INVOCATION_DIR,
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Cuts and stores the splits before the first test. Too few rows end the run with exit code 4.

    With --slimgate-plan it prints the plan, and no test runs.
    """
    config = session.config
    _print_files_without_suite(session)
    if config.option.collectonly or session.testsfailed or is_xdist_worker(config):
        return None
    planned = config.getoption("slimgate_plan")
    state = config.stash.get(SESSION, None)
    if state is None:
        return True if planned else None
    suites = _list_chosen_suites(session, state)
    try:
        if suites and not planned:
            state.require_writable_reports()
            if config.getoption("slimgate_engine") == "local":  # workers of Ray have devices of their own
                from slimgate._system.processor import require_device

                require_device(state.settings.device)
            _start_timing_server(session)
        for suite in suites:
            _prepare_suite(session, state, suite)
    except SlimgateError as error:
        raise _make_usage_error(config, error) from error
    from slimgate.plugin.terminal import print_head, print_log_suites

    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    for suite in suites:
        print_head(config, state, suite, reporter)
    if planned:
        print_log_suites(state, reporter)
        return True
    if state.confirmation is not None:
        for line in state.confirmation.list_head_lines():
            reporter.write_line(line)
    if config.getoption("slimgate_engine") == "ray":
        _build_on_ray(session, state, reporter)
    return None


def _list_chosen_suites(session: pytest.Session, state: Session) -> list[Suite]:
    """The suites that have tests, each once. With xdist the workers collect, so each suite may have some."""
    if session.config.pluginmanager.hasplugin("dsession"):
        return list(state.suites.values())
    chosen = [suite for suite in map(find_suite, getattr(session, "items", None) or ()) if suite]
    return [state.suites[path] for path in dict.fromkeys(suite.path for suite in chosen)]


def _prepare_suite(session: pytest.Session, state: Session, suite: Suite) -> None:
    """Checks the suite's models, then cuts and stores its splits. Raises SlimgateError."""
    from slimgate.suite.checks import check_can_ask, check_hub_models

    names = _list_selected_models(session, suite)
    check_hub_models(suite, names)
    if not session.config.getoption("slimgate_plan"):
        check_can_ask(suite, names)
    state.find_run(suite).rows  # noqa: B018  reading the property prepares the rows
    state.compare_rows(suite)


def _list_selected_models(session: pytest.Session, suite: Suite) -> list[str]:
    """The models that a suite's tests are run for; all of them if xdist's workers collect the tests."""
    items = getattr(session, "items", None)
    if not items:
        return list(suite.variants)
    suite_items = [
        item
        for item in items
        if (item_suite := find_suite(item)) is not None and item_suite.path == suite.path
    ]
    return list(dict.fromkeys(name for item in suite_items for name in list_named_models(item)))


def _print_files_without_suite(session: pytest.Session) -> None:
    """Prints which files next to suites are no suites, and which suites do not run.

    For `pytest` without arguments, suites below its folder are named only if it collected nothing.
    """
    config = session.config
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if is_xdist_worker(config) or reporter is None:
        return
    search = _make_search(config)
    is_empty = getattr(session, "items", None) == []  # xdist's controller has no items
    lines = describe_suites_not_run(search, below=search.shallow and is_empty)
    for line in (*config.stash[NOTES], *lines):
        reporter.write_line(_make_visible(line))


def _build_on_ray(session: pytest.Session, state: Session, reporter: pytest.TerminalReporter) -> None:
    """Builds and predicts on Ray before the first test, so that nothing runs there while calls are timed."""
    from slimgate.plugin.ray import spread_over_ray

    try:
        for line in spread_over_ray(session.config, state, session.items):
            reporter.write_line(line)
    except SlimgateError as error:
        raise pytest.UsageError(str(error)) from error


def _start_timing_server(session: pytest.Session) -> None:
    """Starts the server of the timing processes, if this run times anything.

    The imports of the server take seconds, so they run while rows are read and quality is judged.
    """
    from slimgate._system.forkserver import start_forkserver
    from slimgate.plugin.gates.latency import describe_not_timed

    items = getattr(session, "items", None) or ()
    if any(map(is_timing_gate, items)) and describe_not_timed(session.config) is None:
        start_forkserver()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    with _show_progress(item):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    with _show_progress(item):
        try:
            yield
        except pytest.fail.Exception as failure:
            item.stash[VERDICT] = failure
            raise
        item.stash[VERDICT] = None


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Repeats the verdict of a gate that another plug-in runs again, such as pytest-rerunfailures.

    A time that is measured until it passes proves nothing. A gate that ended with an error runs again.
    """
    if find_suite(pyfuncitem) is None:
        return None
    if VERDICT not in pyfuncitem.stash:
        pyfuncitem.stash.setdefault(RESULTS, []).clear()
        return None
    if (failure := pyfuncitem.stash[VERDICT]) is not None:
        raise failure
    return True


def _show_progress(item: pytest.Item) -> AbstractContextManager[object]:
    """Shows the progress of a long gate. It prints nothing while a gate times anything."""
    state = item.config.stash.get(SESSION, None)
    if state is None or find_suite(item) is None:
        return nullcontext()
    name = getattr(item, "originalname", "")
    still = name not in UNTIMED or list_params(item).get("check") == "planted_delay"
    return state.settings.watch.stage(item.name, still=still, ends=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the results of a test to its report. Shows slimgate's own errors without a traceback."""
    report = yield
    suite = find_suite(item)
    if suite is None:
        return report
    results = item.stash.get(RESULTS, [])
    error = call.excinfo.value if call.excinfo else None
    is_foreseen = isinstance(error, SlimgateError | pytest.fail.Exception)
    if error is not None and is_foreseen:
        report.longrepr = _make_visible(error)
    fails = isinstance(error, pytest.fail.Exception) and not any(
        result.explains_failure for result in results
    )
    if isinstance(error, Exception) or fails:  # neither a skip nor a verdict that the record already has
        message = str(error) if is_foreseen else f"{item.name}: {type(error).__name__}: {error}"
        results = [*results, _make_error_result(item, error, message)]
    if report.when == "call" or report.failed or report.skipped:
        # pytest-benchmark skips all other tests then, and these skips are not reported.
        is_benchmark_only = item.config.getoption("benchmark_only", False)
        skipped = find_gate_check(item) if report.skipped and not results and not is_benchmark_only else None
        from slimgate.plugin.report_facts import attach_results

        if results:
            results = [*results, _describe_code_reads(item, suite)]
        attach_results(report, suite.path, item.name, results, skipped)
    return report


def _make_error_result(item: pytest.Item, error: BaseException | None, message: str) -> GateResult:
    """The result of a test that ended without a verdict."""
    from slimgate._system.timestamps import format_now
    from slimgate.record.verdicts import ErrorFacts
    from slimgate.results.checks import ERROR, TEACHER
    from slimgate.run.failure_log import format_error_log
    from slimgate.run.gate_results import GateResult

    log = format_error_log(error) if isinstance(error, Exception) else ""
    model = str(next(iter(list_named_models(item)), TEACHER))
    facts = ErrorFacts(message=message, log=log, measured=format_now())
    return GateResult(ERROR, model, item.name, facts)


def _describe_code_reads(item: pytest.Item, suite: Suite) -> GateResult:
    """What the user's code has read in this process so far."""
    from slimgate.record.run import CodeReads
    from slimgate.results.checks import TEACHER
    from slimgate.run.gate_results import CODE_READS, GateResult

    reads = item.config.stash[SESSION].find_run(suite).code_reads
    return GateResult(CODE_READS, TEACHER, "", CodeReads(states=reads))


def _get_problem_code(state: Session) -> pytest.ExitCode:
    return pytest.ExitCode.INTERRUPTED if state.stopped else pytest.ExitCode.USAGE_ERROR


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Writes record, outcomes and report of every suite that reported something.

    If the record says that the run does not pass, the exit code is 1. No test need have failed: a test may
    have the mark xfail or skip. If a suite could not be judged, or a report not written, the exit code is 4.
    """
    state = session.config.stash.get(SESSION, None)
    if state is not None and not is_xdist_worker(session.config):
        state.finish()
        if session.exitstatus in _JUDGED and any(state.list_problems()):
            session.exitstatus = _get_problem_code(state)
        if session.exitstatus == pytest.ExitCode.OK and any(state.list_failures()):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(trylast=True)  # below the wide tables of pytest-benchmark
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """Prints errors, budgets that do not hold, and for each suite its status and the path of its report."""
    state = terminalreporter.config.stash.get(SESSION, None)
    if state is None:
        return
    errors = list(state.list_problems())
    failures = list(state.list_failures()) if exitstatus == pytest.ExitCode.OK else []
    if not errors and not failures and not state.written_records:
        return
    from slimgate.plugin.terminal import annotate_github, find_width, write_lines

    terminalreporter.section("slimgate")
    for line in errors if exitstatus in _JUDGED else ():
        terminalreporter.write_line(_make_visible(f"exit code {int(_get_problem_code(state))}: {line}"))
    if state.confirmation is not None:
        for line in state.confirmation.list_summary():
            terminalreporter.write_line(line)
    write_lines(terminalreporter, state.list_summary(find_width(terminalreporter)))
    for line in failures:
        terminalreporter.write_line(_make_visible(f"exit code 1: {line}"))
    from slimgate.report.github import is_in_actions

    if is_in_actions(os.environ):
        annotate_github(state, terminalreporter)
