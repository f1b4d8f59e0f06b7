"""One step of a job in a container of its own: `decode`, `run` or `encode`, as files in and files out.

For machines where something else builds the walls, such as Kubernetes with gVisor: each step is a container that sees only the folders it needs, and
the one that writes Parquet never sees the code. The filter of system calls is installed here as well, for the step that runs the code.

  /job/job.json       {"code", "format", "output_bytes", "memory_bytes", "cpu_seconds", "validate"}
  /input/data         the data set
  /arrow/input        written by decode
  /result/output      written by run, with its report beside it: /result/report.json
  /output             written by encode: result.parquet when there is one, and report.json

The step ends with 0 when the next one may begin, and with 3 when the job is over: then the report says why.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

OVER = 3
PREVIEW_ROWS = 20
REPORT_BYTES = 8 << 20


def main(step: str, root: str) -> int:
    with open(f"{root}/job/job.json", encoding="utf-8") as file:
        job = json.load(file)
    return STEPS[step](job, root)


def decode(job: dict, root: str) -> int:
    import frames

    source, arrow = os.open(f"{root}/input/data", os.O_RDONLY), new_file(f"{root}/arrow/input")
    try:
        frames.decode(source, job["format"], arrow)
        return 0
    except frames.DataError as error:
        return over(f"{root}/arrow", {"status": "error", "message": str(error)})


def run(job: dict, root: str) -> int:
    if over_before(f"{root}/arrow"):
        return 0
    import harness
    import jail
    import seccomp

    arrow, result, report = os.open(f"{root}/arrow/input", os.O_RDONLY), new_file(f"{root}/result/output"), new_file(f"{root}/result/report.json")
    limits = jail.Limits(job["cpu_seconds"], address_space() + job["memory_bytes"], max(job["output_bytes"], REPORT_BYTES), threads=False)
    jail.check(jail.prctl(jail.PR_SET_NO_NEW_PRIVS, 1), "prctl(PR_SET_NO_NEW_PRIVS)")
    jail.apply_limits(limits)
    seccomp.install(threads=False)
    order = {"code": job["code"], "validate": job["validate"], "output_bytes": job["output_bytes"]}
    answer = harness.run(order, arrow, result, lambda line: print(line, flush=True))
    os.pwrite(report, json.dumps(answer).encode(), 0)
    return 0


def encode(job: dict, root: str) -> int:
    """Reads what the code's process left as hostile: its report is checked, its values are, and nothing else of it is believed."""
    import frames
    import reports

    told = over_before(f"{root}/arrow")
    if told is not None:
        return over(f"{root}/output", told)
    try:
        with open(os.open(f"{root}/result/report.json", os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            report = reports.run_report(file.read(REPORT_BYTES + 1)[:REPORT_BYTES])
    except (OSError, reports.Refused):
        return over(f"{root}/output", {"status": "killed", "message": "The process of the job ended without a result"})
    if report["status"] != "success":
        return over(f"{root}/output", report)
    result = os.open(f"{root}/result/output", os.O_RDONLY | os.O_NOFOLLOW)
    if os.fstat(result).st_size > job["output_bytes"]:
        return over(f"{root}/output", {"status": "output_too_large", "message": f"The result is larger than {job['output_bytes']} bytes"})
    target = new_file(f"{root}/output/result.parquet.unfinished")
    try:
        written = frames.encode(result, target, PREVIEW_ROWS)
    except frames.DataError as error:
        os.unlink(f"{root}/output/result.parquet.unfinished")
        return over(f"{root}/output", {"status": "error", "message": str(error)})
    os.rename(f"{root}/output/result.parquet.unfinished", f"{root}/output/result.parquet")
    over(f"{root}/output", {"status": "success", **written})
    return 0


STEPS: dict[str, Callable[[dict, str], int]] = {"decode": decode, "run": run, "encode": encode}


def over(folder: str, report: dict) -> int:
    with open(f"{folder}/report.json", "w", encoding="utf-8") as file:
        json.dump(report, file)
    # Decoding leaves it to the last step to tell: a pod whose first containers fail never comes to that.
    return 0 if folder.endswith("/arrow") else OVER


def over_before(folder: str) -> dict | None:
    try:
        with open(f"{folder}/report.json", encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def new_file(path: str) -> int:
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o644)


def address_space() -> int:
    with open("/proc/self/statm", encoding="utf-8") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGESIZE")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""))
