"""Prefixes: conda's records, who owns which file, the interpreter, what pip installed there. Read only, nothing run."""

from abicheck.prefix.distributions import Distribution, import_names
from abicheck.prefix.files import Files, Node, Resolved, State, list_folder
from abicheck.prefix.history import ActivationScript
from abicheck.prefix.interpreter import Interpreter, Layout
from abicheck.prefix.naming import find_named_prefix
from abicheck.prefix.opening import is_environment, open_prefix
from abicheck.prefix.reading import Prefix
from abicheck.prefix.records import CondaRecord, PathInfo

__all__ = [
    "ActivationScript",
    "CondaRecord",
    "Distribution",
    "Files",
    "Interpreter",
    "Layout",
    "Node",
    "PathInfo",
    "Prefix",
    "Resolved",
    "State",
    "find_named_prefix",
    "import_names",
    "is_environment",
    "list_folder",
    "open_prefix",
]
