"""The rule about the SDK, branch by branch, with a uv that answers from a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerkit.errors import ResolutionError
from layerkit.lock.sdk import Resolution, choose_versions
from layerkit.lock.uv import Candidate, Question, UnsatisfiableError, Uv
from layerkit.project import Pin
from layerkit.store import Store
from layerkit.target import target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layerkit.project import SdkRule
    from layerkit.target import Target

SEEN = target("py312")
GIVEN = target("py312", sdk_version="1.42.0")
UNSEEN = target("py315")

QUESTION = Question(
    requirements=("app>=1", "other"),
    constraints=("app<9",),
    overrides=("lib==2",),
    arguments=("--index-url", "http://index"),
    preferences="an earlier lock",
)
NO = "No solution found:\n  cause: Because app needs botocore>=2\n  it is so.\nhint: do something else"


class TableUv(Uv):
    """Answers each question of the rule from a table: versions by name, or the words of a refusal.

    The questions are told apart by what the rule adds to the project's own requirements: nothing ("free"),
    a bare boto3 ("bundle"), one as new as the runtime's ("newer"), and that of the runtime itself ("runtime",
    and "relaxed" when it is asked once more).
    """

    def __init__(self, at: Target, **answers: str | Mapping[str, str]) -> None:
        super().__init__(at, Store(Path("/nonexistent")), Path("/nonexistent"))
        self.answers = answers
        self.questions: dict[str, Question] = {}

    def resolve(self, question: Question) -> tuple[Candidate, ...]:
        kind = self._kind(question)
        assert kind not in self.questions, f"{kind} is asked twice"
        self.questions[kind] = question
        answer = self.answers[kind]
        if isinstance(answer, str):
            raise UnsatisfiableError(answer)
        return tuple(Candidate(name=name, version=version, wheels=()) for name, version in answer.items())

    def _kind(self, question: Question) -> str:
        added = question.requirements[len(QUESTION.requirements) :]
        sdk = self.target.sdk
        if not added:
            return "free"
        if added == ("boto3",):
            return "bundle"
        assert sdk
        if added == (f"boto3>={sdk.boto3}",):
            return "newer"
        assert added == (f"boto3=={sdk.boto3}", f"botocore=={sdk.botocore}")
        return "relaxed" if "runtime" in self.questions else "runtime"


def choose(
    uv: Uv,
    choice: SdkRule = "auto",
    *,
    pins: Sequence[Pin] = (),
    constraints: Sequence[str] = QUESTION.constraints,
    roots: Sequence[str] = ("app", "other"),
) -> Resolution:
    question = Question(
        requirements=QUESTION.requirements,
        constraints=(*(f"{pin.name}=={pin.version}" for pin in pins), *constraints),
        overrides=QUESTION.overrides,
        arguments=QUESTION.arguments,
        preferences=QUESTION.preferences,
    )
    return choose_versions(uv, question, {pin.name: pin for pin in pins}, frozenset(roots), choice)


def versions(resolution: Resolution) -> dict[str, str]:
    return {one.name: one.version for one in resolution.candidates}


def test_what_fits_is_left_to_the_runtime_and_its_source_is_said() -> None:
    uv = TableUv(SEEN, free={"app": "2"}, runtime={"app": "2", "boto3": "x"})
    found = choose(uv)
    assert SEEN.sdk
    assert versions(found) == {"app": "2", "boto3": "x"}
    assert (found.sdk.mode, found.notes) == ("runtime", ())
    assert found.sdk.reason == (
        f"everything fits boto3 {SEEN.sdk.boto3} of the runtime"
        f" ({SEEN.sdk.source}, last seen {SEEN.sdk.seen})"
    )


def test_a_version_that_the_project_gives_was_not_seen_on_a_day() -> None:
    found = choose(TableUv(GIVEN, free={}, runtime={}))
    assert found.sdk.reason == "everything fits boto3 1.42.0 of the runtime (the project's sdk-version)"


@pytest.mark.parametrize("at", [SEEN, UNSEEN])
def test_bundle_asks_nothing_else_and_brings_a_whole_set(at: Target) -> None:
    uv = TableUv(at, bundle={"app": "2", "boto3": "9"})
    found = choose(uv, "bundle")
    assert list(uv.questions) == ["bundle"]
    assert (found.sdk.mode, found.sdk.reason) == ("bundle", "the project says so")
    assert versions(found) == {"app": "2", "boto3": "9"}


def test_runtime_compares_with_nothing_and_ages_nothing_aloud() -> None:
    uv = TableUv(GIVEN, runtime={"app": "1"})
    found = choose(uv, "runtime")
    assert list(uv.questions) == ["runtime"]
    assert (found.sdk.mode, found.notes, versions(found)) == ("runtime", (), {"app": "1"})


def test_runtime_is_an_error_of_its_own_where_it_does_not_fit() -> None:
    with pytest.raises(ResolutionError) as refused:
        choose(TableUv(GIVEN, runtime=NO), "runtime")
    # Not an UnsatisfiableError: that would be explained as a missing wheel.
    assert type(refused.value) is ResolutionError
    assert refused.value.what == f"the requirements do not fit the SDK that python3.12 brings\n{NO}"
    assert "sdk = 'auto' or 'bundle'" in (refused.value.fix or "")


def test_auto_bundles_where_the_runtimes_sdk_does_not_fit_in_uvs_words() -> None:
    uv = TableUv(GIVEN, free={"app": "2", "botocore": "2"}, runtime=NO, bundle={"app": "2", "boto3": "2"})
    found = choose(uv)
    assert list(uv.questions) == ["free", "runtime", "bundle"]
    assert (found.sdk.mode, found.sdk.reason) == ("bundle", "Because app needs botocore>=2 it is so.")
    assert (versions(found), found.notes) == ({"app": "2", "boto3": "2"}, ())


def test_what_asks_for_no_sdk_gets_one_as_new_as_the_runtimes_or_none_at_all() -> None:
    uv = TableUv(GIVEN, free={"urllib3": "3"}, runtime=NO, newer={"urllib3": "3", "boto3": "2"})
    found = choose(uv)
    assert (found.sdk.mode, versions(found)) == ("bundle", {"urllib3": "3", "boto3": "2"})
    uv = TableUv(GIVEN, free={"urllib3": "3"}, runtime=NO, newer="none is new enough")
    found = choose(uv)
    assert (found.sdk.mode, versions(found)) == ("absent", {"urllib3": "3"})
    assert found.sdk.reason == (
        "no boto3 fits what the project requires, neither the runtime's nor a newer one:"
        " Because app needs botocore>=2 it is so."
    )
    assert found.notes == (f"functions with these layers cannot use boto3: {found.sdk.reason}",)


@pytest.mark.parametrize("part", ["boto3", "botocore"])
def test_what_asks_for_a_part_of_the_sdk_never_does_without(part: str) -> None:
    with pytest.raises(UnsatisfiableError, match="not even so"):
        choose(TableUv(GIVEN, free={part: "2"}, runtime=NO, bundle="not even so"))


def test_what_fits_nothing_at_all_is_for_the_caller_to_explain() -> None:
    with pytest.raises(UnsatisfiableError) as refused:
        choose(TableUv(GIVEN, free=NO))
    assert refused.value.what == NO
    with pytest.raises(UnsatisfiableError, match="not even so"):
        choose(TableUv(GIVEN, free={}, runtime=NO, bundle="not even so"))


def test_every_question_keeps_what_the_project_says() -> None:
    uv = TableUv(GIVEN, free={"app": "2"}, runtime=NO, newer={})
    choose(uv, pins=[Pin(name="lib", version="2")])
    for question in uv.questions.values():
        assert question.requirements[:2] == QUESTION.requirements
        assert question.constraints == ("lib==2", "app<9")
        assert (question.overrides, question.arguments, question.preferences) == (
            QUESTION.overrides,
            QUESTION.arguments,
            QUESTION.preferences,
        )


def test_no_requirement_of_the_project_is_aged_for_the_runtimes_sdk() -> None:
    uv = TableUv(
        GIVEN,
        free={"app": "1.10", "other": "3", "leaf": "2"},
        runtime={"app": "1.9", "other": "2", "leaf": "1", "boto3": "1.42.0"},
        newer={"app": "1.10", "other": "3", "boto3": "2"},
    )
    found = choose(uv)
    assert (found.sdk.mode, versions(found)["app"]) == ("bundle", "1.10")
    assert found.sdk.reason == "with the runtime's SDK there would be only app 1.9, other 2"


@pytest.mark.parametrize(
    ("name", "free", "pinned", "noted"),
    [
        ("leaf", "2.0", "1.0", True),  # nobody asks for it by name
        ("urllib3", "2.0", "1.0", True),  # asked for by name, and a part of the set all the same
        ("app", "1.9", "1.10", False),  # newer, as versions go
        ("app", "1.0", "1.0.0", False),  # the same
        ("boto3", "1.44.0", "1.42.0", False),  # that is the point of it
        ("botocore", "1.44.0", "1.42.0", False),
    ],
)
def test_what_may_be_older_for_the_runtimes_sdk_is_said(
    name: str, free: str, pinned: str, *, noted: bool
) -> None:
    uv = TableUv(GIVEN, free={name: free}, runtime={name: pinned, "only-here": "1"})
    found = choose(uv, roots=("app", "urllib3", "boto3", "botocore"))
    assert (found.sdk.mode, versions(found)[name]) == ("runtime", pinned)
    note = f"{name} {pinned} instead of {free}: it fits the SDK 1.42.0 that the runtime brings"
    assert found.notes == ((note,) if noted else ())


PINS = (
    Pin(name="app", version="2"),
    Pin(name="boto3", version="1.44.0"),
    Pin(name="urllib3", version="2.6"),
)


def test_pins_of_an_existing_lock_hold_while_the_runtimes_sdk_fits_them() -> None:
    uv = TableUv(GIVEN, free={"app": "2"}, runtime={"app": "2", "boto3": "1.42.0"})
    assert choose(uv, pins=PINS).notes == ()
    assert list(uv.questions) == ["free", "runtime"]
    assert "boto3==1.44.0" in uv.questions["runtime"].constraints


def test_pins_of_the_sdks_set_give_way_all_others_stay() -> None:
    relaxed = {"app": "2", "boto3": "1.42.0", "urllib3": "2.6"}
    uv = TableUv(GIVEN, free={"app": "2"}, runtime=NO, relaxed=relaxed)
    found = choose(uv, pins=PINS)
    assert uv.questions["relaxed"].constraints == ("app==2", "app<9")
    assert (found.sdk.mode, versions(found)) == ("runtime", relaxed)
    assert found.notes == ("boto3 1.42.0 instead of the pinned 1.44.0: it fits the runtime's SDK",)


@pytest.mark.parametrize("constraint", ["boto3==1.44.0", "boto3==1.40.0", "urllib3==2.6", "boto3<2"])
def test_what_the_project_itself_says_of_the_sdk_never_gives_way(constraint: str) -> None:
    uv = TableUv(GIVEN, free={}, runtime=NO, relaxed={})
    choose(uv, pins=PINS, constraints=[constraint])
    assert uv.questions["relaxed"].constraints == ("app==2", constraint)


def test_without_pins_of_the_sdk_there_is_nothing_to_ask_again() -> None:
    uv = TableUv(GIVEN, free={}, runtime=NO, bundle={})
    assert choose(uv, pins=PINS[:1]).sdk.mode == "bundle"
    assert list(uv.questions) == ["free", "runtime", "bundle"]


def test_the_last_refusal_is_the_reason() -> None:
    uv = TableUv(GIVEN, free={}, runtime=NO, relaxed="No solution found:\n  app is stubborn", bundle={})
    found = choose(uv, pins=PINS)
    assert (found.sdk.mode, found.sdk.reason) == ("bundle", "app is stubborn")
    assert "boto3==1.44.0" in uv.questions["bundle"].constraints
    with pytest.raises(ResolutionError, match="app is stubborn"):
        choose(TableUv(GIVEN, runtime=NO, relaxed="No solution:\n  app is stubborn"), "runtime", pins=PINS)


def test_an_sdk_nobody_has_seen_is_left_alone_where_nothing_asks_for_one() -> None:
    uv = TableUv(UNSEEN, free={"app": "1", "urllib3": "2"})
    found = choose(uv)
    assert list(uv.questions) == ["free"]
    assert (found.sdk.mode, versions(found)) == ("absent", {"app": "1", "urllib3": "2"})
    assert found.sdk.reason == "the project needs none, and nobody has seen which one python3.15 brings"


@pytest.mark.parametrize("part", ["boto3", "botocore"])
def test_an_sdk_nobody_has_seen_is_shipped_where_something_asks_for_a_part_of_it(part: str) -> None:
    uv = TableUv(UNSEEN, free={part: "1"}, bundle={"boto3": "1", "botocore": "1"})
    found = choose(uv)
    assert (found.sdk.mode, found.sdk.reason) == ("bundle", "nobody has seen which SDK python3.15 brings")
    assert versions(found) == {"boto3": "1", "botocore": "1"}


def test_an_sdk_nobody_has_seen_cannot_be_insisted_on() -> None:
    uv = TableUv(UNSEEN)
    with pytest.raises(ResolutionError, match=r"nobody has seen which SDK python3\.15 brings") as refused:
        choose(uv, "runtime")
    assert "sdk-version" in (refused.value.fix or "")
    assert not uv.questions
