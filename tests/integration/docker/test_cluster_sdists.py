"""Source archives that the workers of a cluster build, on an engine that the machine of the command lacks."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

from crowd import Crowd
from sdists import Workshop, extension

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

    import pytest

    from aws import Cloud

# A backend that prints more than Dask sends of an error, and fails.
_BROKEN = {
    "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "mine"\nbackend-path = ["."]\n',
    "mine.py": "print(*['x' * 1000] * 30, 'NO COMPILER', sep='\\n')\nraise SystemExit(1)",
}


class Attempts:
    """One project, built again and again, each time with nothing of what was done before."""

    def __init__(self, bench: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
        """Declare it."""
        self.bench, self.monkeypatch = bench, monkeypatch
        bench.declare("cext")

    def start(
        self, name: str, *arguments: str, files: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a build with an empty store; `files` are put into the source archive."""
        root = self.bench.root
        extension(self.bench.wheels, files=files)
        for folder in ("dist", ".layerkit"):
            shutil.rmtree(root / folder, ignore_errors=True)
        self.monkeypatch.setenv("LAYERKIT_CACHE", str(root.parent / name))
        self.monkeypatch.setenv("UV_CACHE_DIR", str(root.parent / name / "uv"))
        return self.bench.start("build", "--json", *arguments)

    def files(self) -> dict[str, bytes]:
        """Return the lock, what was built, and the log of the source archive's build."""
        root = self.bench.root
        paths = [*root.glob(".layerkit/*.toml"), *root.glob(".layerkit/logs/*"), *root.glob("dist/**/*")]
        # setuptools writes names in its log that it has drawn by lot.
        return {
            str(path.relative_to(root)): re.sub(rb"/\.tmp-\w+", b"", path.read_bytes())
            for path in paths
            if path.is_file()
        }


def test_workers_build_what_this_machine_would_and_fail_as_it_would(
    source_workshop: Workshop, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = Attempts(source_workshop, monkeypatch)
    cloud.client("s3", "us-east-1").create_bucket(Bucket="shared")
    # Which image to build in they are told.
    environment = {"LAYERKIT_BUILD_IMAGE_PY312": ""}
    local = attempts.start("here")
    with Crowd(tmp_path / "crowd", workers=2, environment=environment) as crowd:
        _ended(local, 0)
        here = attempts.files()
        monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
        monkeypatch.setenv("LAYERKIT_STORE", "s3://shared/ours")
        _, said = _ended(attempts.start("away", "--scheduler", crowd.address), 0)
        assert "python3.12-x86_64: building 1 package from source" in said
        assert attempts.files() == here
        assert not list(tmp_path.glob("away/sdists/*/*"))
        assert len(list(crowd.folder.glob("worker-*/store/built/*/*.json"))) == 1
        out, _ = _ended(attempts.start("broken", "--scheduler", crowd.address, files=_BROKEN), 10)
    error = json.loads(out)
    assert error["error"] == "BuildError"
    assert error["what"].startswith("cext 1.0 could not be built (asking the backend), exit code 1")
    assert error["what"].endswith("NO COMPILER")
    (path,) = re.findall(r"the whole log: (\S+)", error["fix"])
    assert (source_workshop.root / path).read_text().count("x" * 1000) == 30


def _ended(process: subprocess.Popen[str], code: int) -> tuple[str, str]:
    """Wait for a program to end with an exit code; return what it printed."""
    with process:
        out, said = process.communicate()
    assert process.returncode == code, said
    return out, said
