"""Source archives that the workers of a cluster build, on an engine that the machine of the command lacks."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

from crowd import Crowd
from sdists import Workshop, extension

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from aws import Cloud

# Prints more than Dask sends of an error, and fails.
_BROKEN = "print(*['x' * 1000] * 30, 'NO COMPILER', sep='\\n')\nraise SystemExit(1)"


class Attempts:
    """One project, built again and again, each time with nothing of what was done before."""

    def __init__(self, bench: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
        """Declare it."""
        self.bench, self.monkeypatch = bench, monkeypatch
        bench.declare("cext")

    def build(self, name: str, *arguments: str, first: str = "") -> tuple[int, str, str]:
        """Build with `first` in setup.py and with an empty store; return the exit code and what was said."""
        root = self.bench.root
        extension(self.bench.wheels, first=first)
        for folder in ("dist", ".layerkit"):
            shutil.rmtree(root / folder, ignore_errors=True)
        self.monkeypatch.setenv("LAYERKIT_CACHE", str(root.parent / name))
        self.monkeypatch.setenv("UV_CACHE_DIR", str(root.parent / name / "uv"))
        return self.bench.run("build", "--json", *arguments)

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
    assert attempts.build("here")[0] == 0
    here = attempts.files()

    cloud.client("s3", "us-east-1").create_bucket(Bucket="shared")
    # Which image to build in they are told.
    environment = {"LAYERKIT_BUILD_IMAGE_PY312": ""}
    with Crowd(tmp_path / "crowd", workers=2, environment=environment) as crowd:
        monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
        monkeypatch.setenv("LAYERKIT_STORE", "s3://shared/ours")
        code, _, said = attempts.build("away", "--scheduler", crowd.address)
        assert code == 0, said
        assert "python3.12-x86_64: building 1 package from source" in said
        assert attempts.files() == here
        assert not list(tmp_path.glob("away/sdists/*/*"))
        assert len(list(crowd.folder.glob("worker-*/store/built/*/*.json"))) == 1
        code, out, _ = attempts.build("broken", "--scheduler", crowd.address, first=_BROKEN)
    error = json.loads(out)
    assert (code, error["error"]) == (10, "BuildError")
    assert error["what"].startswith("cext 1.0 could not be built (asking the backend), exit code 1")
    assert error["what"].endswith("NO COMPILER")
    (path,) = re.findall(r"the whole log: (\S+)", error["fix"])
    assert (source_workshop.root / path).read_text().count("x" * 1000) == 30
