"""Bytecode for the target, by an interpreter of its own version.

What the interpreter runs is in child.py, the conversation with it in compiler.py and in_image.py; which
interpreter it is, found once and remembered, in finding.py; where bytecode lies in a layer, in places.py.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Interpreter"]


class Interpreter(Struct, frozen=True, kw_only=True):
    """Who compiles: its release, such as 3.12.1, and the tag in the names of its .pyc, such as cpython-312.

    Two interpreters that are the same by these give the same bytecode.
    """

    version: str
    tag: str
