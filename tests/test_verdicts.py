"""The verdict on every odd archive, and that what is accepted means the same to all who read it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerkit.archive import ArchiveError, Problem, Run, compose
from layerkit.prepare import prepare
from layerkit.settings import Settings
from layerkit.store import Store
from layerkit.target import target
from layerkit.wheel import file_sha256
from verdicts import ACCEPTED as FINE
from verdicts import MODULE, VERDICTS
from zip_cases import ACCEPTED, content, laid
from zips import SITE

if TYPE_CHECKING:
    from layerkit.prepare import PreparedWheel

WHEELS = [name for name, (_, verdict, _) in VERDICTS.items() if verdict == FINE]
UTF8 = {**os.environ, "LC_ALL": "C.UTF-8"}
# Starts pip once for all of them: each argument is a wheel and where it goes.
PIP = """
import json, sys
from pip._internal.cli.main import main
common = ["install", "--quiet", "--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check"]
for wheel, folder in json.loads(sys.argv[1]):
    if main([*common, "--root-user-action", "ignore", "--target", folder, wheel]):
        sys.exit(wheel)
"""


def files_of(folder: Path) -> list[Path]:
    return [one for one in folder.rglob("*") if one.is_file()]


@pytest.fixture(scope="module")
def pip_installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return what pip makes of each wheel that is accepted."""
    top = tmp_path_factory.mktemp("pip")
    jobs, found = [], {}
    for number, case in enumerate(WHEELS):
        folder = top / str(number)
        folder.mkdir()
        path, _ = VERDICTS[case][0](folder)
        found[case] = folder / "installed"
        jobs.append((str(path), str(found[case])))
    subprocess.run([sys.executable, "-c", PIP, json.dumps(jobs)], check=True, capture_output=True)
    return found


def prepared(path: Path, name: str) -> PreparedWheel:
    store = Store(path.parent / "store")
    return prepare(path, name, file_sha256(path), target("py312"), store, Settings())


def told(problem: Problem) -> str:
    where = "" if problem.member is None else f"{problem.member}: "
    return f"{where}{problem.text} [{problem.case}]"


def verdict(path: Path, name: str) -> tuple[str, str]:
    """Return what becomes of a wheel, and all that is said of it."""
    try:
        made = prepared(path, name)
    except ArchiveError as error:
        said = [
            f"{one.member}: " * (one.member is not None) + f"{one.text} [{one.case}]"
            for one in error.problems
        ]
        return "refused", "; ".join(said)
    return "accepted", "; ".join([*made.notes, *(f"left out: {reason}" for reason in made.dropped)])


@pytest.mark.parametrize("case", VERDICTS)
def test_verdict(tmp_path: Path, case: str) -> None:
    made, *expected = VERDICTS[case]
    path, name = made(tmp_path)
    assert verdict(path, name) == tuple(expected)
    left = {one.name for one in tmp_path.iterdir()}
    assert left <= {path.name, "store"}


@pytest.mark.parametrize("case", WHEELS)
def test_what_is_accepted_is_put_right_and_is_what_pip_installs(
    tmp_path: Path, pip_installed: dict[str, Path], case: str
) -> None:
    path, name = VERDICTS[case][0](tmp_path)
    compose(tmp_path / "layer.zip", [Run.open(prepared(path, name).path)])
    with zipfile.ZipFile(tmp_path / "layer.zip") as layer:
        ours = {info.filename.removeprefix(f"{SITE}/"): layer.read(info) for info in layer.infolist()}
        for info in layer.infolist():
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert info.external_attr >> 16 in (0o100644, 0o100755)
            assert (info.flag_bits & 8, info.extra, info.comment) == (0, b"", b"")
    installed = pip_installed[case]
    theirs = {one.relative_to(installed).as_posix(): one.read_bytes() for one in files_of(installed)}
    # Installers write these anew, and we leave out what VERDICTS says.
    own = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
    left_out = {"RECORD.jws", "RECORD.p7s", "__init__.cpython-312.pyc"}

    def kept(files: dict[str, bytes]) -> dict[str, bytes]:
        return {one: data for one, data in files.items() if Path(one).name not in own | left_out}

    assert kept(ours) == kept(theirs)
    assert MODULE in ours or "demo.py" in ours


@pytest.mark.parametrize("reader", ["unzip", "bsdtar"])
@pytest.mark.parametrize("case", [case for case, (_, files) in ACCEPTED.items() if files])
def test_other_readers_find_the_same(tmp_path: Path, case: str, reader: str) -> None:
    path = laid(tmp_path, ACCEPTED[case][0])
    out = tmp_path / "out"
    out.mkdir()
    command = {"unzip": ["unzip", "-qq", str(path)], "bsdtar": ["bsdtar", "-xf", str(path)]}[reader]
    done = subprocess.run(command, cwd=out, env=UTF8, capture_output=True, text=True, check=False)
    found = {one.relative_to(out).as_posix(): one.read_bytes() for one in files_of(out)}
    assert found == content(path), done.stderr
