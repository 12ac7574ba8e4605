"""The examples, as a user would try them: what their READMEs promise is looked at."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from layerkit.target import limit
from real import REPOSITORY, Workshop

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return shutil.copytree(REPOSITORY / "examples" / "ten-functions", tmp_path / "ten")


def test_ten_functions_load_nothing_that_they_do_not_need(workshop: Workshop, project: Path) -> None:
    (planned,) = workshop.layerkit("plan", project)["targets"]
    layers = {layer["name"]: set(layer["packages"]) for layer in planned["layers"]}
    assert len(planned["stacks"]) == 10
    for stack in planned["stacks"]:
        assert stack["unzipped"] < limit("unzipped_bytes")
        assert len(stack["layers"]) <= limit("layers_per_function")
    assert "no function loads more than it needs" in planned["notes"][0]
    where = {package: name for name, held in layers.items() for package in held}
    assert len({where["numpy"], where["llvmlite"], where["scipy"], where["pandas"]}) == 4
    assert {"numpy"} == layers[where["numpy"]], "what nearly all functions share lies by itself"
