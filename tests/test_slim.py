"""What is left out of a wheel: the table, a project's own rows, what stays, and the AWS services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerkit.errors import ConfigError
from layerkit.patterns import parse
from layerkit.project.specs import Slimming
from layerkit.slim import SERVICES, Rules, decide, rules, seen
from layerkit.slim.table import Row, table, text
from layerkit.toml import parse as parse_toml

if TYPE_CHECKING:
    from layerkit.slim.table import Kept

SITE = "python/lib/python3.12/site-packages"


def never(path: str) -> bytes:
    raise AssertionError(path)


def named(these: Rules, package: str, *paths: str) -> list[str | None]:
    """Return the name of the row that fits each path."""
    found = [these.verdict(package, path) for path in paths]
    return [row.name if row else None for row in found]


def decided(these: Rules, package: str, sources: dict[str, str]) -> dict[str, str]:
    """Return what is left out, all paths relative to the folder of the modules."""
    paths = {f"{SITE}/{name}": text.encode() for name, text in sources.items()}
    found = decide(these, package, SITE, paths, paths.__getitem__)
    return {path.removeprefix(f"{SITE}/"): row for path, row in found.items()}


def test_paths_are_seen_alike_in_every_layout() -> None:
    assert seen(f"{SITE}/demo/a.h", SITE) == seen("python/demo/a.h", "python") == "demo/a.h"
    assert seen("bin/go", SITE) == seen("bin/go", "python") == "opt/bin/go"
    assert seen("python/lib/python3.11/x", SITE) == "opt/python/lib/python3.11/x"


def test_the_table_says_why_and_can_be_read() -> None:
    document = parse_toml(text())
    assert set(document) == {"rows", "keep"}
    assert [row.name for row in table().rows] == list(document["rows"])
    said: list[Row | Kept] = [*table().rows, *table().keep]
    for row in said:
        assert row.reason, row
        assert row.patterns, row
        assert all(parse(one) for one in row.patterns), row
        assert row.source is None or "/" in row.source, row
    assert SERVICES not in document["rows"]


def test_the_first_row_that_fits_is_named() -> None:
    two = tuple(Row(name=name, patterns=("*.h",), reason="-") for name in ("one", "two"))
    assert named(Rules(rows=two), "demo", "demo/a.h", "demo/a.py") == ["one", None]


def test_a_folder_that_fits_brings_all_that_is_in_it_and_a_file_of_its_name_nothing() -> None:
    these = Rules(rows=(Row(name="row", patterns=("/*/**/tests/", "opt/bin/"), reason="-"),))
    assert named(these, "demo", "demo/tests/a/b.txt", "demo/in/tests/x.py", "opt/bin/go") == ["row"] * 3
    stays = ["demo/tests", "tests/a.py", "demo/mytests/a.py", "demo/tests.py", "demo/opt/bin/go"]
    assert named(these, "demo", *stays) == [None] * 5


def test_the_last_pattern_that_fits_decides() -> None:
    patterns = ("/demo/docs/", "!/demo/docs/**/*.py", "/demo/docs/conf.py")
    these = Rules(rows=(Row(name="row", patterns=patterns, reason="-"),))
    paths = ["demo/docs/a.md", "demo/docs/b/c.py", "demo/docs/conf.py"]
    assert named(these, "demo", *paths) == ["row", None, "row"]


def test_what_stays_stays_in_its_own_package_alone() -> None:
    these = Rules(rows=(Row(name="h", patterns=("*.h",), reason="-"),), keep=(("demo", ("demo/inc/",)),))
    assert named(these, "demo", "demo/inc/a.h", "demo/a.h") == [None, "h"]
    assert named(these, "other", "demo/inc/a.h") == ["h"]


def test_a_project_switches_rows_and_adds_its_own() -> None:
    plain = rules(Slimming(), None)
    names = [row.name for row in plain.rows]
    assert "headers" in names
    slim = Slimming(
        switched=(("headers", False),), rows=(("mine", ("*.txt",)),), keep=(("demo", ("k.txt",)),)
    )
    these = rules(slim, None)
    assert [row.name for row in these.rows] == ["mine", *(name for name in names if name != "headers")]
    assert named(these, "demo", "a.txt", "k.txt") == ["mine", None]
    assert "scripts" not in names
    asked = rules(Slimming(switched=(("scripts", True),)), None)
    assert [row.name for row in asked.rows if row.name not in names] == ["scripts"]
    assert rules(Slimming(enabled=False), None).rows == ()


def test_a_row_that_is_not_there_cannot_be_switched() -> None:
    with pytest.raises(ConfigError, match=r"no row 'header'.*did you mean 'headers'"):
        rules(Slimming(switched=(("header", False),)), None)


def test_the_digest_is_that_of_what_counts_for_a_package() -> None:
    row = Row(name="h", patterns=("*.h",), reason="-")
    plain = Rules(rows=(row,)).digest("demo")
    assert Rules(rows=(Row(name="h", patterns=("*.h",), reason="another"),)).digest("demo") == plain
    assert Rules(rows=(row,), keep=(("other", ("x",)),)).digest("demo") == plain
    assert Rules(rows=(row,), services=("s3",)).digest("demo") == plain
    different = {
        plain,
        Rules().digest("demo"),
        Rules(rows=(row,), keep=(("demo", ("x",)),)).digest("demo"),
        Rules(rows=(Row(name="h", patterns=("*.h",), reason="-", own=True),)).digest("demo"),
        Rules(rows=(row,), services=("s3",)).digest("botocore"),
        Rules(rows=(row,), services=("sqs",)).digest("botocore"),
    }
    assert len(different) == 6


TESTS = Rules(rows=(Row(name="tests", patterns=("/*/**/tests/",), reason="-"),))


@pytest.mark.parametrize(
    "statement",
    [
        "from demo.tests.helper import ready",
        "from demo.tests import helper",
        "from .tests import (  # a comment, with a comma\n    other,\n    helper as h,\n)",
        "from .tests \\\n    import \\\r\n    other, helper",
        "if True: from .tests import helper",
        "import os, demo.tests.helper as h",
        "try:\n    import demo.tests.helper\nexcept ImportError:\n    pass",
        "def run():\n    from . import tests; from .tests import helper",
        "PLUGIN = 'demo.tests.helper'",
        "from . tests import nothing\nimport demo.tests.helper\r\n",
    ],
)
def test_a_test_module_that_is_imported_stays_with_what_it_imports(statement: str) -> None:
    sources = {
        "demo/__init__.py": "",
        "demo/run.py": statement,
        "demo/tests/__init__.py": "from . import base\n",
        "demo/tests/base.py": "",
        "demo/tests/helper.py": "from ..tests.deep import thing\n",
        "demo/tests/deep/__init__.py": "",
        "demo/tests/deep/thing.so": "",
        "demo/tests/test_a.py": "from . import helper\nimport demo.tests.test_b\n",
        "demo/tests/test_b.py": "",
        "demo/tests/data.csv": "",
    }
    left = ["demo/tests/data.csv", "demo/tests/test_a.py", "demo/tests/test_b.py"]
    assert decided(TESTS, "demo", sources) == dict.fromkeys(left, "tests")


def test_what_nobody_imports_goes() -> None:
    sources = {
        "demo/__init__.py": "from .testing import x\nimport tests\nfrom other.tests import helper\n",
        "demo/testing.py": "",
        "demo/tests/__init__.py": "",
        "demo/tests/helper.py": "",
    }
    assert set(decided(TESTS, "demo", sources)) == {"demo/tests/__init__.py", "demo/tests/helper.py"}


def test_one_module_among_others_that_stay_is_found_by_its_own_name() -> None:
    these = Rules(rows=(Row(name="conf", patterns=("conftest.py",), reason="-"),))
    sources = {"demo/__init__.py": "", "demo/conftest.py": "", "demo/a/conftest.py": "", "demo/a/b.py": ""}
    assert set(decided(these, "demo", sources)) == {"demo/conftest.py", "demo/a/conftest.py"}
    sources["demo/a/b.py"] = "from . import conftest"
    assert set(decided(these, "demo", sources)) == {"demo/conftest.py"}


def test_a_row_of_the_project_means_what_it_says() -> None:
    these = Rules(rows=(Row(name="mine", patterns=("/demo/plots/",), reason="", own=True),))
    sources = {"demo/__init__.py": "from demo.plots import a", "demo/plots/a.py": ""}
    assert decided(these, "demo", sources) == {"demo/plots/a.py": "mine"}


def test_a_stub_that_is_read_at_run_time_stays() -> None:
    sources = {
        "lazy/__init__.py": "import lazy_loader as lazy\n_ = lazy.attach_stub(__name__, __file__)\n",
        "lazy/__init__.pyi": "",
        "lazy/other.py": "",
        "lazy/other.pyi": "",
        "lazy/_native.pyi": "",
        "lazy/py.typed": "",
    }
    left = decided(rules(Slimming(), None), "lazy", sources)
    assert left == dict.fromkeys(["lazy/other.pyi", "lazy/_native.pyi"], "type-stubs")


def test_messages_go_only_where_they_were_compiled() -> None:
    sources = {"demo/de.po": "", "demo/de.mo": "", "demo/fr.po": ""}
    assert decided(rules(Slimming(), None), "demo", sources) == {"demo/de.po": "message-sources"}


REAL = {
    "test-suites": [
        "numpy/_core/tests/test_dtype.py",
        "trio/_core/_tests/x.py",
        "Crypto/SelfTest/__init__.py",
    ],
    "test-modules": ["pandas/conftest.py", "numpy/_core/_simd.cpython-312-x86_64-linux-gnu.so"],
    "headers": ["numpy/_core/include/numpy/arrayobject.h", "opt/include/python3.12/greenlet/greenlet.h"],
    "static-libraries": ["numpy/_core/lib/libnpymath.a"],
    "sources": ["lxml/etree.pyx", "sklearn/neighbors/_binary_tree.pxi.tp"],
    "type-stubs": ["numpy/__init__.pyi"],
    "documentation": ["oletools/doc/olevba.html", "botocore/data/ec2/2016-11-15/examples-1.json"],
    "examples": ["numpy/random/_examples/cffi/extending.py"],
    "source-maps": ["bokeh/server/static/js/bokeh.js.map"],
    "other-systems": ["setuptools/gui-64.exe", "selenium/webdriver/common/macos/selenium-manager"],
    "torch-programs": ["torch/bin/protoc"],
}
STAYS = [
    ("numpy", "numpy/testing/__init__.py"),
    ("pandas", "pandas/_testing/__init__.py"),
    ("jinja2", "jinja2/tests.py"),
    ("aiohttp", "aiohttp/test_utils.py"),
    ("scipy", "scipy/stats/_bws_test.py"),
    ("numpy", "numpy/py.typed"),
    ("numpy", "numpy-2.0.dist-info/METADATA"),
    ("numpy", "numpy-2.0.dist-info/entry_points.txt"),
    ("numpy", "numpy-2.0.dist-info/licenses/numpy/tests/LICENSE.h"),
    ("numpy", "numpy-2.0.dist-info/sboms/auditwheel.cdx.json"),
    ("scikit-learn", "sklearn/datasets/descr/iris.rst"),
    ("botocore", "botocore/docs/client.py"),
    ("torch", "torch/bin/torch_shm_manager"),
    ("ansible-core", "ansible/plugins/test/core.py"),
    ("django", "django/test/client.py"),
    ("grpcio", "grpc/_cython/_credentials/roots.pem"),
    ("demo", "opt/bin/go"),
    ("demo", "opt/lib/libdemo.so.1"),
    ("tests", "tests/__init__.py"),
]


@pytest.mark.parametrize(("name", "paths"), REAL.items())
def test_what_packages_are_known_to_bring(name: str, paths: list[str]) -> None:
    assert named(rules(Slimming(), None), "any", *paths) == [name] * len(paths)


@pytest.mark.parametrize(("package", "path"), STAYS)
def test_what_packages_are_known_to_need(package: str, path: str) -> None:
    assert named(rules(Slimming(), None), package, path) == [None]


def test_a_source_that_a_module_names_stays_for_it_may_read_it() -> None:
    sources = {
        "demo/kernels.py": 'PATH = Path(__file__).parent / "kernels.cu"\nopen("src/glue-2.c")\n',
        "demo/other.py": "# reads fast.h, not 'more.hpp.txt'\n",
        "demo/kernels.cu": "",
        "demo/src/glue-2.c": "",
        "demo/src/glue.c": "",
        "demo/fast.h": "",
        "demo/more.hpp": "",
    }
    left = decided(rules(Slimming(), None), "demo", sources)
    assert left == {"demo/src/glue.c": "sources", "demo/fast.h": "headers", "demo/more.hpp": "headers"}


def test_nothing_is_read_where_nothing_is_left_out_that_may_be_in_use() -> None:
    paths = [f"{SITE}/demo/a.py", f"{SITE}/demo/a.a", f"{SITE}/demo/tests/a.csv"]
    found = decide(rules(Slimming(), None), "demo", SITE, paths, never)
    assert found == {f"{SITE}/demo/a.a": "static-libraries", f"{SITE}/demo/tests/a.csv": "test-suites"}


SDK = {
    "botocore/data/s3/2006-03-01/service-2.json.gz": "",
    "botocore/data/sqs/2012-11-05/service-2.json.gz": "",
    "botocore/data/ec2/2016-11-15/service-2.json.gz": "",
    "botocore/data/endpoints.json": "",
    "botocore/data/_retry.json": "",
    "botocore/client.py": "",
}


def test_the_sdk_keeps_the_services_that_are_named_and_what_is_common_to_all() -> None:
    left = decided(Rules(services=("s3", "sqs")), "botocore", SDK)
    assert left == {"botocore/data/ec2/2016-11-15/service-2.json.gz": SERVICES}
    resources = {"boto3/data/ec2/2016-11-15/resources-1.json": "", "boto3/data/s3/2006/resources-1.json": ""}
    assert set(decided(Rules(services=("s3",)), "boto3", resources)) == set(resources) - {
        "boto3/data/s3/2006/resources-1.json"
    }
    assert decided(Rules(services=("s3",)), "demo", SDK) == {}
    assert decided(Rules(), "botocore", SDK) == {}


def test_the_rows_count_for_the_services_that_are_named_as_well() -> None:
    places = {f"botocore/data/{name}/1/examples-1.json": "" for name in ("s3", "sqs")}
    assert decided(rules(Slimming(), ("s3",)), "botocore", {**SDK, **places}).items() >= {
        ("botocore/data/s3/1/examples-1.json", "documentation"),
        ("botocore/data/sqs/1/examples-1.json", SERVICES),
    }


def test_all_unknown_services_are_refused_with_the_nearest_names() -> None:
    with pytest.raises(ConfigError, match=r"no service 's33' \(did you mean 's3'\?\), nor 'zz'"):
        decided(Rules(services=("s3", "s33", "zz")), "botocore", SDK)
