"""What becomes of a wheel that was built in an image: auditwheel itself, on ELF files of this machine."""

from __future__ import annotations

import platform
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import deflate
import pytest
from msgspec.structs import replace

from factory import BuiltWheel, make_wheel
from layerkit.container.graft import _above, _policies
from layerkit.container.sdist_build import Libraries
from layerkit.container.vendoring import runs_on
from layerkit.errors import BuildError
from layerkit.target import present_libraries, target
from layerkit.wheel import Wheel

if TYPE_CHECKING:
    from typing import Any

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has ELF files to look at")
PY37, PY312 = target("py37"), target("py312")
(EXTENSION,) = Path(deflate.__file__).parent.glob("*.so")


@pytest.fixture
def wheel(tmp_path: Path) -> BuiltWheel:
    """Give a wheel with an extension module that needs libc and nothing else."""
    tag = f"cp312-cp312-linux_{platform.machine()}"
    return make_wheel(tmp_path, "demo", files={f"demo/{EXTENSION.name}": EXTENSION.read_bytes()}, tag=tag)


def libraries(tmp_path: Path, *elf: str) -> Libraries:
    (tmp_path / "root").mkdir()
    return Libraries(elf=elf, folders=(), root=tmp_path / "root")


def test_a_wheel_without_machine_code_is_left_as_it_is(tmp_path: Path) -> None:
    made = make_wheel(tmp_path)
    assert runs_on(made.path, libraries(tmp_path), PY312, tmp_path / "made") == made.path
    assert not (tmp_path / "made").exists()


def test_the_tag_says_what_the_code_needs(wheel: BuiltWheel, tmp_path: Path) -> None:
    found = runs_on(wheel.path, libraries(tmp_path, "demo.so"), PY312, tmp_path / "made")
    assert found.parent == tmp_path / "made"
    made = Wheel.open(found, found.name)
    assert any(tag.startswith("cp312-cp312-manylinux_2_") for tag in made.tags)
    assert made.tags & set(PY312.tags())
    with zipfile.ZipFile(found) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_same_wheel_gives_the_same_bytes(wheel: BuiltWheel, tmp_path: Path) -> None:
    reached = libraries(tmp_path, "demo.so")
    first = runs_on(wheel.path, reached, PY312, tmp_path / "one")
    assert first.read_bytes() == runs_on(wheel.path, reached, PY312, tmp_path / "two").read_bytes()


def test_symbols_that_the_runtime_has_not_are_named(wheel: BuiltWheel, tmp_path: Path) -> None:
    ancient = replace(PY37, glibc=(2, 5))
    with pytest.raises(BuildError) as caught:
        runs_on(wheel.path, libraries(tmp_path, "demo.so"), ancient, tmp_path / "made")
    assert "it cannot run on this runtime: python3.7 has glibc 2.5 and GLIBCXX 3.4.24" in caught.value.what
    assert f"demo/{EXTENSION.name} needs GLIBC_2.14 of libc.so.6" in caught.value.what
    assert caught.value.where == wheel.filename
    assert "build-images" in (caught.value.fix or "")


def test_machine_code_in_a_wheel_that_claims_to_be_pure_is_refused(tmp_path: Path) -> None:
    made = make_wheel(
        tmp_path,
        files={f"demo-1.0.data/purelib/{EXTENSION.name}": EXTENSION.read_bytes()},
        tag=f"cp312-cp312-linux_{platform.machine()}",
    )
    with pytest.raises(BuildError, match="purelib"):
        runs_on(made.path, libraries(tmp_path, "demo.so"), PY312, tmp_path / "made")


def policies(runtime: str) -> dict[str, Any]:
    from auditwheel.architecture import Architecture
    from auditwheel.libc import Libc
    from auditwheel.policy import WheelPolicies

    at = target(runtime)
    request = {
        "glibc": at.glibc[1],
        "bounds": {"GLIBCXX": "3.4.24", "CXXABI": "1.3.11"},
        "present": present_libraries(at),
    }
    made = _policies(WheelPolicies, request, libc=Libc.GLIBC, arch=Architecture.x86_64)
    return {policy.name.removesuffix("_x86_64"): policy for policy in made}


def test_policies_end_at_the_runtimes_glibc() -> None:
    assert list(policies("py37")) == ["linux", "manylinux_2_17", "manylinux_2_12", "manylinux_2_5"]
    assert list(policies("py39"))[1] == "manylinux_2_26"
    assert list(policies("py312"))[1] == "manylinux_2_34"


def test_the_newest_policy_has_the_runtimes_own_compiler_libraries() -> None:
    # AL1 came with GCC 7 beside glibc 2.17; manylinux2014 stops at GCC 4.8.
    newest, older = policies("py37")["manylinux_2_17"], policies("py37")["manylinux_2_12"]
    assert "3.4.24" in newest.symbol_versions["GLIBCXX"]
    assert "3.4.25" not in newest.symbol_versions["GLIBCXX"]
    assert "3.4.24" not in older.symbol_versions["GLIBCXX"]
    assert "2.18" not in newest.symbol_versions["GLIBC"]


def test_only_libraries_known_to_be_there_are_left_out() -> None:
    al2, al2023 = policies("py39")["manylinux_2_26"], policies("py312")["manylinux_2_34"]
    assert {"libc.so.6", "libstdc++.so.6", "libz.so.1"} <= al2.whitelist
    assert not al2.whitelist & {"libexpat.so.1", "libX11.so.6", "libatomic.so.1", "libglib-2.0.so.0"}
    assert {"libc.so.6", "libm.so.6", "libgcc_s.so.1"} <= al2023.whitelist
    assert not al2023.whitelist & {"libexpat.so.1", "libz.so.1"}, "unknown is as good as absent"


def test_what_is_no_elf_file_needs_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    assert list(_above({"GLIBC": frozenset()}, tmp_path / "a")) == []
    found = list(_above({"GLIBC": frozenset()}, EXTENSION))
    assert [text for text in found if text.endswith("libc.so.6")] == ["GLIBC_2.14 of libc.so.6"]
