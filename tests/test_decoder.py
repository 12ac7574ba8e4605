from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerkit.lock import inputs_digest
from layerkit.lock.decoder import built_in, decoder
from layerkit.project import OverLimit
from layerkit.target import target
from projects import project

if TYPE_CHECKING:
    from pathlib import Path

BUNDLE = OverLimit(mode="bundle")


@pytest.mark.parametrize(
    ("runtime", "package"),
    [
        ("py36", None),
        ("py37", "pyzstd"),
        ("py38", "pyzstd"),
        ("py39", "backports-zstd"),
        ("py313", "backports-zstd"),
        ("py314", None),
    ],
)
def test_each_runtime_has_the_decoder_that_fits_it(tmp_path: Path, runtime: str, package: str | None) -> None:
    bundled = project(tmp_path, {"a": ["a"]}, over_limit=BUNDLE)
    assert decoder(bundled, target(runtime)) == package
    assert built_in(target(runtime)) == (runtime == "py314")


def test_only_a_bundle_wants_one_and_only_then_a_lock_is_another(tmp_path: Path) -> None:
    plain = project(tmp_path, {"a": ["a"]})
    nested = project(tmp_path, {"a": ["a"]}, over_limit=OverLimit(mode="nested-zip"))
    bundled = project(tmp_path, {"a": ["a"]}, over_limit=BUNDLE)
    assert decoder(plain, target("py312")) is decoder(nested, target("py312")) is None
    digests = [inputs_digest(one, target("py312")) for one in (plain, nested, bundled)]
    assert digests[0] == digests[1] != digests[2]
    assert inputs_digest(plain, target("py314")) == inputs_digest(bundled, target("py314"))
