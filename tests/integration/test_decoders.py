"""The decoders that come from the index inflate what the build compressed, on the Pythons that need one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bundles import bundle
from layerkit.lock.decoder import decoder
from layerkit.lock.places import uv_binary
from layerkit.project import OverLimit
from layerkit.target import target
from projects import project
from real import interpreter, run

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.store import Store
    from real import Workshop

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("minor", ["3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13"])
def test_each_python_has_one(workshop: Workshop, store: Store, tmp_path: Path, minor: str) -> None:
    python = interpreter(minor)
    if python is None:
        pytest.skip(f"there is no Python {minor} on this machine")
    bundled = project(tmp_path, {"a": ["a"]}, over_limit=OverLimit(mode="bundle"))
    name = decoder(bundled, target(minor))
    assert name
    laid = bundle(tmp_path, store, "zstd")
    install = [uv_binary(), "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", name]
    run([*install, "--target", laid.site, "--python", python], workshop.environment)
    used = "print([name for name in sys.modules if name in ('backports.zstd', 'pyzstd')])"
    said = laid.says(f"{used}\nimport alpha, shared.beta", python)
    assert said.splitlines() == [str([name.replace("-", ".")]), "alpha runs"]
