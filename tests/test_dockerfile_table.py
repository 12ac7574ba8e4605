from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerkit.errors import ConfigError
from layerkit.project import Dockerfile, Project, load

if TYPE_CHECKING:
    from pathlib import Path


def read(folder: Path, layer: str) -> Project:
    (folder / "docker").mkdir(exist_ok=True)
    (folder / "docker" / "gdal.Dockerfile").touch()
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "a"\nversion = "1"\ndependencies = ["numpy"]\n'
        f"[tool.layerkit.layers]\ngdal = {{{layer}}}\n"
    )
    return load(folder)


def test_a_dockerfile_alone_is_a_layer(tmp_path: Path) -> None:
    layer = read(tmp_path, 'dockerfile = "docker/gdal.Dockerfile"').layer("gdal")
    folder = tmp_path / "docker"
    assert layer.dockerfile == Dockerfile(path=folder / "gdal.Dockerfile", context=folder)
    assert layer.requirements == ()


def test_every_key_is_read(tmp_path: Path) -> None:
    layer = read(
        tmp_path,
        'dockerfile = "docker/gdal.Dockerfile", context = ".", target = "libs", dependencies = true,'
        ' args = {VERSION = "3.9", A = ""}',
    ).layer("gdal")
    assert layer.dockerfile == Dockerfile(
        path=tmp_path / "docker" / "gdal.Dockerfile",
        context=tmp_path,
        target="libs",
        args=(("A", ""), ("VERSION", "3.9")),
    )
    assert [root.name for root in layer.requirements] == ["numpy"]


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ('dockerfile = "gdal.Dockerfile"', "layers.gdal.dockerfile: there is no file 'gdal.Dockerfile'"),
        ('dockerfile = "docker"', "layers.gdal.dockerfile: there is no file 'docker'"),
        (
            'dockerfile = "docker/gdal.Dockerfile", context = "x"',
            "layers.gdal.context: there is no folder 'x'",
        ),
        ('context = "docker"', "layers.gdal.context: this says nothing without `dockerfile`"),
        (
            'dockerfile = "docker/gdal.Dockerfile", args = {A = 1}',
            "gdal.args.A: the value has to be a string",
        ),
        ('dockerfile = "docker/gdal.Dockerfile", args = {"A-B" = "1"}', "'A-B' is no name of an ARG"),
        ('dockerfile = "docker/gdal.Dockerfile", arg = {}', "there is no such key (did you mean 'args'?)"),
        ("dockerfile = 1", "layers.gdal.dockerfile: this is a number, and has to be a string"),
    ],
)
def test_everything_wrong_is_told_with_its_place(layer: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, layer)
    assert said in str(caught.value)


def test_a_function_has_no_dockerfile(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "a"\nversion = "1"\n[tool.layerkit.functions.f]\ndockerfile = "x"\n'
    )
    with pytest.raises(ConfigError, match="no such key"):
        load(tmp_path)
