from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from layerkit.overlimit.choice import File, Need, choose

MIB = 1 << 20


def need(unzipped: int, *packages: str) -> Need:
    return Need(packages=frozenset(packages), unzipped=unzipped)


def file(name: str, size: int, packed: int | None = None) -> File:
    return File(name, size, size // 4 if packed is None else packed)


def test_no_more_goes_than_must() -> None:
    files = {"a": [file("big", 40 * MIB), file("small", 2 * MIB)], "b": [file("middle", 20 * MIB)]}
    one = choose({"f": need(110 * MIB, "a", "b")}, files, 100 * MIB, remote=False)
    assert one.framed == {"b": {"middle"}}
    assert not one.remote
    assert not one.over
    two = choose({"f": need(135 * MIB, "a", "b")}, files, 100 * MIB, remote=False)
    assert two.framed == {"a": {"big"}, "b": {"middle"}}
    assert not two.over


def test_a_huge_library_stays_where_a_smaller_one_is_enough() -> None:
    files = {
        "a": [
            file("a/huge.so", 400 * MIB),
            file("a/lib.so", 12 * MIB),
            *(file(f"a/{n}.py", 9000) for n in range(9)),
        ]
    }
    assert choose({"f": need(105 * MIB, "a")}, files, 100 * MIB, remote=False).framed == {"a": {"a/lib.so"}}


def test_what_a_later_file_makes_superfluous_stays_where_it_is() -> None:
    files = {"a": [file("lib", 40 * MIB, 4 * MIB), file("other", 20 * MIB, 10 * MIB)]}
    needs = {"f": need(105 * MIB, "a"), "g": need(140 * MIB, "a")}
    assert choose(needs, files, 100 * MIB, remote=False).framed == {"a": {"lib", "other"}}
    one = {"a": [file(f"small-{number}", MIB, 0) for number in range(9)] + [file("lib", 40 * MIB)]}
    assert choose({"f": need(120 * MIB, "a")}, one, 100 * MIB, remote=False).framed == {"a": {"lib"}}


def test_a_file_beside_a_library_is_cheaper_than_a_larger_one_among_many() -> None:
    crowd = [file(f"p/crowd/{number}.py", 2000, 1900) for number in range(100)]
    files = {"p": [file("p/core.so", MIB), file("p/data.bin", MIB), file("p/crowd/big.bin", 2 * MIB), *crowd]}
    assert choose({"f": need(11 * MIB, "p")}, files, 10 * MIB, remote=False).framed == {
        "p": {"p/core.so", "p/data.bin"}
    }


def test_a_crowded_folder_is_mirrored_last_and_then_gives_what_is_wanting() -> None:
    crowd = [file(f"p/{number}.txt", 900) for number in range(300)]  # too small to be moved, and linked
    inside = [file(f"p/inside/{number}", MIB) for number in range(20)]
    files = {"p": [*crowd, *inside], "q": [file(f"q/{number}", 900_000) for number in range(20)]}
    most = 100 * MIB
    few = choose({"f": need(most + MIB, "p", "q")}, files, most, remote=False)
    assert set(few.framed) == {"q"}
    many = choose({"f": need(most + 20 * MIB, "p", "q")}, files, most, remote=False)
    assert len(many.framed["q"]) == 20
    assert {name.rpartition("/")[0] for name in many.framed["p"]} == {"p/inside"}
    assert not many.over


def test_a_stack_that_fits_has_nothing_in_frames_unless_it_shares_a_package() -> None:
    files = {name: [file(f"lib{name}", 40 * MIB)] for name in "abc"}
    needs = {"large": need(120 * MIB, "a", "b"), "fits": need(60 * MIB, "b", "c")}
    found = choose(needs, files, 100 * MIB, remote=False)
    assert found.framed == {"a": {"liba"}}
    shared = choose(
        {"large": need(120 * MIB, "b"), "fits": need(60 * MIB, "b", "c")}, files, 100 * MIB, remote=False
    )
    assert shared.framed == {"b": {"libb"}}


def test_what_hardly_compresses_and_what_is_tiny_stays_where_it_is() -> None:
    files = {"a": [file("jpeg", 40 * MIB, 39 * MIB), file("line", 100, 10), file("empty", 0, 0)]}
    found = choose({"f": need(101 * MIB, "a")}, files, 100 * MIB, remote=False)
    assert found.framed == {}
    assert found.over == {"f": MIB}


def test_what_is_still_too_large_leaves_the_layers_where_it_may() -> None:
    files = {"a": [file("one", 100 * MIB, 40 * MIB), file("two", 100 * MIB, 30 * MIB)]}
    needs = {"f": need(210 * MIB, "a")}
    stuck = choose(needs, files, 50 * MIB, remote=False)
    assert stuck.over["f"] > 29 * MIB
    apart = choose(needs, files, 50 * MIB, remote=True)
    assert apart.framed == {"a": {"one", "two"}}
    assert apart.remote == {"a": {"one"}}
    assert not apart.over


FILES = st.dictionaries(
    st.sampled_from("abcd"),
    st.lists(st.builds(File, st.uuids().map(str), st.integers(0, 5000), st.integers(0, 5000)), max_size=8),
)
NEEDS = st.dictionaries(
    st.sampled_from("xyz"),
    st.builds(Need, packages=st.frozensets(st.sampled_from("abcd")), unzipped=st.integers(0, 60_000)),
)


@given(files=FILES, needs=NEEDS, remote=st.booleans())
def test_every_stack_fits_or_is_said_to_be_over(
    files: dict[str, list[File]], needs: dict[str, Need], *, remote: bool
) -> None:
    most = 10_000
    found = choose(needs, files, most, remote=remote)
    for name, one in needs.items():
        left = one.unzipped
        for package in one.packages:
            for entry in files.get(package, ()):
                if entry.name in found.remote.get(package, ()):
                    left -= entry.saves + entry.packed
                elif entry.name in found.framed.get(package, ()):
                    left -= entry.saves
        assert found.over.get(name, 0) == max(0, left - most)
    assert all(found.remote[name] <= found.framed[name] for name in found.remote)
    if all(one.unzipped <= most for one in needs.values()):
        assert not found.framed
