from __future__ import annotations

from pathlib import Path

import pytest
from packaging.pylock import Pylock

from layerkit.errors import ConfigError
from layerkit.lock import LockedPackage, SdkDecision, WheelRef, current, inputs_digest, lock_path, read, write
from layerkit.metadata import Dependency
from layerkit.target import target
from layerkit.toml import parse
from projects import project

PY312 = target("py312")
SDK = SdkDecision(mode="runtime", reason="it fits")
NEEDS = (
    Dependency(name="leaf", specifier="<3,>=1.0"),
    Dependency(name="twig", specifier="", extras=("deep", "wide"), extra=""),
    Dependency(name="bud", specifier="~=1.2", extra="spring"),
)
ROOT = LockedPackage(
    name="root",
    version="1.0",
    wheel=WheelRef(
        filename="root-1.0-py3-none-any.whl",
        sha256="ab" * 32,
        size=123,
        url="https://files.example/root-1.0-py3-none-any.whl",
    ),
    requires=NEEDS,
)
LEAF = LockedPackage(
    name="leaf",
    version="2.0",
    wheel=WheelRef(
        filename="leaf-2.0-py3-none-any.whl", sha256="cd" * 32, size=5, url="https://files.example/leaf"
    ),
    attestations='[{"kind": "GitHub", "repository": "some/leaf", "workflow": "release.yml"}]',
)


def test_what_is_written_is_read_back_the_same(tmp_path: Path) -> None:
    path = tmp_path / "pylock.py312-x86_64.toml"
    lock = write(path, PY312, (LEAF, ROOT), SDK, "inputs", ["a note"])
    assert lock.packages == (LEAF, ROOT)
    assert (lock.sdk, lock.inputs, lock.notes) == (SDK, "inputs", ("a note",))
    assert read(path, PY312) == lock
    assert lock.package("root") == ROOT
    assert lock.package("nothing") is None


def test_a_lock_is_a_pep_751_file_that_others_can_read(tmp_path: Path) -> None:
    path = tmp_path / "pylock.py312-x86_64.toml"
    write(path, PY312, (LEAF, ROOT), SDK, "inputs", [])
    pylock = Pylock.from_dict(parse(path.read_text()))
    names = [package.name for package in pylock.packages]
    assert names == ["leaf", "root"]
    # Trees are drawn from `dependencies`; an extra's requirement is among them.
    assert [dict(each)["name"] for each in pylock.packages[1].dependencies or ()] == ["bud", "leaf", "twig"]


def test_the_same_lock_has_the_same_bytes_wherever_it_lies(tmp_path: Path) -> None:
    digests = []
    for folder in (tmp_path / "a", tmp_path / "b" / "c"):
        wheel = folder / "wheels" / "own-1.0-py3-none-any.whl"
        ref = WheelRef(filename=wheel.name, sha256="ef" * 32, size=1, path=str(wheel))
        own = LockedPackage(name="own", version="1.0", wheel=ref)
        lock = write(folder / "pylock.py312-x86_64.toml", PY312, (own,), SDK, "inputs", [])
        assert lock.packages == (own,)
        digests.append(lock.digest)
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not toml at all [",
        'lock-version = "1.0"\ncreated-by = "uv"\npackages = []\n',
        (
            'packages = [{name = "a"}]\n[tool.layerkit]\nformat = 1\ninputs = "x"\nnotes = []\n'
            'sdk = {mode = "runtime", reason = ""}\n'
        ),
    ],
)
def test_a_foreign_or_damaged_lock_is_refused_with_the_way_out(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pylock.py312-x86_64.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="not a lock that layerkit wrote") as refused:
        read(path, PY312)
    assert refused.value.where == str(path)
    assert refused.value.fix


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pylock.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        read(path, PY312)


def test_a_lock_of_another_format_is_renewed_not_refused(tmp_path: Path) -> None:
    one = project(tmp_path, {"default": []})
    path = lock_path(one, PY312)
    write(path, PY312, (), SDK, inputs_digest(one, PY312), [])
    assert current(one, PY312) is not None
    path.write_text(path.read_text().replace("format = 1", "format = 0"))
    assert current(one, PY312) is None


def test_a_lock_whose_local_wheel_is_elsewhere_is_not_current(tmp_path: Path) -> None:
    one = project(tmp_path, {"default": []})
    gone = WheelRef(filename="own-1.0-py3-none-any.whl", sha256="ef" * 32, path=str(tmp_path / "gone.whl"))
    package = LockedPackage(name="own", version="1.0", wheel=gone)
    write(lock_path(one, PY312), PY312, (package,), SDK, inputs_digest(one, PY312), [])
    assert current(one, PY312) is None
    (tmp_path / "gone.whl").touch()
    assert current(one, PY312) is not None


def test_a_target_has_a_lock_of_its_own(tmp_path: Path) -> None:
    one = project(tmp_path, {"default": []})
    assert lock_path(one, target("py39", "arm64")) == Path(tmp_path, ".layerkit", "pylock.py39-arm64.toml")
    assert inputs_digest(one, PY312) != inputs_digest(one, target("py312", "arm64"))
