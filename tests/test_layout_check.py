"""Files as Lambda's Python meets them: modes, .pth files, bytecode, leftovers of development."""

from __future__ import annotations

import importlib.util
import json
import os
import py_compile
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from layerkit.check import check_zips
from layerkit.check.layout_check import _MAGIC
from layerkit.target import target
from zips import SITE, zipped

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from layerkit.check.findings import Finding

HERE = target("python{}.{}".format(*sys.version_info[:2]))


def found(made: Path, runtime: str = "py312", code: Path | None = None) -> list[Finding]:
    return [*check_zips([made], target(runtime), [], function=code).findings]


def with_modes(path: Path, modes: Mapping[str, int], system: int = 3) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, mode in modes.items():
            info = zipfile.ZipInfo(name)
            info.external_attr, info.create_system = mode << 16, system
            archive.writestr(info, b"" if name.endswith("/") else b"x = 1\n")
    return path


def test_modes_that_keep_the_function_out(tmp_path: Path) -> None:
    modes = {"python/": 0o40700, "python/a.py": 0o100600, "python/b.py": 0o100644, "python/c.py": 0o100444}
    (one,) = found(with_modes(tmp_path / "one.zip", modes))
    assert (one.code, one.severity) == ("unreadable-mode", "error")
    assert one.text.endswith("python/a.py, python/")
    assert found(with_modes(tmp_path / "dos.zip", {"python/a.py": 0o600}, system=0)) == []


@pytest.mark.parametrize("name", [f"{SITE}/a.pth", "python/a.pth"])
def test_pth_that_lambda_runs(tmp_path: Path, name: str) -> None:
    (one,) = found(zipped(tmp_path / "one.zip", {name: "import os; os.environ['A'] = '1'\n# no\n"}))
    assert (one.code, one.where) == ("pth-runs", f"one.zip: {name}")
    assert "runs 1 line of code at every start" in one.text


def test_pth_elsewhere_or_with_nothing_in_it_is_a_file_like_others(tmp_path: Path) -> None:
    assert found(zipped(tmp_path / "one.zip", {"python/p/a.pth": "import os", "python/b.pth": "# no"})) == []


def test_pth_of_the_functions_code(tmp_path: Path) -> None:
    code = zipped(tmp_path / "code.zip", {"a.pth": "lib\n", "p/b.pth": "import os\n"})
    (one,) = check_zips([], target("py312"), [], function=code).findings
    assert "lies in /var/task, where it adds 1 folder to sys.path" in one.text


def test_editable_leftovers(tmp_path: Path) -> None:
    direct = {"url": "file:///src/demo", "dir_info": {"editable": True}}
    files = {
        f"{SITE}/__editable___demo_finder.py": "",
        f"{SITE}/demo.egg-link": "/src/demo\n.",
        f"{SITE}/demo-1.dist-info/direct_url.json": json.dumps(direct),
        f"{SITE}/other-1.dist-info/direct_url.json": json.dumps(direct | {"dir_info": {}}),
        f"{SITE}/third-1.dist-info/direct_url.json": "[]",
        f"{SITE}/demo.pth": "/home/me/src\n/opt/python/lib\n",
    }
    every = found(zipped(tmp_path / "one.zip", files))
    assert [one.code for one in every] == ["editable-leftover"] * 4 + ["pth-runs"]
    assert "/home/me/src" in every[-2].text
    assert "/opt/python/lib" not in every[-2].text


def test_numbers_of_bytecode_are_those_of_the_interpreters() -> None:
    own = int.from_bytes(importlib.util.MAGIC_NUMBER[:2], "little")
    assert _MAGIC.get(HERE.minor, own) == own


def compiled(folder: Path, mode: py_compile.PycInvalidationMode, *, date: int = 1_700_000_001) -> Path:
    """Write a package with bytecode, and return its folder."""
    source = folder / "python" / "p.py"
    source.parent.mkdir(parents=True)
    source.write_text("x = 1\n")
    os.utime(source, (date, date))
    py_compile.compile(str(source), invalidation_mode=mode)
    return folder


def packed(folder: Path, date: tuple[int, int, int, int, int, int] | None) -> Path:
    made = folder / "made.zip"
    with zipfile.ZipFile(made, "w") as archive:
        for path in sorted(folder.rglob("*.py*")):
            if not path.is_file():
                continue
            info = zipfile.ZipInfo.from_file(path, str(path.relative_to(folder)))
            info.date_time = date or info.date_time
            archive.writestr(info, path.read_bytes())
    return made


STAMPED, UNCHECKED = py_compile.PycInvalidationMode.TIMESTAMP, py_compile.PycInvalidationMode.UNCHECKED_HASH


def test_bytecode_by_date_in_a_zip_whose_dates_were_set_back(tmp_path: Path) -> None:
    made = packed(compiled(tmp_path, STAMPED), (1980, 1, 1, 0, 0, 0))
    (one,) = found(made, HERE.short)
    assert (one.code, one.severity) == ("stale-bytecode", "warning")
    assert "1 of 1 .pyc files are never used" in one.text
    assert "1 with other dates than their sources" in one.text


def test_odd_seconds_are_lost_unless_the_exact_date_stands_beside_them(tmp_path: Path) -> None:
    folder = compiled(tmp_path, STAMPED)
    (one,) = found(packed(folder, None), HERE.short)
    assert "1 with other dates than their sources" in one.text
    subprocess.run(["zip", "-q", "-r", "exact.zip", "python"], cwd=folder, check=True)
    assert found(folder / "exact.zip", HERE.short) == []


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/New_York"])
def test_bytecode_by_date_may_hold_where_dates_were_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    folder = compiled(tmp_path, STAMPED, date=1_700_000_000)
    monkeypatch.setenv("TZ", zone)
    script = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1], 'w');"
    script += "[z.write(n) for n in sys.argv[2:]]; z.close()"
    names = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.py*")) if path.is_file()]
    subprocess.run([sys.executable, "-c", script, "made.zip", *names], cwd=folder, check=True)
    assert found(folder / "made.zip", HERE.short) == []


def test_bytecode_without_dates_is_always_used(tmp_path: Path) -> None:
    assert found(packed(compiled(tmp_path, UNCHECKED), (1980, 1, 1, 0, 0, 0)), HERE.short) == []


def test_bytecode_of_sources_of_another_size(tmp_path: Path) -> None:
    folder = compiled(tmp_path, STAMPED)
    (folder / "python" / "p.py").write_text("x = 10\n")
    (one,) = found(packed(folder, None), HERE.short)
    assert "1 of sources of another size" in one.text


def test_bytecode_that_nothing_looks_for(tmp_path: Path) -> None:
    ours = importlib.util.MAGIC_NUMBER + bytes(12)
    tag = f"cpython-{HERE.minor.replace('.', '')}"
    files: dict[str, str | bytes] = {
        "python/a.py": "",
        "python/a.pyc": ours,
        "python/__pycache__/a.cpython-36.pyc": ours,
        f"python/__pycache__/b.{tag}.pyc": ours,
        "python/__pycache__/a.pyc": ours,
    }
    (one,) = found(zipped(tmp_path / "one.zip", files), HERE.short)
    for reason in (
        "beside their sources",
        "of another Python",
        "without their sources",
        "no Python looks for",
    ):
        assert reason in one.text


def test_module_that_is_only_there_as_bytecode_of_another_python(tmp_path: Path) -> None:
    files = {"python/a.pyc": b"\x00\x01\r\n" + bytes(12), "python/b.pyc": b"\xcb\x0d\r\n" + bytes(12)}
    (one,) = found(zipped(tmp_path / "one.zip", files), "py312")
    assert (one.code, one.severity) == ("foreign-bytecode", "error")
    assert one.text.endswith("python/a.pyc")
