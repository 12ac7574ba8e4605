from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerkit.errors import ConfigError
from layerkit.project import Containers, Dockerfile, load

if TYPE_CHECKING:
    from pathlib import Path


def read(folder: Path, text: str) -> Containers:
    (folder / "pyproject.toml").write_text(f'[project]\nname = "a"\nversion = "1"\n[tool.layerkit]\n{text}\n')
    return load(folder).containers


def test_what_is_built_and_where_is_read(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        'build = ["Nume_Ric", "b"]\nsystem-packages = ["libxml2-devel", "g++", "libxml2-devel"]\n'
        '[tool.layerkit.docker]\nnetwork = "host"\nbuild-images = {"3.12" = "me@sha256:ab", "py39" = "x:1"}\n'
        'images = {"python3.12-aarch64" = "public.ecr.aws/lambda/python:3.12-arm64"}',
    )
    assert found == Containers(
        build=("b", "nume-ric"),
        system=("libxml2-devel", "g++"),
        images=(("python3.12-arm64", "public.ecr.aws/lambda/python:3.12-arm64"),),
        build_images=(("python3.12", "me@sha256:ab"), ("python3.9", "x:1")),
        network="host",
    )


def test_an_image_to_build_in_may_be_a_dockerfile(tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "b.Dockerfile").write_text("FROM x\n")
    found = read(
        tmp_path,
        '[tool.layerkit.docker.build-images]\n"3.11" = "x:1"\n'
        '"3.12-arm64" = {dockerfile = "docker/b.Dockerfile", context = ".", target = "t", args = {A = "1"}}',
    )
    assert found.build_images == (("python3.11", "x:1"),)
    made = Dockerfile(
        path=tmp_path / "docker" / "b.Dockerfile", context=tmp_path, target="t", args=(("A", "1"),)
    )
    assert found.build_files == (("python3.12-arm64", made),)


def test_nothing_said_is_nothing_built(tmp_path: Path) -> None:
    assert read(tmp_path, "") == Containers()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('build = ["a b"]', "build[0]: 'a b' is not the name of a package"),
        ('system-packages = ["--allow-all"]', "system-packages[0]: '--allow-all' is not the name"),
        ('docker = {images = {"3.99" = "x"}}', "there is no Lambda runtime called '3.99'"),
        ('docker = {images = {"3.12-mips" = "x"}}', "there is no Lambda architecture called 'mips'"),
        ('docker = {build-images = {"3.12" = "--privileged"}}', "'--privileged' is not the name of an image"),
        ('docker = {images = {"3.12" = {dockerfile = "x"}}}', "is not the name of an image"),
        ('docker = {build-images = {"3.12" = {}}}', "a table here names a `dockerfile`"),
        ('docker = {build-images = {"3.12" = {dockerfile = "x"}}}', "there is no file 'x'"),
        ('docker = {build-images = {"3.12" = {dockerfil = "x"}}}', "did you mean 'dockerfile'?"),
        ('docker = {build-images = {"3" = {dockerfile = "pyproject.toml"}}}', "no Lambda runtime called '3'"),
        ("docker = {images = {py312 = 1}}", "1 is not the name of an image"),
        ('docker = {netwerk = "host"}', "there is no such key (did you mean 'network'?)"),
    ],
)
def test_everything_wrong_is_told_with_its_place(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)
