from __future__ import annotations

from pathlib import Path

import pytest

from layerkit.check.findings import Finding
from layerkit.check.opt_check import installed_by
from layerkit.dockerfiles import OptLayer, OptPackage
from layerkit.metadata import Dependency
from layerkit.target import target

ON = target("py312")
FLAT, VERSIONED = ON.site_packages("flat"), ON.site_packages("versioned")


def opt(*packages: OptPackage) -> OptLayer:
    return OptLayer(
        layer="gdal", path=Path("x"), zipped=1, unzipped=1, entries=1, key="", dockerfile="gdal.Dockerfile",
        sha256="", image="", bases=(), packages=packages, notes=(),
    )  # fmt: skip


def package(name: str, folder: str, *requires: str) -> OptPackage:
    return OptPackage(name=name, version="1", folder=folder, requires=requires, extras=("x",))


def test_packages_count_where_the_targets_python_looks() -> None:
    places = (VERSIONED, FLAT, "share", "python/lib/python3.9/site-packages")
    installed, findings = installed_by(opt(*map(package, ("a", "b", "c", "d"), places)), ON)
    assert [(one.name, one.version, one.layer) for one in installed] == [
        ("b", "1", "gdal"),
        ("a", "1", "gdal"),
    ]
    assert findings == []


def test_what_they_require_on_the_target_is_read() -> None:
    texts = ("numpy>=2", "six; python_version < '3'", "idna; extra == 'x'")
    ((found,), _) = installed_by(opt(package("gdal", FLAT, *texts)), ON)
    assert found.requires == (Dependency(name="numpy", specifier=">=2"), Dependency(name="idna", extra="x"))


@pytest.mark.parametrize("text", ["numpy >", "!"])
def test_what_nobody_can_read_is_a_finding(text: str) -> None:
    (installed, findings) = installed_by(opt(package("gdal", FLAT, text)), ON)
    assert [one.requires for one in installed] == [()]
    ((code, where),) = [(one.code, one.where) for one in findings if isinstance(one, Finding)]
    assert (code, where) == ("unreadable-metadata", "gdal: gdal 1")
