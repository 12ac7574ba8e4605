"""A real stack above Lambda's limit, bundled and started as on Lambda."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import Struct

from lambda_like import Function, FunctionError, started
from layerkit.target import Target, limit, target
from real import glibc, here, write_project
from zips import unzip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from real import Workshop

pytestmark = pytest.mark.integration

ROOTS = ["numba", "pandas", "scipy"]
WORK = """
import os, sys, time
{more}

def unpacked():
    for name in os.listdir("/tmp"):
        if name.startswith("layerkit-"):
            marks = os.listdir(os.path.join("/tmp", name, "done"))
            return sorted(mark.rpartition("-")[0] for mark in marks)
    return []

def handler(event, context):
    if event == "what":
        return unpacked()
    import numpy, pandas
    from numba import njit
    from scipy import linalg

    @njit
    def total(values):
        found = 0.0
        for value in values:
            found += value
        return found

    matrix = numpy.array([[2.0, 1.0], [1.0, 3.0]])
    return {{
        "sum": total(numpy.arange(10.0)),
        "solved": linalg.solve(matrix, numpy.array([3.0, 5.0])).tolist(),
        "mean": pandas.Series([1, 2, 3]).mean(),
        "files": [numpy.__file__, linalg.__file__],
    }}
"""


class Stack(Struct, frozen=True, kw_only=True):
    """The layers of a function, unzipped, and what was built of them."""

    opt: Path
    on: Target
    manifest: dict[str, Any]

    def function(self, folder: Path, runtime: Path, more: str = "", **settings: Any) -> Function:
        """Return a function on these layers."""
        task = folder / "task"
        task.mkdir()
        (task / "app.py").write_text(WORK.format(more=more))
        python = Path(sys.executable)
        return Function(target=self.on, opt=self.opt, task=task, runtime=runtime, python=python, **settings)


@pytest.fixture(scope="module")
def stack(workshop: Workshop, lambda_runtime: Path) -> Iterator[Stack]:  # noqa: ARG001 - skips early
    arch = here()
    on = target(f"{sys.version_info.major}.{sys.version_info.minor}", arch or "x86_64")
    if arch is None or glibc() < on.glibc:
        pytest.skip(f"wheels for {on.key} do not run here")
    project = write_project(workshop.folder / "over", {"all": ROOTS}, on, **{"over-limit": "bundle"})
    (built,) = workshop.layerkit("build", project)["targets"]
    opt = project / "opt"
    for path in built["zips"]:
        unzip(Path(path), opt)
    yield Stack(opt=opt, on=on, manifest=json.loads(Path(built["manifest"]).read_text()))
    shutil.rmtree(project)


def test_it_is_above_the_limit_and_fits(stack: Stack) -> None:
    (one,) = stack.manifest["stacks"]
    assert one["unzipped"] < limit("unzipped_bytes")
    assert one["unzipped"] + one["unpacked"] > limit("unzipped_bytes")
    assert any("more than Lambda takes" in note for note in stack.manifest["notes"])
    on_disk = sum(path.stat().st_size for path in stack.opt.rglob("*") if path.is_file())
    assert on_disk == one["unzipped"]


def test_it_starts_by_itself_and_works(stack: Stack, lambda_runtime: Path, tmp_path: Path) -> None:
    with started(stack.function(tmp_path, lambda_runtime), tmp_path / "run") as running:
        assert running.init_seconds < 10
        assert "llvmlite" in running.invoke("what")
        answer = running.invoke({})
    assert (answer["sum"], answer["solved"], answer["mean"]) == (45.0, [0.8, 1.4], 2.0)


def test_lazily_only_what_is_imported_is_unpacked(stack: Stack, lambda_runtime: Path, tmp_path: Path) -> None:
    lazy = {"LAYERKIT_LAZY": "1"}
    function = stack.function(tmp_path, lambda_runtime, "import numpy", environment=lazy)
    with started(function, tmp_path / "run") as running:
        assert set(running.invoke("what")) <= {"numpy"}
        assert running.invoke({})["sum"] == 45.0
        assert "llvmlite" in running.invoke("what")


@pytest.mark.parametrize(
    ("more", "environment"),
    [
        ("", {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/bin/layerkit-start", "PYTHONPATH": "/var/runtime:/elsewhere"}),
        ("import layerkit_loader", {"PYTHONPATH": "/var/runtime:{site}"}),
    ],
    ids=["the wrapper", "an import"],
)
def test_with_a_pythonpath_of_ones_own_there_are_two_ways(
    stack: Stack, lambda_runtime: Path, tmp_path: Path, more: str, environment: dict[str, str]
) -> None:
    site = f"/opt/{stack.on.site_packages('versioned')}"
    variables = {name: value.format(site=site) for name, value in environment.items()}
    function = stack.function(tmp_path, lambda_runtime, more, environment=variables)
    with started(function, tmp_path / "run") as running:
        assert running.invoke({})["solved"] == [0.8, 1.4]


def test_too_small_a_tmp_is_said_where_it_is_imported(
    stack: Stack, lambda_runtime: Path, tmp_path: Path
) -> None:
    function = stack.function(tmp_path, lambda_runtime, "import llvmlite.binding", tmp=32 << 20)
    with pytest.raises(FunctionError) as caught, started(function, tmp_path / "run"):
        pass
    assert caught.value.kind == "BundleError"
    assert "bytes free, and" in caught.value.text
    assert caught.value.text.endswith("MB of ephemeral storage")
    log = (tmp_path / "run" / "log").read_text()
    assert log.startswith("layerkit: /tmp has ")
