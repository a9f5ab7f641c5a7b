"""Connects to Ray while tasks run: to a cluster at an address, or to a local one on this machine."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from slimgate.errors import BuildError, MissingExtra, to_one_line
from slimgate.run.cluster.tasks import OPTION, Needs

if TYPE_CHECKING:
    import psutil

ADDRESS = "--slimgate-ray-address"
# How long an address may take to answer, and processes of our own cluster to end.
PATIENCE = 10.0


def check_installed() -> None:
    """Raises MissingExtra if Ray is not installed; does not import it."""
    if find_spec("ray") is None:
        raise MissingExtra('--slimgate-engine ray needs an extra: pip install "slimgate[ray]"')


@contextmanager
def connect(address: str | None) -> Iterator[Any]:
    """The module `ray`, connected. address: as for Ray; None for a cluster that ends with the context.

    After the context no worker of it runs on this machine. Raises BuildError if there is no answer.
    """
    check_installed()
    if address is not None:
        _check_answers(address)
    with _keep_signals(), _disable_usage_stats():
        import ray

        processes_before = set(_list_processes())
        try:
            with _keep_signals():  # SIGTERM must stop a run as Ctrl-C does, also while models are built
                ray.init(
                    address=address or "local",
                    include_dashboard=False if address is None else None,
                    log_to_driver=False,
                    logging_level="ERROR",
                )
        except Exception as error:  # Ray raises many types: ConnectionError, RuntimeError, ValueError
            ray.shutdown()
            where, hint = "a cluster of this machine's own", ""
            if address is not None:
                where = f"{ADDRESS} {address}"
                hint = "; one that asks for a token wants RAY_AUTH_MODE=token, and its token, here"
            raise BuildError(f"{where}: Ray cannot be reached: {to_one_line(error)}{hint}") from error
        try:
            yield ray
        finally:
            ray_processes = set(_list_processes()) - processes_before
            ray.shutdown()
            _end_processes(ray_processes)


def _end_processes(processes: Collection[psutil.Process]) -> None:
    """Waits for processes of Ray to end, and kills the rest: they would disturb the next timing."""
    import psutil

    for process in psutil.wait_procs(processes, timeout=PATIENCE)[1]:
        with suppress(psutil.Error):
            process.kill()


def list_machines(ray: ModuleType) -> dict[str, dict[str, float]]:
    """The resources of each machine of the cluster, by its id."""
    return {node["NodeID"]: dict(node["Resources"]) for node in ray.nodes() if node["Alive"]}


def check_fits(ray: ModuleType, name: str, needs: Needs) -> None:
    """Raises BuildError if no machine of the cluster has the resources for a task: it would wait for ever."""
    machines, required = list(list_machines(ray).values()), needs.resources
    if any(
        all(machine.get(resource, 0.0) >= amount for resource, amount in required.items())
        for machine in machines
    ):
        return
    largest = {
        resource: max((machine.get(resource, 0.0) for machine in machines), default=0.0)
        for resource in required
    }
    had = ", ".join(f"{resource} {amount:.15g}" for resource, amount in largest.items())
    raise BuildError(
        f"{name} needs {needs}, but no machine of the Ray cluster has that (the most is {had}); ask for "
        f"less with {OPTION} {name}:cpus=…, or add a machine"
    )


def _check_answers(address: str) -> None:
    """Raises BuildError if nothing listens at the address: Ray itself would retry for a minute."""
    host, port = _parse_address(address)
    if host is None:
        return
    try:
        socket.create_connection((host, port), timeout=PATIENCE).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise BuildError(
            f"{ADDRESS} {address}: no answer from this address ({reason}), expected the head of a Ray "
            "cluster; start one with `ray start --head`, or leave the option out to use only this machine"
        ) from error


def _parse_address(address: str) -> tuple[str | None, int]:
    """The host and port; no host if Ray finds the cluster by itself (auto). Raises BuildError if invalid."""
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
    """Restores the handler of SIGTERM afterwards: Ray installs its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _disable_usage_stats() -> Iterator[None]:
    """Turns off Ray's usage statistics for a cluster that a run starts, unless the user has set them."""
    name = "RAY_USAGE_STATS_ENABLED"
    if name in os.environ:
        yield
        return
    os.environ[name] = "0"
    try:
        yield
    finally:
        os.environ.pop(name, None)


def _list_processes() -> list[Any]:
    """The processes that this one has started, directly or indirectly."""
    import psutil

    return list(psutil.Process().children(recursive=True))
