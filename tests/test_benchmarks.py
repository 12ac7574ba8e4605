from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path

import pytest
from msgspec.structs import replace

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))

import ours  # noqa: E402  the folder is put on the path above
from contents import differences, packages  # noqa: E402
from figures import (  # noqa: E402
    COLD_OURS,
    COLD_PEER,
    FIRST,
    FLOOR,
    OURS,
    PLAIN,
    REPOSITORY,
    UNCHANGED,
    VERSION,
    Figures,
    Verdict,
    judge,
    verdicts,
)
from index import page  # noqa: E402
from layerkit.project import load  # noqa: E402
from measure import Job, RunError, Sample, Step, run, run_job  # noqa: E402
from peers import PEERS  # noqa: E402
from sets import ROOTS, brings_sdk, pins  # noqa: E402
from table import aligned, report  # noqa: E402
from weights import Weight, weigh  # noqa: E402

LABELS = {row: label for peer in PEERS for row, label in peer.rows.items()}


def weights() -> dict[tuple[str, str], Weight]:
    """Return weights at the limits of what is promised of them: layerkit's bytecode is not counted."""
    found: dict[tuple[str, str], Weight] = {}
    for name in ROOTS:
        theirs = Weight(zipped=150, unzipped=150, bytecode_zipped=50, bytecode_unzipped=50)
        found |= {(name, row): theirs for row in LABELS}
        found[name, PLAIN] = Weight(zipped=80, unzipped=76)
        found[name, OURS] = Weight(zipped=150, unzipped=126, bytecode_zipped=70, bytecode_unzipped=50)
    return found


def figures_of(seconds: dict[tuple[str, str], list[float]], megabytes: int = 100) -> Figures:
    figures = Figures(weights=weights() if ("data", COLD_OURS) in seconds else {})
    for (name, row), runs in seconds.items():
        for wall in runs:
            figures.add(name, row, Sample(seconds=wall, rss=megabytes * 1_000_000))
    return figures


def all_met() -> dict[tuple[str, str], list[float]]:
    seconds: dict[tuple[str, str], list[float]] = {}
    for name in ROOTS:
        seconds |= {(name, row): [10.0] for row in LABELS}
        seconds |= {(name, OURS): [0.2], (name, FLOOR): [0.01], (name, FIRST): [1.9]}
    seconds |= {("data", COLD_OURS): [1.0], ("data", COLD_PEER): [2.0]}
    return seconds | {(REPOSITORY, UNCHANGED): [0.2], (REPOSITORY, VERSION): [0.15]}


def verdict_on(found: list[Verdict], words: str) -> Verdict:
    (one,) = (verdict for verdict in found if words in verdict.promise)
    return one


def test_median_is_the_middle_run_and_not_the_mean() -> None:
    figures = figures_of({("web", OURS): [9.0, 0.1, 0.3, 0.2, 0.4]})
    assert figures.seconds("web", OURS) == 0.3
    assert figures.seconds("data", OURS) is None


def test_peak_is_the_largest_of_all_runs() -> None:
    figures = figures_of({("web", OURS): [0.1]}, megabytes=80)
    figures.add("web", OURS, Sample(seconds=0.1, rss=130_000_000))
    figures.add("web", OURS, Sample(seconds=0.1, rss=70_000_000))
    assert figures.peak("web", OURS) == 130


def test_ratio_is_theirs_over_ours() -> None:
    figures = figures_of({("web", OURS): [0.5], ("web", "sam"): [4.0]})
    assert figures.ratio("web", "sam") == 8
    assert figures.ratio("web", "pex") is None
    assert figures_of({("web", "sam"): [4.0]}).ratio("web", "sam") is None


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"a": 10.0, "b": 11.0}, "met"),
        ({"a": 10.0, "b": 9.99}, "NOT MET"),
        ({"a": 10.0, "b": None}, "not measured"),
        ({"a": 9.0, "b": None}, "NOT MET"),
        ({}, "not measured"),
    ],
)
def test_a_promise_is_met_only_where_every_figure_is_there_and_holds(
    values: dict[str, float | None], word: str
) -> None:
    assert judge("ten", values, lambda value: value >= 10, ".1f").word == word


def test_figures_stand_beside_the_verdict() -> None:
    assert judge("ten", {"a": 12.34, "b": None}, lambda _: True, ".1f").figures == "a 12.3, b -"


def test_promises_at_their_limits_are_met() -> None:
    found = verdicts(figures_of(all_met(), megabytes=120), [*ROOTS], LABELS)
    assert {one.promise for one in found if one.word != "met"} == set()
    assert len(found) == 19


@pytest.mark.parametrize(
    ("where", "seconds", "words"),
    [
        (("data", "uv+zip9"), 9.9, "50 times"),
        (("big", "uv+zip"), 3.9, "20 times"),
        (("sdk", "uv+zip"), 1.1, "6 times"),
        (("many", "uv+zip"), 0.5, "3 times"),
        (("web", "pip+zip9"), 1.9, "pip install -t + zip -r -9"),
        (("web", "sam"), 1.9, "sam build"),
        (("sdk", "pex"), 1.9, "pex3"),
        (("many", "chalice"), 1.9, "chalice"),
        (("data", FLOOR), -0.1, "cat"),
        (("many", FIRST), 10.1, "nothing prepared, beats uv + zip -r -9"),
        (("data", FIRST), 2.1, "by a factor of 5"),
        (("data", COLD_OURS), 1.01, "cold imports"),
        ((REPOSITORY, UNCHANGED), 0.21, "nothing changed"),
        ((REPOSITORY, VERSION), 0.16, "--version"),
    ],
)
def test_each_promise_can_be_missed_on_its_own(where: tuple[str, str], seconds: float, words: str) -> None:
    found = verdicts(figures_of(all_met() | {where: [seconds]}), [*ROOTS], LABELS)
    assert [one.word for one in found].count("NOT MET") == 1
    assert any(words in one.promise for one in found if one.word == "NOT MET")


@pytest.mark.parametrize(
    ("where", "weight", "words"),
    [
        (("data", PLAIN), Weight(zipped=81, unzipped=76), "at most 0.80 zipped"),
        (("data", PLAIN), Weight(zipped=80, unzipped=77), "at most 0.76 unzipped"),
        (("web", PLAIN), Weight(zipped=101, unzipped=76), "no larger than the best peer's"),
        (("many", OURS), Weight(zipped=151, unzipped=126), "no larger than those of pip"),
    ],
)
def test_each_promise_about_bytes_can_be_missed_on_its_own(
    where: tuple[str, str], weight: Weight, words: str
) -> None:
    figures = figures_of(all_met())
    figures.weights[where] = weight
    found = [one.promise for one in verdicts(figures, [*ROOTS], LABELS) if one.word == "NOT MET"]
    assert len(found) == 1
    assert words in found[0]


def test_bytecode_is_weighed_apart(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pkg/a.py", "x = 1\n" * 100)
    plain = weigh(tmp_path, "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pkg/__pycache__/a.cpython-312.pyc", b"code" * 100)
    both = weigh(tmp_path, "*.zip")
    assert plain is not None
    assert both is not None
    assert both.plain() == plain
    assert (plain.unzipped, both.bytecode_unzipped) == (600, 400)
    assert weigh(tmp_path, "*.tar") is None


def test_memory_can_be_missed() -> None:
    found = verdicts(figures_of(all_met(), megabytes=121), [*ROOTS], LABELS)
    assert [one.promise for one in found if not one.met] == [verdict_on(found, "peak memory").promise]


def test_a_session_without_layerkit_measures_no_promise() -> None:
    seconds = {(name, row): [1.0] for name in ROOTS for row in LABELS}
    assert {one.word for one in verdicts(figures_of(seconds), [*ROOTS], LABELS)} == {"not measured"}


def test_columns_of_a_table_stand_under_each_other() -> None:
    lines = aligned(["wall", "data"], [["a long label", "1.5"], ["b", "10.25"]]).splitlines()
    assert lines == [
        "| wall         |  data |",
        "|:-------------|------:|",
        "| a long label |   1.5 |",
        "| b            | 10.25 |",
    ]


def test_report_shows_figures_verdicts_and_failures() -> None:
    figures = figures_of({("web", OURS): [0.125], ("web", "sam"): [2.5]})
    found = verdicts(figures, ["web"], LABELS)
    text = report(figures, ["web"], LABELS, found, ["pex left out: no zip"])
    assert re.search(r"\| layerkit build, warm +\| +0\.125 \|", text)
    assert re.search(r"\| sam build \(no zip\) +\| +20\.0 \|", text)
    assert "**met**: at least 10 times faster than sam build (no zip): web (web 20.0)" in text
    assert "- pex left out: no zip" in text
    assert "chalice" not in text.partition("## Promises")[0]


@pytest.mark.parametrize("name", ROOTS)
def test_sets_are_exact_pins_of_all_their_roots(name: str) -> None:
    lines = pins(name)
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)] == []
    assert set(ROOTS[name].split()) <= {line.partition("==")[0] for line in lines}
    assert lines == tuple(sorted(lines, key=lambda line: line.partition("==")[0]))


def test_sets_that_bring_the_sdk_are_known() -> None:
    assert {name for name in ROOTS if brings_sdk(name)} == {"sdk", "big"}


@pytest.mark.parametrize("name", ROOTS)
def test_the_project_of_a_set_asks_for_all_its_pins_once(name: str, tmp_path: Path) -> None:
    project = load(ours.project(tmp_path, name, "bundle"))
    asked = [requirement.text for layer in project.layers for requirement in layer.requirements]
    assert sorted(asked) == sorted(pins(name))
    assert [stack.layers for stack in project.stacks] == [(layer,) for layer in ours.layers(name)]
    assert (project.runtimes, project.sdk) == (("python3.12",), "bundle")


def test_a_project_that_did_not_change_is_not_written_again(tmp_path: Path) -> None:
    file = ours.project(tmp_path, "web", "auto") / "pyproject.toml"
    before = file.stat().st_mtime_ns
    ours.project(tmp_path, "web", "auto")
    assert file.stat().st_mtime_ns == before
    ours.project(tmp_path, "web", "bundle")
    assert 'sdk = "bundle"' in file.read_text()


def test_packages_are_read_from_the_names_of_files() -> None:
    names = [
        "python/ruamel.yaml-0.18.0.dist-info/METADATA",
        "Typing_Extensions-4.1.dist-info/METADATA",
        "python/x/METADATA",
        "python/x-1.dist-info/RECORD",
    ]
    assert packages(names) == {"ruamel-yaml==0.18.0", "typing-extensions==4.1"}


def test_a_product_that_lacks_a_package_or_has_another_is_found_out(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "layer.zip", "w") as archive:
        archive.writestr("python/a-1.dist-info/METADATA", "")
        archive.writestr("python/b-2.dist-info/METADATA", "")
    assert differences(tmp_path, "*.zip", ["a==1", "b==2"]) is None
    assert differences(tmp_path, "*.zip", ["a==1", "c==3"]) == "without c==3 and with b==2"
    assert differences(tmp_path, "absent*.zip", ["a==1"]) == "without a==1"


def test_a_folder_is_a_product_too(tmp_path: Path) -> None:
    (tmp_path / "out" / "a-1.dist-info").mkdir(parents=True)
    (tmp_path / "out" / "a-1.dist-info" / "METADATA").touch()
    assert differences(tmp_path, "out", ["a==1"]) is None


def test_the_index_links_the_wheels_of_the_project_that_is_asked_for(tmp_path: Path) -> None:
    for name in ("typing_extensions-4.1-py3-none-any.whl", "typing-9-py3-none-any.whl"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("x-1.dist-info/METADATA", "Name: x")
    text = page(tmp_path, "typing-extensions").decode()
    assert re.findall(r'href="../../([^#"]+)#sha256=[0-9a-f]{64}"', text) == [
        "typing_extensions-4.1-py3-none-any.whl"
    ]
    assert page(tmp_path, "nobody") == b""


def test_a_process_is_measured_from_its_start_to_its_end(tmp_path: Path) -> None:
    out = tmp_path / "out"
    step = Step(argv=(sys.executable, "-c", "import time; time.sleep(0.2); print('done')"), stdout=out)
    sample = run(step, tmp_path, {}, tmp_path / "log")
    assert 0.2 <= sample.seconds < 30
    assert sample.rss > 5_000_000
    assert out.read_text() == "done\n"


def test_a_process_that_fails_is_one_line_with_its_last_words(tmp_path: Path) -> None:
    step = Step(argv=("sh", "-c", "echo first >&2; echo last words >&2; exit 3"))
    with pytest.raises(RunError, match=r"^sh ended with 3: first / last words$"):
        run(step, tmp_path, {"PATH": "/usr/bin:/bin"}, tmp_path / "log")


def test_rows_share_what_comes_before_them_and_old_output_is_removed(tmp_path: Path) -> None:
    old = tmp_path / "out"
    old.mkdir()
    nap = Step(argv=(sys.executable, "-c", "import time; time.sleep(0.3)"))
    nothing = Step(argv=("true",))
    job = Job(
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        shared=(nap,),
        rows={"a": (nothing,), "b": (nap, nothing)},
        clean=(old,),
    )
    samples = run_job(job, tmp_path / "log")
    assert samples["a"].seconds >= 0.3
    assert samples["b"].seconds >= 0.6
    assert not old.exists()


def test_a_cold_start_that_does_not_keep_its_promise_is_named() -> None:
    import coldstart
    from lambda_like import Function
    from layerkit.target import target
    from stacks import Stack, Way

    on = target("py312")
    stack = Stack(name="torch", roots=("torch",), imports="", one="", on=on, promise=5)
    function = Function(target=on, opt=Path(), task=Path(), runtime=Path(), python=Path())
    ways = [
        Way(label=label, function=function, zipped=10**6, unzipped=2 * 10**8, layers=5, unpacked=5 * 10**8)
        for label in ("extractall", "nested", "bundle", "one", "lazy")
    ]
    kept = {"extractall": 10.0, "nested": 8.0, "bundle": 2.0, "one": 1.0, "lazy": 0.5}
    figures = {label: {True: seconds, False: seconds} for label, seconds in kept.items()}
    assert coldstart.broken(stack, ways, figures) == []
    assert "| bundle" in coldstart.table(stack, ways, figures)
    slow = {**figures, "bundle": {True: 2.0, False: 2.5}, "lazy": {True: 1.0, False: 0.5}}
    assert coldstart.broken(stack, ways, slow) == [
        "torch: one package is no sooner there lazily",
        "torch, warm: 4.0 times sooner, and 5 are promised",
    ]
    large = [replace(way, unzipped=262_144_000, layers=6) for way in ways]
    assert coldstart.broken(stack, large, figures) == ["torch: 262,144,000 bytes in 6 layers do not fit"]


def test_the_page_about_growing_cost_has_a_row_for_each_way_and_size() -> None:
    from scale import measured

    page = measured(2, (1, 2), 1)
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("|")]
    ways = ["single process", "single process, into a bucket", "cluster"]
    assert rows == ["", "---", *ways, "layers", "---", "1", "2"]
    assert "On the cluster: 16 tasks" in page
