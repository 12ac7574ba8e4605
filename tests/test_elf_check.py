"""Shared libraries of a stack, held against what the runtime has."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from elves import ARM64, loadable
from layerkit.check import check_zips
from layerkit.target import target
from zips import zipped

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.check.findings import Finding

SITE = "python"


def found(
    folder: Path, files: dict[str, bytes], runtime: str = "py312", arch: str = "x86_64", **more: Any
) -> list[Finding]:
    made = zipped(folder / "one.zip", files)
    return [*check_zips([made], target(runtime, arch), [], **more).findings]


def codes(findings: list[Finding]) -> list[str]:
    return [one.code for one in findings]


def test_what_fits_raises_nothing(tmp_path: Path) -> None:
    made = loadable(
        needed=["libc.so.6", "libstdc++.so.6"],
        versions={"libc.so.6": ["GLIBC_2.34"], "libstdc++.so.6": ["GLIBCXX_3.4.29", "CXXABI_1.3.13"]},
    )
    assert found(tmp_path, {"python/a.so": made}) == []


@pytest.mark.parametrize(
    ("runtime", "library", "version", "says"),
    [
        ("py312", "libc.so.6", "GLIBC_2.35", "GLIBC_2.35 is needed by /opt/python/a.so, and python3.12 has"),
        ("py311", "libc.so.6", "GLIBC_2.27", "has GLIBC up to 2.26"),
        ("py312", "libc.so.6", "GLIBC_ABI_DT_RELR", "GLIBC_2.36 is needed"),
        ("py312", "libstdc++.so.6", "GLIBCXX_3.4.30", "has GLIBCXX up to 3.4.29"),
        ("py312", "libstdc++.so.6", "CXXABI_1.3.14", "has CXXABI up to 1.3.13"),
    ],
)
def test_symbols_that_are_too_new(
    tmp_path: Path, runtime: str, library: str, version: str, says: str
) -> None:
    made = loadable(needed=[library], versions={library: ["GLIBC_2.2.5", version]})
    (one,) = found(tmp_path, {"python/a.so": made}, runtime)
    assert (one.code, one.severity) == ("symbol-version", "error")
    assert says in one.text


def test_versions_of_a_library_that_the_stack_brings_are_its_own_matter(tmp_path: Path) -> None:
    made = loadable(
        needed=["libstdc++.so.6"], versions={"libstdc++.so.6": ["GLIBCXX_3.4.34"]}, rpath="$ORIGIN/own"
    )
    assert found(tmp_path, {"python/a.so": made, "python/own/libstdc++.so.6": loadable()}) == []


def test_machine_is_read_from_the_file_whatever_its_name(tmp_path: Path) -> None:
    files = {
        "python/m.cpython-312-x86_64-linux-gnu.so": loadable(machine=ARM64, init="m"),
        "python/p/data.bin": loadable(machine=ARM64),
        "lib/libx.so.1": loadable(machine=ARM64),
    }
    module, other = found(tmp_path, files)
    assert (module.code, other.code) == ("foreign-machine", "foreign-binary")
    assert "/opt/python/m.cpython-312-x86_64-linux-gnu.so, /opt/lib/libx.so.1" in module.text
    assert "aarch64" in module.text
    assert codes(found(tmp_path, files, arch="arm64")) == ["extension-suffix"]


def test_record_is_not_asked(tmp_path: Path) -> None:
    files = {
        "python/a.so": loadable(needed=["libnowhere-1.so"]),
        "python/a-1.dist-info/RECORD": b"",
        "python/a-1.dist-info/METADATA": b"Metadata-Version: 2.1\nName: a\nVersion: 1\n",
    }
    assert codes(found(tmp_path, files)) == ["library-unknown"]


@pytest.mark.parametrize(
    ("runtime", "soname", "code"),
    [
        ("py312", "libexpat.so.1", "library-missing"),
        ("py311", "libgomp.so.1", "library-missing"),
        ("py311", "libnowhere.so.9", "library-missing"),  # the list of its system is complete
        ("py312", "libnowhere.so.9", "library-unknown"),
        ("py311", "libpython3.11.so.1.0", "library-unknown"),
        ("py312", "libc.musl-x86_64.so.1", "library-missing"),
    ],
)
def test_library_that_nobody_has(tmp_path: Path, runtime: str, soname: str, code: str) -> None:
    (one,) = found(tmp_path, {"python/a.so": loadable(needed=[soname, "libc.so.6"])}, runtime)
    assert one.code == code
    assert soname in one.text


@pytest.mark.parametrize(
    ("place", "how"),
    [
        ("lib", {}),
        ("python/x.libs", {"rpath": "$ORIGIN/x.libs"}),
        ("python/x.libs", {"runpath": "/nowhere:${ORIGIN}/../python/x.libs"}),
    ],
)
def test_library_is_found_where_the_loader_looks(tmp_path: Path, place: str, how: dict[str, str]) -> None:
    files = {"python/a.so": loadable(needed=["libx.so"], **how), f"{place}/libx.so": loadable()}  # type: ignore[arg-type]
    assert found(tmp_path, files) == []


def test_library_elsewhere_in_the_stack_is_astray(tmp_path: Path) -> None:
    files = {"python/a.so": loadable(needed=["libx.so"]), "python/x.libs/libx.so": loadable()}
    (one,) = found(tmp_path, files)
    assert (one.code, one.severity) == ("library-astray", "warning")
    assert "/opt/python/x.libs/libx.so" in one.text


def test_rpath_counts_for_what_is_loaded_on_behalf_and_runpath_does_not(tmp_path: Path) -> None:
    libs = {"python/x.libs/liba.so": loadable(needed=["libb.so"]), "python/x.libs/libb.so": loadable()}
    by_rpath = {"python/a.so": loadable(needed=["liba.so"], rpath="$ORIGIN/x.libs")}
    by_runpath = {"python/a.so": loadable(needed=["liba.so"], runpath="$ORIGIN/x.libs")}
    assert found(tmp_path, libs | by_rpath) == []
    assert codes(found(tmp_path, libs | by_runpath)) == ["library-astray"]


def test_another_layer_and_the_functions_code_are_looked_into(tmp_path: Path) -> None:
    layer = zipped(tmp_path / "a.zip", {"python/a.so": loadable(needed=["libx.so", "liby.so"])})
    lib = zipped(tmp_path / "b.zip", {"lib/libx.so": loadable()})
    code = zipped(tmp_path / "c.zip", {"lib/liby.so": loadable()})
    assert check_zips([layer, lib], target("py312"), [], function=code).findings == ()


def test_stack_and_text_that_are_executed_and_written(tmp_path: Path) -> None:
    files = {"python/a.so": loadable(stack=7), "python/b.so": loadable(textrel=True)}
    assert codes(found(tmp_path, files)) == ["executable-stack", "text-relocations"]


def test_what_only_begins_like_a_library(tmp_path: Path) -> None:
    (one,) = found(tmp_path, {"python/a.so": b"\x7fELF and no more"})
    assert (one.code, one.where) == ("elf-unreadable", "one.zip: python/a.so")


def test_large_library_goes_through_a_file(tmp_path: Path) -> None:
    files = {"python/a.so": loadable(needed=["libexpat.so.1"]) + bytes(9 << 20)}
    assert codes(found(tmp_path, files)) == ["library-missing"]


def test_symbolic_links_are_followed_to_libraries_and_said(tmp_path: Path) -> None:
    made = tmp_path / "one.zip"
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(info("python/a.so", 0o100644), loadable(needed=["libx.so.1", "liby.so"]))
        archive.writestr(info("lib/libx.so.1", 0o120777), "libx.so.1.0")
        archive.writestr(info("lib/libx.so.1.0", 0o120777), "real/../real/libx.so.1.0.5")
        archive.writestr(info("lib/real/libx.so.1.0.5", 0o100644), loadable())
        archive.writestr(info("lib/liby.so", 0o120777), "liby.so")
    every = [*check_zips([made], target("py312"), []).findings]
    assert codes(every) == ["symbolic-link", "library-unknown"]
    assert "liby.so" in every[1].text


def info(name: str, mode: int) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr = mode << 16
    return made
