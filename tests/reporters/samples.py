# ruff: noqa: E501
"""Reports made by hand, one for each thing a reporter has to show. Names of projects are invented, libraries real."""

from __future__ import annotations

import datetime
from dataclasses import replace

from abicheck import policy
from abicheck.errors import InputError
from abicheck.model import (
    Attempt,
    Confidence,
    Fact,
    FileRef,
    Finding,
    Orders,
    Origin,
    Remedy,
    Severity,
    Skipped,
)
from abicheck.report import HostInfo, InputInfo, Judgement, Report, RequestedBy, TargetInfo, Thresholds
from abicheck.report.settings import PackageRules, Settings, Suppression
from abicheck.rules import Rule

VERSION = "0.1.0"
TODAY = datetime.date(2026, 11, 24)

RULES = (
    Rule("ABI103", "library-captured", "by consequence", ("CAPTURED_LIB",), ("linux", "osx", "win"), "Captured", "0.1"),
    Rule("ABI201", "symbol-version-missing", "error", ("MISSING_VERSION",), ("linux",), "A version is missing", "0.1"),
    Rule(
        "ABI301", "duplicate-openmp", "by pair and OS", ("DUP_RUNTIME",), ("linux", "osx", "win"), "Two OpenMP", "0.1"
    ),
    Rule("ABI302", "duplicate-runtime", "by family", ("DUP_RUNTIME",), ("linux", "osx", "win"), "Two runtimes", "0.1"),
    Rule("ABI504", "conda-twin", "note", ("OWNERSHIP",), ("linux", "osx", "win"), "Also a conda package", "0.1"),
    Rule("ABI901", "not-analysed", "incomplete", ("HOST_UNKNOWN",), ("linux", "osx", "win"), "Not read", "0.1"),
)

PROD = TargetInfo(
    "prod",
    "linux-64",
    "3.12.4",
    214,
    "name",
    HostInfo({"glibc": "2.36"}, "glibc 2.36, the loader cache and default directories of this machine"),
)
FASTGRID = Origin("wheel", "fastgrid", "2.4.0")
NETBITS = Origin("wheel", "netbits", "0.9.1")
LIBSTDCXX = Origin("conda", "libstdcxx", "12.3.0", "h0f45ef3_0", "conda-forge")
LIBGOMP = Origin("conda", "libgomp", "15.2.0", "h4852527_7", "conda-forge")
OPENSSL = Origin("conda", "openssl", "3.5.4", "h26f9b46_0", "conda-forge")

FASTGRID_WHEEL = InputInfo(
    "wheel",
    "fastgrid-2.4.0-cp312-cp312-manylinux_2_39_x86_64.whl",
    "fastgrid",
    "2.4.0",
    "9f2c" * 16,
    9,
    requested_by=RequestedBy("requirements.txt", 14),
)
NETBITS_WHEEL = InputInfo(
    "wheel", "netbits-0.9.1-cp312-cp312-manylinux_2_28_x86_64.whl", "netbits", "0.9.1", "ab" * 32, 5
)
PURE_WHEEL = InputInfo("wheel", "plainpy-1.0-py3-none-any.whl", "plainpy", "1.0", "cd" * 32, 0, True)

CORE = "lib/python3.12/site-packages/fastgrid/_core.cpython-312-x86_64-linux-gnu.so"
CORE_REF = FileRef(CORE, FASTGRID, "fastgrid/_core.cpython-312-x86_64-linux-gnu.so")
CXX_REF = FileRef("lib/libstdc++.so.6", LIBSTDCXX)
OMP_REF = FileRef(
    "lib/python3.12/site-packages/fastgrid.libs/libgomp-a34b3233.so.1.0.0",
    FASTGRID,
    "fastgrid.libs/libgomp-a34b3233.so.1.0.0",
)
GOMP_REF = FileRef("lib/libgomp.so.1", LIBGOMP)

MISSING_VERSION = Finding(
    rule="ABI201",
    severity=Severity.ERROR,
    confidence=Confidence.HIGH,
    what='`import fastgrid` will fail with "version `GLIBCXX_3.4.32\' not found".',
    why=(
        Fact("needs GLIBCXX_3.4.32 from libstdc++.so.6", CORE_REF, "_ZSt21ios_base_library_initv", "GLIBCXX_3.4.32"),
        Fact("ends at GLIBCXX_3.4.30", CXX_REF),
        Fact(
            "_core has an RPATH and no RUNPATH, so after its own RPATH glibc searches that of the program, bin/python: "
            "$ORIGIN/../lib. The copy found there is used; a newer copy elsewhere on the system is not tried.",
            loader_rule="ELF-9",
            attempts=(
                Attempt("lib/python3.12/site-packages/fastgrid.libs/libstdc++.so.6", "absent"),
                Attempt("lib/libstdc++.so.6", "found"),
            ),
        ),
    ),
    remedies=(
        Remedy("raise the environment's C++ runtime", 'conda install "libstdcxx>=13.2"'),
        Remedy("choose a build for older systems", 'pip install "fastgrid<2.4"'),
    ),
    key="libstdc++.so.6",
    wheel=FASTGRID,
    conda_package=LIBSTDCXX,
    subject=CORE_REF,
    object=CXX_REF,
)
TWO_OPENMP = Finding(
    rule="ABI301",
    severity=Severity.ERROR,
    confidence=Confidence.MEDIUM,
    what="Two OpenMP runtimes will start in one process, if fastgrid and scikit-learn are both used.",
    why=(
        Fact("exports GOMP_parallel and 168 more", OMP_REF, "GOMP_parallel"),
        Fact("needed by scikit-learn", GOMP_REF),
        Fact(
            "glibc matches loaded libraries by soname; the names differ, so both are mapped. Each keeps its own thread "
            "pool: 2 × the threads, and a deadlock after fork() is possible.",
            loader_rule="ELF-1",
        ),
    ),
    remedies=(
        Remedy("built against the environment's runtime", "conda install fastgrid"),
        Remedy("limits the damage, not a fix", "OMP_NUM_THREADS=1"),
    ),
    key="libgomp-a34b3233.so.1.0.0",
    wheel=FASTGRID,
    conda_package=LIBGOMP,
    subject=OMP_REF,
    object=GOMP_REF,
    depends_on=("python-code",),
    assumption="fastgrid and scikit-learn are imported in one process",
    runtime="openmp",
)
TWO_OPENSSL = Finding(
    rule="ABI302",
    severity=Severity.WARNING,
    confidence=Confidence.MEDIUM,
    what="Two copies of OpenSSL will be loaded, if netbits and Python's ssl are imported in one process.",
    why=(
        Fact(
            "OpenSSL 3.2.1, bundled under a changed soname",
            FileRef(
                "lib/python3.12/site-packages/netbits.libs/libssl-3c1a7f2e.so.3",
                NETBITS,
                "netbits.libs/libssl-3c1a7f2e.so.3",
            ),
        ),
        Fact("needed by python's _ssl", FileRef("lib/libssl.so.3", OPENSSL)),
        Fact("glibc matches loaded libraries by soname; the names differ, so both are mapped", loader_rule="ELF-1"),
    ),
    remedies=(
        Remedy("nothing if you use netbits with its own certificates"),
        Remedy("one OpenSSL for both", "conda install netbits"),
    ),
    key="libssl-3c1a7f2e.so.3",
    wheel=NETBITS,
    conda_package=OPENSSL,
    subject=FileRef(
        "lib/python3.12/site-packages/netbits.libs/libssl-3c1a7f2e.so.3", NETBITS, "netbits.libs/libssl-3c1a7f2e.so.3"
    ),
    object=FileRef("lib/libssl.so.3", OPENSSL),
    depends_on=("import-order", "python-code"),
    assumption="netbits and ssl are imported in one process",
    runtime="openssl",
)
CAPTURED = Finding(
    rule="ABI103",
    severity=Severity.ERROR,
    confidence=Confidence.MEDIUM,
    what="`import netbits` will fail after `import fastgrid`: it gets the zlib that fastgrid loaded first.",
    why=(
        Fact("needs deflate, version ZLIB_1.2.12", FileRef("lib/python3.12/site-packages/netbits/_z.so", NETBITS, "netbits/_z.so"), "deflate", "ZLIB_1.2.12"),
        Fact("answers to libz.so.1 and has no ZLIB_1.2.12", FileRef("lib/python3.12/site-packages/fastgrid/libz.so.1", FASTGRID, "fastgrid/libz.so.1")),
        Fact("a loaded library of that soname serves every later request", loader_rule="ELF-2"),
    ),
    remedies=(Remedy("import netbits first"),),
    key="libz.so.1",
    wheel=NETBITS,
    subject=FileRef("lib/python3.12/site-packages/netbits/_z.so", NETBITS, "netbits/_z.so"),
    object=FileRef("lib/python3.12/site-packages/fastgrid/libz.so.1", FASTGRID, "fastgrid/libz.so.1"),
    depends_on=("import-order",),
    assumption="fastgrid is imported first",
    orders=Orders(fails=(("import fastgrid", "import netbits"),), works=(("import netbits", "import fastgrid"),)),
)  # fmt: skip
TWIN = Finding(
    rule="ABI504",
    severity=Severity.NOTE,
    confidence=Confidence.HIGH,
    what="fastgrid is also a conda package.",
    why=(Fact("the name table maps the project fastgrid to the conda package fastgrid"),),
    remedies=(Remedy("the same project, built for this environment", "conda install fastgrid"),),
    key="fastgrid",
    wheel=FASTGRID,
)

EVIL = "a\x1b[31mred<script>alert('x')</script>&]]>%0A\n::error::\u202e\udc80|`b\".so"
EVIL_ORIGIN = Origin("wheel", "evil<b>", "1.0\r\n")
EVIL_FINDING = Finding(
    rule="ABI103",
    severity=Severity.ERROR,
    confidence=Confidence.HIGH,
    what=f"Importing {EVIL} will fail.",
    why=tuple(Fact(f"file {n} of {EVIL}", FileRef(f"{EVIL}/{n}", EVIL_ORIGIN, EVIL)) for n in range(9)),
    remedies=(Remedy(f"use {EVIL}", f"pip install {EVIL}"),),
    key=EVIL,
    wheel=EVIL_ORIGIN,
    conda_package=LIBGOMP,
    subject=FileRef(EVIL, EVIL_ORIGIN, EVIL),
    object=GOMP_REF,
    orders=Orders(((EVIL,),), ()),
)


def judged(judgement: Judgement, settings: Settings | None = None, baseline: policy.Baseline | None = None) -> Report:
    return policy.judge(judgement, settings or Settings(), RULES, version=VERSION, today=TODAY, baseline=baseline)


def passes() -> Report:
    return judged(Judgement(PROD, (FASTGRID_WHEEL, NETBITS_WHEEL, PURE_WHEEL), (TWIN,)))


def pure() -> Report:
    return judged(Judgement(PROD, (PURE_WHEEL,), ()))


def warns() -> Report:
    return judged(Judgement(PROD, (NETBITS_WHEEL,), (TWO_OPENSSL,)))


def fails() -> Report:
    return judged(Judgement(PROD, (FASTGRID_WHEEL,), (TWO_OPENMP, MISSING_VERSION, TWIN)))


def ordered() -> Report:
    return judged(Judgement(PROD, (FASTGRID_WHEEL, NETBITS_WHEEL), (CAPTURED, TWO_OPENSSL, MISSING_VERSION)))


SHORT = Skipped("fastgrid.libs/libx.so", "ends after 512 of 90 112 bytes", True, FASTGRID_WHEEL.filename)


def incomplete() -> Report:
    return judged(Judgement(PROD, (FASTGRID_WHEEL,), (), (SHORT, Skipped("lib/odd.a", "is an archive", False))))


def suppressed() -> Report:
    settings = Settings(
        suppressions=(
            Suppression("ABI201", "fallback path is compiled in; see ticket 88", wheel="fastgrid", until=datetime.date(2027, 3, 31), source="abicheck.toml"),
            Suppression("ABI301", "was accepted once", wheel="fast*", until=datetime.date(2026, 10, 31), source="abicheck.toml"),
            Suppression("ABI103", "never happened", wheel="gone", source="abicheck.toml"),
        ),
        packages=(PackageRules("netbits", ("ABI302",), reason="tested together upstream", source="abicheck.toml"),),
    )  # fmt: skip
    return judged(
        Judgement(PROD, (FASTGRID_WHEEL, NETBITS_WHEEL), (MISSING_VERSION, TWO_OPENMP, TWO_OPENSSL)), settings
    )


def baselined() -> Report:
    old = judged(Judgement(PROD, (FASTGRID_WHEEL,), (MISSING_VERSION,)))
    base = policy.read_baseline(policy.write_baseline(old), "old.json")
    base = replace(
        base, entries={**base.entries, "00" * 8: "ABI301 duplicate-openmp: oldwheel with libgomp, libgomp.so.1"}
    )
    return judged(Judgement(PROD, (FASTGRID_WHEEL,), (MISSING_VERSION, TWO_OPENMP)), baseline=base)


def hostile() -> Report:
    wheel = InputInfo("wheel", "evil-1.0-py3-none-any.whl", "evil<b>", "1.0\r\n", "ee" * 32, 1)
    return judged(Judgement(PROD, (wheel,), (EVIL_FINDING,), (Skipped(EVIL, EVIL, True, EVIL),)))


def many() -> Report:
    """More findings than any service shows: 60 errors and 60 warnings."""
    found = []
    for n in range(60):
        conda = Origin("conda", f"lib{n:02}", "1.0", "0", "conda-forge")
        found += [
            replace(MISSING_VERSION, key=f"lib{n}.so.1", conda_package=conda),
            replace(TWO_OPENSSL, key=f"lib{n}.so.1", conda_package=conda),
        ]
    return judged(Judgement(PROD, (FASTGRID_WHEEL, NETBITS_WHEEL), tuple(found)))


def error() -> Report:
    return policy.failed(
        InputError(
            "source-archive",
            "fastgrid-2.4.0.tar.gz is a source archive; it contains no binaries to check yet.",
            "pip wheel --no-deps fastgrid-2.4.0.tar.gz -w wheelhouse && abicheck wheelhouse -n prod",
        ),
        VERSION,
    )


SAMPLES = {
    f.__name__: f
    for f in (passes, pure, warns, fails, ordered, incomplete, suppressed, baselined, hostile, many, error)
}


def strict(report_of: Judgement) -> Report:
    return judged(report_of, Settings(thresholds=Thresholds("note", Severity.NOTE, Confidence.LOW, strict=True)))
