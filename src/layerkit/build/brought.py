"""What a target's layers hold that is no wheel: the answers of Dockerfiles, and functions' own code."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerkit.container.question import Question
    from layerkit.dockerfiles import OptLayer
    from layerkit.layer.function_code import FunctionCode
    from layerkit.session import Session
    from layerkit.target import Target


def asked(session: Session, target: Target) -> tuple[Question, ...]:
    """Return what the project's Dockerfiles come to; nothing of containers is imported where it has none."""
    if not any(layer.dockerfile for layer in session.project.layers):
        return ()
    from layerkit.dockerfiles import ask

    return ask(session.project, target, session.store, session.engines)


def opts(session: Session, target: Target, questions: Iterable[Question]) -> dict[str, OptLayer]:
    """Return what Dockerfiles bring into layers, by layer, built now where the store does not have it."""
    from layerkit.dockerfiles import get

    project, store, engines = session.project, session.store, session.engines
    return {
        one.layer: get(one, project, target, store, engines, offline=session.offline) for one in questions
    }


def code(session: Session) -> tuple[FunctionCode, ...]:
    """Return the files of every function that declares code."""
    project = session.project
    if not any(function.code for function in project.functions):
        return ()
    from layerkit.layer.function_code import collect

    apart = (project.output, project.lock_folder)
    found = (collect(function, apart) for function in project.functions)
    return tuple(one for one in found if one is not None)
