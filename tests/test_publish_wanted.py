from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

import small
from layerkit.errors import UsageError
from layerkit.publish.wanted import Templates, licences, wanted


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> small.Small:
    return small.build(tmp_path_factory.mktemp("wanted") / "here")


def test_licences_are_joined_once_each() -> None:
    assert licences(["MIT", None, "BSD-3-Clause", "MIT"]) == "BSD-3-Clause AND MIT"
    assert licences(["MIT OR Apache-2.0", "0BSD"]) == "(MIT OR Apache-2.0) AND 0BSD"
    assert licences([None]) == ""


def test_licences_that_do_not_fit_are_counted() -> None:
    text = licences(f"Licence-{number:03}-of-somebody" for number in range(100))
    assert len(text) <= 512
    assert text.startswith("Licence-000-of-somebody AND Licence-001-of-somebody")
    assert text.endswith(f" AND {100 - text.count('somebody')} more")
    assert licences(["x" * 600]) == "1 more"


def test_one_content_for_many_runtimes_is_one_version_up_to_lambdas_limit(built: small.Small) -> None:
    def target(number: int) -> tuple[Path, object]:
        ref = replace(built.manifest.target, runtime=f"python3.{number}")
        return Path("there/manifest.json"), replace(built.manifest, target=ref)

    names = Templates(name="{layer}")
    (base,) = wanted([target(number) for number in range(8, 15)], ["base"], names)  # type: ignore[misc]
    assert base.runtimes == tuple(f"python3.{number}" for number in range(8, 15))
    assert base.architectures == ("x86_64",)
    assert base.path == Path("there", "py312-small-1.2-base.zip")


def test_more_runtimes_than_lambda_takes(built: small.Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerkit.publish.wanted.limit", lambda name: 1 if name == "layer_runtimes" else 512)
    other = replace(built.manifest.target, runtime="python3.13")
    pair = [(Path("a"), built.manifest), (Path("b"), replace(built.manifest, target=other))]
    with pytest.raises(UsageError, match="a layer for 2 runtimes, Lambda takes 1"):
        wanted(pair, ["base"], Templates(name="{layer}"))
