"""`layerkit runtimes --refresh`: what an image holds, against what its own interpreter says of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from layerkit import image_facts
from layerkit.cli import run
from layerkit.target import target

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from docker import DockerClient

    from stand_ins import StandIns

_LOOK = """
import importlib.metadata as m, json
print(json.dumps({one.metadata["Name"].lower().replace("_", "-"): one.version for one in m.distributions()}))
"""


def test_what_the_image_holds_is_read_and_counts(
    engine: DockerClient,
    stand_ins: dict[str, StandIns],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made, file = stand_ins["python3.12"], tmp_path / "facts.json"
    monkeypatch.setenv("LAYERKIT_FACTS", str(file))
    monkeypatch.setenv("LAYERKIT_IMAGE_PY312", made.run)
    shipped = target("py312")
    said = engine.containers.run(made.run, ["/var/lang/bin/python3.12", "-c", _LOOK], remove=True)
    assert (
        run(["runtimes", "--refresh", "--runtime", "py312", "--arch", "x86_64", "--offline", "--json"]) == 0
    )
    printed = capsys.readouterr()
    found = image_facts.read()["python3.12-x86_64"]
    assert json.loads(printed.out)["seen"] == {"python3.12-x86_64": found.as_json()}
    assert dict(found.packages) == json.loads(said)
    assert (found.python, found.glibc) == (made.python, "2.36")
    assert found.digest == engine.images.get(made.run).id
    assert {"ld-linux-x86-64.so.2", "libpython3.12.so.1.0", "libssl.so.3"} <= set(found.libraries)
    assert f"Python: {shipped.python} -> {made.python}" in printed.err
    assert target("py312").sdk != shipped.sdk

    # An image of something else changes nothing.
    before = file.read_bytes()
    monkeypatch.setenv("LAYERKIT_IMAGE_PY311", made.run)
    assert run(["runtimes", "--refresh", "--runtime", "py311", "--arch", "x86_64", "--offline"]) == 11
    assert "it has no /var/lang/bin/python3.11" in capsys.readouterr().err
    assert file.read_bytes() == before
