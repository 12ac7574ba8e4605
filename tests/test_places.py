from __future__ import annotations

from layerkit.overlimit.places import importable, is_library, links, may_move, mirrored

NAMES = [
    "numpy/__init__.py",
    "numpy/core/_umath.cpython-312-x86_64-linux-gnu.so",
    "numpy/lib/npyio.py",
    "numpy/data/table.bin",
    "numpy/data/small/one.txt",
    "numpy.libs/libblas-0.3.so.0.3",
    "numpy-2.0.dist-info/METADATA",
    "numpy.pth",
    "_single.abi3.so",
    "google/cloud/store/__init__.py",
    "google/cloud/store/deep/__init__.py",
    "google/plain.py",
    "numpy/__pycache__/__init__.cpython-312.pyc",
]


def test_what_python_reads_without_importing_stays() -> None:
    assert [name for name in NAMES if not may_move(name)] == ["numpy-2.0.dist-info/METADATA", "numpy.pth"]


def test_shared_libraries_are_known_by_their_names() -> None:
    assert [name for name in NAMES if is_library(name)] == [
        "numpy/core/_umath.cpython-312-x86_64-linux-gnu.so",
        "numpy.libs/libblas-0.3.so.0.3",
        "_single.abi3.so",
    ]
    assert not is_library("numpy/core/config.so.txt")


def test_folders_of_moved_files_and_of_libraries_are_mirrored() -> None:
    assert mirrored(NAMES, {"numpy/data/table.bin"}) == ["numpy", "numpy.libs", "numpy/core", "numpy/data"]
    assert mirrored(["a.py", "b/c.py"], {"a.py"}) == []


def test_links_lead_to_each_thing_in_a_mirrored_folder_that_stayed() -> None:
    folders = mirrored(NAMES, {"numpy/data/table.bin"})
    # __init__.py, __pycache__, lib, core/_umath, data/small, numpy.libs/libblas
    assert links(NAMES, {"numpy/data/table.bin"}, folders) == 6
    assert links(NAMES, set(NAMES), folders) == 0


def test_packages_are_imported_by_their_names_and_namespaces_by_what_is_in_them() -> None:
    assert importable(NAMES) == ["_single", "google.cloud.store", "google.plain", "numpy"]
    assert importable(["legacy/__init__.pyc", "native/__init__.so", "no-name/__init__.py"]) == [
        "legacy",
        "native",
    ]
