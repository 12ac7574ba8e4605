"""`--engine docker`: resolved, checked and imported inside the image, and the same bytes come of it."""

from __future__ import annotations

import json
import ssl
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import tomllib

from factory import make_wheel
from layerkit.cli import run
from layerkit.container import owner
from layerkit.container.engine import OWNER
from layerkit.container.room import Room
from layerkit.lock.places import Errand, Here, Told
from layerkit.target import target
from loopback import Loopback
from sdists import serve_sdk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker import DockerClient

    from stand_ins import StandIns

Capture = pytest.CaptureFixture[str]

_PYPROJECT = """
[project]
name = "shop"
version = "1"
dependencies = ["lib[extra]", "worker ; python_full_version >= '3.1'", "placed"]

[tool.layerkit]
runtimes = ["{runtime}"]
docker = {{network = "host"}}

[tool.layerkit.layers]
base = ["lib"]
more = ["worker", "placed"]

[tool.layerkit.functions.api]
layers = ["base", "more"]
code = "api"
"""


@pytest.fixture
def images(stand_ins: dict[str, StandIns], monkeypatch: pytest.MonkeyPatch) -> None:
    """Name the stand-ins as the runtimes' images; the engine is this machine's, and reaches its loopback."""
    for runtime, short in (("python3.12", "PY312"), ("python3.9", "PY39")):
        monkeypatch.setenv(f"LAYERKIT_IMAGE_{short}", stand_ins[runtime].run)


@pytest.fixture
def shop(
    images: None, index: Loopback, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Lay down a project of wheels: pure ones, tagged ones of several levels, one in a local folder."""
    assert images is None
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "store"))
    _serve(wheels)
    shelf = tmp_path / "a shelf"
    make_wheel(shelf, "placed", "0.1", files={"placed.py": "import lib\n"}, requires=["lib"])
    monkeypatch.setenv("UV_FIND_LINKS", str(shelf))
    assert index.names()
    return _project(tmp_path / "shop", "python3.12")


def _serve(wheels: Path) -> None:
    serve_sdk(wheels)
    make_wheel(wheels, "lib", "1.0", extras=["extra"], requires=["helper>=1 ; extra == 'extra'"])
    make_wheel(wheels, "helper", "1.0")
    for level in ("2014", "_2_26", "_2_34", "_2_35", "_2_36"):
        version = {"2014": "1.0", "_2_26": "1.1", "_2_34": "1.2", "_2_35": "1.3", "_2_36": "1.4"}[level]
        make_wheel(wheels, "worker", version, tag=f"py3-none-manylinux{level}_x86_64")


def _project(folder: Path, runtime: str) -> Path:
    (folder / "api").mkdir(parents=True)
    (folder / "api" / "app.py").write_text("import lib, worker, placed, helper, boto3\n")
    (folder / "pyproject.toml").write_text(_PYPROJECT.format(runtime=runtime))
    return folder


@pytest.fixture(autouse=True)
def _clean(engine: DockerClient) -> Iterator[None]:
    """Nothing of ours may be left on the engine."""
    yield
    labelled: dict[str, Any] = {"label": f"{OWNER}={owner.mark()}"}
    assert engine.containers.list(all=True, filters=labelled) == []
    assert engine.volumes.list(filters=labelled) == []


def _zips(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.zip")}


def _digests(folder: Path) -> list[str]:
    """Return what a build's manifest says of its zips."""
    (path,) = folder.rglob("py312-shop-1.json")
    manifest = json.loads(path.read_text())
    zips = [layer["zip"] for layer in manifest["layers"]] + [one["code"] for one in manifest["stacks"]]
    return [one["sha256"] for one in zips]


def _lock(shop: Path) -> dict[str, Any]:
    (path,) = (shop / ".layerkit").glob("pylock.*.toml")
    return tomllib.loads(path.read_text())


def test_the_zips_are_the_same_byte_for_byte(
    shop: Path, tmp_path: Path, capsys: Capture, stand_ins: dict[str, StandIns]
) -> None:
    # The stand-in has glibc 2.36: what decides is the runtime's.
    other = _project(tmp_path / "other" / "shop", "python3.12")
    assert shop.exists()
    assert run(["build", str(other), "--engine", "wheels"]) == 0
    outside, zips = _lock(other), _zips(other)
    assert len(zips) == 3
    assert {one["name"]: one["version"] for one in outside["packages"]}["worker"] == "1.2"

    inside = _project(tmp_path / "inside" / "shop", "python3.12")
    capsys.readouterr()
    assert run(["build", str(inside), "--engine", "docker", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["targets"][0]["engine"]["used"] == "docker"
    assert "image-differs" in told.err
    assert _zips(inside) == zips
    assert _digests(inside) == _digests(other)
    found = _lock(inside)
    assert found["packages"] == outside["packages"]
    assert any("wheels are chosen for" in note for note in found["tool"]["layerkit"]["notes"])
    said, made = found["tool"]["layerkit"]["image"], stand_ins["python3.12"]
    assert (said["reference"], said["python"]) == (made.run, made.python)

    # A build that still stands asks nobody; a lock that was made outside will not do.
    assert run(["build", str(inside), "--engine", "docker", "--locked"]) == 0
    assert "nothing to do" in capsys.readouterr().err
    assert run(["build", str(inside), "--engine", "wheels", "--locked"]) == 0
    assert run(["lock", str(other), "--engine", "docker", "--check"]) == 4
    assert "was not made inside the image" in capsys.readouterr().err


def test_the_images_own_interpreter_has_the_say(
    shop: Path,
    wheels: Path,
    stand_ins: dict[str, StandIns],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    # What holds for the image's release of Python and not for the runtime's: only the image can have said it.
    python = stand_ins["python3.12"].python
    assert python != target("python3.12").python
    make_wheel(wheels, "patchy", "1.0")
    marked = f"\"patchy ; python_full_version == '{python}'\""
    text = (shop / "pyproject.toml").read_text()
    (shop / "pyproject.toml").write_text(text.replace('"placed"]', f'"placed", {marked}]'))
    asked: list[Errand] = []
    here = Here.run

    def ask(self: Here, errand: Errand) -> Told:
        asked.append(errand)
        return here(self, errand)

    monkeypatch.setattr(Here, "run", ask)
    assert run(["plan", str(shop), "--engine", "docker", "--json"]) == 0
    assert asked == []
    assert "patchy" in {one["name"] for one in _lock(shop)["packages"]}
    (planned,) = json.loads(capsys.readouterr().out)["targets"]
    assert "patchy" in json.dumps(planned["layers"])
    assert run(["lock", str(_project(shop.parent / "other", "python3.12")), "--engine", "wheels"]) == 0
    assert asked


def test_what_cannot_be_imported_inside_is_never_written(shop: Path, wheels: Path, capsys: Capture) -> None:
    broken = {"worker.py": "import gone\n"}
    make_wheel(wheels, "worker", "1.2", tag="py3-none-manylinux_2_34_x86_64", files=broken)
    # Without the image nobody can know.
    assert run(["build", str(shop), "--engine", "wheels"]) == 0
    before = _zips(shop)
    assert len(before) == 3
    for path in shop.rglob("*-base.zip"):
        path.unlink()
        del before[path.name]
    capsys.readouterr()
    assert run(["build", str(shop), "--engine", "docker"]) == 6
    said = capsys.readouterr().err
    assert "worker cannot be imported: ModuleNotFoundError: No module named 'gone'" in said
    # What was built before stays as it was, and nothing is added to it.
    assert _zips(shop) == before


def test_versions_that_do_not_fit_are_said_in_the_same_words(
    shop: Path, wheels: Path, capsys: Capture
) -> None:
    make_wheel(wheels, "lib", "2.0", requires=["helper>=9"])
    text = (shop / "pyproject.toml").read_text()
    (shop / "pyproject.toml").write_text(text.replace('"lib[extra]"', '"lib>=2"'))
    words = []
    for rule in ("wheels", "docker"):
        assert run(["lock", str(shop), "--engine", rule]) == 4
        # Lines are as wide as each takes its terminal to be.
        words.append(capsys.readouterr().err.partition("error:")[2].split())
    assert words[0] == words[1]
    assert "helper>=9," in words[0]


def _shown(engine: DockerClient, since: int) -> str:
    """Return what the engine tells whoever asks: the containers and programs of the time since then."""
    events = engine.events(since=since, until=int(time.time()) + 1, decode=True)
    return json.dumps(list(events))


_PRIVATE = """
[tool.poetry]
name = "private"
version = "1"

[tool.poetry.dependencies]
python = "^3.12"
named = "*"
kept = "*"
listed = "*"
set = "*"
varied = "*"

[[tool.poetry.source]]
name = "ours"
url = "{named}"
priority = "primary"

[[tool.uv.index]]
url = "{set}"

[tool.layerkit]
runtimes = ["py312"]
docker = {{network = "host"}}
layers = {{all = ["named", "kept", "listed", "set", "varied"]}}
"""
_KEPT = """
[[credential]]
service = "http://{host}"
username = "jo"
password = "{password}"
scheme = "basic"
"""


def test_credentials_certificates_and_proxies_reach_the_indexes_and_nothing_else(
    images: None,
    certificate: Path,
    tmp_path: Path,
    engine: DockerClient,
    monkeypatch: pytest.MonkeyPatch,
    capfd: Capture,
) -> None:
    # One index for each place that a password can stand in; each has one package.
    assert images is None
    folder = tmp_path / "private"
    secrets = {name: f"t0p-s3cret-{name}" for name in ("named", "set", "varied", "listed", "kept")}
    for name in ("UV_NO_CONFIG", "UV_DEFAULT_INDEX", "UV_FIND_LINKS", "XDG_DATA_HOME", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "store"))
    folder.mkdir()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    removed, configured = Room.remove, []

    def remove(room: Room) -> None:
        configured.append(json.dumps(engine.api.inspect_container(room.id)))
        removed(room)

    monkeypatch.setattr(Room, "remove", remove)
    since = int(time.time())
    with ExitStack() as stack:
        hosts, addresses = {}, {}
        for name, secret in secrets.items():
            make_wheel(tmp_path / name, name, "1.0")
            serve_sdk(tmp_path / name)
            tls = context if name == "set" else None
            server = stack.enter_context(Loopback(tmp_path / name, auth=("jo", secret), tls=tls))
            hosts[name] = server.host
            addresses[name] = f"{server.scheme}://jo:{secret}@{server.host}/simple/"
        # A host that only the proxy knows.
        monkeypatch.setenv("http_proxy", f"http://{hosts['varied']}")
        monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
        addresses["varied"] = f"http://jo:{secrets['varied']}@varied.invalid/simple/"
        # netrc knows hosts and no ports.
        plain = f"http://{hosts['listed'].replace('127.0.0.1', 'localhost')}/simple/"
        (tmp_path / ".netrc").write_text(f"machine localhost login jo password {secrets['listed']}\n")
        kept = tmp_path / ".local/share/uv/credentials/credentials.toml"
        kept.parent.mkdir(parents=True)
        kept.write_text(_KEPT.format(host=hosts["kept"], password=secrets["kept"]))
        monkeypatch.setenv("UV_INDEX", f"{addresses['varied']} {plain} http://{hosts['kept']}/simple/")
        (folder / "pyproject.toml").write_text(_PRIVATE.format(**addresses))
        code = run(["build", str(folder), "--engine", "docker"])
        told = capfd.readouterr()
    assert code == 0, told.err
    assert set(secrets) <= {one["name"] for one in _lock(folder)["packages"]}
    shown = _shown(engine, since)
    assert "/run/layerkit/run" in shown
    assert configured
    binds = [bind for one in configured for bind in json.loads(one)["HostConfig"]["Binds"] or ()]
    assert not [bind for bind in binds if bind.startswith("/")], (
        "a remote engine sees no folder of this machine"
    )
    written = [path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.parent != folder]
    assert written
    for secret in secrets.values():
        assert secret not in told.out + told.err + shown + "".join(configured)
        assert not any(secret.encode() in content for content in written)
