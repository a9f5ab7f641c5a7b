"""Ray, connected while tasks are under way: a cluster at an address, or one of this machine's own."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any

from slimgate.errors import BuildError, MissingExtra
from slimgate.run.cluster.needs import OPTION, Needs

ADDRESS = "--slimgate-ray-address"
# How long an address may take to answer, and processes of our own cluster to end.
PATIENCE = 10.0


def check_installed() -> None:
    """Raises MissingExtra without Ray, which is not imported for it."""
    if find_spec("ray") is None:
        raise MissingExtra('--slimgate-engine ray needs an extra: pip install "slimgate[ray]"')


@contextmanager
def connect(address: str | None) -> Iterator[Any]:
    """The module `ray`, connected. address: as Ray has it; None for a cluster that ends with the context.

    When it is left, no worker of it runs here any more. Raises BuildError where nobody answers.
    """
    check_installed()
    if address is not None:
        _check_answers(address)
    with _keep_signals(), _no_reports_home():
        import ray

        ours = set(_processes())

        try:
            with _keep_signals():  # while models are made, too, SIGTERM stops a run as Ctrl-C does
                ray.init(
                    address=address or "local",
                    include_dashboard=False if address is None else None,
                    log_to_driver=False,
                    logging_level="ERROR",
                )
        except Exception as error:  # Ray raises what it likes: ConnectionError, RuntimeError, ValueError
            ray.shutdown()
            said = " ".join(str(error).split()) or type(error).__name__
            where = "a cluster of this machine's own" if address is None else f"{ADDRESS} {address}"
            hint = (
                ""
                if address is None
                else "; one that asks for a token wants RAY_AUTH_MODE=token, and its token, here"
            )
            raise BuildError(f"{where}: Ray cannot be reached: {said}{hint}") from error
        try:
            yield ray
        finally:
            theirs = set(_processes()) - ours
            ray.shutdown()
            _wait_for_end(theirs)


def machines(ray: Any) -> dict[str, dict[str, float]]:
    """What each machine of the cluster has, by its id."""
    return {node["NodeID"]: dict(node["Resources"]) for node in ray.nodes() if node["Alive"]}


def check_fits(ray: Any, name: str, needs: Needs) -> None:
    """Raises BuildError where no machine of the cluster has what one task needs: it would wait for ever."""
    had_by, wanted = list(machines(ray).values()), needs.resources
    if any(all(one.get(what, 0.0) >= amount for what, amount in wanted.items()) for one in had_by):
        return
    most = {what: max((one.get(what, 0.0) for one in had_by), default=0.0) for what in wanted}
    had = ", ".join(f"{what} {amount:.15g}" for what, amount in most.items())
    raise BuildError(
        f"{name} needs {needs}, and no machine of the Ray cluster has that (the most is {had}): "
        f"say less by {OPTION} {name}:cpus=…, or add a machine"
    )


def _check_answers(address: str) -> None:
    """Raises BuildError where nobody listens: Ray itself would try for a minute, and say much."""
    host, port = _host_and_port(address)
    if host is None:
        return
    try:
        socket.create_connection((host, port), timeout=PATIENCE).close()
    except OSError as error:
        said = error.strerror or str(error)
        raise BuildError(
            f"{ADDRESS} {address}: nobody answers there ({said}), expected the head of a Ray cluster: "
            "start one by `ray start --head`, or leave the option out for this machine alone"
        ) from error


def _host_and_port(address: str) -> tuple[str | None, int]:
    """None where Ray finds the cluster by itself (auto). Raises BuildError for what is no address."""
    if address == "auto":
        return None, 0
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise BuildError(
            f'{ADDRESS} "{address}": expected HOST:PORT of a Ray cluster\'s head, ray://HOST:PORT, or auto'
        )
    return host.strip("[]"), int(port)


@contextmanager
def _keep_signals() -> Iterator[None]:
    """Ray takes SIGTERM for its own; afterwards it is again whoever's it was."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _no_reports_home() -> Iterator[None]:
    """A cluster that a run starts sends its makers no statistics, unless somebody said that it may."""
    name = "RAY_USAGE_STATS_ENABLED"
    if name in os.environ:
        yield
        return
    os.environ[name] = "0"
    try:
        yield
    finally:
        os.environ.pop(name, None)


def _processes() -> list[Any]:
    """The processes that this one has started, at any remove."""
    import psutil

    return list(psutil.Process().children(recursive=True))


def _wait_for_end(processes: set[Any]) -> None:
    """Waits until a cluster's processes are gone, so that nothing runs beside what is timed next."""
    import psutil

    for process in psutil.wait_procs(processes, timeout=PATIENCE)[1]:
        with suppress(psutil.Error):
            process.kill()
