"""The proof of the shared store, with a project of two tiny wheels; and it notices what it should."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from factory import make_wheel
from shared_store_proof import Proof, ProofError, gate, prove

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aws import Cloud
    from loopback import Loopback

PYPROJECT = """
[project]
name = "shop"
version = "1.0"
dependencies = ["quick", "slow"]

[tool.layerkit]
runtimes = ["python3.12"]
sdk-version = "1.42.0"
bytecode = false
"""


@pytest.fixture
def proof(index: Loopback, wheels: Path, cloud: Cloud, tmp_path: Path) -> Iterator[Proof]:
    """Give the proof of a tiny project."""
    assert index.names() == []
    make_wheel(wheels, "boto3", "1.42.0", requires=["botocore==1.42.0"])
    make_wheel(wheels, "botocore", "1.42.0")
    for name in ("quick", "slow"):
        make_wheel(wheels, name, "1.0")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "pyproject.toml").write_text(PYPROJECT)
    with gate() as shut:
        folder = tmp_path / "machines"
        yield Proof(project=tmp_path / "shop", options=(), folder=folder, cloud=cloud, gate=shut)


def test_an_empty_machine_prepares_and_fetches_nothing(proof: Proof) -> None:
    first, layers, wheels = prove(proof)
    assert [row[1] for row in (first, layers, wheels)] == ["2", "0", "0"]


def test_a_store_that_has_nothing_fails_the_proof(proof: Proof) -> None:
    first = proof.first()
    proof.forget("layers", "tails", "prepared", "wheels")
    with pytest.raises(ProofError, match=r"the build ended with \d+"):
        proof.later("empty", first)
    assert proof.gate.asked
