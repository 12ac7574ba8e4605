"""The script that lays zips down inside images, run here."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from layerkit.container import inside
from zips import zipped

if TYPE_CHECKING:
    from collections.abc import Sequence

SCRIPT = Path(inside.__file__).parent / "unpack.py"


def _unpack(plan: dict[Path, Sequence[Path]]) -> None:
    text = json.dumps({str(folder): [str(path) for path in paths] for folder, paths in plan.items()})
    subprocess.run([sys.executable, str(SCRIPT), text], check=True)


def _files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def _entry(name: str, mode: int, system: int = 3) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = system, mode << 16
    return entry


def test_later_zips_lie_over_earlier_ones_and_nothing_of_before_is_left(tmp_path: Path) -> None:
    low = zipped(
        tmp_path / "low.zip", {"python/a.py": "low", "python/b.py": "low", "lib/x": "low", "bin": "low"}
    )
    high = zipped(
        tmp_path / "high.zip", {"python/b.py": "high", "lib": "high", "bin/run": "high", "a/b/c": "high"}
    )
    code = zipped(tmp_path / "code.zip", {"app.py": "code"})
    opt, task = tmp_path / "opt", tmp_path / "task"
    expected = {
        "python/a.py": "low",
        "python/b.py": "high",
        "lib": "high",
        "bin/run": "high",
        "a/b/c": "high",
    }
    (task / "old").mkdir(parents=True)
    (task / "old" / "link").symlink_to(tmp_path)
    (task / "old.py").write_text("old")
    _unpack({opt: [low, high], task: [code]})
    assert _files(opt) == expected
    assert _files(task) == {"app.py": "code"}
    assert low.exists()
    _unpack({opt: [high], task: []})
    assert "python/a.py" not in _files(opt)
    assert _files(task) == {}


def test_modes_are_the_ones_of_the_zip(tmp_path: Path) -> None:
    path, opt = tmp_path / "modes.zip", tmp_path / "opt"
    wanted = {"run": 0o755, "plain": 0o644, "private": 0o600, "odd": 0o4777}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(_entry("folder/", 0o40700), "")
        for name, mode in wanted.items():
            archive.writestr(_entry(name, mode), "")
        archive.writestr(_entry("windows", 0, system=0), "")
    _unpack({opt: [path]})
    found = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in opt.iterdir()}
    assert found == {**wanted, "odd": 0o777, "windows": 0o644, "folder": 0o755}
