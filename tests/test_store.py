"""The store under crashes, crowds, full disks and folders that are not its own."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import subprocess
import sys
import textwrap
import threading
import time
import timeit
from typing import TYPE_CHECKING

import pytest

from layerkit import atomic
from layerkit.errors import StorageError
from layerkit.store import Store, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONE = hashlib.sha256(b"one").hexdigest()
TWO = hashlib.sha256(b"two").hexdigest()
DAY = 86_400


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def put(store: Store, data: bytes, kind: str = "wheels", suffix: str = ".whl") -> Path:
    digest = hashlib.sha256(data).hexdigest()
    with store.publish(kind, digest, suffix) as temporary:
        temporary.write_bytes(data)
    return store.path(kind, digest, suffix)


def temporaries(store: Store) -> list[Path]:
    return [path for path in store.root.rglob(".*") if atomic.is_temporary(path.name)]


def python(store: Store, code: str) -> subprocess.Popen[bytes]:
    """Start a process that has the store as `store`, and `hold()` to say a word and wait for ever."""
    prelude = f"""
        import hashlib, sys, time
        from pathlib import Path
        from layerkit.store import Store
        store = Store(Path({str(store.root)!r}))
        def hold():
            print("holding", flush=True)
            time.sleep(60)
    """
    program = textwrap.dedent(prelude) + textwrap.dedent(code)
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)


def wait_for_word(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == b"holding\n"


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def test_an_entry_lies_under_its_kind_and_digest(store: Store) -> None:
    assert store.path("wheels", ONE, ".whl") == store.root / "wheels" / ONE[:2] / f"{ONE}.whl"


@pytest.mark.parametrize("digest", ["", "ab", "../../../../etc/passwd", "abcdefgh/..", "abcdefg\0h"])
def test_what_is_no_digest_names_no_file(store: Store, digest: str) -> None:
    with pytest.raises(StorageError, match="is not a digest"):
        store.path("wheels", digest)


def test_a_path_takes_microseconds(store: Store) -> None:
    best = min(timeit.repeat(lambda: store.path("wheels", ONE, ".whl"), number=1000, repeat=5)) / 1000
    assert best < 50e-6


def test_importing_and_asking_loads_nothing_heavy(store: Store) -> None:
    code = """
        store.find("wheels", "0" * 64)
        print(sorted({"platformdirs", "urllib3", "rich", "subprocess", "tempfile"} & set(sys.modules)))
    """
    said, _ = python(store, code).communicate()
    assert said == b"[]\n"


def test_the_default_folder_is_the_one_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LAYERKIT_CACHE", str(tmp_path / "named"))
    assert Store.default().root == tmp_path / "named"
    monkeypatch.setenv("LAYERKIT_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert Store.default().root == tmp_path / "cache" / "layerkit"


def test_nothing_is_made_before_something_is_written(store: Store) -> None:
    assert not store.has("wheels", ONE)
    assert store.find("wheels", ONE) is None
    assert (store.size(), store.prune(max_bytes=0), store.clean()) == ({}, Usage(), Usage())
    assert not store.root.exists()


def test_an_entry_appears_when_its_block_ends_well(store: Store) -> None:
    with store.publish("wheels", ONE, ".whl") as temporary:
        temporary.write_bytes(b"one")
        assert temporary.parent == store.path("wheels", ONE, ".whl").parent
        assert not store.has("wheels", ONE, ".whl")
    assert store.path("wheels", ONE, ".whl").read_bytes() == b"one"
    assert temporaries(store) == []


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), ConnectionResetError("gone")])
def test_a_block_that_raises_leaves_nothing(store: Store, error: BaseException) -> None:
    def fail() -> None:
        with store.publish("wheels", ONE) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert not store.has("wheels", ONE)
    assert temporaries(store) == []


def test_publishing_again_replaces_a_damaged_entry(store: Store) -> None:
    path = put(store, b"one")
    path.write_bytes(b"damaged")
    assert store.find("wheels", ONE, ".whl", size=3) is None
    assert put(store, b"one").read_bytes() == b"one"
    assert store.find("wheels", ONE, ".whl", size=3) == path


def test_an_evicted_entry_is_gone_and_evicting_it_again_is_nothing(store: Store) -> None:
    put(store, b"one")
    store.evict("wheels", ONE, ".whl")
    assert not store.has("wheels", ONE, ".whl")
    store.evict("wheels", ONE, ".whl")


def test_a_use_is_noted_once_a_day(store: Store) -> None:
    path = put(store, b"one")
    hours_ago = int(time.time()) - 3600
    os.utime(path, (hours_ago, hours_ago))
    store.find("wheels", ONE, ".whl")
    assert path.stat().st_mtime == hours_ago
    os.utime(path, (hours_ago - DAY, hours_ago - DAY))
    store.find("wheels", ONE, ".whl")
    assert path.stat().st_mtime > hours_ago


def test_the_size_is_given_by_kind_and_counts_finished_entries(store: Store) -> None:
    put(store, b"one")
    put(store, b"three")
    put(store, b"two", kind="prepared", suffix=".run")
    with store.publish("wheels", ONE) as temporary:
        temporary.write_bytes(b"not yet")
        assert store.size() == {"prepared": Usage(files=1, bytes=3), "wheels": Usage(files=2, bytes=8)}


def test_pruning_takes_the_least_recently_used_until_the_rest_fits(store: Store) -> None:
    for age, data in enumerate([b"aaaa", b"bbbb", b"cccc"]):
        os.utime(put(store, data), (1e9 - age, 1e9 - age))
    assert store.prune(max_bytes=8) == Usage(files=1, bytes=4)
    assert [path.read_bytes() for path in sorted(store.root.glob("wheels/*/*"))] != []
    assert not store.has("wheels", hashlib.sha256(b"cccc").hexdigest(), ".whl")
    assert store.prune(max_bytes=8) == Usage()


def test_pruning_by_age_takes_what_was_not_used_so_long(store: Store) -> None:
    old, new = put(store, b"one"), put(store, b"two")
    os.utime(old, (time.time() - 31 * DAY,) * 2)
    assert store.prune(max_age_days=30) == Usage(files=1, bytes=3)
    assert (old.exists(), new.exists()) == (False, True)


def test_cleaning_removes_entries_and_nothing_else(store: Store) -> None:
    put(store, b"one")
    with store.lock("wheels", ONE):
        pass
    (store.root / "wheels" / "ab").mkdir(exist_ok=True)
    (store.root / "wheels" / "ab" / "notes.txt").write_text("mine")
    (store.root / "mine.txt").write_text("mine")
    with store.publish("wheels", TWO) as live:
        assert store.clean() == Usage(files=1, bytes=3)
        live.write_bytes(b"two")
    left = {path.relative_to(store.root).as_posix() for path in store.root.rglob("*") if path.is_file()}
    lock, entry = f"locks/{ONE[:2]}/wheels-{ONE}", f"wheels/{TWO[:2]}/{TWO}"
    assert left == {"CACHEDIR.TAG", "mine.txt", "wheels/ab/notes.txt", lock, entry}


def test_cleaning_refuses_a_folder_without_the_signature(store: Store) -> None:
    path = put(store, b"one")
    (store.root / "CACHEDIR.TAG").write_text("something else")
    with pytest.raises(StorageError, match=r"no CACHEDIR\.TAG"):
        store.clean()
    assert path.exists()


def test_a_folder_with_other_things_in_it_does_not_become_a_store(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(StorageError, match=r"thesis\.tex") as caught:
        put(Store(tmp_path), b"one")
    assert "LAYERKIT_CACHE" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_root_that_is_a_file_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for use in (lambda store: store.find("wheels", ONE), lambda store: put(store, b"one")):
        with pytest.raises(StorageError, match="LAYERKIT_CACHE"):
            use(Store(tmp_path / "file"))


def test_many_may_begin_a_store_at_once(tmp_path: Path) -> None:
    failures: list[BaseException] = []
    ready = threading.Barrier(16)

    def begin(number: int) -> None:
        try:
            ready.wait()
            put(Store(tmp_path / "store"), b"%d" % number)
        except BaseException as error:  # noqa: BLE001 - shown by the assertion
            failures.append(error)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert Store(tmp_path / "store").size()["wheels"].files == 16


def test_of_many_processes_one_makes_the_entry_and_the_others_find_it(store: Store) -> None:
    code = """
        digest = hashlib.sha256(b"one").hexdigest()
        with store.lock("wheels", digest):
            if store.find("wheels", digest) is None:
                with store.publish("wheels", digest) as temporary:
                    temporary.write_bytes(b"one")
                    time.sleep(0.2)
                print("made")
    """
    said = [process.communicate()[0] for process in [python(store, code) for _ in range(6)]]
    assert sorted(said) == [b""] * 5 + [b"made\n"]


def test_a_lock_is_for_one_digest_and_is_free_when_its_holder_is_killed(store: Store) -> None:
    holder = python(store, f"with store.lock('wheels', {ONE!r}): hold()")
    wait_for_word(holder)
    with store.lock("wheels", TWO):
        pass
    got = threading.Event()

    def wait() -> None:
        with store.lock("wheels", ONE):
            got.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert not got.wait(0.1)
    kill(holder)
    assert got.wait(5)
    waiter.join()


def test_what_a_killed_writer_left_is_swept_by_the_next_and_a_live_writer_is_not(store: Store) -> None:
    code = """
        with store.publish("wheels", {!r}) as temporary:
            temporary.write_bytes(b"half")
            hold()
    """
    dead, live = python(store, code.format(ONE)), python(store, code.format(TWO))
    wait_for_word(dead)
    wait_for_word(live)
    kill(dead)
    assert len(temporaries(store)) == 2
    put(Store(store.root), b"three")
    assert [path.name[1:65] for path in temporaries(store)] == [TWO]
    kill(live)
    assert store.sweep() == 1


def test_an_entry_is_absent_or_whole_whenever_its_writer_is_killed(store: Store) -> None:
    code = """
        print("holding", flush=True)
        for number in range(10**6):
            data = b"%d" % number * 20_000
            with store.publish("wheels", hashlib.sha256(data).hexdigest()) as temporary:
                temporary.write_bytes(data)
    """
    dice = random.Random(8)  # noqa: S311 - moments, not secrets
    kills = 12
    for _ in range(kills):
        writer = python(store, code)
        wait_for_word(writer)
        time.sleep(dice.uniform(0.0, 0.05))
        kill(writer)
    entries = list(store.root.glob("wheels/*/[0-9a-f]*"))
    assert entries
    assert [path for path in entries if hashlib.sha256(path.read_bytes()).hexdigest() != path.name] == []
    store.sweep()
    assert temporaries(store) == []


@pytest.mark.parametrize(("age", "swept"), [(0, False), (DAY - 60, False), (DAY + 60, True)])
def test_a_file_of_another_host_is_left_alone_for_a_day(store: Store, age: int, *, swept: bool) -> None:
    folder = put(store, b"one").parent
    path = folder / f".{ONE}.whl.feedfeedfeed.{os.getpid()}.00000000.tmp"
    path.write_bytes(b"half")
    os.utime(path, (time.time() - age,) * 2)
    assert store.sweep() == swept
    assert path.exists() is not swept


def test_an_unlocked_file_of_a_process_that_lives_is_left_alone(store: Store) -> None:
    folder = put(store, b"one").parent
    for process in (os.getppid(), 999_999_999):
        (folder / f".{ONE}.whl.{atomic._host()}.{process}.00000000.tmp").write_bytes(b"half")
    assert store.sweep() == 1
    assert [path.name.split(".")[-3] for path in temporaries(store)] == [str(os.getppid())]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    if os.geteuid():
        pytest.skip("mounting a tmpfs needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_poisons_nothing(small_disk: Path) -> None:
    store = Store(small_disk / "store")
    put(store, b"one")
    with pytest.raises(StorageError, match="no room is left") as caught:
        put(store, bytes(2 << 20))
    assert "layerkit cache prune" in str(caught.value)
    assert store.size() == {"wheels": Usage(files=1, bytes=3)}
    assert temporaries(store) == []
    put(store, b"two")


def test_a_store_that_may_not_be_written_can_be_read(small_disk: Path) -> None:
    store = Store(small_disk / "store")
    path = put(store, b"one")
    os.utime(path, (1e9, 1e9))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    reader = Store(store.root)
    assert reader.find("wheels", ONE, ".whl") == path
    assert reader.size() == {"wheels": Usage(files=1, bytes=3)}
    for write in (lambda: put(reader, b"two"), lambda: reader.evict("wheels", ONE, ".whl"), reader.clean):
        with pytest.raises(StorageError, match="LAYERKIT_CACHE"):
            write()


def test_a_file_system_without_locks_still_stores(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with store.lock("wheels", ONE):
        path = put(store, b"one")
    left = path.with_name(f".{ONE}.whl.{atomic._host()}.999999999.00000000.tmp")
    left.write_bytes(b"half")
    assert store.sweep() == 0
    os.utime(left, (1e9, 1e9))
    assert store.sweep() == 1


@pytest.mark.parametrize("base", [None, "", "{tmp}/elsewhere", "relative"])
def test_the_folder_is_the_one_that_platformdirs_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, base: str | None
) -> None:
    import platformdirs

    monkeypatch.delenv("LAYERKIT_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    if base is None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", base.replace("{tmp}", str(tmp_path)))
    assert str(Store.default().root) == platformdirs.user_cache_dir("layerkit")


def test_an_unpacked_folder_is_made_once_and_goes_after_a_day_without_use(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with store.unpacked("a" * 64) as (folder, fresh):
        assert fresh is not None
        (fresh / "file").write_text("1")
        assert not folder.exists()
    with store.unpacked("a" * 64) as (again, fresh):
        assert (again, fresh) == (folder, None)
    with pytest.raises(ValueError, match="half"), store.unpacked("b" * 64) as (_, fresh):  # noqa: PT012
        assert fresh is not None
        raise ValueError("half")
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    os.utime(folder, (0, 0))
    with store.unpacked("c" * 64) as (other, _):
        pass
    assert not folder.exists()
    store.clean()
    assert not other.exists()
