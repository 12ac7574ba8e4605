from __future__ import annotations

import pytest

from layerkit.container.links import Links


def tree(files: str = "", links: dict[str, str] | None = None, folders: str = "") -> Links[str]:
    found: Links[str] = Links("opt")
    for path in files.split():
        found.file(path, f"<{path}>")
    for path in folders.split():
        found.folder(path)
    for path, target in (links or {}).items():
        found.link(path, target)
    return found


def seen(links: Links[str]) -> dict[str, str]:
    files = links.files()
    assert [name for name, _ in files] == sorted(name for name, _ in files)
    return {name: content.strip("<>") for name, content in files}


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("lib/libx.so", "libx.so.1"),
        ("lib/libx.so", "./libx.so.1"),
        ("lib/libx.so", "../lib//libx.so.1"),
        ("lib/libx.so", "/opt/lib/libx.so.1"),
        ("libx.so", "lib/libx.so.1"),
    ],
)
def test_a_link_becomes_what_it_leads_to(link: str, target: str) -> None:
    links = tree("lib/libx.so.1", {link: target})
    assert seen(links) == {"lib/libx.so.1": "lib/libx.so.1", link: "lib/libx.so.1"}
    assert links.copied == ["<lib/libx.so.1>"]
    assert links.faults == []


def test_links_to_links_and_through_linked_folders_are_followed() -> None:
    links = tree("real/a/f", {"one": "two", "two": "real/a/f", "dir": "real/a", "three": "dir/f"})
    found = seen(links)
    assert found == dict.fromkeys(("real/a/f", "one", "two", "dir/f", "three"), "real/a/f")
    assert len(links.copied) == 4


def test_a_link_to_a_folder_becomes_its_files_and_those_below() -> None:
    links = tree("lib/a lib/deep/b", {"lib64": "lib", "lib/deep/c": "../a"})
    assert seen(links) == {
        "lib/a": "lib/a",
        "lib/deep/b": "lib/deep/b",
        "lib/deep/c": "lib/a",
        "lib64/a": "lib/a",
        "lib64/deep/b": "lib/deep/b",
        "lib64/deep/c": "lib/a",
    }


def test_a_link_to_an_empty_folder_is_nothing() -> None:
    links = tree("a", {"link": "empty"}, folders="empty")
    assert seen(links) == {"a": "a"}
    assert links.faults == []


@pytest.mark.parametrize(
    ("links", "said"),
    [
        ({"x": "/etc/passwd"}, "/opt/x leads out of /opt: /etc/passwd"),
        ({"x": "../etc/passwd"}, "/opt/x leads out of /opt: ../etc/passwd"),
        ({"x": "/optical/f"}, "/opt/x leads out of /opt: /optical/f"),
        ({"x": "/opt/../etc"}, "/opt/x leads out of /opt"),
        ({"x": "y", "y": "/usr/lib/f"}, "/opt/x leads out of /opt: /usr/lib/f"),
        ({"x": "gone"}, "/opt/x leads to nothing: gone"),
        ({"x": "f/inside"}, "/opt/x leads to nothing: f/inside"),
        ({"x": "x"}, "/opt/x leads around in circles"),
        ({"x": "y", "y": "x"}, "/opt/x leads around in circles"),
        ({"x": "."}, "/opt/x leads to a folder that it lies in"),
        ({"d/x": ".."}, "/opt/d/x leads to a folder that it lies in"),
        ({"d/x": "/opt"}, "/opt/d/x leads to a folder that it lies in"),
    ],
)
def test_what_leads_astray_is_a_fault(links: dict[str, str], said: str) -> None:
    found = tree("f", links)
    assert "f" in seen(found)
    assert found.faults[0].startswith(said)


def test_folders_that_link_to_one_another_are_found_out() -> None:
    links = tree("a/f b/f", {"a/to": "../b", "b/to": "../a"})
    assert set(seen(links)) == {"a/f", "b/f", "a/to/f", "b/to/f"}
    assert sorted(links.faults) == [
        "/opt/a/to/to leads to a folder that it lies in",
        "/opt/b/to/to leads to a folder that it lies in",
    ]


def test_links_that_multiply_end_before_the_memory_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerkit.container.links._MOST_LOOKS", 5000)
    doubling = {f"{level}/{side}": f"../{level + 1}" for level in range(30) for side in "ab"}
    links = tree("30/f", doubling)
    assert len(links.files()) < 5000
    assert any("one file too many" in fault for fault in links.faults)


def test_a_path_that_grows_too_long_is_a_fault() -> None:
    links = tree("/".join(["d" * 200] * 6))
    assert links.files() == []
    assert "too long" in links.faults[0]


def test_a_file_that_is_a_folder_too_is_a_fault() -> None:
    links = tree("a a/b", {"c": "a"}, folders="c")
    links.files()
    assert links.faults == [
        "/opt/a is a folder and something else at once",
        "/opt/c is a folder and something else at once",
    ]


def test_a_second_name_needs_a_first() -> None:
    links = tree("a")
    assert links.again("b", "a")
    assert not links.again("c", "gone")
    assert seen(links) == {"a": "a", "b": "a"}
    assert links.copied == ["<a>"]
