"""Bytecode by another process: valid without dates, the same bytes every time, and nothing executed."""

from __future__ import annotations

import importlib.util
import marshal
import sys
import types
from typing import TYPE_CHECKING

import pytest

from layerkit.bytecode import compiler as module
from layerkit.bytecode.compiler import Compiler, Source
from layerkit.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = [sys.executable]
# Constants and names of every kind that marshal writes in more than one way.
SOURCE = b"""
'''Text that is no name.'''
import os.path as place
WORDS = {'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'NewType.<locals>.Dummy'}
def find(one, two=(1, 2.5, 'a b', b'c', None, ...), *, three=frozenset()):
    if one in {'auto', 'brute', 'kd_tree', 'ball_tree', 5}:
        return [w for w in WORDS if w not in two]
    class Inner:
        name = 'find.<locals>.Inner'
        def method(self): return lambda: self.name
    return Inner
"""


@pytest.fixture(scope="module")
def compiler() -> Iterator[Compiler]:
    with Compiler(HERE) as made:
        yield made


def test_it_says_who_it_is(compiler: Compiler) -> None:
    assert compiler.interpreter.version == ".".join(map(str, sys.version_info[:3]))
    assert compiler.interpreter.tag == sys.implementation.cache_tag


def test_bytecode_is_the_same_whatever_the_interpreter_itself_was_started_from(compiler: Compiler) -> None:
    # Its own modules from their sources, as where nobody has written bytecode of them, and not from bytecode.
    letters = "".join(f"{chr(number)!r}, " for number in range(256))
    sources = [("/opt/python/letters.py", f"LETTERS = [{letters}]\nprint('*')\n".encode())]
    with Compiler([*HERE, "-X", "pycache_prefix=/nowhere"]) as other:
        assert other.compile(sources) == compiler.compile(sources)


def test_bytecode_is_valid_whatever_the_source_says_of_its_date(compiler: Compiler) -> None:
    (content,) = compiler.compile([("/opt/python/demo.py", SOURCE)])
    assert content is not None
    assert content[:4] == importlib.util.MAGIC_NUMBER
    assert content[4:8] == b"\1\0\0\0", "hash-based, and not to be checked (PEP 552)"
    assert content[8:16] == importlib.util.source_hash(SOURCE)
    code = marshal.loads(content[16:])  # noqa: S302 - made a moment ago
    assert isinstance(code, types.CodeType)
    assert code.co_filename == "/opt/python/demo.py"
    namespace: dict[str, object] = {"__name__": "demo"}
    exec(code, namespace)  # noqa: S102 - the source is above
    assert namespace["__doc__"] == "Text that is no name."
    assert {const.co_filename for const in code.co_consts if isinstance(const, types.CodeType)} == {
        "/opt/python/demo.py"
    }


def test_what_is_no_python_gets_none_and_the_others_get_theirs(compiler: Compiler) -> None:
    sources = [
        ("a.py", b"x = 1"),
        ("b.py", b"print 'two'"),
        ("c.py", b"{% template %}"),
        ("d.py", b"x = '\0'"),
        ("e.py", b"# coding: nonsense\n"),
        ("f.py", b"x = '\xff'"),
        ("g.py", b"-" * 200_000 + b"1"),
        ("h.py", b"# coding: latin-1\nx = '\xff'"),
        ("i.py", b""),
    ]
    found = compiler.compile(sources)
    assert [name for (name, _), content in zip(sources, found, strict=True) if content] == [
        "a.py",
        "h.py",
        "i.py",
    ]


def test_nothing_is_executed_and_no_warning_is_shown(
    compiler: Compiler, tmp_path: object, capfd: pytest.CaptureFixture[str]
) -> None:
    (content,) = compiler.compile([("a.py", f"open({str(tmp_path)!r} + '/x', 'w'); x = '\\d' is 3".encode())])
    assert content
    assert capfd.readouterr() == ("", "")


def request(first: int) -> list[Source]:
    return [(f"/opt/{number}.py", SOURCE + b"n = %d" % number) for number in range(first, first + 4)]


def digests(sources: Sequence[Sequence[Source]]) -> dict[str, bytes | None]:
    """Return what one compiler makes of several requests, by name."""
    with Compiler(HERE) as compiler:
        return {
            name: content
            for some in sources
            for (name, _), content in zip(some, compiler.compile(some), strict=True)
        }


def test_what_was_compiled_before_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [request(0), request(4), request(8)]
    expected = digests(parts)
    assert len(set(expected.values())) == 12
    assert digests(parts[::-1]) == expected
    monkeypatch.setenv("PYTHONHASHSEED", "77")
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert digests(parts[1:]) == {name: expected[name] for some in parts[1:] for name, _ in some}


def test_a_source_that_kills_the_compiler_is_one_that_cannot_be_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begins = '    """Return the .pyc of a source'
    text = module.script()
    assert text.count(begins) == 1
    deadly = text.replace(begins, "    if b'deadly' in source: posix.kill(posix.getpid(), 9)\n" + begins)
    monkeypatch.setattr(module, "script", lambda: deadly)
    with Compiler(HERE) as compiler:
        found = compiler.compile([("a.py", b"x = 1"), ("deadly.py", b"deadly"), ("b.py", b"x = 2")])
        again = compiler.compile([("a.py", b"x = 1")])
    assert [content is not None for content in found] == [True, False, True]
    assert again == found[:1]


@pytest.mark.parametrize("command", [["/bin/false"], ["/bin/echo"], ["/nowhere/python"]])
def test_what_is_no_interpreter_is_an_error_with_its_name(command: list[str]) -> None:
    with pytest.raises(StorageError, match="does not answer") as caught:
        Compiler(command)
    assert caught.value.where == command[0]


def test_an_interpreter_that_ends_is_an_error() -> None:
    with Compiler(HERE) as compiler:
        compiler._process.kill()
        compiler._process.wait()
        with pytest.raises(StorageError, match="it ended"):
            compiler.compile([("a.py", b"x" * 1_000_000)])
