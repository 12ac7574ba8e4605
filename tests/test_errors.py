from __future__ import annotations

import pickle
from pathlib import Path

from layerkit import errors
from layerkit.archive import ArchiveError, DamagedRunError
from layerkit.archive.problems import Problem
from layerkit.errors import LayerkitError, WheelError


def test_the_parts_of_an_error_become_one_text() -> None:
    error = WheelError("is empty", where="a.whl", fix="download it again")
    assert str(error) == "a.whl: is empty\n  download it again"


def test_an_error_without_place_and_fix_is_one_sentence() -> None:
    assert str(LayerkitError("it broke")) == "it broke"


def test_every_kind_of_error_has_an_exit_code_of_its_own() -> None:
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LayerkitError)
    ]
    codes = [kind.exit_code for kind in kinds]
    assert len(codes) == len(set(codes)) == 14
    assert all(0 < code < 126 for code in codes)


def test_an_error_as_json_keeps_its_parts_apart() -> None:
    assert WheelError("is empty", where="a.whl").as_json() == {
        "error": "WheelError",
        "exit_code": 8,
        "what": "is empty",
        "where": "a.whl",
        "fix": None,
    }


def test_errors_travel_between_processes_whatever_they_were_made_from() -> None:
    plain = WheelError("is empty", where="a.whl", fix="download it again")
    refused = ArchiveError("a.whl", [Problem(case="A1", text="is odd", member="x")])
    damaged = DamagedRunError(Path("a.run"))
    for error in (plain, refused, damaged):
        found = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
        assert (type(found), str(found), found.as_json()) == (type(error), str(error), error.as_json())
    assert pickle.loads(pickle.dumps(damaged)).path == Path("a.run")  # noqa: S301 - our own
