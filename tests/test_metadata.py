"""METADATA is read as it comes, and its requirements mean what packaging says they mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.markers import Marker

from layerkit.errors import WheelError
from layerkit.metadata import Dependency, Metadata, dependencies, parse, requirement_of, unreadable
from layerkit.target import target

PY312 = target("py312")


def metadata(*lines: str) -> Metadata:
    return parse("\n".join(("Metadata-Version: 2.1", "Name: demo", "Version: 1.0", *lines)).encode())


def needs(*lines: str, runtime: str = "py312") -> list[Dependency]:
    return list(dependencies(metadata(*lines), target(runtime)))


def test_the_fields_are_read() -> None:
    found = metadata(
        "Requires-Python: >=3.8",
        "Requires-Dist: six>=1",
        "Requires-Dist: idna ; extra == 'web'",
        "Provides-Extra: Web_Server",
        "Provides-Extra: web-server",
        "License-File: LICENSE",
        "License-File: NOTICE",
        "License-Expression: MIT OR Apache-2.0",
        "",
        "Name: in the description",
    )
    assert found == Metadata(
        name="demo",
        version="1.0",
        requires_python=">=3.8",
        requires=("six>=1", "idna ; extra == 'web'"),
        provides_extras=("web-server",),
        licence="MIT OR Apache-2.0",
        licence_files=("LICENSE", "NOTICE"),
    )


@pytest.mark.parametrize(
    ("lines", "licence"),
    [
        ([], None),
        (["License: UNKNOWN"], None),
        (["License:"], None),
        (["License: BSD 3-Clause"], "BSD 3-Clause"),
        (["License: UNKNOWN", "Classifier: License :: OSI Approved :: MIT License"], "MIT License"),
        (["License: MIT", "License-Expression: MIT-0"], "MIT-0"),
        (
            ["License: The whole", "        text of it", "Classifier: License :: Public Domain"],
            "Public Domain",
        ),
        (["License: The whole", "        text of it"], "The whole"),
        (["License: " + "long " * 100], ("long " * 100)[:120]),
        (["Classifier: License :: A", "Classifier: Topic :: X", "Classifier: License :: B"], "A, B"),
    ],
)
def test_the_licence_is_the_best_that_is_said(lines: list[str], licence: str | None) -> None:
    assert metadata(*lines).licence == licence


def test_bytes_that_are_not_utf8_are_read_and_noted() -> None:
    found = parse(b"Name: demo\nVersion: 1.0\nAuthor: Andr\xe9\nRequires-Dist: six\n")
    assert (found.name, found.requires) == ("demo", ("six",))
    assert "UTF-8" in found.notes[0]


def test_a_byte_order_mark_hides_no_field() -> None:
    assert parse(b"\xef\xbb\xbfName: demo\nVersion: 1.0\n").name == "demo"


def test_a_folded_requirement_is_one_line() -> None:
    assert metadata("Requires-Dist: six", "        >=1.0").requires == ("six >=1.0",)


def test_missing_and_contradicting_fields_match_nothing() -> None:
    assert parse(b"") == Metadata(name="", version="")
    assert parse(b"Name: a\nName: b\nVersion: 1\nVersion: 1\n") == Metadata(name="a / b", version="1")


@pytest.mark.parametrize(
    ("text", "mended", "what"),
    [
        ("six>=2.7.*", "six>=2.7", "wildcard"),
        ("six (<3.*)", "six (<3)", "wildcard"),
        ("six ~=3.7.*", "six ~=3.7", "wildcard"),
        ("six!=3.0*; python_version > '3'", "six!=3.0.*; python_version > '3'", "dot"),
        ("py2>=1.0<2", "py2>=1.0,<2", "missing comma"),
        ("six (>=1.0 <2)", "six (>=1.0,<2)", "missing comma"),
        ("six (>=1.0,,<2)", "six (>=1.0,<2)", "comma too many"),
        ("pytz (>dev)", "pytz (>=0.dev0)", "dev"),
        ("six>='1.0'", "six>=1.0", "quotes"),
        ("six>=1.*,!=1.5* ; extra == 'x'", "six>=1,!=1.5.* ; extra == 'x'", "wildcard"),
    ],
)
def test_legacy_specifiers_are_mended_and_said(text: str, mended: str, what: str) -> None:
    found = metadata(f"Requires-Dist: {text}")
    assert found.requires == (mended,)
    assert len(found.notes) == 1
    assert what in found.notes[0]
    assert text in found.notes[0].replace("\\'", "'")
    assert list(unreadable(found)) == []


@pytest.mark.parametrize(
    "text", ["six==1.*", "six (>=1.0,)", "six[a,B]>=1", "six @ https://h/six.whl", "six===x"]
)
def test_what_can_be_read_is_not_touched(text: str) -> None:
    found = metadata(f"Requires-Dist: {text}")
    assert (found.requires, found.notes) == ((text,), ())


def test_what_nobody_can_read_is_kept_and_named_without_credentials() -> None:
    found = metadata("Requires-Dist: six at https://me:secret@h/six.whl", "Requires-Dist: ok")
    (fault,) = unreadable(found)
    assert "six at https://h/six.whl" in fault
    assert "secret" not in fault
    with pytest.raises(WheelError, match="six at"):
        dependencies(found, PY312)


def test_dependencies_are_those_of_the_target() -> None:
    lines = [
        "Requires-Dist: a ; python_version < '3.9'",
        "Requires-Dist: b ; sys_platform == 'win32'",
        "Requires-Dist: C.D[X_y,a] >=1,<2 ; platform_machine == 'x86_64'",
        "Requires-Dist: e ; implementation_name == 'cpython' and os_name == 'posix'",
    ]
    assert needs(*lines) == [
        Dependency(name="c-d", specifier="<2,>=1", extras=("a", "x-y")),
        Dependency(name="e"),
    ]
    assert needs(*lines, runtime="py37")[0] == Dependency(name="a")


def test_an_extra_brings_what_it_adds() -> None:
    found = needs(
        "Provides-Extra: Web_Server",
        "Provides-Extra: all",
        "Requires-Dist: six",
        "Requires-Dist: idna ; extra == 'web.server'",
        "Requires-Dist: flask ; extra == 'web-server' or extra == 'ALL'",
        "Requires-Dist: old ; extra == 'all' and python_version < '3'",
        "Requires-Dist: always ; extra == 'all' or python_version >= '3'",
        "Requires-Dist: undeclared ; 'secret' == extra",
        "Requires-Dist: six ; extra == 'all'",
        "Requires-Dist: six>=1 ; extra == 'all'",
        "Requires-Dist: six>=1 ; extra == 'ALL'",
    )
    assert [(each.extra, each.name, each.specifier) for each in found] == [
        ("", "always", ""),
        ("", "six", ""),
        ("all", "flask", ""),
        ("all", "six", ""),
        ("all", "six", ">=1"),
        ("secret", "undeclared", ""),
        ("web-server", "flask", ""),
        ("web-server", "idna", ""),
    ]


def test_a_direct_reference_is_a_dependency_on_any_version() -> None:
    assert needs("Requires-Dist: six @ https://me:secret@h/six-1.0-py3-none-any.whl") == [
        Dependency(name="six")
    ]


EXTRAS = ("a", "b-c", "d")
ATOMS = st.sampled_from(
    [
        "extra == 'a'",
        "extra == 'B_c'",
        "extra != 'd'",
        "'a' == extra",
        "extra in 'a d'",
        "extra not in 'b-c'",
        "'a' in extra",
        "python_version >= '3.9'",
        "sys_platform == 'win32'",
    ]
)
MARKERS = st.recursive(
    ATOMS,
    lambda inner: st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda m: f"({' '.join(m)})"),
)


@given(MARKERS)
def test_every_marker_means_what_packaging_says(text: str) -> None:
    environment = PY312.markers()
    marker = Marker(text)
    expected = {extra for extra in EXTRAS if marker.evaluate({**environment, "extra": extra})}
    if marker.evaluate({**environment, "extra": ""}):
        expected = {""}
    declared = [f"Provides-Extra: {extra}" for extra in EXTRAS]
    found = needs(*declared, f"Requires-Dist: six ; {text}")
    assert {each.extra for each in found} == expected


def test_a_marker_without_an_answer_is_said() -> None:
    with pytest.raises(WheelError, match="no answer"):
        needs("Requires-Dist: six ; python_version ~= 'x'")


def test_requirement_of_reads_what_packaging_reads() -> None:
    assert requirement_of("Six[a]>=1").name == "Six"


def test_hundreds_of_extras_are_no_burden(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(_: Marker, environment: dict[str, str]) -> bool:
        asked.append(environment["extra"])
        return environment["extra"] == "e7"

    monkeypatch.setattr(Marker, "evaluate", answer)
    lines = [f"Provides-Extra: e{n}" for n in range(300)]
    lines += [f"Requires-Dist: p{n} ; extra == 'e{n}'" for n in range(300)]
    assert needs(*lines) == [Dependency(name="p7", extra="e7")]
    # once without an extra, and once with the one that is named
    assert len(asked) == 600
