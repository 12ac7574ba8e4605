"""The loader, started in Pythons of its own: what it makes of a bundle, and of trouble."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bundles import BETA, BIG, FILES, Bundle, bundle
from lambda_like import without
from layerkit.overlimit import codec, frames, framing
from real import interpreter

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerkit.store import Store

MINORS = ["3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14"]
# Everything below the folder that alpha was imported from, through links, and whether it can be run.
READ = """
import alpha, hashlib, json, os
site = os.path.dirname(alpha.HERE)
found = {}
for top in ('alpha', 'alpha.libs'):
    for folder, _, names in os.walk(os.path.join(site, top), followlinks=True):
        for name in names:
            path = os.path.join(folder, name)
            if '__pycache__' not in path:
                with open(path, 'rb') as file:
                    digest = hashlib.sha256(file.read()).hexdigest()
                found[os.path.relpath(path, site)] = [digest, os.access(path, os.X_OK)]
print(json.dumps(found))
"""


@pytest.fixture(autouse=True)
def small_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (codec, frames, framing):
        monkeypatch.setattr(module, "FRAME", 10_000)


@pytest.fixture
def laid(tmp_path: Path, store: Store) -> Bundle:
    return bundle(tmp_path, store)


def expected() -> dict[str, list[object]]:
    raw = {name: data.encode() if isinstance(data, str) else data for name, data in FILES.items()}
    return {name: [hashlib.sha256(data).hexdigest(), "/bin/" in name] for name, data in raw.items()}


def said(text: str) -> dict[str, list[object]]:
    lines = text.splitlines()
    assert lines[0] == "alpha runs"
    found: dict[str, list[object]] = json.loads(lines[1])
    return found


def only_tree(laid: Bundle) -> Path:
    (tree,) = laid.trees()
    return tree


@pytest.mark.parametrize("minor", MINORS)
def test_a_package_is_whole_again_in_every_python_that_lambda_has(laid: Bundle, minor: str) -> None:
    python = interpreter(minor)
    if python is None:
        pytest.skip(f"there is no Python {minor} on this machine")
    assert said(laid.says(READ, python)) == expected()


def test_frames_of_zstd_are_inflated_by_the_decoder_of_a_wheel(tmp_path: Path, store: Store) -> None:
    laid = bundle(tmp_path, store, "zstd")
    assert said(laid.says(READ)) == expected()


def test_pythons_own_decoder_comes_first(tmp_path: Path, store: Store) -> None:
    laid = bundle(tmp_path, store, "zstd")
    # What Python 3.14 has: the same interface under its own name.
    own = laid.site / "compression" / "zstd.py"
    own.parent.mkdir()
    own.write_text("from backports.zstd import *\nprint('built in')\n")
    assert laid.says("").splitlines() == ["built in"]


def test_without_a_decoder_the_error_says_which_are_known(tmp_path: Path, store: Store) -> None:
    laid = bundle(tmp_path, store, "zstd")
    hidden = (
        "import sys; sys.modules['backports'] = sys.modules['pyzstd'] = sys.modules['compression'] = None\n"
    )
    command = laid.command("")
    command[-1] = hidden + command[-1]
    done = subprocess.run(command, env=laid.variables(), capture_output=True, text=True, check=True)
    known = "compression.zstd, backports.zstd, pyzstd"
    assert done.stderr == f"layerkit: there is no decoder for zstd: none of {known} can be imported\n"


def test_only_what_was_moved_takes_room_and_the_rest_are_links(laid: Bundle) -> None:
    laid.says("import alpha")
    site = only_tree(laid) / "site"
    real = {
        str(path.relative_to(site)) for path in site.rglob("*") if path.is_file() and not path.is_symlink()
    }
    moved = {f"shared/{name}" for name in ("beta/b.bin", "gamma/c.bin")}
    # The program is moved as well: a link to it would be resolved before it looks for its libraries.
    assert real == BIG | moved | {"alpha/bin/tool"}
    links = {str(path.relative_to(site)): path.readlink() for path in site.rglob("*") if path.is_symlink()}
    opt = laid.site
    assert links.items() >= {
        ("alpha/__init__.py", opt / "alpha/__init__.py"),
        ("alpha/small.so", opt / "alpha/small.so"),
        ("alpha/plain", opt / "alpha/plain"),
        ("alpha/data/little.bin", opt / "alpha/data/little.bin"),
    }
    assert not [path for path in (opt / name for name in BIG) if path.exists()]


def test_python_writes_no_bytecode_into_the_tree(laid: Bundle) -> None:
    command = laid.command("import alpha, sys; print(sys.dont_write_bytecode)")
    command.remove("-B")
    done = subprocess.run(command, env=laid.variables(), capture_output=True, text=True, check=True)
    assert done.stdout == "alpha runs\nFalse\n"
    assert not list(laid.tmp.rglob("*.pyc"))


def test_the_tree_comes_first_on_the_path_and_is_made_once(laid: Bundle) -> None:
    assert laid.says("import sys; print(sys.path[0])") == str(only_tree(laid) / "site")
    before = {path: path.lstat().st_mtime_ns for path in only_tree(laid).rglob("*")}
    laid.says("import alpha", LAYERKIT_TRACE="1")
    assert {path: path.lstat().st_mtime_ns for path in only_tree(laid).rglob("*")} == before


def test_a_trace_says_what_was_done(laid: Bundle) -> None:
    text = laid.run(LAYERKIT_TRACE="1").stderr
    assert text.startswith("layerkit: ")
    assert "of alpha, beta, gamma unpacked in" in text


@pytest.mark.parametrize("lazy", ["0", "1"])
def test_lazy_unpacks_a_package_when_it_is_imported(laid: Bundle, lazy: str) -> None:
    code = f"import os, sys; tree = {str(laid.tmp)!r}; done = lambda: sorted(n.partition('-')[0]\n"
    code += " for d in os.listdir(tree) for n in os.listdir(os.path.join(tree, d, 'done')))\n"
    code += "print(done()); import shared.beta; print(done()); import alpha; print(done())\n"
    code += "print(os.path.getsize(os.path.join(os.path.dirname(shared.beta.__file__), 'b.bin')))\n"
    code += "import shared.gamma; print(done(), len(shared.__path__))"
    lines = laid.says(code, LAYERKIT_LAZY=lazy).splitlines()
    size = len(BETA["shared/beta/b.bin"])
    everything = "['alpha', 'beta', 'gamma']"
    if lazy == "0":
        assert lines[:2] == [everything, everything]
    else:
        assert lines == [
            "[]",
            "['beta']",
            "alpha runs",
            "['alpha', 'beta']",
            str(size),
            f"{everything} 2",
        ]


def test_lazy_can_be_the_projects_word_and_the_function_may_say_otherwise(laid: Bundle) -> None:
    settings = laid.site / "layerkit_frames" / "settings.json"
    settings.write_text('{"lazy": true}')
    count = "import layerkit_loader as l; print(len(l.bundle.missing(l.bundle.units)))"
    assert laid.says(count) == "3"
    assert laid.says(count, LAYERKIT_LAZY="0") == "0"


def test_packages_of_a_namespace_that_was_imported_before_are_found(laid: Bundle) -> None:
    code = "import shared, importlib.util; print(importlib.util.find_spec('shared.gamma').origin)"
    assert laid.says(code, LAYERKIT_LAZY="1") == str(only_tree(laid) / "site/shared/gamma/__init__.py")


def damage(laid: Bundle, package: str) -> tuple[Path, str, str]:
    """Turn one byte in the second frame of a package; return the file, and the digests it has and had."""
    (path,) = (laid.site / "layerkit_frames").glob(f"{package}-*.frames")
    (index,) = (laid.site / "layerkit_frames").glob(f"{package}-*.json")
    first, second = json.loads(index.read_text())["frames"][:2]
    data = bytearray(path.read_bytes())
    data[first[0] + second[0] // 2] ^= 0xFF
    path.chmod(0o644)
    path.write_bytes(data)
    return path, hashlib.sha256(data[first[0] : first[0] + second[0]]).hexdigest(), second[1]


@pytest.mark.parametrize("kind", ["zlib", "zstd"])
def test_a_damaged_frame_is_named_with_its_digests_where_it_is_imported(
    tmp_path: Path, store: Store, kind: codec.Codec
) -> None:
    laid = bundle(tmp_path, store, kind)
    path, has, had = damage(laid, "alpha")
    fault = f"frame 1 of {path} is damaged: its sha256 is {has} and must be {had}; publish the layer again"
    done = laid.run("import shared.beta; print('beta is whole'); import alpha")
    assert done.returncode == 1
    assert done.stdout == "beta is whole\n"
    assert done.stderr.startswith(f"layerkit: {fault}\nTraceback")
    assert done.stderr.rstrip().endswith(f"BundleError: {fault}")
    assert not list(only_tree(laid).glob("done/alpha*"))
    assert not (only_tree(laid) / "part").exists()


def test_a_frame_that_is_cut_short_is_damaged(laid: Bundle) -> None:
    (path,) = (laid.site / "layerkit_frames").glob("alpha-*.frames")
    path.write_bytes(path.read_bytes()[:-10])
    done = laid.run("import alpha")
    assert "is damaged: its sha256 is" in done.stderr
    assert done.returncode == 1


def test_an_index_of_another_version_of_layerkit_is_refused(laid: Bundle) -> None:
    (index,) = (laid.site / "layerkit_frames").glob("beta-*.json")
    index.write_text(json.dumps({**json.loads(index.read_text()), "format": 2}))
    fault = f"BundleError: {index.name} is of another version of layerkit: build all layers with one version"
    assert laid.run("").stderr.rstrip().endswith(fault)


def test_a_tree_of_an_earlier_version_is_left_alone(laid: Bundle) -> None:
    laid.says("import alpha")
    earlier = only_tree(laid)
    (index,) = (laid.site / "layerkit_frames").glob("beta-*.json")
    index.rename(index.with_name("beta-0123456789abcdef.json"))
    assert said(laid.says(READ)) == expected()
    assert len(laid.trees()) == 2
    assert (earlier / "site").exists()


def test_a_folder_of_that_name_that_is_no_tree_is_filled(laid: Bundle) -> None:
    name = laid.says("import layerkit_loader as l; print(l.bundle.path)")
    shutil.rmtree(name)
    (Path(name) / "part" / "alpha").mkdir(parents=True)
    (Path(name) / "part" / "alpha" / "core.so").write_text("half")
    assert said(laid.says(READ)) == expected()


def test_a_tree_of_another_user_is_not_used(laid: Bundle) -> None:
    if os.getuid() != 0:
        without("only root can give a folder away")
    laid.says("import alpha")
    os.chown(only_tree(laid), 12345, 12345)
    done = laid.run("import alpha")
    assert f"{only_tree(laid)} belongs to another user; set LAYERKIT_TMP to a folder of yours" in done.stderr
    assert done.returncode == 1


def test_tmp_that_cannot_be_written_is_one_clear_line(laid: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = laid.run("import alpha", LAYERKIT_TMP=str(tmp_path / "file"))
    first, *_, last = done.stderr.splitlines()
    assert first.startswith(f"layerkit: the bundle cannot be unpacked into {tmp_path / 'file'}/layerkit-")
    assert last.endswith(first.removeprefix("layerkit: "))


def test_ten_processes_at_once_unpack_once_and_all_find_it_whole(laid: Bundle) -> None:
    command, environment = laid.command(READ), laid.variables(LAYERKIT_TRACE="1")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command, env=environment, **pipes) for _ in range(10)]  # type: ignore[call-overload]
    ended = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0] * 10
    assert all(said(out) == expected() for out, _ in ended)
    assert sum("unpacked in" in err for _, err in ended) == 1


def test_one_that_is_killed_in_the_middle_leaves_nothing_that_the_next_one_believes(
    laid: Bundle, tmp_path: Path
) -> None:
    # The decoder is made to stop where the second package begins, with the lock held.
    reached = tmp_path / "reached"
    stop = f"""
import time, pathlib
import layerkit_loader.tree as tree
once = tree.merge
def merge(source, into):
    pathlib.Path({str(reached)!r}).touch()
    time.sleep(60)
tree.merge = merge
import layerkit_loader
layerkit_loader.bundle.unpack(layerkit_loader.bundle.units)
"""
    process = subprocess.Popen(laid.command(stop), env=laid.variables(LAYERKIT_LAZY="1"))
    began = time.monotonic()
    while not reached.exists() and time.monotonic() - began < 30:
        time.sleep(0.01)
    part = only_tree(laid) / "part"
    assert (part / "alpha" / "core.so").exists()
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    assert part.exists()
    assert said(laid.says(READ)) == expected()
    assert not part.exists()


def filled(laid: Bundle, size: int) -> Bundle:
    """Let the bundle have a /tmp of so many bytes; only root can mount one."""
    if os.getuid() != 0:
        without("only root can mount a small /tmp")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", laid.tmp], check=True)
    return laid


@pytest.fixture
def tight(laid: Bundle) -> Callable[[int], Bundle]:
    return lambda size: filled(laid, size)


@pytest.fixture(autouse=True)
def unmounted(tmp_path: Path) -> object:
    yield
    if os.path.ismount(tmp_path / "tmp"):
        subprocess.run(["umount", tmp_path / "tmp"], check=True)


def test_a_full_tmp_says_how_many_bytes_are_needed_and_what_to_set(tight: Callable[[int], Bundle]) -> None:
    laid = tight(100_000)
    done = laid.run("import alpha")
    free = os.statvfs(laid.tmp).f_bavail * os.statvfs(laid.tmp).f_frsize
    needed = sum(
        json.loads(path.read_text())["room"] for path in (laid.site / "layerkit_frames").glob("*-*.json")
    )
    assert done.stderr.splitlines()[0] == (
        f"layerkit: {laid.tmp} has {free} bytes free, and {needed} are needed for alpha, beta, gamma:"
        " give the function 512 MB of ephemeral storage"
    )
    assert done.returncode == 1
    assert not (only_tree(laid) / "part").exists()
    # One of them alone has room enough.
    assert laid.run("import shared.gamma; print('there')").stdout == "there\n"


def test_a_tmp_that_fills_up_meanwhile_is_told_the_same_way(tight: Callable[[int], Bundle]) -> None:
    laid = tight(100_000)
    lie = "import layerkit_loader.tree as t; t.free = lambda folder: 1 << 40\nimport alpha"
    done = laid.run(lie, LAYERKIT_LAZY="1")
    assert "bytes free, and" in done.stderr
    assert "give the function 512 MB of ephemeral storage" in done.stderr
    assert not (only_tree(laid) / "part").exists()


def test_trees_of_earlier_versions_go_when_room_is_short_unless_they_are_used(
    tight: Callable[[int], Bundle],
) -> None:
    laid = tight(360_000)
    old, used = (laid.tmp / f"layerkit-{name}" for name in ("old", "used"))
    for folder in (old, used):
        folder.mkdir()
        (folder / "used").touch()
    (old / "big").write_bytes(bytes(150_000))
    (used / "big").write_bytes(bytes(10_000))
    with (used / "used").open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert said(laid.says(READ)) == expected()
    assert not old.exists()
    assert (used / "big").exists()


@pytest.mark.parametrize("given", ["/somewhere", ""])
def test_the_wrapper_unpacks_and_becomes_the_runtime_with_the_usual_path(laid: Bundle, given: str) -> None:
    settings = laid.site / "layerkit_frames" / "settings.json"
    settings.write_text('{"lazy": true}')
    wrapper = laid.site.parents[3] / "bin" / "layerkit-start"
    code = "import os, sys; print(os.environ['PYTHONPATH'], sys.argv[1:], __import__('alpha').HERE)"
    runtime = [sys.executable, "-c", code, "a b", "c"]
    done = subprocess.run(
        [wrapper, *runtime],
        env=laid.variables(PYTHONPATH=given),
        capture_output=True,
        text=True,
        check=True,
    )
    site = only_tree(laid) / "site"
    opt = f"/opt/python/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages:/opt/python"
    path = f"{site}:{laid.site}:{opt}" + (f":{given}" if given else "")
    assert done.stdout == f"alpha runs\n{path} ['a b', 'c'] {site}/alpha\n"


def test_the_wrapper_ends_with_a_line_when_the_bundle_is_damaged(laid: Bundle) -> None:
    damage(laid, "alpha")
    wrapper = laid.site.parents[3] / "bin" / "layerkit-start"
    done = subprocess.run(
        [wrapper, sys.executable, "-c", "print('started')"],
        env=laid.variables(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "is damaged" in done.stderr


def test_without_a_bundle_nothing_happens(laid: Bundle) -> None:
    shutil.rmtree(laid.site / "layerkit_frames")
    assert laid.says("import layerkit_loader; print(layerkit_loader.bundle)") == "None"
    assert laid.trees() == []


NESTED = {"one/__init__.py": "VALUE = 1\n", "one/bin/run": "#!/bin/sh\n", "one/data.bin": "x" * 5000}


def nested(folder: Path, name: str, files: dict[str, str]) -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inner, content in files.items():
            info = zipfile.ZipInfo(inner)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (0o100755 if "/bin/" in inner else 0o100644) << 16
            archive.writestr(info, content)
    return path


UNZIP = """
import layerkit_loader; layerkit_loader.unzip()
import one, os
folder = os.path.dirname(one.__file__)
print(folder, os.access(os.path.join(folder, 'bin', 'run'), os.X_OK), os.access(one.__file__, os.X_OK))
"""


@pytest.fixture
def zips(laid: Bundle) -> Bundle:
    """Give a bundle with nested zips instead of frames, and one in the function's code."""
    frames = laid.site / "layerkit_frames"
    shutil.rmtree(frames)
    frames.mkdir()
    nested(frames, "one.requirements.zip", NESTED)
    code = laid.tmp.parent / "task"
    code.mkdir()
    nested(code, ".requirements.zip", {"two.py": "VALUE = 2\n"})
    return Bundle(site=laid.site, tmp=laid.tmp, environment={"LAMBDA_TASK_ROOT": str(code)})


def test_nested_zips_are_unpacked_with_their_modes(zips: Bundle) -> None:
    site = only_tree(zips) / "site" if zips.says(UNZIP) else Path()
    assert zips.says(UNZIP) == f"{site}/one True False"
    assert zips.says("import layerkit_loader; layerkit_loader.unzip(); import two; print(two.VALUE)") == "2"


def test_a_nested_zip_that_is_damaged_is_said_by_name(zips: Bundle) -> None:
    path = zips.site / "layerkit_frames" / "one.requirements.zip"
    data = bytearray(path.read_bytes())
    at = data.index(b"one/data.bin") + len("one/data.bin") + 4
    data[at] ^= 0xFF
    path.write_bytes(data)
    done = zips.run(UNZIP)
    assert done.returncode == 1
    assert f"BundleError: one/data.bin in {path} is damaged" in done.stderr
    assert list((only_tree(zips) / "site").iterdir()) == []


def test_nothing_nested_is_no_error(laid: Bundle) -> None:
    assert laid.says("import layerkit_loader; print(layerkit_loader.unzip())") == "None"
