"""What is made of what was seen inside an image: which of it is an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from layerkit.check.in_image import Subject, judge, look
from layerkit.check.modules import Module
from layerkit.check.requirements_check import Installed
from layerkit.container.images import Image
from layerkit.container.stage import Imported, Limits, Seen
from layerkit.metadata import Dependency
from layerkit.target import target

if TYPE_CHECKING:
    from layerkit.check.findings import Finding

TARGET = target("python3.12")
IMAGE = Image(reference="lambda/python:3.12", id="sha256:1", digest="sha256:2", arch="x86_64")
MODULES = (
    Module(name="app", zip="code.zip", code=True),
    Module(name="boto3", zip="the python3.12 runtime", package="boto3"),
    Module(name="lib", zip="base.zip", package="lib"),
    Module(name="lib_tests", zip="base.zip", package="lib"),
    Module(name="loose", zip="base.zip"),
    Module(name="worker", zip="more.zip", package="worker"),
)
PACKAGES = (
    Installed(name="lib", version="1.0", layer="base.zip"),
    Installed(
        name="worker",
        version="2.0",
        layer="more.zip",
        requires=(Dependency(name="lib"), Dependency(name="docs-lib")),
    ),
)


def _subject(**more: Any) -> Subject:
    given: dict[str, Any] = {"absent": {}, "may_fail": frozenset(), "limits": Limits(), **more}
    return Subject(target=TARGET, modules=MODULES, packages=PACKAGES, **given)


def _seen(*failed: Imported, **more: Any) -> Seen:
    """Return what was seen where all modules but those given could be imported."""
    names = {one.module for one in failed}
    fine = (Imported(module=one.name, ok=True, seconds=0.1) for one in MODULES if one.name not in names)
    given = {"python": "3.12.9", "glibc": "2.34", "pip": "24.0", "pip_code": 0, **more}
    return Seen(imports=(*fine, *failed), **given)


def _failed(module: str, error: str | None = None, **more: Any) -> Imported:
    kind = error.partition(":")[0] if error else None
    return Imported(module=module, ok=False, seconds=0.1, error=error, kind=kind, **more)


def _lacks(module: str, name: str) -> Imported:
    return _failed(module, f"ModuleNotFoundError: No module named {name!r}", missing=name)


def _judged(seen: Seen, **more: Any) -> list[tuple[str, str, str]]:
    return [(one.severity, one.code, one.where) for one in judge(IMAGE, seen, _subject(**more))]


def _only(seen: Seen, **more: Any) -> Finding:
    (one,) = judge(IMAGE, seen, _subject(**more))
    return one


def test_where_everything_works_there_is_nothing_to_say() -> None:
    assert judge(IMAGE, _seen(), _subject()) == []


@pytest.mark.parametrize(
    ("failed", "code", "where"),
    [
        # What the function needs it will miss, whatever the reason.
        (
            _failed("lib", "OSError: libGL.so.1: cannot open shared object file"),
            "import-failed",
            "base.zip: lib",
        ),
        (_failed("loose", "ValueError: no"), "import-failed", "base.zip: loose"),
        (_failed("worker", signal=11), "import-failed", "more.zip: worker"),
        (_failed("worker", exit=3), "import-failed", "more.zip: worker"),
        (_failed("lib_tests", "RuntimeError: no"), "import-failed", "base.zip: lib"),
        # A module that is nowhere in the stack, and the only one of its package: of no use at all.
        (_lacks("worker", "undeclared"), "import-failed", "more.zip: worker"),
        (_lacks("loose", "undeclared"), "import-failed", "base.zip: loose"),
        # The rest of the package works.
        (_lacks("lib_tests", "pytest"), "import-optional", "base.zip: lib"),
        # ... but what is missing should be here.
        (_lacks("lib_tests", "worker.part"), "import-failed", "base.zip: lib"),
        (_lacks("boto3", "urllib3.util"), "import-failed", "the python3.12 runtime: boto3"),
        # The function's own code.
        (_lacks("app", "undeclared"), "import-failed", "code.zip: app"),
        (_failed("app", "ImportError: libGL.so.1: cannot open"), "import-failed", "code.zip: app"),
        (_failed("app", "OSError: /x.so: undefined symbol: y"), "import-failed", "code.zip: app"),
        (_failed("app", "SyntaxError: invalid syntax"), "import-failed", "code.zip: app"),
        (_failed("app", signal=9, stopped="time"), "import-failed", "code.zip: app"),
        (_failed("app", "KeyError: 'TABLE'"), "code-import", "code.zip: app"),
        (_failed("app", exit=1, printed="no credentials\n"), "code-import", "code.zip: app"),
    ],
)
def test_how_grave_an_import_that_fails_is(failed: Imported, code: str, where: str) -> None:
    one = _only(_seen(failed))
    severity = "error" if code == "import-failed" else "warning"
    assert (one.severity, one.code, one.where) == (severity, code, where)
    assert one.fix


def test_a_package_none_of_whose_modules_can_be_imported_is_an_error() -> None:
    seen = _seen(_lacks("lib", "undeclared"), _lacks("lib_tests", "pytest"))
    assert [code for _, code, _ in _judged(seen)] == ["import-failed", "import-failed"]


def test_what_is_left_out_on_purpose_is_missed_with_a_warning() -> None:
    absent = {"docs-lib": "the project never deploys it"}
    for missing in ("docs_lib", "the_module_of_docs_lib"):
        one = _only(_seen(_lacks("worker", missing)), absent=absent)
        assert (one.severity, one.code) == ("warning", "deliberately-absent")
        assert "docs-lib is left out: the project never deploys it" in one.text
    assert _only(_seen(_lacks("loose", "docs_lib")), absent=absent).code == "deliberately-absent"
    # Another package than the one that needs it, another module, or one that is here: no excuse.
    assert _only(_seen(_lacks("lib", "undeclared")), absent=absent).code == "import-optional"
    assert _only(_seen(_lacks("worker", "lib.part")), absent=absent).code == "import-failed"


def test_the_project_may_say_that_a_module_need_not_import() -> None:
    one = _only(_seen(_failed("worker", signal=11)), may_fail=frozenset({"worker"}))
    assert (one.severity, one.code) == ("warning", "import-allowed")


@pytest.mark.parametrize(
    ("failed", "said"),
    [
        (_failed("lib", "OSError: x"), "lib cannot be imported: OSError: x"),
        (_failed("lib", signal=11), "lib cannot be imported: the interpreter died of SIGSEGV"),
        (_failed("lib", signal=64), "lib cannot be imported: the interpreter died of"),
        (_failed("lib", signal=99), "lib cannot be imported: the interpreter died of signal 99"),
        (
            _failed("lib", signal=9),
            "lib cannot be imported: it was killed; it had 536,870,912 bytes of memory",
        ),
        (_failed("lib", signal=9, stopped="memory"), "it takes more than the 536,870,912 bytes of memory"),
        (
            _failed("lib", signal=9, stopped="time"),
            "lib cannot be imported: it was still at it after 60 seconds",
        ),
        (_failed("lib", exit=7, printed="a\n b \n"), "it ended the interpreter with exit status 7: b"),
        (_failed("lib", exit=7), "it ended the interpreter with exit status 7"),
    ],
)
def test_the_reason_is_one_line(failed: Imported, said: str) -> None:
    one = _only(_seen(failed))
    assert said in one.text
    assert "\n" not in one.text


def test_more_memory_and_the_missing_library_are_ways_out() -> None:
    assert _only(_seen(_failed("lib", signal=9))).fix == "try with more: --memory 1024"
    lacking = _failed("lib", "OSError: libGL.so.1: cannot open shared object file")
    assert "shared library" in _only(_seen(lacking)).fix


@pytest.mark.parametrize(
    ("said", "code", "where"),
    [
        ("worker 2.0 requires lib, which is not installed.", "pip-check", "worker"),
        ("Worker 2.0 has requirement lib<1,>0, but you have lib 1.0.", "pip-check", "worker"),
        ("worker 2.0 is not supported on this platform", "pip-check", "worker"),
        # A layer's package that does not fit what the runtime brings.
        ("botocore 1.42.0 has requirement lib<1, but you have lib 1.0.", "pip-check", "botocore"),
        # AWS's own.
        ("botocore 1.42.0 has requirement six<1, but you have six 1.16.0.", "pip-check-runtime", "botocore"),
        (
            "awslambdaric 3.0 requires simplejson, which is not installed.",
            "pip-check-runtime",
            "awslambdaric",
        ),
        ("worker 2.0 requires docs-lib, which is not installed.", "deliberately-absent", "worker"),
    ],
)
def test_every_line_of_pip_is_a_finding(said: str, code: str, where: str) -> None:
    absent = {"docs-lib": "the project never deploys it"}
    seen = _seen(pip_code=1, pip_said=f"WARNING: some talk\n{said}\n")
    one = _only(seen, absent=absent)
    assert (one.code, one.where) == (code, where)
    assert said in one.text


def test_a_pip_that_does_not_work_is_an_error() -> None:
    for code, said in ((2, "Traceback\nImportError: no html\n"), (None, ""), (1, "something new\n")):
        one = _only(_seen(pip_code=code, pip_said=said))
        assert (one.severity, one.code) == ("error", "pip-check")
        assert "could not do its work" in one.text


def test_pip_talks_and_all_is_well() -> None:
    assert _judged(_seen(pip_said="WARNING: cache is off\n")) == []


def test_an_image_that_is_not_the_runtime_is_said() -> None:
    assert _judged(_seen(glibc="2.36")) == [("warning", "image-differs", IMAGE.reference)]
    assert _judged(_seen(glibc=None)) == [("warning", "image-differs", IMAGE.reference)]
    assert _judged(_seen(python="3.11.9")) == [("error", "image-foreign", IMAGE.reference)]


def test_a_path_that_cannot_be_set_up_is_all_there_is_to_say() -> None:
    seen = Seen(python="3.12.9", glibc="2.34", path_error="SystemExit: 5")
    one = _only(seen)
    assert (one.severity, one.code, one.where) == ("error", "import-failed", "sys.path")
    assert "SystemExit: 5" in one.text


def test_the_report_lists_every_module_with_its_place() -> None:
    seen = _seen(_lacks("lib_tests", "pytest"))
    document = look(IMAGE, seen, _subject()).as_json()
    rows = {row["name"]: row for row in document.pop("modules")}
    assert document == {
        "image": "lambda/python:3.12",
        "digest": "sha256:2",
        "python": "3.12.9",
        "glibc": "2.34",
        "pip": "24.0",
        "memory": 512 << 20,
        "tmp": 512 << 20,
    }
    assert len(rows) == len(MODULES)
    assert rows["worker"] == {
        "name": "worker",
        "package": "worker",
        "zip": "more.zip",
        "imported": True,
        "seconds": 0.1,
        "error": None,
    }
    assert rows["lib_tests"]["error"] == "ModuleNotFoundError: No module named 'pytest'"
