from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerkit.container.log import LAST_LINES, Log
from layerkit.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path


def test_lines_come_in_pieces_and_are_whole_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.log"
    with Log(path) as log:
        for piece in ("on", "e\ntw", "o\n\n", "gr", "ün\nlast"):
            log.write(piece.encode())
        assert path.read_text(encoding="utf-8") == "one\ntwo\ngrün\n"
    assert path.read_text(encoding="utf-8") == "one\ntwo\ngrün\nlast\n"


def test_a_letter_may_be_cut_in_two(tmp_path: Path) -> None:
    with Log(tmp_path / "a.log") as log:
        for byte in "grün €\n".encode():
            log.write(bytes([byte]))
        log.write(b"\xff\n")
    assert (tmp_path / "a.log").read_text(encoding="utf-8") == "grün €\n\ufffd\n"


def test_the_last_lines_are_at_hand(tmp_path: Path) -> None:
    with Log(tmp_path / "a.log") as log:
        for number in range(1000):
            log.say(f"line {number}")
        shown = log.last().splitlines()
    assert len(shown) == LAST_LINES
    assert shown[-1] == "  line 999"
    assert len((tmp_path / "a.log").read_text().splitlines()) == 1000


def test_no_secret_reaches_the_file_or_the_last_lines(tmp_path: Path) -> None:
    with Log(tmp_path / "a.log", ["sesame", ""]) as log:
        log.write(b"open ses")
        log.write(b"ame\nGET https://me:word@host/simple?token=abc\n")
        assert log.last() == "  open ****\n  GET https://host/simple?..."
    assert "sesame" not in (tmp_path / "a.log").read_text()
    assert "word" not in (tmp_path / "a.log").read_text()


def test_of_a_bar_only_the_end_is_kept(tmp_path: Path) -> None:
    with Log(tmp_path / "a.log") as log:
        log.write(b"10 %\r50 %\r100 %\r\nfine\r\n")
    assert (tmp_path / "a.log").read_text() == "100 %\nfine\n"


def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    with Log(tmp_path / "a.log") as log:
        for _ in range(100):
            log.write(b"x" * 10_000)
        assert len(log._open_line) < 100_000


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="log cannot be written"), Log(tmp_path / "file" / "a.log"):
        pass
