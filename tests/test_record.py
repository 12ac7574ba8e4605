"""RECORD is written as it is read."""

from __future__ import annotations

import hashlib

from layerkit.record import Recorded, encode, parse, write

EMPTY = hashlib.sha256(b"").digest()


def test_what_is_written_is_read_back() -> None:
    rows = {"b,c.py": (EMPTY, 0), 'a"b.py': (EMPTY, 7), "../../../../bin/run": (EMPTY, 1), "é.py": (EMPTY, 2)}
    content = write(rows, "demo-1.0.dist-info/RECORD")
    found, problems = parse(content, "demo-1.0.dist-info")
    assert problems == []
    expected = {p: Recorded(algorithm="sha256", digest=encode(d), size=n) for p, (d, n) in rows.items()}
    assert found == {**expected, "demo-1.0.dist-info/RECORD": None}


def test_rows_are_sorted_and_its_own_is_the_last_one() -> None:
    content = write({"z.py": (EMPTY, 0), "a.py": (EMPTY, 0)}, "demo-1.0.dist-info/RECORD")
    assert content == (
        b"a.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n"
        b"z.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n"
        b"demo-1.0.dist-info/RECORD,,\n"
    )
