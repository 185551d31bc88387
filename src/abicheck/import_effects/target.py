"""What Python code can ask about the machine it runs on, answered for the target of the analysis."""

from __future__ import annotations

from abicheck.import_effects.facts import ImportContext
from abicheck.import_effects.values import THING, Value

_MACHINES = {
    "64": {"linux": "x86_64", "osx": "x86_64", "win": "AMD64"},
    "32": {"linux": "i686", "osx": "i386", "win": "x86"},
    "aarch64": {"linux": "aarch64"},
    "arm64": {"osx": "arm64", "win": "ARM64"},
}
# dlopen flags as <dlfcn.h> has them: glibc/musl, and Darwin. Windows has none (the attributes do not exist there).
_FLAGS = {
    "linux": {"LAZY": 1, "NOW": 2, "GLOBAL": 0x100, "LOCAL": 0, "NODELETE": 0x1000, "NOLOAD": 4, "DEEPBIND": 8},
    "osx": {"LAZY": 1, "NOW": 2, "LOCAL": 4, "GLOBAL": 8, "NOLOAD": 0x10, "NODELETE": 0x80},
    "win": {},
}


class Target:
    """Constants of the target, by dotted name (``sys.platform``)."""

    def __init__(self, context: ImportContext) -> None:
        system = context.system
        flags = _FLAGS[system]
        self.system = system
        self.rtld_global = flags.get("GLOBAL", 0)
        self.rtld_local = flags.get("LOCAL", 0)
        self.rtld_noload = flags.get("NOLOAD", 0)
        self.rtld_deepbind = flags.get("DEEPBIND", 0)
        self.default_flags = flags.get("NOW", 0)
        arch = context.platform.partition("-")[2]
        machine = _MACHINES.get(arch, {}).get(system, arch)
        name = {"linux": "Linux", "osx": "Darwin", "win": "Windows"}[system]
        version = context.version
        self.constants: dict[str, Value] = {
            "sys.platform": {"linux": "linux", "osx": "darwin", "win": "win32"}[system],
            "sys.version_info": (*version, 0, "final", 0),
            "sys.version_info.major": version[0],
            "sys.version_info.minor": version[1],
            "sys.hexversion": version[0] << 24 | version[1] << 16 | 0xF0,
            "sys.maxsize": 2**31 - 1 if arch == "32" else 2**63 - 1,
            "sys.byteorder": "big" if arch == "s390x" else "little",
            "sys.implementation.name": "cpython",
            "sys.implementation.cache_tag": f"cpython-{version[0]}{version[1]}",
            "sys.prefix": context.prefix,
            "sys.base_prefix": context.prefix,
            "sys.exec_prefix": context.prefix,
            "sys.base_exec_prefix": context.prefix,
            "sys.executable": context.prefix + ("/python.exe" if system == "win" else "/bin/python"),
            "sys.flags.optimize": 0,
            "sys.flags.no_site": 0,
            "sys.flags.ignore_environment": 0,
            "sys.warnoptions": (),
            "sys.dont_write_bytecode": False,
            "os.name": "nt" if system == "win" else "posix",
            "os.sep": "/",
            "os.altsep": "/" if system == "win" else None,
            "os.pathsep": ";" if system == "win" else ":",
            "os.curdir": ".",
            "os.pardir": "..",
            "os.path.sep": "/",
            "os.path.pardir": "..",
            "os.path.curdir": ".",
            "os.path.pathsep": ";" if system == "win" else ":",
            "os.linesep": "\r\n" if system == "win" else "\n",
            "typing.TYPE_CHECKING": False,
            "typing_extensions.TYPE_CHECKING": False,
            "ctypes.DEFAULT_MODE": flags.get("LOCAL", 0) if system != "osx" else flags["LOCAL"],
            "ctypes.RTLD_GLOBAL": flags.get("GLOBAL", 0),
            "ctypes.RTLD_LOCAL": flags.get("LOCAL", 0),
            "site.ENABLE_USER_SITE": False,
            "site.USER_SITE": None,
            "builtins.__debug__": True,
        }
        self.constants |= {f"os.RTLD_{k}": v for k, v in flags.items()}
        self.calls: dict[str, Value] = {
            "platform.system": name,
            "platform.machine": machine,
            "platform.processor": machine if system != "linux" else "",
            "platform.python_implementation": "CPython",
            "platform.architecture": ("32bit" if arch == "32" else "64bit", "WindowsPE" if system == "win" else "ELF"),
            "platform.python_version_tuple": (str(version[0]), str(version[1]), "0"),
            "os.getcwd": THING,
            "sys.getdefaultencoding": "utf-8",
            "sys.getfilesystemencoding": "utf-8",
            "sys.gettrace": None,
            "sys.getprofile": None,
            "sysconfig.get_platform": {"win": "win-amd64", "osx": f"macosx-11.0-{machine}"}.get(
                system, f"linux-{machine}"
            ),
        }

    def modes(self, flags: int) -> dict[str, bool]:
        """What the flags of a dlopen say, as fields of an effect (ELF-24, ELF-25, ELF-44). Windows has none."""
        return {
            "flags_global": bool(flags & self.rtld_global),
            "lazy": self.system == "linux" and not flags & self.default_flags,
            "deepbind": bool(flags & self.rtld_deepbind),
        }

    def missing(self, name: str) -> bool:
        """Whether the target's standard library has no such attribute (``os.add_dll_directory`` outside Windows)."""
        windows = name in _WINDOWS_NAMES
        posix = name in _POSIX_NAMES or name.startswith("os.RTLD_")
        return (windows and self.system != "win") or (posix and self.system == "win") or name in _NEVER


# Availability notes of the standard library's documentation (os, sys, ctypes).
_WINDOWS_NAMES = frozenset(
    {"os.add_dll_directory", "os.startfile", "sys.getwindowsversion", "sys.winver", "sys.dllhandle", "ctypes.WinDLL"}
    | {"ctypes.OleDLL", "ctypes.windll", "ctypes.oledll", "ctypes.WinError", "ctypes.FormatError", "ctypes.WINFUNCTYPE"}
    | {"ctypes.HRESULT", "ctypes.GetLastError", "ctypes.get_last_error"}
)
_POSIX_NAMES = frozenset(
    {
        "sys.setdlopenflags",
        "sys.getdlopenflags",
        "os.fork",
        "os.uname",
        "os.getuid",
        "os.geteuid",
        "os.register_at_fork",
    }
    | {"sys.abiflags", "os.sched_getaffinity"}
)
_NEVER = frozenset({"sys.frozen", "sys._MEIPASS", "sys.pypy_version_info", "sys.real_prefix", "sys.subversion"})
