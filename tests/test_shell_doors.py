"""The shell scripts as users and their CI jobs call them: from any folder, with spaces in every path."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from factory import make_wheel

if TYPE_CHECKING:
    from loopback import Loopback

ROOT = Path(__file__).parent.parent
SCRIPTS = ("layer_builds.sh", "layer_create_zip.sh")
_PYPROJECT = """
[project]
name = "old-style"
version = "0.3"
requires-python = ">=3.7"
dependencies = ["web-lib"]

[project.optional-dependencies]
fast = ["quick"]

[tool.layerkit]
runtimes = ["python3.12"]
sdk-version = "1.42.0"
"""


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the scripts to a folder of their own; layerkit is the one on PATH."""
    folder = tmp_path / "the scripts"
    folder.mkdir()
    for name in SCRIPTS:
        shutil.copy(ROOT / name, folder)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for name in ("LIB_NAME", "LIB_VERSION", "LIB_PREFIX", "LIB_PACKAGE", "ZIP_PATH", "PROJECT", "RUNTIME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def project(index: Loopback, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay down a project with one extra; the index has what it needs for two runtimes."""
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "store"))
    make_wheel(wheels, "boto3", "1.42.0", requires=["botocore==1.42.0"])
    make_wheel(wheels, "botocore", "1.42.0")
    make_wheel(wheels, "web-lib", "1.5")
    make_wheel(wheels, "quick", tag="py3-none-manylinux2014_x86_64")
    folder = tmp_path / "old project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(_PYPROJECT)
    assert index.names()
    return folder


def _run(script: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(script), *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


def _shell(scripts: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Source the functions and run some shell."""
    text = f'set -eu\n. "{scripts}/layer_create_zip.sh"\n{code}\n'
    return subprocess.run(
        ["bash", "-c", text], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


def test_a_runtime_is_built_and_the_paths_are_printed(scripts: Path, project: Path) -> None:
    done = _run(scripts / "layer_builds.sh", "py312", "--project", str(project))
    assert done.returncode == 0, done.stderr
    folder = project / "dist" / "layers" / "python3.12-x86_64"
    names = ["py312-old-style-0.3-default.zip", "py312-old-style-0.3-fast.zip"]
    assert done.stdout.splitlines() == [str(folder / name) for name in names]


def test_the_zips_go_where_they_are_wanted_under_their_old_names(
    scripts: Path, project: Path, tmp_path: Path
) -> None:
    there = tmp_path / "zips for CI"
    done = _run(scripts / "layer_builds.sh", "py311", "3.12", PROJECT=str(project), ZIP_PATH=str(there))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in there.iterdir()) == [
        "py311-old-style-0.3-fast.zip",
        "py311-old-style-0.3.zip",
        "py312-old-style-0.3-fast.zip",
        "py312-old-style-0.3.zip",
    ]
    assert all(zipfile.ZipFile(path).testzip() is None for path in there.iterdir())


def test_name_version_and_package_can_be_said(scripts: Path, project: Path, tmp_path: Path) -> None:
    there = tmp_path / "zips"
    said = {"LIB_NAME": "other", "LIB_VERSION": "9", "ZIP_PATH": str(there)}
    assert _run(scripts / "layer_builds.sh", "py312", PROJECT=str(project), **said).returncode == 0
    assert {path.name for path in there.iterdir()} == {"py312-other-9.zip", "py312-other-9-fast.zip"}
    one = {**said, "LIB_PACKAGE": "mine.zip", "ZIP_PATH": str(tmp_path / "one")}
    done = _run(scripts / "layer_create_zip.sh", "py312", "--project", str(project), **one)
    assert done.stdout.split("/")[-1] == "mine.zip\n"
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["mine.zip"]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["py2"], 2, "there is no Lambda runtime called 'py2'"),
        (["--frobnicate"], 2, "there is no option --frobnicate"),
        (["--project"], 2, "--project needs a value"),
        (["py312", "--project", "nowhere"], 3, "nowhere"),
    ],
)
def test_wrong_input_ends_with_the_exit_code_of_layerkit(
    scripts: Path, project: Path, arguments: list[str], code: int, text: str
) -> None:
    done = _run(scripts / "layer_builds.sh", *arguments, PROJECT=str(project))
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_is_what_stands_at_the_top(scripts: Path, name: str) -> None:
    done = _run(scripts / name, "--help")
    assert done.returncode == 0
    assert "./" + name in done.stdout


def test_sourcing_changes_nothing_in_the_calling_shell(scripts: Path) -> None:
    state = "$(set +o; shopt)"
    text = f'before={state}\n. "{scripts}/layer_create_zip.sh"\n[ "$before" = "{state}" ] && echo same'
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout == "same\n"


def test_the_sdk_of_a_requirements_file_becomes_the_runtimes(scripts: Path, tmp_path: Path) -> None:
    requirements = tmp_path / "my requirements.txt"
    requirements.write_text("boto3==1.9\nboto3-stubs==1.0\nrequests\n")
    done = _shell(scripts, f'pin_lambda_sdk "{requirements}" py312')
    assert done.returncode == 0, done.stderr
    lines = requirements.read_text().splitlines()
    assert lines[0].startswith("boto3==1.4")
    assert lines[1:] == ["boto3-stubs==1.0", "requests"]


def test_a_folder_is_cleaned_and_zipped_the_same_each_time(scripts: Path, tmp_path: Path) -> None:
    site = tmp_path / "a layer" / "python" / "lib" / "python3.12" / "site-packages"
    for path in ("six.py", "boto3/__init__.py", "vendor/six.py", "vendor/__init__.py", "__pycache__/x.pyc"):
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text("")
    info = site / "boto3-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: boto3\nVersion: 1.0\n")
    (info / "RECORD").write_text(
        "boto3/__init__.py,,\nboto3-1.0.dist-info/METADATA,,\nboto3-1.0.dist-info/RECORD,,\n"
    )
    folder = tmp_path / "a layer"
    code = (
        f'clean_aws_packages "{folder}"; clean_python_packages "{folder}"; clean_python_metadata "{folder}"'
    )
    done = _shell(
        scripts,
        f'{code}; create_layer_zip "{folder}" "{tmp_path}/a.zip"; create_layer_zip "{folder}"',
        ZIP_PATH=str(tmp_path),
        LIB_PACKAGE="b.zip",
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    names = {name.rpartition("site-packages/")[2] for name in zipfile.ZipFile(tmp_path / "a.zip").namelist()}
    assert "vendor/six.py" in names
    assert not names & {"boto3/__init__.py", "six.py", "__pycache__/x.pyc"}


def test_the_scripts_are_clean_for_shellcheck() -> None:
    shellcheck = shutil.which(
        "shellcheck", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    if shellcheck is None:
        pytest.skip("shellcheck is not installed: make venv-dev")
    done = subprocess.run(
        [shellcheck, "--external-sources", *SCRIPTS, "tools/venv.sh", ".ci/run"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode()
