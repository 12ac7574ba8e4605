"""Stacks above the limit, from a project's files to zips that start: the whole way, with a small limit."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from bundles import BETA, FILES, GAMMA, SITE, Bundle
from factory import make_wheel
from layerkit.cli import run
from layerkit.overlimit import codec, frames, framing
from layerkit.target import facts
from moto_server import on_loopback
from zips import unzip

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.store import Store
    from loopback import Loopback

Capture = pytest.CaptureFixture[str]

# alpha is 105 kB, beta 12, gamma 9; the loader and the decoder take 50.
LIMIT = 120_000
PYPROJECT = """
[project]
name = "shop"
version = "1.0"
requires-python = ">=3.12"

[tool.layerkit]
runtimes = ["{runtime}"]
sdk-version = "1.42.0"
bytecode = false
{more}

[tool.layerkit.layers]
base = ["alpha"]
more = ["beta", "gamma"]

[tool.layerkit.functions.large]
layers = ["base", "more"]
code = "api"

[tool.layerkit.functions.little]
layers = ["more"]
"""

# The real decoder is larger than all of this world.
STAND_IN = """
from importlib.util import module_from_spec, spec_from_file_location
import pathlib, sys
path = pathlib.Path({0.__file__!r})
spec = spec_from_file_location(__name__, path, submodule_search_locations=[str(path.parent)])
sys.modules[__name__] = module_from_spec(spec)
spec.loader.exec_module(sys.modules[__name__])
"""


@pytest.fixture(autouse=True)
def small_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(facts()["limits"]["unzipped_bytes"], "value", LIMIT)
    for module in (codec, frames, framing):
        monkeypatch.setattr(module, "FRAME", 10_000)


@pytest.fixture
def shop(store: Store, index: Loopback, wheels: Path, tmp_path: Path) -> Path:  # noqa: ARG001 - they are there
    make_wheel(wheels, "boto3", "1.42.0", requires=["botocore==1.42.0"])
    make_wheel(wheels, "botocore", "1.42.0")
    make_wheel(wheels, "alpha", files=FILES, executable=[name for name in FILES if "/bin/" in name])
    make_wheel(wheels, "beta", files=BETA)
    make_wheel(wheels, "gamma", files=GAMMA)
    make_wheel(wheels, "backports.zstd", files={"backports/zstd/__init__.py": STAND_IN.format(codec._zstd())})
    folder = tmp_path / "shop"
    (folder / "api").mkdir(parents=True)
    (folder / "api" / "app.py").write_text("import alpha\n")
    return folder


def configured(shop: Path, more: str, runtime: str = "py312") -> Path:
    (shop / "pyproject.toml").write_text(PYPROJECT.format(more=more, runtime=runtime))
    return shop


def built(shop: Path, capsys: Capture) -> tuple[dict[str, Any], str]:
    """Build, and return the manifest and what was said."""
    code = run(["build", str(shop)])
    said = capsys.readouterr()
    assert code == 0, said.err
    (path,) = (shop / "dist").rglob("*.json")
    manifest: dict[str, Any] = json.loads(path.read_text())
    return manifest, said.err


def packages(manifest: dict[str, Any]) -> dict[str, list[str]]:
    return {layer["name"]: [one["name"] for one in layer["packages"]] for layer in manifest["layers"]}


def unzipped(shop: Path, manifest: dict[str, Any], *layers: str) -> Bundle:
    """Lay out a function's layers as Lambda does, in their order."""
    opt, tmp = shop.parent / "opt", shop.parent / "tmp"
    for layer in manifest["layers"]:
        if layer["name"] in layers:
            (path,) = (shop / "dist").rglob(layer["zip"]["file"])
            unzip(path, opt)
    tmp.mkdir()
    return Bundle(site=opt / SITE, tmp=tmp)


def test_by_default_the_error_names_the_way_out(shop: Path, capsys: Capture) -> None:
    assert run(["build", str(configured(shop, ""))]) == 7
    said = capsys.readouterr().err
    assert "large: " in said
    assert 'unpack large files to /tmp when it starts: tool.layerkit.over-limit = "bundle"' in said
    assert not (shop / "dist").exists()


def test_layers_that_the_planner_makes_are_told_of_it_too_and_can_be_bundled(
    shop: Path, capsys: Capture
) -> None:
    text = PYPROJECT.format(runtime="py312", more='layers = "auto"').partition("[tool.layerkit.layers]")[0]
    text = text.replace("[tool.layerkit]", 'dependencies = ["alpha", "beta", "gamma"]\n[tool.layerkit]', 1)
    (shop / "pyproject.toml").write_text(text)
    assert run(["build", str(shop)]) == 7
    assert 'over-limit = "bundle"' in capsys.readouterr().err
    (shop / "pyproject.toml").write_text(text.replace('"auto"', '"auto"\nover-limit = "bundle"'))
    manifest, _ = built(shop, capsys)
    (stack,) = manifest["stacks"]
    assert stack["unzipped"] < LIMIT
    laid = unzipped(shop, manifest, *packages(manifest))
    assert laid.says("import alpha") == "alpha runs"


def test_a_bundle_fits_says_what_it_needs_and_starts(shop: Path, capsys: Capture) -> None:
    manifest, said = built(configured(shop, 'over-limit = "bundle"'), capsys)
    assert all(stack["unzipped"] < LIMIT for stack in manifest["stacks"])
    # The loader lies where the package is that needs it, and its decoder with it.
    assert packages(manifest) == {
        "base": ["alpha", "backports-zstd", "layerkit-loader"],
        "more": ["beta", "gamma"],
    }
    (note,) = (note for note in manifest["notes"] if note.startswith("large: "))
    assert "bytes of alpha are unpacked to /tmp when the function starts" in note
    assert "give it 512 MB of ephemeral storage, and 512 MB of memory" in note
    assert f"python3.12-x86_64: {note}" in said
    assert "unpacking took 0." in said
    assert "of the 10 s that a function has to start" in said
    laid = unzipped(shop, manifest, "base", "more")
    assert laid.says("import alpha, shared.beta; print(alpha.HERE)").endswith("site/alpha")


def test_nothing_is_moved_where_all_fits(
    shop: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(facts()["limits"]["unzipped_bytes"], "value", 10 * LIMIT)
    manifest, said = built(configured(shop, 'over-limit = "bundle"'), capsys)
    assert packages(manifest) == {"base": ["alpha"], "more": ["beta", "gamma"]}
    assert "unpacked" not in said


def test_a_second_build_is_unchanged_and_another_setting_is_another_build(
    shop: Path, capsys: Capture
) -> None:
    first, _ = built(configured(shop, 'over-limit = "bundle"'), capsys)
    _, said = built(shop, capsys)
    assert "nothing to do" in said
    lazy, _ = built(configured(shop, 'over-limit = {mode = "bundle", lazy = true}'), capsys)
    by_name = [{one["name"]: one["zip"]["sha256"] for one in each["layers"]} for each in (first, lazy)]
    assert by_name[0]["base"] != by_name[1]["base"]
    assert by_name[0]["more"] == by_name[1]["more"]
    laid = unzipped(shop, lazy, "base", "more")
    assert laid.says("import layerkit_loader as l; print(len(l.bundle.missing(l.bundle.units)))") == "1"


def test_the_plan_says_the_same_and_writes_no_zip(shop: Path, capsys: Capture) -> None:
    assert run(["plan", str(configured(shop, 'over-limit = "bundle"')), "--json"]) == 0
    printed = capsys.readouterr()
    (planned,) = json.loads(printed.out)["targets"]
    assert any("are unpacked to /tmp" in note for note in planned["notes"])
    assert planned["why"]["backports-zstd"] == ["alpha", "layerkit-loader", "backports-zstd"]
    assert "unpacking took" in printed.err
    assert not (shop / "dist").exists()


def test_the_tree_has_the_sizes_of_what_is_unpacked_and_says_why_the_decoder_is_there(
    shop: Path, capsys: Capture
) -> None:
    assert run(["tree", str(configured(shop, 'over-limit = "bundle"')), "--json"]) == 0
    (tree,) = json.loads(capsys.readouterr().out)["targets"]
    found = {one["package"]: one for one in tree["tree"]}
    assert found["alpha"]["unzipped"] > 100_000
    assert found["backports-zstd"]["asked_by"] == "decodes a bundle above the limit"
    # Without an over-limit nothing would be built, and this is where one looks for what is large.
    assert run(["tree", str(configured(shop, "")), "--json"]) == 0


def test_nested_zips_are_the_older_way(shop: Path, capsys: Capture) -> None:
    manifest, said = built(configured(shop, 'over-limit = "nested-zip"'), capsys)
    # Both functions have what lies in the zips, and the loader lies where both of them find it.
    assert packages(manifest) == {"base": ["alpha"], "more": ["beta", "gamma", "layerkit-loader"]}
    assert "unpacking took" not in said
    laid = unzipped(shop, manifest, "base", "more")
    code = "import unzip_requirements, alpha, shared.gamma; print(shared.gamma.__file__)"
    assert laid.says(code).endswith("site/shared/gamma/__init__.py")


def test_python_314_needs_no_decoder(shop: Path, capsys: Capture) -> None:
    manifest, _ = built(configured(shop, 'over-limit = "bundle"', "py314"), capsys)
    assert packages(manifest)["base"] == ["alpha", "layerkit-loader"]


def test_without_a_decoder_on_the_index_frames_are_of_zlib(shop: Path, wheels: Path, capsys: Capture) -> None:
    next(wheels.glob("backports*")).unlink()
    manifest, said = built(configured(shop, 'over-limit = "bundle"'), capsys)
    assert "no backports-zstd is to be had: a bundle is compressed by zlib, which starts later" in said
    assert packages(manifest)["base"] == ["alpha", "layerkit-loader"]
    laid = unzipped(shop, manifest, "base", "more")
    assert laid.says("import alpha") == "alpha runs"


def test_too_large_even_so_is_said_with_the_way_out(
    shop: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(facts()["limits"]["unzipped_bytes"], "value", 60_000)
    assert run(["build", str(configured(shop, 'over-limit = "bundle"'))]) == 7
    said = capsys.readouterr().err
    assert "bytes more than Lambda takes, even with" in said
    assert 'keep frames in S3: over-limit = {mode = "bundle", remote = "s3://bucket/prefix"}' in said
    assert not (shop / "dist").exists()


@pytest.mark.parametrize("rotten", ["first", "framed"])
def test_what_rotted_in_the_store_is_made_anew(
    shop: Path, store: Store, capsys: Capture, rotten: str
) -> None:
    manifest, _ = built(configured(shop, 'over-limit = "bundle"'), capsys)
    runs = sorted((store.root / "prepared").rglob("*.run"), key=lambda path: path.stat().st_mtime_ns)
    alphas = [path for path in runs if b'"name": "alpha"' in path.read_bytes()]
    first, framed = alphas
    for path in (first, framed) if rotten == "first" else (framed,):
        data = bytearray(path.read_bytes())
        data[300] ^= 0xFF
        path.write_bytes(data)
    if rotten == "first":
        framed.unlink()
    for path in (shop / "dist").rglob("*.zip"):
        path.unlink()
    again, said = built(shop, capsys)
    assert "alpha was damaged in the store; preparing it again" in said
    assert [one["zip"] for one in again["layers"]] == [one["zip"] for one in manifest["layers"]]


def test_frames_that_no_layer_can_hold_are_fetched_from_s3_by_ranges(
    shop: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    monkeypatch.setitem(facts()["limits"]["unzipped_bytes"], "value", 60_000)
    more = 'over-limit = {mode = "bundle", remote = "s3://frames/of/ours/"}'
    manifest, said = built(configured(shop, more), capsys)
    assert all(stack["unzipped"] < 60_000 for stack in manifest["stacks"])
    assert "what unpacking takes was not measured: frames lie in S3" in said
    (remote,) = manifest["remote"]
    (path,) = (shop / "dist").rglob("*.frames")
    content = path.read_bytes()
    assert (path.name, len(content), hashlib.sha256(content).hexdigest()) == (
        remote["file"],
        remote["size"],
        remote["sha256"],
    )
    assert remote["address"] == f"s3://frames/of/ours/{path.name}"
    laid = unzipped(shop, manifest, "base", "more")
    with on_loopback():
        client = boto3.client("s3")
        client.create_bucket(
            Bucket="frames", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        function = Bundle(site=laid.site, tmp=laid.tmp, environment=aws)
        missing = function.run("import alpha")
        assert missing.returncode == 1
        assert (
            f"BundleError: s3://frames/of/ours/{path.name} cannot be read: An error occurred"
            in missing.stderr
        )
        client.put_object(Bucket="frames", Key=f"of/ours/{path.name}", Body=content)
        assert function.says("import alpha; print(alpha.HERE)").endswith("site/alpha")
        signed = client.generate_presigned_url(
            "get_object", Params={"Bucket": "frames", "Key": f"of/ours/{path.name}"}
        )
        again = Bundle(site=laid.site, tmp=laid.tmp.parent / "again", environment={"LAYERKIT_REMOTE": signed})
        again.tmp.mkdir()
        assert again.says("import alpha") == "alpha runs"
        client.put_object(Bucket="frames", Key=f"of/ours/{path.name}", Body=content[:-100] + bytes(100))
        wrong = Bundle(site=laid.site, tmp=laid.tmp.parent / "wrong", environment=aws)
        wrong.tmp.mkdir()
        assert "is damaged: its sha256 is" in wrong.run("import alpha").stderr
    # The next build, with all that fits, takes the file away.
    monkeypatch.setitem(facts()["limits"]["unzipped_bytes"], "value", 10 * LIMIT)
    manifest, _ = built(configured(shop, ""), capsys)
    assert manifest["remote"] == []
    assert not list((shop / "dist").rglob("*.frames"))


def test_an_address_that_does_not_answer_is_said_without_its_signature(
    shop: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(facts()["limits"]["unzipped_bytes"], "value", 60_000)
    more = 'over-limit = {mode = "bundle", remote = "http://127.0.0.1:9/bucket"}'
    manifest, _ = built(configured(shop, more), capsys)
    laid = unzipped(shop, manifest, "base", "more")
    done = laid.run("import alpha", LAYERKIT_REMOTE="http://127.0.0.1:9/bucket/a.frames?signature=secret")
    assert "http://127.0.0.1:9/bucket/a.frames cannot be read: <urlopen error" in done.stderr
    assert "secret" not in done.stderr
    plain = laid.run("import alpha")
    assert f"http://127.0.0.1:9/bucket/{manifest['remote'][0]['file']} cannot be read" in plain.stderr
