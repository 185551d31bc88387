"""Prefixes: conda's records, who owns which file, the interpreter, what pip installed there. Read only, nothing run."""

from abicheck.prefix.activation import ActivationScript
from abicheck.prefix.damage import Damaged, both_claim, damage_of, find_damage, is_partial_copy
from abicheck.prefix.distributions import Distribution, import_names
from abicheck.prefix.files import Files, Resolved, State, list_folder
from abicheck.prefix.interpreter import Interpreter, Layout
from abicheck.prefix.naming import find_named_prefix
from abicheck.prefix.opening import is_environment, open_prefix
from abicheck.prefix.reading import Prefix
from abicheck.prefix.records import CondaRecord, PathInfo
from abicheck.prefix.snapshot import SnapshotPrefix, open_snapshot
from abicheck.prefix.snapshot_file import is_snapshot
from abicheck.prefix.snapshotting import Written, write_snapshot

__all__ = [
    "ActivationScript",
    "CondaRecord",
    "Damaged",
    "Distribution",
    "Files",
    "Interpreter",
    "Layout",
    "PathInfo",
    "Prefix",
    "Resolved",
    "SnapshotPrefix",
    "State",
    "Written",
    "both_claim",
    "damage_of",
    "find_damage",
    "find_named_prefix",
    "import_names",
    "is_environment",
    "is_partial_copy",
    "is_snapshot",
    "list_folder",
    "open_prefix",
    "open_snapshot",
    "write_snapshot",
]
