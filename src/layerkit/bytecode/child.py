"""What the target's own interpreter runs: sources in, bytecode out. Nothing here is imported by layerkit.

Read by Python 3.7 and later, with builtin modules only, under `-s -S -B` and a fixed hash seed. Requests come
on stdin and answers go to stdout, each an 8-byte length and a marshalled value. The first answer says who
answers. A request is a list of (file name, source); an answer is a list of the same length, of the bytes
of a .pyc or of None where the source cannot be compiled. Code is compiled and never executed.

The bytes of marshal tell what the process did before: a string that some other module interned, a
constant that is shared, are written in another way. So each request is answered by a fork of a process
that has compiled nothing, and what is in a request is all that can leave traces in its answer.
"""

from __future__ import annotations

import marshal
import sys

del sys.path[0]  # with -c, the folder that the process was started in

import _frozen_importlib_external as importer  # noqa: E402
import _imp  # noqa: E402
import _signal  # type: ignore[import-not-found]  # noqa: E402
import gc  # noqa: E402
import posix  # noqa: E402

MAGIC = importer.MAGIC_NUMBER
# From 3.11 on marshal sorts the members of a set; before that it takes them as they lie in memory.
SORTED_SETS = sys.version_info >= (3, 11)
CODE = type(compile("0", "", "eval"))
IN, OUT = 0, 1
# A text of one character is one object for all, and marshal writes down whether it is interned. That depends
# on the files that the interpreter itself was started from; from 3.13 on all of them are.
LETTERS = [sys.intern(chr(number)) for number in range(256)]
FORMAT = 2  # of marshal, the oldest that every Python reads


def taken(length: int) -> bytes | None:
    """Return so many bytes of stdin, None at its end."""
    parts = []
    while length:
        part = posix.read(IN, min(length, 1 << 20))
        if not part:
            return None
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def give(value: list[str] | list[bytes | None] | list[None]) -> None:
    """Write an answer."""
    body = marshal.dumps(value, FORMAT)
    rest = memoryview(len(body).to_bytes(8, "little") + body)
    while rest:
        rest = rest[posix.write(OUT, rest) :]


def ordered(constants: tuple[object, ...]) -> bool:
    """Say whether all sets among the constants are written in the same order on every machine."""
    for one in constants:
        if isinstance(one, CODE):
            if not ordered(one.co_consts):
                return False
        elif isinstance(one, frozenset):
            if not all(type(member) in (str, int) for member in one):
                return False
        elif isinstance(one, tuple) and not ordered(one):
            return False
    return True


def compiled(name: str, source: bytes) -> bytes | None:
    """Return the .pyc of a source, which no interpreter holds against the source; None if there is none."""
    try:
        code = compile(source, name, "exec", dont_inherit=True, optimize=0)
    except Exception:  # noqa: BLE001 - whatever a compiler has to say of a file that nobody imports
        return None
    if not SORTED_SETS and not ordered(code.co_consts):
        return None
    key = _imp.source_hash(int.from_bytes(MAGIC, "little"), source)
    hashed = importer._code_to_hash_pyc  # type: ignore[attr-defined]  # noqa: SLF001 - as py_compile does
    return bytes(hashed(code, key, False))  # noqa: FBT003 - the flag by which nobody looks at the source


def in_fork(sources: list[tuple[str, bytes]]) -> bool:
    """Answer with what becomes of the sources, in a process of its own; say whether that survived."""
    child = posix.fork()
    if child:
        return posix.waitpid(child, 0)[1] == 0
    try:
        give([compiled(name, source) for name, source in sources])
    finally:
        posix._exit(0 if sys.exc_info()[0] is None else 1)  # noqa: SLF001


def main() -> None:
    """Answer until stdin ends. A source that kills the compiler counts as one that cannot be compiled."""
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)  # Ctrl-C is for who asks
    gc.disable()  # what is compiled holds no rings: looking for them takes a seventh of the time
    major, minor, micro, level = sys.version_info[:4]
    release = f"{major}.{minor}.{micro}" + ("" if level == "final" else level)
    give([release, sys.implementation.cache_tag])
    while True:
        head = taken(8)
        body = head and taken(int.from_bytes(head, "little"))
        if not body:
            return
        sources = marshal.loads(body)  # noqa: S302 - from the process that started this one
        if not in_fork(sources):
            for source in sources:
                if not in_fork([source]):
                    give([None])


main()
