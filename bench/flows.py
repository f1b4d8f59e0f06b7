"""A chain of short tasks in Prefect 3 on its ephemeral server with SQLite: prints the seconds of each run. Arguments: tasks, runs."""

import json
import os
import sys
import time

os.environ.update(
    {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    }
)

from prefect import flow, task  # noqa: E402

steps, runs = int(sys.argv[1]), int(sys.argv[2])


@task
def step(before):
    return before + 1


@flow
def chain():
    value = 0
    for _ in range(steps):
        value = step(value)
    return value


# The server and its tables are there before the clock runs.
chain()
seconds = []
for _ in range(runs):
    began = time.perf_counter()
    assert chain() == steps
    seconds.append(time.perf_counter() - began)
print(json.dumps({"seconds": seconds}), flush=True)
