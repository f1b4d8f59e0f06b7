"""What the environment's Python needs of the host to run with its packages: the files that the walls let through, and nothing else.

Run as a program by the interpreter of the environment; prints one JSON object. It loads every package and every built-in extension once and
looks which files the kernel mapped for them, so that no guess about a distribution's layout is needed.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
import sysconfig
from importlib import metadata

NEEDED = ("numpy", "pandas", "pyarrow")
WELCOME = ("pycatch22",)
# Tk and its window system are of no use to data.
LEFT_OUT = {"_tkinter"}


def survey() -> dict[str, object]:
    versions = {}
    for name in (*NEEDED, *WELCOME):
        version = load(name)
        if version is not None:
            versions[name] = version
        elif name in NEEDED:
            return {"fault": "packages", "missing": name}
    load_extensions()
    stdlib = os.path.realpath(sysconfig.get_paths()["stdlib"])
    packages = package_folders(stdlib)
    return {
        "python": platform.python_version(),
        "packages": versions,
        "executable": os.path.realpath(sys.executable),
        "stdlib": stdlib,
        "package_folders": packages,
        "libraries": libraries([stdlib, *packages]),
        "zones": "/usr/share/zoneinfo" if os.path.isdir("/usr/share/zoneinfo") else None,
    }


def load(name: str) -> str | None:
    try:
        importlib.import_module(name)
        return metadata.version(name)
    except ImportError:
        return None


def load_extensions() -> None:
    folder = sysconfig.get_config_var("DESTSHARED") or os.path.join(sysconfig.get_paths()["platstdlib"], "lib-dynload")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        module = name.split(".")[0]
        if name.endswith(".so") and module not in LEFT_OUT and "test" not in module:
            try:
                importlib.import_module(module)
            except ImportError:
                pass  # its library is not installed, so nothing can use it


def package_folders(stdlib: str) -> list[str]:
    """Folders of the search path that hold packages: of a virtual environment its own, of a system the distribution's."""
    found = [os.path.realpath(path) for path in sys.path if os.path.isdir(path)]
    own = os.path.dirname(os.path.abspath(__file__))
    return [path for path in dict.fromkeys(found) if path != own and not is_below(path, stdlib, except_packages=True)]


def is_below(path: str, folder: str, except_packages: bool) -> bool:
    if except_packages and os.path.basename(path) in ("site-packages", "dist-packages"):
        return False
    return path == folder or path.startswith(folder + os.sep)


def libraries(elsewhere: list[str]) -> list[str]:
    """Shared libraries outside of the given folders, under every name that the loader may look for, and the loader itself."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        mapped = {os.path.realpath(path) for line in maps if (path := line.rstrip("\n").partition("/")[2]) and (path := "/" + path) and ".so" in path}
    outside = {path for path in mapped if not any(path.startswith(folder + os.sep) for folder in elsewhere)}
    names = set()
    for folder in {os.path.dirname(path) for path in outside}:
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if ".so" in name and os.path.realpath(path) in outside:
                names.add(path)
    loader = interpreter_of(os.path.realpath(sys.executable))
    return sorted(names | ({loader} if loader else set()))


def interpreter_of(executable: str) -> str | None:
    """The `PT_INTERP` segment of a 64-bit ELF file: the path of the dynamic loader as the kernel looks for it."""
    with open(executable, "rb") as file:
        head = file.read(64)
        if head[:5] != b"\x7fELF\x02":
            return None
        offset = int.from_bytes(head[32:40], "little")
        size, count = int.from_bytes(head[54:56], "little"), int.from_bytes(head[56:58], "little")
        file.seek(offset)
        for _ in range(count):
            segment = file.read(size)
            if int.from_bytes(segment[:4], "little") == 3:
                file.seek(int.from_bytes(segment[8:16], "little"))
                return file.read(int.from_bytes(segment[32:40], "little")).rstrip(b"\0").decode()
    return None


if __name__ == "__main__":
    print(json.dumps(survey()))
