"""Which modules are imported from zips, and whose they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerkit.check.modules import Module, importable, stack_modules
from layerkit.target import target
from zips import SITE, installed_files, zipped

if TYPE_CHECKING:
    from pathlib import Path

TARGET = target("python3.12")


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["six.py"], ["six"]),
        (["yaml/__init__.py", "yaml/loader.py", "_yaml/__init__.py"], ["_yaml", "yaml"]),
        (["fast.cpython-312-x86_64-linux-gnu.so", "also.abi3.so", "old.so"], ["also", "fast", "old"]),
        (["compiled/__init__.cpython-312-x86_64-linux-gnu.so"], ["compiled"]),
        (
            ["google/auth/__init__.py", "google/cloud/storage/__init__.py"],
            ["google.auth", "google.cloud.storage"],
        ),
        (["google/_upb/_message.abi3.so", "google/_upb/libupb.so"], ["google._upb._message"]),
        (["examples/run.py", "examples/more/run.py"], ["examples"]),
        (["numpy.libs/libgfortran.so", "lib.so", "libfoo.so", "data/readme.txt", "bin/run"], []),
        (["a-b/__init__.py", "a.pth", "x-1.dist-info/METADATA"], []),
        (["ns/pkg/__init__.py", "ns/pkg/inner/__init__.py", "ns/data-x/__init__.py"], ["ns.pkg"]),
    ],
)
def test_what_can_be_imported_is_named(paths: list[str], names: list[str]) -> None:
    assert importable(paths) == tuple(names)


def _package(text: str, *more: str, below: str = SITE) -> dict[str, str]:
    """Return the files of a package with a RECORD of them, `more` being modules of it."""
    start = f"{below}/" if below else ""
    files = installed_files(text, below=below) | {f"{start}{name}": "" for name in more}
    metadata = next(name for name in files if name.endswith("/METADATA"))
    rows = "".join(f"{name.removeprefix(start)},,\n" for name in files)
    return files | {metadata.replace("METADATA", "RECORD"): rows}


def test_modules_have_owners_and_the_one_that_would_be_imported_counts(tmp_path: Path) -> None:
    low = zipped(
        tmp_path / "low.zip", _package("lib-core 1.2", "more/__init__.py") | {f"{SITE}/stray.py": ""}
    )
    high = zipped(tmp_path / "high.zip", _package("lib-core 1.3", below="python"))
    assert stack_modules([low, high], None, TARGET) == (
        Module(name="lib_core", zip="high.zip", package="lib-core"),
        Module(name="more", zip="low.zip", package="lib-core"),
        Module(name="stray", zip="low.zip"),
    )


def test_the_functions_own_code_is_told_from_what_is_vendored_beside_it(tmp_path: Path) -> None:
    code = zipped(tmp_path / "code.zip", _package("vendored 1.0", below="") | {"app.py": ""})
    layer = zipped(tmp_path / "low.zip", _package("app 1.0"))
    assert stack_modules([layer], code, TARGET) == (
        Module(name="app", zip="code.zip", code=True),
        Module(name="vendored", zip="code.zip", package="vendored"),
    )
