from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from layerkit.values import UnfitError, as_json, from_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    name: str
    size: int
    last: bool
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    leaves: tuple[Leaf, ...]
    best: Leaf | None
    names: tuple[str, ...]


LEAF = Leaf(name="ü", size=3, last=True, note=None)
TREE = Tree(leaves=(LEAF, LEAF), best=LEAF, names=("a", "b"))


@pytest.mark.parametrize("tree", [TREE, Tree(leaves=(), best=None, names=())])
def test_there_and_back(tree: Tree) -> None:
    assert from_json(Tree, json.loads(json.dumps(as_json(tree)))) == tree


def test_unknown_keys_are_let_pass() -> None:
    assert from_json(Leaf, {**as_json(LEAF), "later": 1}) == LEAF


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("leaves", 1, "name"), 1, "leaves[1].name is not text"),
        (("leaves", 0, "size"), True, "leaves[0].size is not a whole number"),
        (("leaves", 0, "size"), 1.5, "leaves[0].size is not a whole number"),
        (("leaves", 0, "size"), None, "leaves[0].size is not a whole number"),
        (("leaves", 0, "last"), 1, "leaves[0].last is not true or false"),
        (("leaves", 0, "note"), 1, "leaves[0].note is not text"),
        (("leaves", 0), [], "leaves[0] is not an object"),
        (("leaves",), {}, "leaves is not a list"),
        (("names",), "ab", "names is not a list"),
        (("best",), {"name": "x"}, "best.size is missing"),
    ],
)
def test_what_does_not_fit_is_named_with_its_path(
    path: tuple[str | int, ...], value: object, message: str
) -> None:
    document = json.loads(json.dumps(as_json(TREE)))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(UnfitError) as caught:
        from_json(Tree, document)
    assert str(caught.value) == message


def test_document_of_another_kind() -> None:
    with pytest.raises(UnfitError, match="the document is not an object"):
        from_json(Tree, [])


def test_what_json_has_no_form_for() -> None:
    with pytest.raises(TypeError):
        as_json(b"bytes")
