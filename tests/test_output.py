from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from layerkit.errors import StorageError
from layerkit.output import draft, remove, sweep, write_bytes

WRITER = """
import sys, time
from pathlib import Path
from layerkit.output import draft
with draft(Path(sys.argv[1])) as name:
    name.write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_and_its_folders_appear(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a" / "b" / "file", b"content")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"content"
    assert files(tmp_path / "a" / "b") == ["file"]


def test_nothing_is_visible_before_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with draft(path) as name:
        name.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"


def test_error_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), draft(path) as name:  # noqa: PT012 - the block is what is tested
        name.write_bytes(b"new")
        raise KeyError
    assert path.read_bytes() == b"old"
    assert files(tmp_path) == ["file"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_mode_follows_the_umask_and_not_the_old_file(tmp_path: Path, umask: int, mode: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a much longer file than the new one")
    path.chmod(0o755)
    before = os.umask(umask)
    try:
        write_bytes(path, b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_bytes() == b"new"


def test_link_at_the_target_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "file").symlink_to("precious")
    write_bytes(tmp_path / "file", b"new")
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "file").is_symlink()


def test_killed_writer_leaves_a_draft_that_the_next_sweep_removes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == b"writing\n"
        assert len(files(tmp_path)) == 2
        assert sweep(tmp_path) == 0, "the writer still lives"
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert len(files(tmp_path)) == 2
    assert path.read_bytes() == b"old"
    assert sweep(tmp_path) == 1
    assert files(tmp_path) == ["file"]


def test_sweep_leaves_files_of_others_alone(tmp_path: Path) -> None:
    for name in (".file.tmp", ".editor.0123456789ab.77.tmp", "x.0123456789ab.77.01234567.tmp", "file"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    before = files(tmp_path)
    assert sweep(tmp_path) == 0
    assert files(tmp_path) == before


def test_sweep_of_no_folder_is_nothing(tmp_path: Path) -> None:
    assert sweep(tmp_path / "none") == 0


def test_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "dist").touch()
    with pytest.raises(StorageError) as caught:
        write_bytes(tmp_path / "dist" / "layers" / "file", b"")
    assert caught.value.where == str(tmp_path / "dist" / "layers" / "file")
    assert caught.value.fix
    assert "is a file" in caught.value.fix


def test_folder_where_the_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(StorageError, match="folder stands where the file belongs"):
        write_bytes(tmp_path / "file", b"")
    assert files(tmp_path) == ["file"]
    with pytest.raises(StorageError):
        remove(tmp_path / "file")


def test_full_disk_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="free some space"), draft(tmp_path / "file"):
        Path("/dev/full").write_bytes(b"x")
    assert files(tmp_path) == []


def test_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    root = os.geteuid() == 0
    if root:  # may write everywhere
        os.seteuid(65534)
    try:
        with pytest.raises(StorageError, match="change its permissions"):
            write_bytes(tmp_path / "file", b"")
    finally:
        if root:
            os.seteuid(0)
        tmp_path.chmod(0o700)
    assert files(tmp_path) == []


def test_read_only_file_system() -> None:
    with pytest.raises(StorageError, match="the file cannot be written"):
        write_bytes(Path("/proc/layerkit/file"), b"")


def test_remove_is_content_with_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    remove(tmp_path / "file")
    remove(tmp_path / "file")
    assert files(tmp_path) == []
