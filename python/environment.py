"""Tells what an interpreter is and has, as one JSON object; `packages` is null unless a job really runs on what it has.

Run as `python3 -I environment.py` for the interpreter alone, with `--packages` to try the packages as well. Standard library only, and old
versions of Python must be able to read it, so that it can tell that they are too old.
"""

import importlib.util
import json
import os
import platform
import stat
import sys


def interpreter():
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "machine": platform.machine(),
        # Not where it leads: an environment is known by the link in it.
        "executable": os.path.abspath(sys.executable),
        "venv": importlib.util.find_spec("venv") is not None and importlib.util.find_spec("ensurepip") is not None,
        "open": all(_may_pass(path) for path in (os.path.realpath(sys.executable), os.path.realpath(sys.base_prefix))),
    }


def _may_pass(path):
    """Whether every user of the machine can come to it: behind the walls a job is nobody in particular."""
    while path != os.path.dirname(path):
        if not os.stat(path).st_mode & stat.S_IXOTH:
            return False
        path = os.path.dirname(path)
    return True


def packages():
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import harness

    harness.warm_up()
    from importlib.metadata import distributions

    return {_normal(found.metadata["Name"]): found.version for found in distributions() if _normal(found.metadata["Name"]) in NAMES}


NAMES = ("numpy", "pandas", "pyarrow", "pycatch22", "python-dateutil", "tzdata")


def _normal(name):
    return (name or "").lower().replace("_", "-").replace(".", "-")


if __name__ == "__main__":
    told = dict(interpreter(), packages=None, why=None)
    if "--packages" in sys.argv:
        try:
            told["packages"] = packages()
        except Exception as error:
            told["why"] = "%s: %s" % (type(error).__name__, error)
    print(json.dumps(told))
