"""The Windows loader, one rule of loader-semantics.md after the other, on files that the test wrote.

tests/oracle/test_wine.py compares the same rules with a real loader.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from tests.binary.pe_samples import ARM64, I386, Exported, Symbol, build

from abicheck.host import Host
from abicheck.loader import loader_for
from abicheck.loader.process import Edge, Event, EventResult
from abicheck.loader.windows import WindowsProcess, start
from abicheck.model import Attempt
from abicheck.overlay import View
from abicheck.trees import Entry, MemoryTree, RecordedTree, bytes_entry

ROOT = "/prefix"
SITE = f"{ROOT}/Lib/site-packages"
PYTHON: dict[str, bytes] = {
    "python.exe": build(dll=False, imports={"python311.dll": ["Py_Main"], "VCRUNTIME140.dll": ["memcpy"]}),
    "python311.dll": build(
        name="python311.dll",
        exports=["Py_Main", "PyModule_Create2"],
        imports={"VCRUNTIME140.dll": ["memcpy"], "KERNEL32.dll": ["Sleep"], "api-ms-win-crt-heap-l1-1-0.dll": ["free"]},
    ),
    "vcruntime140.dll": build(name="VCRUNTIME140.dll", exports=["memcpy", "memset"]),
    "python3.dll": build(exports=[Exported("PyModule_Create2", 1, forward="python311.PyModule_Create2")]),
}


def extension(*dlls: str, **imports: Sequence[Symbol]) -> bytes:
    """A .pyd that imports ``f`` from each of ``dlls``, or the named symbols."""
    wanted: dict[str, Sequence[Symbol]] = {"python311.dll": ["PyModule_Create2"]}
    wanted |= {d: ["f"] for d in dlls}
    wanted |= {f"{d}.dll": symbols for d, symbols in imports.items()}
    return build(imports=wanted, exports=["PyInit_x"])


def nobody(path: str) -> None:
    """The owner of every file here."""


LIBRARY = build(name="dep.dll", exports=["f"])


def world(files: Mapping[str, bytes], recorded: Sequence[str] = ()) -> View:
    """A prefix with CPython 3.11 and these files (relative to its root)."""
    entries = {f"{ROOT}/{p}": bytes_entry(f"{ROOT}/{p}", data) for p, data in {**PYTHON, **files}.items()}
    directories = {f"{ROOT}/{d}/.here": Entry("file", ident=d) for d in ("Library/bin", "extra", "extra2")}
    tree = RecordedTree(MemoryTree(entries | directories), [f"{ROOT}/{p}" for p in recorded])
    return View(ROOT, tree, nobody, fold_case=True)


def process(
    files: Mapping[str, bytes],
    *,
    recorded: Sequence[str] = (),
    host: Host | None = None,
    env: Mapping[str, str] | None = None,
    subdir: str = "win-64",
    conda: bool = True,
    python: tuple[int, int] | None = None,
) -> WindowsProcess:
    view = world(files, recorded)
    return start(
        view, host or Host(), executable=f"{ROOT}/python.exe", subdir=subdir, env=env, conda=conda, python=python
    )


def load(p: WindowsProcess, path: str) -> EventResult:
    return p.load(Event(f"{ROOT}/{path}"))


def add(p: WindowsProcess, directory: str) -> EventResult:
    return p.load(Event(f"{ROOT}/{directory}", kind="dll-directory"))


def edge(p: WindowsProcess, name: str, kind: str = "required") -> Edge:
    return next(e for e in reversed(p.record.edges) if e.name.lower() == name and e.kind == kind)


def serving(p: WindowsProcess, name: str) -> str:
    """Path (relative to the prefix) of what met the last request for a name; empty when nothing did."""
    provider = edge(p, name).provider
    return "" if provider is None else p.record.objects[provider].path.removeprefix(f"{ROOT}/")


def test_the_loader_is_found_for_all_three_platforms() -> None:
    assert {loader_for(s).start for s in ("win-64", "win-32", "win-arm64")} == {start}


def test_start_maps_the_interpreter_and_its_runtime() -> None:
    p = process({})
    (result,) = p.trace().events
    assert result.outcome == "loaded"
    assert [(m.path.rpartition("/")[2], m.how) for m in p.trace().objects] == [
        ("python.exe", "program"),
        ("python311.dll", "application"),
        ("vcruntime140.dll", "application"),
        ("kernel32.dll", "known-dll"),
        ("ucrtbase.dll", "api-set"),
    ]
    assert p.python == (3, 11)


# -- identity -------------------------------------------------------------------------------------------------------


def test_win_1_a_loaded_module_of_that_base_name_serves_whatever_the_directory() -> None:
    files = {
        "Lib/site-packages/a/a.pyd": extension("dep.dll"),
        "Lib/site-packages/a/dep.dll": LIBRARY,
        "Lib/site-packages/b/b.pyd": extension("DEP.dll"),
        "Lib/site-packages/b/dep.dll": LIBRARY,
    }
    for first, second in (("a", "b"), ("b", "a")):
        p = process(files)
        load(p, f"Lib/site-packages/{first}/{first}.pyd")
        assert load(p, f"Lib/site-packages/{second}/{second}.pyd").outcome == "loaded"
        assert serving(p, "dep.dll") == f"Lib/site-packages/{first}/dep.dll"
        assert (edge(p, "dep.dll").how, edge(p, "dep.dll").rule) == ("base-name", "WIN-1")


def test_win_2_full_path_loads_map_a_second_file_of_the_same_name() -> None:
    p = process({"x/dep.dll": LIBRARY, "y/dep.dll": LIBRARY, "Lib/e.pyd": extension("dep.dll")})
    for path in ("x/dep.dll", "y/dep.dll", "x/dep.dll"):
        assert p.load(Event(f"{ROOT}/{path}", kind="dlopen")).outcome == "loaded"
    assert [m.path for m in p.trace().objects].count(f"{ROOT}/x/dep.dll") == 1
    assert [m.path for m in p.trace().objects].count(f"{ROOT}/y/dep.dll") == 1
    load(p, "Lib/e.pyd")
    assert serving(p, "dep.dll") == "x/dep.dll"
    assert edge(p, "dep.dll").rule == "WIN-2", "which of the two serves is a model: hedged"


def test_win_2_one_file_under_two_names_is_one_module() -> None:
    view = world({"x/one.dll": LIBRARY})
    entry = view.lookup(f"{ROOT}/x/one.dll").entry
    assert entry is not None
    files = {f"{ROOT}/{p}": bytes_entry(f"{ROOT}/{p}", d) for p, d in PYTHON.items()}
    tree = MemoryTree(files | {f"{ROOT}/x/one.dll": entry, f"{ROOT}/y/two.dll": entry})
    p = start(View(ROOT, tree, nobody, fold_case=True), Host(), executable=f"{ROOT}/python.exe", subdir="win-64")
    first = p.load(Event(f"{ROOT}/x/one.dll", kind="dlopen"))
    assert p.load(Event(f"{ROOT}/y/two.dll", kind="dlopen")).root == first.root


def test_names_compare_without_case_and_get_their_suffix() -> None:
    p = process({"extra/Dep.DLL": LIBRARY, "Lib/e.pyd": build(imports={"dEp": ["f"], "python311.dll": ["Py_Main"]})})
    add(p, "extra")
    assert load(p, "Lib/e.pyd").outcome == "loaded"
    assert p.record.objects[-1].real == f"{ROOT}/extra/Dep.DLL"


# -- search ---------------------------------------------------------------------------------------------------------


def test_win_4_only_the_directory_of_the_top_dll_is_searched() -> None:
    files = {
        "Lib/site-packages/p/p.pyd": extension("mid.dll"),
        "extra/mid.dll": build(name="mid.dll", exports=["f"], imports={"deep.dll": ["f"]}),
        "extra/deep.dll": LIBRARY,
    }
    p = process({**files, "Lib/site-packages/p/deep.dll": LIBRARY})
    add(p, "extra")
    load(p, "Lib/site-packages/p/p.pyd")
    assert serving(p, "deep.dll") == "Lib/site-packages/p/deep.dll", "the .pyd's, not that of mid.dll"
    assert edge(p, "deep.dll").how == "own-directory"
    assert edge(p, "deep.dll").how_owner == f"{SITE}/p/p.pyd"


def test_win_4_beside_a_dependency_is_not_searched() -> None:
    files = {
        "Lib/p.pyd": extension("mid.dll"),
        "extra/mid.dll": build(name="mid.dll", exports=["f"], imports={"deep.dll": ["f"]}),
        "far/deep.dll": LIBRARY,
    }
    p = process(files)
    add(p, "extra")
    result = load(p, "Lib/p.pyd")
    assert result.outcome == "failed"
    failure = result.failure
    assert failure is not None
    assert (failure.kind, failure.library, failure.requester) == ("MISSING_LIB", "deep.dll", f"{ROOT}/extra/mid.dll")
    assert failure.message == "DLL load failed while importing p: The specified module could not be found."
    tried = [a.path for a in failure.attempts]
    assert tried[:3] == [f"{ROOT}/Lib/deep.dll", f"{ROOT}/deep.dll", f"{ROOT}/extra/deep.dll"]
    assert f"{ROOT}/Library/bin/deep.dll" in tried


ORDER = ["Lib/p", "", "extra", "Library/bin"]
WORDS = ["own-directory", "application", "user-directory", "user-directory"]


@pytest.mark.parametrize("first", range(4))
def test_win_4_order_own_directory_application_user_directories(first: int) -> None:
    places = [f"{d}/dep.dll".lstrip("/") for d in ORDER[first:]]
    p = process({"Lib/p/p.pyd": extension("dep.dll"), **dict.fromkeys(places, LIBRARY)})
    add(p, "extra")
    load(p, "Lib/p/p.pyd")
    assert serving(p, "dep.dll") == places[0]
    assert edge(p, "dep.dll").how == WORDS[first]


def test_win_4_path_is_not_searched() -> None:
    p = process({"Lib/p.pyd": extension("dep.dll"), "onpath/dep.dll": LIBRARY}, env={"PATH": f"{ROOT}/onpath"})
    assert load(p, "Lib/p.pyd").outcome == "failed"


def test_win_5_the_last_added_directory_is_first_and_the_answer_is_hedged() -> None:
    p = process({"Lib/p.pyd": extension("dep.dll"), "extra/dep.dll": LIBRARY, "extra2/dep.dll": LIBRARY})
    add(p, "extra")
    add(p, "extra2")
    load(p, "Lib/p.pyd")
    assert serving(p, "dep.dll") == "extra2/dep.dll"
    assert edge(p, "dep.dll").rule == "WIN-5"
    assert Attempt(f"{ROOT}/extra/dep.dll", "also") in edge(p, "dep.dll").attempts


def test_win_6_a_directory_serves_every_later_import_and_must_exist() -> None:
    p = process({"Lib/p.pyd": extension("dep.dll"), "extra/dep.dll": LIBRARY})
    assert load(p, "Lib/p.pyd").outcome == "failed"
    assert add(p, "extra").outcome == "loaded"
    assert load(p, "Lib/p.pyd").outcome == "loaded"
    assert edge(p, "dep.dll").rule == "WIN-6"
    missing = add(p, "nowhere")
    assert missing.outcome == "failed" and missing.failure is not None and "[WinError 2]" in missing.failure.message


def test_win_7_conda_adds_five_directories_and_python_org_none() -> None:
    files = {"Lib/p.pyd": extension("dep.dll"), "Library/bin/dep.dll": LIBRARY}
    p = process(files)
    assert p.user_directories == tuple(
        f"{ROOT}/{d}" for d in ("Library/mingw-w64/bin", "Library/usr/bin", "Library/bin", "Scripts", "bin")
    )
    assert load(p, "Lib/p.pyd").outcome == "loaded"
    assert load(process(files, conda=False), "Lib/p.pyd").outcome == "failed"


def test_win_7_the_variable_makes_old_pythons_take_path() -> None:
    env = {"CONDA_DLL_SEARCH_MODIFICATION_ENABLE": "1", "Path": f"{ROOT}/one;{ROOT}/two\\"}
    old = process({}, env=env, python=(3, 9)).user_directories
    assert old[-2:] == (f"{ROOT}/one", f"{ROOT}/two")
    assert old[0] == f"{ROOT}/Library/mingw-w64/bin"
    assert f"{ROOT}/one" not in process({}, env=env, python=(3, 11)).user_directories


def test_win_8_ctypes_by_name_by_path_and_in_the_old_way() -> None:
    files = {"extra/dep.dll": build(name="dep.dll", imports={"near.dll": ["f"]}), "extra/near.dll": LIBRARY}
    by_name = process(files).load(Event("dep.dll", kind="dlopen"))
    assert by_name.failure is not None and by_name.failure.message.startswith("Could not find module 'dep.dll'")
    assert process(files).load(Event(f"{ROOT}\\extra\\dep.dll", kind="dlopen")).outcome == "loaded"
    old = process(files, env={"PATH": f"{ROOT}/extra"})
    assert old.load(Event("dep", kind="dlopen", legacy_search=True)).outcome == "loaded"
    assert edge(old, "near.dll").how == "environment"


def test_win_8_a_bare_name_without_suffix_and_of_the_system() -> None:
    p = process({})
    result = p.load(Event("msvcrt", kind="dlopen"))
    assert result.outcome == "loaded" and result.root is not None
    assert p.record.objects[result.root].path == "C:/Windows/System32/msvcrt.dll"


def test_before_3_8_the_search_is_the_altered_one_and_reads_path() -> None:
    files = {"Lib/p.pyd": extension("dep.dll"), "Library/bin/dep.dll": LIBRARY}
    p = process(files, python=(3, 7))
    assert load(p, "Lib/p.pyd").outcome == "loaded"
    assert (edge(p, "dep.dll").how, edge(p, "dep.dll").rule) == ("environment", "WIN-9")
    assert load(process(files, python=(3, 7), env={"PATH": "C:/Windows"}), "Lib/p.pyd").outcome == "failed"


def test_before_3_8_ctypes_searches_in_the_oldest_way() -> None:
    near = build(name="top.dll", imports={"dep.dll": ["f"]})
    files = {"x/top.dll": near, "x/dep.dll": LIBRARY, "Library/bin/dep.dll": LIBRARY}
    p = process(files, python=(3, 7))
    assert p.load(Event(f"{ROOT}/x/top.dll", kind="dlopen")).outcome == "loaded"
    assert serving(p, "dep.dll") == "Library/bin/dep.dll"


def test_win_10_api_sets_never_come_from_a_file() -> None:
    name = "api-ms-win-crt-math-l1-1-0.dll"
    p = process({"Lib/p.pyd": extension(name), f"Lib/{name}": LIBRARY})
    load(p, "Lib/p.pyd")
    assert serving(p, name) == "C:/Windows/System32/ucrtbase.dll"
    assert (edge(p, name).how, edge(p, name).rule) == ("api-set", "WIN-10")


def test_win_10_extension_sets_depend_on_the_host() -> None:
    result = load(process({"Lib/p.pyd": extension("ext-ms-win-ntuser-window-l1-1-0.dll")}), "Lib/p.pyd")
    assert result.outcome == "unknown"
    assert result.failure is not None and result.failure.needs_host and result.failure.rule == "WIN-10"


def test_win_11_known_dlls_come_from_the_system() -> None:
    p = process({"Lib/p.pyd": extension("ole32.dll"), "Lib/ole32.dll": LIBRARY})
    load(p, "Lib/p.pyd")
    assert serving(p, "ole32.dll") == "C:/Windows/System32/ole32.dll"
    assert (edge(p, "ole32.dll").how, edge(p, "ole32.dll").rule) == ("known-dll", "WIN-11")


def test_system_dlls_are_found_last_and_a_shipped_copy_wins() -> None:
    p = process({"Lib/p.pyd": extension("dbghelp.dll")})
    load(p, "Lib/p.pyd")
    assert (edge(p, "dbghelp.dll").how, serving(p, "dbghelp.dll")) == ("system", "C:/Windows/System32/dbghelp.dll")
    p = process({"Lib/p.pyd": extension("dbghelp.dll"), "Lib/dbghelp.dll": LIBRARY})
    load(p, "Lib/p.pyd")
    assert serving(p, "dbghelp.dll") == "Lib/dbghelp.dll"


def test_what_only_newer_windows_has_depends_on_the_build() -> None:
    files = {"Lib/p.pyd": extension("dxcore.dll")}
    assert load(process(files), "Lib/p.pyd").outcome == "unknown"
    assert load(process(files, host=Host(windows_build=22631)), "Lib/p.pyd").outcome == "loaded"
    assert load(process(files, host=Host(windows_build=19045)), "Lib/p.pyd").outcome == "failed"


def test_win_22_a_runtime_that_only_an_installer_brings_is_unknown_not_missing() -> None:
    p = process({"Lib/p.pyd": extension("MSVCP140.dll")})
    result = load(p, "Lib/p.pyd")
    assert result.outcome == "unknown"
    assert result.failure is not None
    assert (result.failure.rule, result.failure.needs_host) == ("WIN-22", True)
    assert "Redistributable" in result.failure.message
    assert edge(p, "msvcp140.dll").attempts[-1] == Attempt("C:/Windows/System32/msvcp140.dll", "unknown")


def test_win_22_the_prefix_root_beats_user_directories_and_system() -> None:
    runtime = build(name="msvcp140.dll", exports=["f"], version=(14, 29, 30139, 0))
    p = process({"Lib/p.pyd": extension("MSVCP140.dll"), "msvcp140.dll": runtime, "extra/msvcp140.dll": runtime})
    add(p, "extra")
    load(p, "Lib/p.pyd")
    assert edge(p, "msvcp140.dll").how == "application"


def test_win_13_a_file_for_another_machine_is_passed_over_or_fatal() -> None:
    wrong = build(name="dep.dll", machine=I386, exports=["f"])
    p = process({"Lib/p.pyd": extension("dep.dll"), "Lib/dep.dll": wrong, "extra/dep.dll": LIBRARY})
    add(p, "extra")
    assert load(p, "Lib/p.pyd").outcome == "loaded"
    assert edge(p, "dep.dll").rule == "WIN-13"
    alone = load(process({"Lib/p.pyd": extension("dep.dll"), "Lib/dep.dll": wrong}), "Lib/p.pyd")
    assert alone.failure is not None
    assert (alone.failure.kind, alone.failure.provider) == ("LOAD_REJECTED", f"{ROOT}/Lib/dep.dll")
    assert alone.failure.message.endswith("%1 is not a valid Win32 application.")


@pytest.mark.parametrize(
    ("subdir", "machine", "hybrid", "loads"),
    [
        ("win-64", ARM64, False, False),
        ("win-64", 0x8664, True, True),
        ("win-arm64", ARM64, True, True),
        ("win-arm64", ARM64, False, True),
        ("win-arm64", 0x8664, False, False),
        ("win-32", I386, False, True),
    ],
)
def test_win_13_machines(subdir: str, machine: int, hybrid: bool, loads: bool) -> None:
    p = process({"x.dll": build(machine=machine, hybrid=hybrid)}, subdir=subdir)
    assert (p.load(Event(f"{ROOT}/x.dll", kind="dlopen")).outcome == "loaded") is loads


def test_a_file_that_is_no_image_is_refused() -> None:
    p = process({"Lib/p.pyd": extension("dep.dll"), "Lib/dep.dll": b"<html>", "extra/dep.dll": LIBRARY})
    add(p, "extra")
    failure = load(p, "Lib/p.pyd").failure
    assert failure is not None and (failure.kind, failure.provider) == ("LOAD_REJECTED", f"{ROOT}/Lib/dep.dll")


def test_win_14_dependent_load_flags_replace_the_search_of_that_dll_alone() -> None:
    strict = build(name="mid.dll", exports=["f"], imports={"dep.dll": ["f"]}, dependent_load_flags=0x800)
    files = {"Lib/p.pyd": extension("mid.dll"), "Lib/mid.dll": strict, "Lib/dep.dll": LIBRARY}
    failure = load(process(files), "Lib/p.pyd").failure
    assert failure is not None
    assert (failure.kind, failure.library, failure.requester) == ("MISSING_LIB", "dep.dll", f"{ROOT}/Lib/mid.dll")
    near = build(name="mid.dll", exports=["f"], imports={"dep.dll": ["f"]}, dependent_load_flags=0x100)
    p = process({"Lib/p.pyd": extension("mid.dll"), "extra/mid.dll": near, "extra/dep.dll": LIBRARY})
    add(p, "extra")
    assert load(p, "Lib/p.pyd").outcome == "loaded"
    assert edge(p, "dep.dll").rule == "WIN-14"


def test_win_15_a_manifest_takes_the_runtime_from_the_host() -> None:
    manifest = "<dependentAssembly><assemblyIdentity name='Microsoft.VC90.CRT' version='9.0.1.1'/></dependentAssembly>"
    pyd = build(imports={"msvcr90.dll": ["f"], "python311.dll": ["Py_Main"]}, manifest=manifest)
    result = load(process({"Lib/p.pyd": pyd, "Lib/msvcr90.dll": LIBRARY}), "Lib/p.pyd")
    assert result.outcome == "unknown"
    assert result.failure is not None and result.failure.rule == "WIN-15"


def test_a_missing_extension_file() -> None:
    result = load(process({}), "Lib/nothing.pyd")
    failure = result.failure
    assert failure is not None
    assert (failure.kind, failure.library) == ("MISSING_LIB", "nothing.pyd")
    assert failure.requester == f"{ROOT}/python.exe"


# -- binding --------------------------------------------------------------------------------------------------------


def test_win_16_a_missing_name_or_ordinal_is_error_127() -> None:
    for symbol, text in (("g", "g"), (9, "#9")):
        p = process({"Lib/p.pyd": extension(dep=["f", symbol]), "Lib/dep.dll": LIBRARY})
        failure = load(p, "Lib/p.pyd").failure
        assert failure is not None
        assert (failure.kind, failure.symbol, failure.library) == ("MISSING_SYMBOL", text, "dep.dll")
        assert failure.provider == f"{ROOT}/Lib/dep.dll"
        assert failure.message.endswith("The specified procedure could not be found.")


def test_win_16_no_other_dll_helps_out() -> None:
    files = {"Lib/p.pyd": extension(dep=["g"]), "Lib/dep.dll": LIBRARY, "Lib/other.dll": build(exports=["g"])}
    p = process(files)
    p.load(Event(f"{ROOT}/Lib/other.dll", kind="dlopen"))
    assert load(p, "Lib/p.pyd").outcome == "failed"


def test_win_16_bindings_say_who_serves() -> None:
    p = process({"Lib/p.pyd": extension(dep=["f", 2]), "Lib/dep.dll": build(name="dep.dll", exports=["f", "z"])})
    root = load(p, "Lib/p.pyd").root
    assert root is not None
    trace = p.trace()
    rows = {(b.symbol, trace.objects[b.provider].path) for b in trace.bindings[root] if b.provider is not None}
    assert rows == {
        ("PyModule_Create2", f"{ROOT}/python311.dll"),
        ("f", f"{ROOT}/Lib/dep.dll"),
        ("#2", f"{ROOT}/Lib/dep.dll"),
    }


def forwarding(target: str) -> bytes:
    return build(name="dep.dll", exports=[Exported("f", 1, forward=target), Exported("unused", 2, forward="gone.x")])


def test_win_17_only_imported_forwarders_load_their_target() -> None:
    files = {"Lib/p.pyd": extension("dep.dll"), "Lib/dep.dll": forwarding("real.g")}
    p = process({**files, "Lib/real.dll": build(exports=["g"])})
    root = load(p, "Lib/p.pyd").root
    assert root is not None
    (row,) = [b for b in p.trace().bindings[root] if b.symbol == "f"]
    assert row.provider is not None and p.record.objects[row.provider].path == f"{ROOT}/Lib/real.dll"
    assert row.rule == "WIN-17"
    failure = load(process(files), "Lib/p.pyd").failure
    assert failure is not None and (failure.kind, failure.library) == ("MISSING_LIB", "real.dll")


def test_win_17_chains_ordinals_and_circles() -> None:
    files = {"Lib/p.pyd": extension("dep.dll"), "Lib/dep.dll": forwarding("step.#3")}
    step = build(name="step.dll", exports=[Exported("s", 3, forward="real.g")])
    p = process({**files, "Lib/step.dll": step, "Lib/real.dll": build(exports=["g"])})
    assert load(p, "Lib/p.pyd").outcome == "loaded"
    circle = build(name="step.dll", exports=[Exported("s", 3, forward="dep.f")])
    failure = load(process({**files, "Lib/step.dll": circle}), "Lib/p.pyd").failure
    assert failure is not None and (failure.kind, failure.rule) == ("MISSING_SYMBOL", "WIN-17")


def test_win_18_delay_imports_do_not_load_and_say_who_would_serve() -> None:
    pyd = build(
        imports={"python311.dll": ["Py_Main"]},
        delayed={"late.dll": ["f"], "onpath.dll": ["f"], "vcruntime140.dll": ["memcpy"], "user32.dll": ["f"]},
    )
    p = process({"Lib/p.pyd": pyd, "Lib/late.dll": LIBRARY, "far/onpath.dll": LIBRARY}, env={"PATH": f"{ROOT}/far"})
    assert load(p, "Lib/p.pyd").outcome == "loaded"
    assert not [m for m in p.record.objects if m.base == "late.dll"]
    late = edge(p, "late.dll", "delay")
    assert (late.provider, late.how, late.rule) == (None, "", "WIN-18"), "the own directory is not searched for these"
    assert (edge(p, "onpath.dll", "delay").how, edge(p, "onpath.dll", "delay").how_owner) == (
        "environment",
        f"{ROOT}/far/onpath.dll",
    )
    assert edge(p, "vcruntime140.dll", "delay").how == "base-name"
    assert edge(p, "user32.dll", "delay").how == "known-dll"


def test_win_20_another_versions_python_dll() -> None:
    pyd = build(imports={"python310.dll": ["Py_Main"]})
    p = process({"Lib/p.pyd": pyd, "python310.dll": PYTHON["python311.dll"]})
    failure = load(p, "Lib/p.pyd").failure
    assert failure is not None
    assert failure.message == "Module use of python310.dll conflicts with this version of Python."
    absent = load(process({"Lib/p.pyd": pyd}), "Lib/p.pyd").failure
    assert absent is not None and (absent.kind, absent.library) == ("MISSING_LIB", "python310.dll")


def test_win_20_python3_dll_is_loaded_before_the_first_extension() -> None:
    p = process({"Lib/p.pyd": build(imports={"python3.dll": ["PyModule_Create2"]})})
    assert load(p, "Lib/p.pyd").outcome == "loaded"
    names = [m.base for m in p.record.objects]
    assert names.index("python3.dll") < names.index("p.pyd")
    assert load(p, "Lib/p.pyd").outcome == "loaded"
    assert names == [m.base for m in p.record.objects]


# -- process --------------------------------------------------------------------------------------------------------


def test_gen_3_a_failed_load_leaves_nothing_behind() -> None:
    files = {"Lib/bad.pyd": extension("dep.dll", "gone.dll"), "Lib/dep.dll": LIBRARY, "x/dep.dll": LIBRARY}
    p = process({**files, "x/good.pyd": extension("dep.dll")})
    assert load(p, "Lib/bad.pyd").outcome == "failed"
    assert [m.kept for m in p.trace().objects if m.path.endswith("Lib/dep.dll")] == [False]
    load(p, "x/good.pyd")
    assert serving(p, "dep.dll") == "x/dep.dll"


def test_all_missing_dlls_of_a_failing_load_are_on_record() -> None:
    p = process({"Lib/bad.pyd": extension("one.dll", "two.dll")})
    load(p, "Lib/bad.pyd")
    assert {e.name for e in p.record.edges if e.provider is None} == {"one.dll", "two.dll"}


def test_forks_do_not_influence_each_other() -> None:
    files = {
        "a/a.pyd": extension("dep.dll"),
        "a/dep.dll": LIBRARY,
        "b/b.pyd": extension("dep.dll"),
        "b/dep.dll": LIBRARY,
    }
    p = process(files)
    q = p.fork()
    load(p, "a/a.pyd")
    load(q, "b/b.pyd")
    assert serving(q, "dep.dll") == "b/dep.dll"
    load(q, "a/a.pyd")
    assert serving(q, "dep.dll") == "b/dep.dll"
    assert serving(p, "dep.dll") == "a/dep.dll"
    root_p, root_q = p.results[1].root, q.results[2].root
    assert root_p is not None and root_q is not None
    assert not p.same_bindings(root_p, q, root_q)
    r = p.fork()
    assert p.same_bindings(root_p, r, root_p)


def test_content_that_is_not_here_is_unknown() -> None:
    p = process({"Lib/p.pyd": extension("dep.dll")}, recorded=["Lib/dep.dll"])
    result = load(p, "Lib/p.pyd")
    assert result.outcome == "unknown"
    assert result.failure is not None
    assert result.failure.provider == f"{ROOT}/Lib/dep.dll"


def test_an_interpreter_that_is_not_here_still_has_its_directory_and_runtime() -> None:
    entries = {f"{ROOT}/{p}": bytes_entry(f"{ROOT}/{p}", d) for p, d in PYTHON.items() if p != "python.exe"}
    entries[f"{ROOT}/Lib/p.pyd"] = bytes_entry("p", extension())
    view = View(ROOT, RecordedTree(MemoryTree(entries), [f"{ROOT}/python.exe"]), nobody, fold_case=True)
    p = start(view, Host(), executable=f"{ROOT}/python.exe", subdir="win-64")
    assert p.trace().events[0].outcome == "unknown"
    assert p.python == (3, 11)
    assert p.load(Event(f"{ROOT}/Lib/p.pyd")).outcome == "loaded"


def test_an_interpreter_of_another_machine_fails_to_start() -> None:
    p = process({"python.exe": build(machine=ARM64, dll=False)})
    (result,) = p.trace().events
    assert result.outcome == "failed"


def test_a_chain_of_two_thousand_dlls() -> None:
    """Deep trees are walked without recursion."""
    chain = {f"Lib/d{n}.dll": build(exports=["f"], imports={f"d{n + 1}.dll": ["f"]}) for n in range(2000)}
    p = process({"Lib/p.pyd": extension("d0.dll"), **chain, "Lib/d2000.dll": LIBRARY})
    assert load(p, "Lib/p.pyd").outcome == "loaded"
    assert len(p.record.objects) > 2000
