"""One view of files and links: what a kernel would find, with the install laid over it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from abicheck.binary.source import BytesSource
from abicheck.errors import BinaryError
from abicheck.model import Origin
from abicheck.overlay import HEAD, HOST, MAX_LINKS, UNOWNED, View
from abicheck.trees import DiskTree, Entry, Layer, LayeredTree, MemoryTree, RecordedTree, SplitTree, Tree, bytes_entry

ROOT = "/p"


def link(target: str) -> Entry:
    return Entry("link", target=target)


def files(**paths: str | Entry) -> dict[str, Entry]:
    """``lib_x="text"`` is the file ``/p/lib/x``; entries are taken as they are."""
    named = {"/p/" + n.replace("_", "/"): e for n, e in paths.items()}
    return {n: e if isinstance(e, Entry) else bytes_entry(n, e.encode()) for n, e in named.items()}


def view(tree: Tree, **more: bool) -> View:
    return View(ROOT, tree, lambda _path: None, **more)


def seen(v: View, path: str) -> tuple[str, str]:
    found = v.lookup(path)
    return found.status, found.real


# -- links, component by component ------------------------------------------------


def test_plain_files_and_directories() -> None:
    v = view(MemoryTree(files(lib_x="1")))
    assert seen(v, "/p/lib/x") == ("file", "/p/lib/x")
    assert seen(v, "/p/lib") == ("dir", "/p/lib") and seen(v, "/") == ("dir", "/")
    assert seen(v, "/p/./lib//x") == ("file", "/p/lib/x")
    assert v.lookup("/p/lib/y").status == "absent" and v.lookup("/p/none/x").status == "absent"
    assert v.lookup("lib/x").status == "absent", "a path that is not absolute has no meaning here"


def test_a_file_has_nothing_below_it() -> None:
    v = view(MemoryTree(files(lib_x="1")))
    assert v.lookup("/p/lib/x/y").status == "absent"
    assert v.lookup("/p/lib/x/../x").status == "absent", "ENOTDIR, although the text would cancel out"


def test_links_are_followed_from_where_they_stand() -> None:
    v = view(MemoryTree(files(lib_x="1", bin_near=link("../lib/x"), bin_far=link("/p/lib/x"), lib64=link("lib"))))
    assert seen(v, "/p/bin/near") == ("file", "/p/lib/x")
    assert seen(v, "/p/bin/far") == ("file", "/p/lib/x")
    assert seen(v, "/p/lib64/x") == ("file", "/p/lib/x")
    assert v.lookup("/p/lib64/x").path == "/p/lib64/x", "the path as asked is kept: $ORIGIN is its directory (ELF-8)"


def test_dots_go_up_from_the_real_place() -> None:
    """``a/b/..`` through a link is the parent of the target, not of the link."""
    tree = MemoryTree(files(real_deep_x="1", real_y="2", y="3", short=link("real/deep")))
    assert seen(view(tree), "/p/short/../y") == ("file", "/p/real/y")
    assert seen(view(tree), "/p/../../p/y") == ("file", "/p/y"), "the root is its own parent"
    assert seen(view(tree), "/p/short/..") == ("dir", "/p/real")


def test_absent_through_a_missing_directory() -> None:
    v = view(MemoryTree(files(y="1")))
    assert v.lookup("/p/missing/../y").status == "absent"


def test_dangling_and_looping_links_are_told_apart() -> None:
    v = view(MemoryTree(files(gone=link("nowhere"), a=link("b"), b=link("a"), deep=link("nowhere/x"))))
    assert v.lookup("/p/gone").status == "dangling" and v.lookup("/p/deep").status == "dangling"
    assert v.lookup("/p/a").status == "loop" and v.lookup("/p/a/x").status == "absent"


def test_as_many_links_as_the_kernel_follows() -> None:
    chain = {f"/p/l{n}": link(f"l{n + 1}") for n in range(MAX_LINKS + 1)} | {"/p/l41": bytes_entry("/p/l41", b"")}
    v = view(MemoryTree(chain))
    assert v.lookup("/p/l1").status == "file", "40 links"
    assert v.lookup("/p/l0").status == "loop", "41 links"


def test_the_kernel_agrees(tmp_path: Path) -> None:
    """Every path of a knotty tree as ``os.path.realpath`` and ``os.stat`` see it."""
    root = Path(os.path.realpath(tmp_path))
    (root / "real" / "deep").mkdir(parents=True)
    (root / "real" / "deep" / "x").write_text("x")
    (root / "real" / "y").write_text("y")
    for name, target in {
        "short": "real/deep", "back": "short/..", "abs": str(root / "real"), "x": "short/x", "hop": "abs/deep/x",
        "dead": "real/none", "loop": "loop", "real/up": "..",
    }.items():  # fmt: skip
        (root / name).symlink_to(target)
    v = View(str(root), DiskTree(), lambda _path: None)
    names = ["short", "back", "abs", "x", "hop", "dead", "loop", "real/up", "real/up/short/x", "short/../y", "back/y"]
    names += ["abs/up/x", "x/y", "dead/x", "loop/x", "short/../../x", "real/up/real/up/hop"]
    for name in names:
        path = f"{root}/{name}"
        found = v.lookup(path)
        try:
            kind = "dir" if os.path.isdir(path) else "file" if os.stat(path) else ""
        except OSError:
            kind = "none"
        assert (found.status if found.status in ("dir", "file") else "none") == kind, name
        if kind != "none":
            assert found.real == os.path.realpath(path), name


def test_listing_follows_links() -> None:
    v = view(MemoryTree(files(lib_x="1", lib_y="2", lib64=link("lib"))))
    assert sorted(v.listing("/p/lib64") or {}) == ["x", "y"]
    assert v.listing("/p/lib/x") is None and v.listing("/p/none") is None


def test_disk_entries(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    os.link(tmp_path / "a", tmp_path / "b")
    os.mkfifo(tmp_path / "pipe")
    v = View(str(tmp_path), DiskTree(), lambda _path: None)
    a, b = v.lookup(f"{tmp_path}/a"), v.lookup(f"{tmp_path}/b")
    assert a.entry is not None and b.entry is not None
    assert a.entry.ident == b.entry.ident and a.entry.size == 5, "hard links are one file (GEN-5)"
    assert v.lookup(f"{tmp_path}/pipe").status == "other"
    assert v.open(a).pread(1, 3) == b"234"


# -- layers -----------------------------------------------------------------------


def layered(base: dict[str, Entry], added: dict[str, Entry], removed: set[str] = frozenset()) -> View:  # type: ignore[assignment]
    return view(LayeredTree(MemoryTree(base), Layer(added, set(removed))))


def text(v: View, path: str) -> str | None:
    return v.read_text(path)


def test_added_files_stand_beside_and_above_what_is_there() -> None:
    v = layered(files(lib_x="old", lib_y="kept"), files(lib_x="new", site_pkg_m="m"))
    assert [text(v, f"/p/lib/{n}") for n in "xy"] == ["new", "kept"]
    assert text(v, "/p/site/pkg/m") == "m" and sorted(v.listing("/p") or {}) == ["lib", "site"]


def test_removed_files_are_gone_unless_written_again() -> None:
    v = layered(files(lib_x="1", lib_y="2", lib_z="3"), files(lib_y="new"), {"/p/lib/x", "/p/lib/y"})
    assert v.lookup("/p/lib/x").status == "absent"
    assert text(v, "/p/lib/y") == "new" and text(v, "/p/lib/z") == "3"


def test_pip_replaces_a_link_and_writes_through_a_linked_directory() -> None:
    base = files(lib_x=link("y"), lib_y="target", short=link("lib"))
    v = layered(base, files(lib_x="file"))
    assert text(v, "/p/lib/x") == "file" and text(v, "/p/lib/y") == "target", "unlinked, then written (PY-13)"
    kept = layered(base, {"/p/short/n": bytes_entry("/p/short/n", b"n")})
    assert seen(kept, "/p/short/x") == ("file", "/p/lib/y"), "a linked directory stays a link"


def test_a_file_in_the_place_of_a_directory() -> None:
    v = layered(files(pkg_m="1"), {"/p/pkg": bytes_entry("/p/pkg", b"now a file")})
    assert v.lookup("/p/pkg").status == "file" and v.lookup("/p/pkg/m").status == "absent"


def test_a_directory_that_only_removals_touch() -> None:
    v = layered(files(lib_x="1"), {}, {"/p/lib/x", "/p/none/y"})
    assert v.lookup("/p/lib").status == "dir" and v.listing("/p/lib") == {}
    assert v.lookup("/p/none").status == "absent"


def test_recorded_files_are_unknown_and_present_ones_are_read() -> None:
    v = view(RecordedTree(MemoryTree(files(lib_x="here")), ["/p/lib/x", "/p/lib/y", "/p/opt/z"]))
    assert text(v, "/p/lib/x") == "here"
    assert v.lookup("/p/lib/y").status == "unknown" and v.lookup("/p/opt/z").status == "unknown"
    assert v.lookup("/p/lib/w").status == "absent", "what no record lists is not there"
    assert text(v, "/p/lib/y") is None
    with pytest.raises(BinaryError):
        v.binary(v.lookup("/p/lib/y"))
    with pytest.raises(FileNotFoundError):
        v.open(v.lookup("/p/lib/y"))


def test_a_recorded_file_that_is_removed_is_gone() -> None:
    tree = LayeredTree(RecordedTree(MemoryTree({}), ["/p/lib/y"]), Layer(removed={"/p/lib/y"}))
    assert view(tree).lookup("/p/lib/y").status == "absent"


# -- prefix and host ----------------------------------------------------------------


def test_the_prefix_and_the_host_are_two_worlds() -> None:
    inside = MemoryTree({"/srv/env/lib/x": bytes_entry("x", b"env")})
    outside = MemoryTree({"/usr/lib/x": bytes_entry("h", b"host"), "/srv/env/lib/y": bytes_entry("y", b"never seen")})
    v = View("/srv/env", SplitTree("/srv/env", inside, outside), lambda _path: None)
    assert text(v, "/srv/env/lib/x") == "env" and text(v, "/usr/lib/x") == "host"
    assert v.lookup("/srv/env/lib/y").status == "absent"
    assert text(v, "/usr/../srv/env/lib/x") == "env"


def test_without_a_host_only_the_way_to_the_prefix_exists() -> None:
    v = View(
        "/srv/env", SplitTree("/srv/env", MemoryTree({"/srv/env/x": bytes_entry("x", b"1")}), None), lambda _p: None
    )
    assert v.lookup("/srv/env/x").status == "file" and v.lookup("/usr/lib").status == "absent"
    assert sorted(v.listing("/") or {}) == ["srv"] and sorted(v.listing("/srv") or {}) == ["env"]


def test_a_link_out_of_the_prefix() -> None:
    inside = MemoryTree({"/p/lib/x": link("/usr/lib/x"), "/p/lib/y": link("../../usr/lib/x")})
    v = view(SplitTree("/p", inside, MemoryTree({"/usr/lib/x": bytes_entry("h", b"host")})))
    assert text(v, "/p/lib/x") == text(v, "/p/lib/y") == "host"
    assert v.origin(v.lookup("/p/lib/x").real) == HOST


# -- letter case ----------------------------------------------------------------------


def test_case_is_folded_only_where_the_target_does() -> None:
    tree = MemoryTree({"/p/Library/bin/MSVCP140.dll": bytes_entry("m", b"1")})
    folded = view(tree, fold_case=True)
    assert seen(folded, "/p/library/BIN/msvcp140.DLL") == ("file", "/p/Library/bin/MSVCP140.dll")
    assert view(tree).lookup("/p/library/bin/msvcp140.dll").status == "absent"


def test_the_exact_name_wins_over_a_folded_one() -> None:
    tree = MemoryTree({"/p/A": bytes_entry("A", b"upper"), "/p/a": bytes_entry("a", b"lower")})
    v = view(tree, fold_case=True)
    assert [text(v, p) for p in ("/p/A", "/p/a")] == ["upper", "lower"]


def test_windows_links_have_backslashes() -> None:
    v = view(MemoryTree(files(lib_x="1", l=link("lib\\x"))), fold_case=True)
    assert seen(v, "/p/l") == ("file", "/p/lib/x")
    assert view(MemoryTree(files(lib_x="1", l=link("lib\\x")))).lookup("/p/l").status == "dangling"


# -- content and owners ---------------------------------------------------------------


def test_text_has_a_limit_and_bad_bytes_are_replaced() -> None:
    v = view(MemoryTree({"/p/t": bytes_entry("t", b"a\xffb")}))
    assert v.read_text("/p/t") == "a\N{REPLACEMENT CHARACTER}b"
    assert v.read_text("/p/t", limit=2) is None and v.read_text("/p") is None and v.read_text("/p/u") is None


def test_binaries_are_read_once_for_each_file() -> None:
    calls = []

    def opened() -> BytesSource:
        calls.append(1)
        return BytesSource("one", b"#!/bin/sh\n")

    entry = Entry("file", ident="one", source=opened)
    v = view(MemoryTree({"/p/a": entry, "/p/b": entry}))
    assert v.binary(v.lookup("/p/a")) is None and v.binary(v.lookup("/p/b")) is None
    assert calls == [1]


def test_the_head_of_a_file_that_was_read_needs_no_second_look() -> None:
    data = b"#!/bin/sh\n" + bytes(90)
    calls = []

    def opened() -> BytesSource:
        calls.append(1)
        return BytesSource("one", data)

    v = view(MemoryTree({"/p/a": Entry("file", ident="one", source=opened)}))
    assert v.head(v.lookup("/p/a")) == (data[:HEAD], 100) and len(calls) == 1
    v.binary(v.lookup("/p/a"))
    assert v.head(v.lookup("/p/a")) == (data[:HEAD], 100) and len(calls) == 2
    with pytest.raises(FileNotFoundError):
        v.head(v.lookup("/p/none"))


def test_what_is_no_binary_and_what_is_a_broken_one() -> None:
    broken = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\x3e\x00" + b"\xff" * 60
    v = view(MemoryTree({"/p/t": bytes_entry("t", b"#!/bin/sh\n"), "/p/b": bytes_entry("b", broken)}))
    assert v.binary(v.lookup("/p/t")) is None and v.binary(v.lookup("/p/none")) is None
    for _ in range(2):
        with pytest.raises(BinaryError):
            v.binary(v.lookup("/p/b"))


def test_a_file_that_cannot_be_read_is_a_binary_error() -> None:
    def refuse() -> BytesSource:
        raise PermissionError(13, "Permission denied")

    v = view(MemoryTree({"/p/x": Entry("file", ident="x", source=refuse)}))
    with pytest.raises(BinaryError, match="cannot be read"):
        v.binary(v.lookup("/p/x"))


def test_a_question_about_what_cannot_be_read_has_no_answer() -> None:
    def refuse() -> BytesSource:
        raise PermissionError(13, "Permission denied")

    entries = {"/p/x": Entry("file", ident="x", source=refuse), "/p/y": bytes_entry("y", b"four")}
    v = view(MemoryTree(entries))
    assert v.ask("/p/y", lambda source: source.size) == 4
    assert [v.ask(path, lambda source: source.size) for path in ("/p/x", "/p/gone", "/p")] == [None, None, None]


def test_owners_and_names_for_people() -> None:
    owners = {"lib/x": Origin("conda", "xlib", "1.0"), "lib/m": Origin("wheel", "w", "2")}
    entry = Entry("file", ident="m", member="w/m.so")
    v = View(ROOT, MemoryTree(files(lib_x="1", lib_y="2", lib_m=entry)), owners.get)
    assert v.origin("/p/lib/x") == owners["lib/x"] and v.origin("/p/lib/y") == UNOWNED
    assert v.origin("/usr/lib/x") == HOST and v.origin("/pp/lib/x") == HOST
    assert v.relative("/p/lib/../lib/x") == "lib/x" and v.relative("/p") == "." and v.relative("/usr/x") == "/usr/x"
    ref = v.ref("/p/lib/m")
    assert (ref.path, ref.origin, ref.member) == ("lib/m", owners["lib/m"], "w/m.so")
