from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from layerkit.errors import ConfigError, UsageError
from layerkit.project import OverLimit, Project, Slimming, Stack, load, validate, with_pins
from layerkit.target import supported_runtimes

BUILD = '[build-system]\nrequires = ["x"]\nbuild-backend = "x"\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "My Project"
    folder.mkdir()
    return folder


def project(root: Path, text: str, **overrides: Any) -> Project:
    (root / "pyproject.toml").write_text(text)
    return load(root, **overrides)


def fault(root: Path, text: str, **overrides: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        project(root, text, **overrides)
    return str(caught.value)


def roots(found: Project) -> dict[str, list[str]]:
    return {layer.name: [item.text for item in layer.requirements] for layer in found.layers}


def stacks(found: Project) -> dict[str, tuple[str, ...]]:
    return {stack.name: stack.layers for stack in found.stacks}


def pep_621(more: str = "", build: str = BUILD) -> str:
    return (
        '[project]\nname = "app"\nversion = "1.2"\nrequires-python = ">=3.9"\n'
        'dependencies = ["numpy>=1.2", "pandas[parquet]>=2 ; python_version >= \'3.9\'", "requests"]\n'
        'optional-dependencies = {web = ["fastapi"], ml = ["scipy"]}\n'
        f'[dependency-groups]\ndev = ["pytest>=8"]\n{build}{more}'
    )


# Without configuration


def test_the_planner_makes_the_layers_of_functions_where_it_is_asked_to(root: Path) -> None:
    text = pep_621(
        '[tool.layerkit]\nlayers = "auto"\n[tool.layerkit.functions]\n'
        'web = {extras = ["web"]}\nmain = {}\nbare = {layers = []}\n'
    )
    found = project(root, text)
    divided = {layer.name: layer.divided for layer in found.layers}
    assert divided == {"web": True, "nodeps": False, "main": True}
    assert stacks(found) == {"web": ("web",), "main": ("nodeps", "main"), "bare": ()}
    assert [root.partition(">")[0] for root in roots(found)["main"]] == [
        "numpy",
        "pandas[parquet]",
        "requests",
    ]


def test_the_planner_divides_the_main_dependencies_where_no_function_is_declared(root: Path) -> None:
    found = project(root, pep_621('[tool.layerkit]\nlayers = "auto"\n'))
    assert [(layer.name, layer.divided) for layer in found.layers] == [("all", True), ("nodeps", False)]
    assert stacks(found) == {"all": ("all", "nodeps")}


def test_declared_layers_stand_beside_those_of_the_planner(root: Path) -> None:
    text = pep_621(
        '[tool.layerkit.layers]\nbase = ["numpy"]\n"*" = "auto"\n[tool.layerkit.functions]\n'
        'api = {layers = ["base"], extras = ["web"]}\njob = {layers = ["base"]}\n'
    )
    found = project(root, text)
    assert [(layer.name, layer.divided) for layer in found.layers] == [("base", False), ("api", True)]
    assert stacks(found) == {"api": ("base", "api"), "job": ("base",)}


def test_a_project_with_extras_gives_a_layer_each_and_its_own_wheel(root: Path) -> None:
    found = project(root, pep_621())
    assert (found.name, found.version, found.distribution) == ("app", "1.2", "app")
    assert list(roots(found)) == ["default", "web", "ml", "nodeps"]
    assert roots(found)["web"] == ["fastapi"]
    nodeps = found.layer("nodeps")
    assert nodeps.project == "wheel-only"
    assert [(item.name, item.path) for item in nodeps.requirements] == [("app", root)]
    assert stacks(found) == {
        "default": ("default", "nodeps"),
        "web": ("default", "web", "nodeps"),
        "ml": ("default", "ml", "nodeps"),
    }


def test_a_project_that_cannot_be_built_has_no_nodeps(root: Path) -> None:
    found = project(root, pep_621(build=""))
    assert list(roots(found)) == ["default", "web", "ml"]
    assert stacks(found)["web"] == ("default", "web")
    assert found.distribution is None


def test_a_poetry_project_gives_what_the_old_scripts_gave(root: Path) -> None:
    found = project(
        root,
        '[tool.poetry]\nname = "my_app"\nversion = "0.3"\n[tool.poetry.dependencies]\npython = "^3.9"\n'
        'numpy = "^1.2"\nfastapi = {version = "*", optional = true}\n'
        '[tool.poetry.extras]\nweb = ["fastapi"]\n',
    )
    assert {name: texts[0].split(" @")[0] for name, texts in roots(found).items()} == {
        "default": "numpy (>=1.2,<2.0)",
        "web": "fastapi",
        "nodeps": "my_app",
    }
    assert (found.name, found.version, found.requires_python) == ("my_app", "0.3", ">=3.9,<4.0")


def test_a_requirements_file_gives_one_layer(root: Path) -> None:
    (root / "requirements.txt").write_text("numpy\n-c c.txt\n")
    (root / "c.txt").write_text("numpy<2\n")
    found = load(root)
    assert roots(found) == {"default": ["numpy"]}
    assert found.stacks == (Stack(name="default", layers=("default",)),)
    assert (found.name, found.version, found.distribution) == ("my-project", "0", None)
    assert [item.text for item in found.constraints] == ["numpy<2"]
    assert [name for name, _ in found.inputs] == ["c.txt", "requirements.txt"]
    assert load(root / "requirements.txt") == found
    assert load(root, name="Lib", version="3.1").name == "Lib"


def test_settings_alone_in_pyproject_go_with_the_requirements_beside_them(root: Path) -> None:
    (root / "requirements.txt").write_text("numpy>=1.2\nscipy\n")
    found = project(root, '[tool.layerkit]\nruntimes = ["py311"]\nlayers = {a = ["numpy"], b = ["scipy"]}\n')
    assert roots(found) == {"a": ["numpy>=1.2"], "b": ["scipy"]}
    assert found.runtimes == ("python3.11",)
    assert [name for name, _ in found.inputs] == ["pyproject.toml", "requirements.txt"]


def test_a_pipfile(root: Path) -> None:
    (root / "Pipfile").write_text('[packages]\nnumpy = "*"\n')
    (root / "Pipfile.lock").write_text('{"default": {"numpy": {"version": "==2.0"}}}')
    found = load(root)
    assert roots(found) == {"default": ["numpy"]}
    assert [(pin.name, pin.version) for pin in found.pins] == [("numpy", "2.0")]


def test_a_pipfile_lock_alone(root: Path) -> None:
    (root / "Pipfile.lock").write_text('{"default": {"numpy": {"version": "==2.0"}}, "develop": {"b": {}}}')
    assert roots(load(root)) == {"default": ["numpy==2.0"]}


def test_a_pep_751_lock_as_the_project(root: Path) -> None:
    wheel = f'wheels = [{{name = "x.whl", url = "https://h/x.whl", hashes = {{sha256 = "{"a" * 64}"}}}}]\n'
    (root / "pylock.toml").write_text(
        'lock-version = "1.0"\ncreated-by = "x"\nrequires-python = ">=3.9"\n'
        f'[[packages]]\nname = "numpy"\nversion = "2.0"\n{wheel}'
        f'[[packages]]\nname = "pytest"\nversion = "8"\nmarker = "\'dev\' in dependency_groups"\n{wheel}'
    )
    found = load(root / "pylock.toml")
    assert roots(found)["default"] == ["numpy==2.0", 'pytest==8 ; python_version < "0"']
    assert [pin.hashes for pin in found.pins] == [{"sha256:" + "a" * 64}] * 2
    assert found.pins_source == "pylock.toml"
    assert load(root).layers == found.layers


def test_a_folder_that_says_nothing_is_told_what_was_looked_for(root: Path) -> None:
    with pytest.raises(ConfigError, match="looked for a pyproject"):
        load(root)
    with pytest.raises(ConfigError, match="there is no such file or folder"):
        load(root / "none")
    (root / "app.py").touch()
    with pytest.raises(ConfigError, match="this is no requirements file"):
        load(root / "app.py")


def test_an_extra_that_would_be_mixed_up_with_a_layer(root: Path) -> None:
    text = '[project]\nname = "a"\noptional-dependencies = {nodeps = ["x"]}\n'
    assert "an extra called 'nodeps' would be mixed up" in fault(root, text)


# Runtimes, names, places


def test_the_newest_admitted_runtime_is_taken_and_said(root: Path) -> None:
    newest = supported_runtimes()[-1]
    found = project(root, '[project]\nname = "a"\nversion = "1"\n')
    assert found.runtimes == (newest,)
    assert newest in found.notes[0]
    found = project(root, '[project]\nname = "a"\nversion = "1"\nrequires-python = ">=3.9,<3.12"\n')
    assert found.runtimes == ("python3.11",)
    assert ">=3.9,<3.12" in found.notes[0]
    found = project(root, '[project]\nname = "a"\nversion = "1"\nrequires-python = "<3.8"\n')
    assert found.runtimes == ("python3.7",)


def test_ranges_that_admit_nothing_or_are_none(root: Path) -> None:
    head = '[project]\nname = "a"\nversion = "1"\nrequires-python = '
    assert "admits no Lambda runtime" in fault(root, head + '">=4"')
    assert "is not a range of versions" in fault(root, head + '"three"')


def test_overrides_stand_above_the_file(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = pep_621('[tool.layerkit]\nruntimes = ["3.12"]\narchitectures = ["arm64"]\nlayout = "flat"\n')
    found = project(root, text)
    assert (found.runtimes, found.architectures, found.layout) == (("python3.12",), ("arm64",), "flat")
    monkeypatch.chdir(tmp_path)
    found = load(
        root,
        runtimes=["py313", "3.13"],
        architectures=["amd64"],
        layout="versioned",
        sdk="bundle",
        output=Path("out"),
        name="n",
        version="9",
    )
    assert (found.runtimes, found.architectures) == (("python3.13",), ("x86_64",))
    assert (found.layout, found.sdk, found.name, found.version) == ("versioned", "bundle", "n", "9")
    assert found.output == tmp_path / "out"
    with pytest.raises(UsageError):
        load(root, runtimes=["ruby"])
    assert "does not admit python3.8" in load(root, runtimes=["py38"]).notes[0]


def test_targets_leave_out_what_lambda_never_had(root: Path) -> None:
    found = project(root, pep_621(), runtimes=["py37", "py312"], architectures=["x86_64", "arm64"])
    assert [target.key for target in found.targets()] == [
        *("python3.7-x86_64", "python3.12-x86_64", "python3.12-arm64"),
    ]
    found = replace(found, sdk_version="1.30.0")
    assert {target.sdk and target.sdk.boto3 for target in found.targets()} == {"1.30.0"}


def test_a_version_that_cannot_stand_in_a_name(root: Path) -> None:
    text = '[project]\nname = "a"\nversion = "1.0+local"\n'
    assert "'1.0+local' cannot stand in the name of a layer" in fault(root, text)
    assert project(root, text, version="1.0").version == "1.0"


def test_a_version_that_is_not_written_is_said(root: Path) -> None:
    found = project(root, '[project]\nname = "a"\ndynamic = ["version"]\n' + BUILD)
    assert found.version == "0"
    assert "the version is not written" in found.notes[0]


# Declared layers and functions


def test_a_bare_name_takes_what_the_project_says_of_it(root: Path) -> None:
    found = project(
        root,
        pep_621(
            '[tool.layerkit.layers]\na = ["NumPy", "pandas[s3]", "fastapi", "pytest"]\n'
            'b = ["numpy==1.9 ; os_name == \'posix\'", "unknown"]\nc = ["requests ; os_name == \'posix\'"]\n'
        ),
    )
    assert roots(found) == {
        "a": [
            *("numpy>=1.2", "pandas[parquet,s3]>=2 ; python_version >= '3.9'"),
            *("fastapi", "pytest>=8"),
        ],
        "b": ["numpy==1.9 ; os_name == 'posix'", "unknown"],
        "c": ["requests ; os_name == 'posix'"],
    }
    assert found.layer("a").requirements[0].origin == "pyproject.toml: project.dependencies[0]"
    assert found.layer("b").requirements[0].origin == "pyproject.toml: tool.layerkit.layers.b[0]"
    assert stacks(found) == {"all": ("a", "b", "c")}


def test_a_layer_can_be_a_table(root: Path) -> None:
    found = project(
        root,
        pep_621(
            '[tool.layerkit.layers]\na = {extras = ["web"], groups = ["dev"], requirements = ["x"]}\n'
            "b = {dependencies = true}\nc = {project = true}\n"
        ),
    )
    assert roots(found)["a"] == ["x", "fastapi", "pytest>=8"]
    assert len(roots(found)["b"]) == 3
    assert found.layer("c").project == "wheel-only"
    assert found.layer("c").requirements[0].path == root


def test_the_projects_own_name_means_its_wheel_and_what_that_needs(root: Path) -> None:
    found = project(root, pep_621('[tool.layerkit.layers]\na = ["App[web]"]\n'))
    [own] = found.layer("a").requirements
    assert (own.path, own.extras, found.layer("a").project) == (root, ("web",), "none")
    text = fault(root, pep_621('[tool.layerkit.layers]\na = ["app"]\n', build=""))
    assert "tool.layerkit.layers.a[0]: the project has no wheel of its own" in text


def test_functions(root: Path) -> None:
    (root / "src").mkdir()
    (root / "main.py").touch()
    found = project(
        root,
        pep_621(
            '[tool.layerkit.layers]\nbase = ["numpy"]\n[tool.layerkit.functions]\n'
            'api = {layers = ["base"], code = "src", include = ["*.py"], exclude = ["tests/"]}\n'
            'jobs = {layers = ["base"], extras = ["ml"], code = "main.py"}\n'
            'own = {requirements = ["requests"]}\nbare = {layers = [], code = "src"}\n'
        ),
    )
    assert roots(found) == {"base": ["numpy>=1.2"], "jobs": ["scipy"], "own": ["requests"]}
    assert stacks(found) == {"api": ("base",), "jobs": ("base", "jobs"), "own": ("own",), "bare": ()}
    api = found.functions[0]
    assert (api.code, api.include, api.exclude) == (root / "src", ("*.py",), ("tests/",))
    assert any("no layer names pandas" in note for note in found.notes)


def test_functions_without_declared_layers_use_the_projects_own(root: Path) -> None:
    (root / "src").mkdir()
    found = project(
        root, pep_621('[tool.layerkit.functions]\napi = {code = "src"}\nw = {layers = ["default", "web"]}\n')
    )
    assert stacks(found) == {"api": ("default", "nodeps"), "w": ("default", "web")}
    assert list(roots(found)) == ["default", "web", "nodeps"]


def test_layers_that_no_function_needs_are_not_read(root: Path) -> None:
    found = project(
        root,
        '[project]\nname = "a"\nversion = "1"\noptional-dependencies = {x = ["r @ git+https://h/r"]}\n'
        '[tool.layerkit.functions.f]\nrequirements = ["numpy"]\n',
    )
    assert roots(found) == {"f": ["numpy"]}


def test_self_contained_layers_stand_alone(root: Path) -> None:
    found = project(
        root, pep_621('[tool.layerkit]\nself-contained = true\nlayers = {a = ["numpy"], b = ["pandas"]}\n')
    )
    assert found.self_contained
    assert stacks(found) == {"a": ("a",), "b": ("b",)}
    found = project(root, pep_621("[tool.layerkit]\nself-contained = true\n"))
    assert stacks(found) == {
        "default": ("default", "nodeps"),
        "web": ("web", "nodeps"),
        "ml": ("ml", "nodeps"),
    }
    assert roots(found)["web"][-1] == "fastapi"
    assert len(roots(found)["web"]) == 4


def test_all_settings(root: Path) -> None:
    found = project(
        root,
        pep_621(
            """
            [tool.layerkit]
            runtimes = ["py312", "3.11", "python3.12"]
            architectures = ["aarch64", "x86_64"]
            sdk = "runtime"
            sdk-version = "1.40.4"
            never-deploy = ["PyTest_Cov"]
            output = "out"
            lock = "locks"
            collisions = {"python/x.txt" = "My_Pkg"}
            aws-services = ["sqs", "s3"]
            over-limit = {mode = "bundle", lazy = true, remote = "s3://bucket/prefix"}
            [tool.layerkit.slim.rows]
            headers = false
            notebooks = ["*.ipynb", "/lib/demo/"]
            [tool.layerkit.slim.keep]
            My_Pkg = ["*.h"]
            """
        ),
    )
    assert found.runtimes == ("python3.12", "python3.11")
    assert found.architectures == ("arm64", "x86_64")
    assert (found.sdk, found.sdk_version) == ("runtime", "1.40.4")
    assert found.never == {"pytest-cov"}
    assert found.collisions == {"python/x.txt": "my-pkg"}
    assert (found.output, found.lock_folder) == (root / "out", root / "locks")
    assert found.aws_services == ("s3", "sqs")
    assert found.over_limit == OverLimit(mode="bundle", lazy=True, remote="s3://bucket/prefix")
    assert found.slim == Slimming(
        switched=(("headers", False),),
        rows=(("notebooks", ("*.ipynb", "/lib/demo/")),),
        keep=(("my-pkg", ("*.h",)),),
    )


def test_slimming_can_be_switched_off_as_a_whole(root: Path) -> None:
    assert project(root, pep_621("")).slim == Slimming()
    assert not project(root, pep_621("[tool.layerkit]\nslim = false\n")).slim.enabled


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", (True, "beside")),
        ("strip = false\nbytecode = true", (False, "beside")),
        ('strip = true\nbytecode = "only"', (True, "only")),
        ("bytecode = false", (True, "none")),
    ],
)
def test_stripping_and_bytecode_are_on_unless_said(root: Path, said: str, expected: tuple[bool, str]) -> None:
    found = project(root, pep_621(f"[tool.layerkit]\n{said}\n"))
    assert (found.strip, found.bytecode) == expected


def test_what_becomes_of_a_stack_above_the_limit_can_be_one_word(root: Path) -> None:
    assert project(root, pep_621("")).over_limit == OverLimit(mode="error")
    found = project(root, pep_621('[tool.layerkit]\nover-limit = "nested-zip"\n'))
    assert found.over_limit == OverLimit(mode="nested-zip")


FAULTS: list[tuple[str, str]] = [
    ('runtime = ["py312"]', "tool.layerkit.runtime: there is no such key (did you mean 'runtimes'?)"),
    (
        'sdk_version = "1.2.3"',
        "tool.layerkit.sdk_version: there is no such key (did you mean 'sdk-version'?)",
    ),
    ('runtimes = "py312"', "tool.layerkit.runtimes: this is a string, and has to be a list of strings"),
    ('runtimes = ["py399"]', "tool.layerkit.runtimes[0]: there is no Lambda runtime called 'py399'"),
    ("runtimes = []", "tool.layerkit.runtimes: this is empty"),
    ('architectures = ["x86_64", "mips"]', "tool.layerkit.architectures[1]: there is no Lambda architecture"),
    (
        'sdk = "bundel"',
        "tool.layerkit.sdk: 'bundel' is none of auto, runtime, bundle (did you mean 'bundle'?)",
    ),
    ('sdk-version = "latest"', "tool.layerkit.sdk-version: 'latest' is not a version of boto3"),
    ("layout = 1", "tool.layerkit.layout: this is a number, and has to be a string"),
    ('self-contained = "yes"', "tool.layerkit.self-contained: this is a string, and has to be true or false"),
    ('output = ""', "tool.layerkit.output: this is empty"),
    ("lock = 2020-01-01", "tool.layerkit.lock: this is a date, and has to be a string"),
    ('never-deploy = ["a b"]', "tool.layerkit.never-deploy[0]: 'a b' is not the name of a package"),
    (
        'collisions = {"../x" = "a"}',
        'tool.layerkit.collisions."../x": the path has to be one inside the layer',
    ),
    ("publish = {regoins = []}", "publish.regoins: there is no such key (did you mean 'regions'?)"),
    ("publish = {accounts = [1]}", "publish.accounts[0]: this is a number, and has to be a string"),
    ('publish = {accounts = ["1"]}', "publish.accounts[0]: '1' is not the 12 digits of an account"),
    ('publish = {organizations = ["x"]}', "publish.organizations[0]: 'x' is not an organization"),
    ('publish = {s3-storage = "move"}', "publish.s3-storage: 'move' is none of copy, reference"),
    ("publish = {functions = {api = 1}}", "publish.functions.api: 1 is not the name of a function"),
    ("collisions = {x = 1}", "tool.layerkit.collisions.x: 1 is not the name of the package"),
    ("strip = 1", "tool.layerkit.strip: this is a number, and has to be true or false"),
    ('bytecode = "all"', "tool.layerkit.bytecode: 'all' is none of true, false, 'only'"),
    ("slim = 1", "tool.layerkit.slim: 1 is none of true, false and a table"),
    ('slim = {off = ["headers"]}', "tool.layerkit.slim.off: there is no such key"),
    (
        "slim = {rows = {a = 1}}",
        "tool.layerkit.slim.rows.a: this is a number, and has to be a list of strings",
    ),
    ('slim = {rows = {a = ["../x"]}}', "slim.rows.a[0]: '../x' is not a pattern for files of a folder"),
    ('slim = {keep = {a = ["x", "[x"]}}', "slim.keep.a[1]: the bracket in '[x' is not closed"),
    ('over-limit = "bundel"', "tool.layerkit.over-limit: 'bundel' is none of error, bundle, nested-zip"),
    ("over-limit = 1", "tool.layerkit.over-limit: this is a number, and has to be a table"),
    ('over-limit = {mod = "bundle"}', "tool.layerkit.over-limit.mod: there is no such key"),
    ("over-limit = {lazy = 1}", "tool.layerkit.over-limit.lazy: this is a number"),
    ('over-limit = {remote = "bucket"}', "tool.layerkit.over-limit.remote: 'bucket' is no address"),
    ("aws-services = []", "tool.layerkit.aws-services: this is empty"),
    ("layers = []", "tool.layerkit.layers: this is a list, and has to be a table"),
    ('layers = "all"', "tool.layerkit.layers: 'all'"),
    ('layers = {"*" = ["numpy"]}', 'is not "auto"'),
    ("layers = {a = []}", "tool.layerkit.layers.a: the layer names nothing"),
    ("layers = {a = {}}", "tool.layerkit.layers.a: the layer names nothing"),
    ("layers = {a = [1]}", "tool.layerkit.layers.a[0]: this is a number, and has to be a string"),
    ('layers = {a = ["numpy=1"]}', "tool.layerkit.layers.a[0]: 'numpy=1' is not a requirement"),
    ('layers = {a = ["./none"]}', "tool.layerkit.layers.a[0]: there is no wheel or folder"),
    ('layers = {"a b" = ["numpy"]}', "tool.layerkit.layers.\"a b\": 'a b' is no name for Lambda"),
    ('layers = {a = ["numpy"], A = ["scipy"]}', "tool.layerkit.layers.A: 'A' and 'a' would be files"),
    (
        'layers = {a = {extras = ["webb"]}}',
        "a.extras[0]: there is no extra called 'webb' (did you mean 'web'?)",
    ),
    ('layers = {a = {groups = ["dew"]}}', "a.groups[0]: there is no dependency group called 'dew'"),
    (
        'layers = {a = {requirement = ["x"]}}',
        "a.requirement: there is no such key (did you mean 'requirements'?)",
    ),
    (
        'functions = {f = {layers = ["defolt"]}}',
        "f.layers[0]: there is no layer called 'defolt' (did you mean 'default'?)",
    ),
    (
        'functions = {f = {layers = ["web", "web"]}}',
        "tool.layerkit.functions.f.layers[1]: 'web' is named twice",
    ),
    ('functions = {f = {layers = ["web"], code = "none"}}', "f.code: there is no file or folder 'none'"),
    ('functions = {f = {layers = ["web"], include = ["x"]}}', "f.include: this says nothing without `code`"),
    ('layers = {a = ["x"]}\nfunctions = {f = {}}', "functions.f: the function names neither layers nor"),
    (
        'layers = {a = ["x"]}\nfunctions = {a = {requirements = ["y"]}}',
        "functions.a: 'a' and 'a' would be files",
    ),
    (
        'layers = {f-code = ["x"]}\nfunctions = {f = {layers = ["f-code"], code = "."}}',
        "layers.f-code: the layer 'f-code' would have the name of a function's code",
    ),
    (
        'self-contained = true\nfunctions = {f = {extras = ["web"]}}',
        "tool.layerkit.self-contained: a layer that",
    ),
    (
        f'layers = {{{"a" * 130} = ["x"]}}',
        "the layer's whole name, with runtime, project and version, has 144",
    ),
]


@pytest.mark.parametrize(("settings", "said"), FAULTS)
def test_faults_of_the_configuration(settings: str, said: str, root: Path) -> None:
    text = fault(root, pep_621(f"[tool.layerkit]\n{settings}\n"))
    assert "pyproject.toml: tool.layerkit" in text
    assert said in text


def test_one_error_lists_all_faults_with_their_paths(root: Path) -> None:
    text = fault(
        root,
        '[project]\nname = "a"\nversion = "1"\ndependencies = ["x=1"]\n'
        '[tool.layerkit]\nruntimes = ["py99"]\nsdc = 1\n'
        '[tool.layerkit.layers]\nnumpy = ["numpy"]\nall = {dependencies = true}\n'
        '[tool.layerkit.functions.api]\nlayers = ["numpy", "numpi"]\ncode = "none"\n',
    )
    api = "pyproject.toml: tool.layerkit.functions.api"
    assert text.startswith("5 faults in the project's files:\n")
    for line in (
        "pyproject.toml: tool.layerkit.runtimes[0]: there is no Lambda runtime",
        "pyproject.toml: tool.layerkit.sdc: there is no such key",
        "pyproject.toml: project.dependencies[0]: 'x=1' is not a requirement",
        f"{api}.layers[1]: there is no layer called 'numpi' (did you mean 'numpy'?)",
        f"{api}.code: there is no file or folder 'none'",
    ):
        assert f"\n  {line}" in text


# Inputs, pins, siblings


def test_inputs_change_with_what_decides_and_with_nothing_else(root: Path) -> None:
    (root / "src").mkdir()
    (root / "src" / "handler.py").write_text("one")
    (root / "requirements.txt").write_text("./lib\n")
    (root / "lib").mkdir()
    (root / "lib" / "setup.cfg").write_text("[metadata]\nname = lib\n")
    settings = '[tool.layerkit.functions.f]\ncode = "src"\n'
    first = project(root, settings)
    assert [name for name, _ in first.inputs] == ["lib/", "pyproject.toml", "requirements.txt"]
    assert first.content(root / "lib") == dict(first.inputs)["lib/"]
    for name in ("src/handler.py", "lib/__pycache__/x.pyc", "lib/dist/x.whl", "lib/lib.egg-info/PKG-INFO"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("two")
    assert load(root).inputs == first.inputs
    (root / "lib" / "build.py").touch()
    assert load(root).inputs != first.inputs


def test_what_layerkit_writes_does_not_count(root: Path) -> None:
    text = pep_621('[tool.layerkit]\noutput = "out"\nlock = "locks"\n')
    first = project(root, text)
    assert "./" in dict(first.inputs)
    for folder in ("out", "locks"):
        (root / folder).mkdir()
        (root / folder / "x").touch()
    assert load(root).inputs == first.inputs


def test_values_of_the_environment_count_without_their_credentials(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "requirements.txt").write_text("--index-url https://me:${PW}@host/\nx==${V}\n")
    monkeypatch.setenv("PW", "one")
    monkeypatch.setenv("V", "1")
    first = load(root)
    assert first.secret
    monkeypatch.setenv("PW", "two")
    assert load(root).inputs == first.inputs
    monkeypatch.setenv("V", "2")
    assert load(root).inputs != first.inputs


def test_pins_are_read_on_request_and_count_as_input_always(root: Path) -> None:
    (root / "poetry.lock").write_text('[[package]]\nname = "numpy"\nversion = "1.26"\n')
    text = pep_621()
    without = project(root, text, pins=False)
    assert (without.pins, without.pins_source) == ((), "poetry.lock")
    assert "poetry.lock" in dict(without.inputs)
    assert with_pins(without) == load(root)
    assert load(root).pins[0].version == "1.26"


def test_siblings_of_siblings_come_along(root: Path) -> None:
    for name, needs in (("core", ""), ("lib", 'dependencies = ["core", "requests"]\n')):
        (root.parent / name).mkdir()
        sources = '[tool.uv.sources]\ncore = {path = "../core"}\n' if needs else ""
        (root.parent / name / "pyproject.toml").write_text(
            f'[project]\nname = "{name}"\nversion = "1"\n{needs}{BUILD}{sources}'
        )
    found = project(
        root,
        '[project]\nname = "a"\nversion = "1"\ndependencies = ["lib"]\n'
        '[tool.uv.sources]\nlib = {path = "../lib", editable = true}\n',
    )
    lib, core = found.layer("default").requirements
    assert (lib.path, core.path) == (root.parent / "lib", root.parent / "core")
    assert core.origin == "../lib/pyproject.toml: project.dependencies[0]"
    assert [name for name, _ in found.inputs] == ["../core/", "../lib/", "pyproject.toml"]


def test_siblings_that_need_one_another_end(root: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (root / name).mkdir()
        (root / name / "pyproject.toml").write_text(
            f'[tool.poetry]\nname = "{name}"\nversion = "1"\n'
            f'[tool.poetry.dependencies]\n{other} = {{path = "../{other}"}}\nx = "^1"\n'
        )
    (root / "requirements.txt").write_text("-e ./a\n")
    assert [item.name for item in load(root).requirements()] == ["a", "b"]


# Validity and cost


def test_validate_finds_what_load_did_not_look_into(root: Path) -> None:
    found = project(
        root,
        '[project]\nname = "a"\nversion = "1"\ndependencies = ["x>=1..2", "y ; os_nam == \'nt\'", "z"]\n',
    )
    with pytest.raises(ConfigError) as caught:
        validate(found)
    assert "project.dependencies[0]" in str(caught.value)
    assert "project.dependencies[1]" in str(caught.value)
    validate(project(root, pep_621()))


def test_a_warm_load_imports_nothing_that_is_slow(root: Path) -> None:
    (root / "pyproject.toml").write_text(pep_621('[tool.layerkit.layers]\na = ["numpy"]\n'))
    program = (
        "import sys; from pathlib import Path; from layerkit.project import load; load(Path(sys.argv[1]));"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(root)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ},
    )
    loaded = set(done.stdout.split())
    assert "layerkit" in loaded
    assert loaded.isdisjoint(
        {"packaging", "poetry", "urllib3", "rich", "tomli_w", "subprocess", "configparser"}
    )
