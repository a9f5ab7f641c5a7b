"""What a run of slimgate was made with, as the logs of other tools say it."""

from __future__ import annotations

from typing import Any

from slimgate.plugins.environments import join_environments, make_environment, sort_packages
from slimgate.record.run import RunRecord


def environment_of_record(record: RunRecord) -> dict[str, dict[str, Any]]:
    """What a run of slimgate was made with."""
    machine = record.machine
    return join_environments(
        make_environment(
            prompt={"task": record.task.kind, "task settings": record.task.params},
            sampling={"seeds": record.suite.seeds},
            model={"suite": record.suite.path, "digest of the suite": record.suite.digest},
            engine={"threads": machine.threads},
            harness={"slimgate": record.slimgate},
            hardware={
                "CPU": machine.cpu,
                "instructions": " ".join(machine.instructions),
                "cores": machine.cores,
                "memory": machine.memory_bytes,
                "device": machine.device,
            },
            system={"OS": machine.os, "Python": machine.python},
        ),
        sort_packages(machine.libraries),
    )
