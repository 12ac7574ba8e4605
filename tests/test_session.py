"""What every command works with: targets, locks, the project's own wheel, local folders, credentials."""

from __future__ import annotations

import json
import threading
import zipfile
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from factory import make_wheel
from layerkit import lock as locks
from layerkit import session as sessions
from layerkit.cli import run
from layerkit.errors import ConfigError, ResolutionError, UsageError
from layerkit.progress import progress
from layerkit.session import Session, chosen_runtimes, lock_target, open_session, own_package
from layerkit.target import maintained_runtimes
from loopback import Loopback
from own import own_project, tree_of_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from layerkit.store import Store
    from layerkit.target import Target

Capture = pytest.CaptureFixture[str]

_LAYERKIT = """
[tool.layerkit]
runtimes = ["python3.12"]
sdk-version = "1.42.0"
"""


@pytest.fixture(autouse=True)
def sdk(wheels: Path) -> None:
    make_wheel(wheels, "boto3", "1.42.0", requires=["botocore==1.42.0"])
    make_wheel(wheels, "botocore", "1.42.0")
    make_wheel(wheels, "lib", "1.0", files={"lib.py": "V = 1\n"})


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the file that gets a line per run of a build backend."""
    log = tmp_path / "builds.log"
    log.touch()
    monkeypatch.setenv("BUILDS", str(log))
    return log


@pytest.fixture
def shop(store: Store, index: Loopback, builds: Path, tmp_path: Path) -> Path:
    """Lay down a project with a dependency, and therefore the layers `default` and `nodeps`."""
    assert store.root.parent == builds.parent
    assert index.names()
    return own_project(
        tmp_path / "shop", "shop", requires=["lib"], pyproject=f'dependencies = ["lib"]\n{_LAYERKIT}'
    )


def _open(path: Path, *said: list[str], **options: object) -> Session:
    talk = said[0].append if said else lambda _text: None
    return open_session(path, talk=talk, progress=progress(quiet=True), **options)  # type: ignore[arg-type]


def _modules(folder: Path, layer: str) -> dict[str, bytes]:
    (path,) = folder.glob(f"dist/layers/*/*-{layer}.zip")
    with zipfile.ZipFile(path) as archive:
        found = [name for name in archive.namelist() if name.endswith(".py")]
        return {name.rpartition("/")[2]: archive.read(name) for name in found}


def test_runtimes_go_by_any_name_each_once() -> None:
    assert chosen_runtimes(["py312", "3.12", "python3.9", "python3.12"]) == ("python3.12", "python3.9")
    assert chosen_runtimes(["py37", "all"]) == maintained_runtimes()
    assert chosen_runtimes([]) == ()
    with pytest.raises(UsageError):
        chosen_runtimes(["py312", "py2"])


def test_targets_are_every_pair_that_exists_and_the_others_are_named(shop: Path) -> None:
    said: list[str] = []
    session = _open(shop, said, runtimes=["py37", "py312"], architectures=["amd64", "aarch64"])
    keys = [target.key for target in session.targets]
    assert keys == ["python3.7-x86_64", "python3.12-x86_64", "python3.12-arm64"]
    assert said == ["left out: python3.7 does not run on arm64"]
    with pytest.raises(UsageError, match=r"python3\.7 does not run on arm64"):
        _open(shop, runtimes=["py37"], architectures=["arm64"])


def test_the_callers_sdk_version_comes_before_the_projects(shop: Path) -> None:
    def seen(version: str | None) -> str:
        (target,) = _open(shop, sdk_version=version).targets
        assert target.sdk
        return target.sdk.boto3

    assert (seen(None), seen("1.40.0")) == ("1.42.0", "1.40.0")


def test_a_current_lock_is_taken_and_no_other_is_made_where_that_is_forbidden(
    shop: Path, index: Loopback
) -> None:
    session = _open(shop)
    (target,) = session.targets
    with pytest.raises(ResolutionError, match="the lock is missing") as refused:
        lock_target(session, target, renew=False)
    assert refused.value.where == str(shop / ".layerkit" / "pylock.py312-x86_64.toml")
    assert not (shop / ".layerkit").exists()
    made = lock_target(session, target)
    asked = len(index.requests)
    assert lock_target(_open(shop), target, renew=False) == made
    assert len(index.requests) == asked


def test_locked_fails_and_leaves_the_stale_lock_as_it_was(
    shop: Path, index: Loopback, capsys: Capture
) -> None:
    assert run(["build", str(shop), "--locked"]) == 4
    assert "the lock is missing or answers other requirements" in capsys.readouterr().err
    assert (index.requests, (shop / "dist").exists()) == ([], False)
    assert run(["build", str(shop)]) == 0
    before = tree_of_bytes(shop)
    asked = len(index.requests)
    assert run(["build", str(shop), "--locked"]) == 0
    text = (shop / "pyproject.toml").read_text()
    (shop / "pyproject.toml").write_text(text.replace('["lib"]', '["lib>=1"]'))
    assert run(["build", str(shop), "--locked"]) == 4
    assert len(index.requests) == asked
    (shop / "pyproject.toml").write_text(text)
    assert tree_of_bytes(shop) == before


def test_an_edit_of_the_projects_own_code_renews_its_zip_and_nothing_else(
    shop: Path, index: Loopback, builds: Path
) -> None:
    assert run(["build", str(shop), "--quiet"]) == 0
    first = tree_of_bytes(shop / ".layerkit"), tree_of_bytes(shop / "dist")
    asked = len(index.requests)
    assert _modules(shop, "nodeps") == {"shop.py": b"VALUE = 1\n"}
    assert _modules(shop, "default") == {"lib.py": b"V = 1\n"}
    assert "shop" not in (shop / ".layerkit" / "pylock.py312-x86_64.toml").read_text()
    assert run(["build", str(shop), "--quiet"]) == 0
    assert builds.read_text() == "shop\n"

    (shop / "src" / "shop.py").write_text("VALUE = 2\n")
    assert run(["build", str(shop), "--quiet", "--locked"]) == 0
    assert builds.read_text() == "shop\nshop\n"
    assert _modules(shop, "nodeps") == {"shop.py": b"VALUE = 2\n"}
    second = tree_of_bytes(shop / ".layerkit"), tree_of_bytes(shop / "dist")
    changed = [
        {name for name in old if old[name] != new[name]} for old, new in zip(first, second, strict=True)
    ]
    assert changed == [
        {"wheels/shop-1.0-py3-none-any.whl", "python3.12-x86_64.state.json"},
        {
            "layers/python3.12-x86_64/py312-shop-1.0-nodeps.zip",
            "layers/python3.12-x86_64/py312-shop-1.0.json",
        },
    ]
    assert len(index.requests) == asked

    (shop / "src" / "shop.py").write_text("VALUE = 1\n")
    assert run(["build", str(shop), "--quiet", "--locked"]) == 0
    assert builds.read_text() == "shop\nshop\n", "content that was built before comes from the store"
    assert tree_of_bytes(shop / "dist") == first[1]


def test_the_own_package_is_read_from_the_wheel_that_the_folder_builds_into(shop: Path) -> None:
    (shop / "requires.txt").write_text("lib<2\nextra-lib ; extra == 'more'\nold ; python_version < '3'\n")
    session = _open(shop)
    own = own_package(session, session.targets[0])
    assert own
    assert (own.name, own.version, own.wheel.filename) == ("shop", "1.0", "shop-1.0-py3-none-any.whl")
    assert [(need.name, need.specifier) for need in own.requires] == [("lib", "<2")]


def test_a_project_that_builds_no_wheel_has_no_own_package(store: Store, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("lib\n")
    session = _open(tmp_path / "requirements.txt", runtimes=["py312"])
    assert session.store.root == store.root
    assert own_package(session, session.targets[0]) is None


def test_a_project_that_is_a_requirement_too_is_in_the_lock_with_what_it_needs(
    shop: Path, builds: Path
) -> None:
    tool = '\n[tool.layerkit.layers]\nall = ["shop"]\n'
    (shop / "pyproject.toml").write_text((shop / "pyproject.toml").read_text() + tool)
    session = _open(shop)
    lock = lock_target(session, session.targets[0])
    assert [package.name for package in lock.packages] == ["boto3", "botocore", "lib", "shop"]
    assert own_package(session, session.targets[0]) is None
    assert builds.read_text() == "shop\n"
    (shop / "src" / "shop.py").write_text("VALUE = 2\n")
    with pytest.raises(ResolutionError, match="answers other requirements"):
        lock_target(_open(shop), session.targets[0], renew=False)


def test_local_folders_are_built_and_a_change_in_one_renews_the_lock(
    shop: Path, index: Loopback, builds: Path, tmp_path: Path
) -> None:
    inner = own_project(tmp_path / "inner lib", "inner-lib", version="3.0", requires=["lib"])
    text = (shop / "pyproject.toml").read_text()
    (shop / "pyproject.toml").write_text(text.replace('["lib"]', f'["inner-lib @ {inner.as_uri()}"]'))
    assert run(["build", str(shop), "--quiet"]) == 0
    assert sorted(builds.read_text().split()) == ["inner-lib", "shop"]
    assert set(_modules(shop, "default")) == {"inner_lib.py", "lib.py"}
    lock = (shop / ".layerkit" / "pylock.py312-x86_64.toml").read_text()
    assert 'path = "wheels/inner_lib-3.0-py3-none-any.whl"' in lock
    assert str(tmp_path) not in lock
    assert not list(inner.glob("*.egg-info")) + list(inner.glob("build")) + list(inner.glob("dist"))

    (inner / "src" / "inner_lib.py").write_text("VALUE = 2\n")
    assert run(["build", str(shop), "--quiet", "--locked"]) == 4
    assert run(["build", str(shop), "--quiet"]) == 0
    assert sorted(builds.read_text().split()) == ["inner-lib", "inner-lib", "shop"]
    assert _modules(shop, "default")["inner_lib.py"] == b"VALUE = 2\n"
    assert "boto3" in {request.name for request in index.requests}


def test_a_lock_is_renewed_where_the_wheel_of_a_folder_is_gone(shop: Path, tmp_path: Path) -> None:
    inner = own_project(tmp_path / "inner", "inner-lib")
    text = (shop / "pyproject.toml").read_text()
    (shop / "pyproject.toml").write_text(text.replace('["lib"]', f'["inner-lib @ {inner.as_uri()}"]'))
    session = _open(shop)
    lock = lock_target(session, session.targets[0])
    wheel = shop / ".layerkit" / "wheels" / "inner_lib-1.0-py3-none-any.whl"
    wheel.unlink()
    assert lock_target(session, session.targets[0]) == lock
    assert wheel.exists()


def test_what_counts_on_other_runtimes_only_decides_nothing(
    store: Store, index: Loopback, wheels: Path, tmp_path: Path
) -> None:
    # As poetry and pip-compile write it: one line for each range of Pythons, each with its own hash.
    new = make_wheel(wheels, "demo", "2.0")
    index.add("lib-2.0.tar.gz", b"source")
    lines = [
        f"demo==2.0 ; python_version >= '3.12' --hash=sha256:{new.sha256}",
        f"demo==1.0 ; python_version < '3.12' --hash=sha256:{'0' * 64}",
        "lib",
        "lib<2 ; python_version < '3'",
        "boto3>=9 ; python_version < '3'",
    ]
    (tmp_path / "requirements.txt").write_text("\n".join(lines))
    session = _open(tmp_path / "requirements.txt", runtimes=["py312"], sdk_version="1.42.0")
    lock = lock_target(session, session.targets[0])
    assert {one.name: one.version for one in lock.packages}["demo"] == "2.0"
    assert lock.sdk.mode == "runtime"
    assert [note.partition(",")[0] for note in lock.notes] == ["lib 1.0: the newest version"]
    assert session.store.root == store.root


def test_constraints_are_reasons_like_requirements(store: Store, index: Loopback, tmp_path: Path) -> None:
    index.add("lib-2.0.tar.gz", b"source")
    (tmp_path / "requirements.txt").write_text("-c bounds.txt\nlib\n")
    (tmp_path / "bounds.txt").write_text("lib<2\n")
    session = _open(tmp_path / "requirements.txt", runtimes=["py312"], sdk_version="1.42.0")
    assert lock_target(session, session.targets[0]).notes == ()
    make_wheel(index.folder or tmp_path, "boto3", "1.44.0")
    (tmp_path / "bounds.txt").write_text("lib<2\nboto3>=1.43\n")
    session = _open(tmp_path / "requirements.txt", runtimes=["py312"], sdk_version="1.42.0")
    reason = lock_target(session, session.targets[0]).sdk.reason
    assert reason == "bounds.txt:2 requires boto3>=1.43; the runtime brings 1.42.0"
    assert session.store.root == store.root


def test_nothing_to_lock_is_a_lock_too(store: Store, index: Loopback, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("lib ; python_version < '3'\n")
    session = _open(tmp_path / "requirements.txt", runtimes=["py312"], sdk_version="1.42.0")
    lock = lock_target(session, session.targets[0])
    assert [one.name for one in lock.packages] == ["boto3", "botocore"]
    assert index.names()
    assert session.store.root == store.root


def test_a_requirement_that_is_none_is_refused_before_anything_is_asked(
    store: Store, index: Loopback, tmp_path: Path
) -> None:
    (tmp_path / "requirements.txt").write_text("lib ; python_verzion < '3'\n")
    session = _open(tmp_path / "requirements.txt", runtimes=["py312"])
    with pytest.raises(ConfigError, match=r"requirements\.txt:1"):
        lock_target(session, session.targets[0])
    assert (index.requests, list(store.root.glob("*"))) == ([], [])


SECRET = "s3cr3t-pa55"  # noqa: S105


@pytest.fixture
def private(wheels: Path, index: Loopback, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """Serve the same wheels to one user only; nothing but the project's files knows the password."""
    assert index.names()
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    monkeypatch.delenv("UV_NO_CONFIG")
    # Whatever looks elsewhere finds nobody.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with Loopback(wheels, auth=("someone", SECRET)) as server:
        yield server


def _requirements(tmp_path: Path, server: Loopback, _public: Loopback) -> Path:
    (tmp_path / "project").mkdir()
    path = tmp_path / "project" / "requirements.txt"
    path.write_text(f"--index-url {server.with_auth(server.simple)}\nlib\n")
    return path


def _pyproject(tmp_path: Path, server: Loopback, _public: Loopback) -> Path:
    path = own_project(tmp_path / "project", "shop", pyproject=f'dependencies = ["lib"]\n{_LAYERKIT}')
    index = f'[[tool.uv.index]]\nurl = "{server.with_auth(server.simple)}"\ndefault = true\n'
    (path / "pyproject.toml").write_text((path / "pyproject.toml").read_text() + index)
    return path


def _direct(tmp_path: Path, server: Loopback, public: Loopback) -> Path:
    (tmp_path / "project").mkdir()
    path = tmp_path / "project" / "requirements.txt"
    address = server.with_auth(server.address("lib-1.0-py3-none-any.whl"))
    path.write_text(f"--index-url {public.simple}\nlib @ {address}\n")
    return path


@pytest.mark.parametrize("lay_down", [_requirements, _pyproject, _direct])
def test_credentials_of_the_project_reach_the_downloads_and_stay_out_of_all_that_is_kept_or_said(
    store: Store,
    private: Loopback,
    index: Loopback,
    tmp_path: Path,
    capsys: Capture,
    lay_down: Callable[[Path, Loopback, Loopback], Path],
) -> None:
    path = lay_down(tmp_path, private, index)
    given = tree_of_bytes(tmp_path / "project")
    options = ["--runtime", "py312", "--sdk-version", "1.42.0"]
    for command in (["build"], ["lock", "--json"], ["plan", "--json"], ["tree"], ["build", "--json"]):
        assert run([command[0], str(path), *command[1:], *options]) == 0, capsys.readouterr().err
    said = capsys.readouterr()
    assert private.asked("lib-1.0-py3-none-any.whl") >= 1
    assert index.asked("lib-1.0-py3-none-any.whl") == 0
    after = tree_of_bytes(tmp_path / "project")
    for name, content in given.items():
        assert after.pop(name) == content
    assert any(name.endswith("-default.zip") for name in after)
    everything = {**after, **tree_of_bytes(store.root), "out": said.out.encode(), "err": said.err.encode()}
    assert [name for name, content in everything.items() if SECRET.encode() in content] == []
    assert [name for name, content in everything.items() if b"someone" in content] == []


def test_a_password_that_is_wrong_is_not_said_either(
    store: Store, private: Loopback, tmp_path: Path, capsys: Capture
) -> None:
    path = _requirements(tmp_path, private, private)
    path.write_text(path.read_text().replace(SECRET, "wr0ng-word"))
    assert run(["build", str(path), "--runtime", "py312", "--json"]) == 5
    said = capsys.readouterr()
    assert "wr0ng-word" not in said.out + said.err
    assert json.loads(said.out)["error"] == "NetworkError"
    assert private.host in said.err
    assert store.root == tmp_path / "store"


def test_several_targets_are_locked_side_by_side_and_the_first_failure_ends_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "a"\nversion = "1"\n[tool.layerkit]\nruntimes = ["3.9", "3.11", "3.12"]\n'
    )
    opened = open_session(tmp_path, talk=lambda _: None, progress=progress(quiet=True))
    together = threading.Barrier(3, timeout=20)
    stopped = threading.Event()

    def lock_target(_: object, target: Target, **more: object) -> str:
        assert more == {"upgrade": (), "renew": True}
        together.wait()  # nobody goes on before all have begun
        if target.runtime == "python3.11":
            raise ResolutionError("nothing fits")
        assert stopped.wait(20), "the others are told to stop"
        return target.key

    monkeypatch.setattr(sessions, "lock_target", lock_target)
    monkeypatch.setattr(type(opened.engines), "__exit__", lambda *_: stopped.set())
    with pytest.raises(ResolutionError, match="nothing fits"):
        sessions.lock_targets(opened)


def test_what_the_store_no_longer_has_is_built_again_side_by_side(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "a"\nversion = "1"\n[tool.layerkit]\nruntimes = ["3.11", "3.12"]\n'
    )
    opened = open_session(tmp_path, talk=lambda _: None, progress=progress(quiet=True))
    ref = locks.WheelRef(filename="a-1-py3-none-any.whl", sha256="b" * 64, size=1)
    source = locks.Source(sdist=ref, image="i", digest="sha256:d")
    built = locks.LockedPackage(name="a", version="1", wheel=ref, source=source)
    together = threading.Barrier(2, timeout=20)
    begun: list[str] = []

    def lock_target(_: object, target: Target, **more: object) -> str:
        assert more["renew"] is False
        if target.key not in begun:
            begun.append(target.key)
            together.wait()
        return target.key

    monkeypatch.setattr(locks, "current", lambda *_, **__: SimpleNamespace(packages=(built,)))
    monkeypatch.setattr(sessions, "lock_target", lock_target)
    assert sorted(map(str, sessions.lock_targets(opened, renew=False))) == sorted(begun)
    assert store.find("wheels", ref.sha256, ".whl") is None
    # Where the store has it, one after the other will do: nobody waits for anybody.
    with store.publish("wheels", ref.sha256, ".whl") as path:
        path.write_bytes(b"x")
    begun.extend(target.key for target in opened.targets)
    assert len(sessions.lock_targets(opened, renew=False)) == 2
