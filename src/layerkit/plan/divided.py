"""Stacks whose layers the planner makes: declared layers stay, all else that functions need is divided.

A package that a declared layer holds lies there alone: a function that needs it gets that layer, whether
it names it or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerkit.errors import LimitExceededError
from layerkit.plan.auto import Case, divide
from layerkit.plan.partition import partition
from layerkit.plan.ways import bundled, smaller
from layerkit.target import limit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layerkit.plan import Prepared, Weighed
    from layerkit.plan.auto import Division
    from layerkit.plan.closure import Closure, Rules
    from layerkit.plan.partition import Stacks
    from layerkit.project import Project

Held = dict[str, set[str]]


def divided(  # noqa: PLR0917 - a plan depends on all of it
    project: Project,
    stacks: Stacks,
    closures: Mapping[str, Closure],
    rules: Rules,
    prepared: Mapping[str, Prepared],
    room: Mapping[str, int],
    before: Mapping[str, frozenset[str]],
    opts: Mapping[str, Weighed],
) -> tuple[Held, dict[str, tuple[str, ...]], str]:
    """Return what each layer holds, the layers of each stack, lowest first, and how that was found.

    `room` is how many bytes unzipped each stack's layers may have together, `opts` what Dockerfiles
    bring into declared layers. Raises
    LimitExceededError where no division is one that Lambda takes.
    """
    fixed = [layer.name for layer in project.layers if not layer.divided]
    declared = {name: tuple(one for one in names if one in fixed) for name, names in stacks.items()}
    alone = {name: (name,) for name in fixed if not any(name in names for names in declared.values())}
    kept = {name: closures[name] for name in fixed}
    held = partition({**declared, **alone}, kept, rules, project)
    needs = {
        stack: set().union(*(closures[name].needed for name in names)) for stack, names in stacks.items()
    }
    below = {stack: _below(names, needs[stack], held) for stack, names in declared.items()}
    placed = set().union(*held.values())
    size = {name: sum(prepared[one].unzipped for one in packages) for name, packages in held.items()}
    size |= {name: size[name] + opt.unzipped for name, opt in opts.items()}
    case = Case(
        needs={stack: frozenset(names - placed) for stack, names in needs.items()},
        room={stack: room[stack] - sum(size[name] for name in below[stack]) for stack in stacks},
        slots={
            stack: limit("layers_per_function")
            - sum(bool(held[name]) or name in opts for name in below[stack])
            for stack in stacks
        },
        sizes={name: (one.unzipped, one.zipped) for name, one in prepared.items()},
        direct=limit("direct_upload_bytes"),
        before=before,
        reserved=frozenset((*fixed, *(f"{stack}-code" for stack in stacks))),
    )
    division = divide(case)
    if division is None:
        raise _impossible(case, project, prepared)
    return _stacked(case, division, held, below)


def _below(names: tuple[str, ...], needs: set[str], held: Held) -> tuple[str, ...]:
    """Return the declared layers of a stack: those it names, and those that hold what it needs."""
    there = set().union(*(held[name] for name in names))
    more = [name for name, packages in held.items() if name not in names and packages & (needs - there)]
    return (*names, *more)


def _stacked(
    case: Case, division: Division, held: Held, below: Mapping[str, tuple[str, ...]]
) -> tuple[Held, dict[str, tuple[str, ...]], str]:
    """Return the layers of both kinds, and each stack with those that it loads."""
    held = {**held, **{name: set(packages) for name, packages in division.layers.items()}}
    stacks = {
        stack: (*names, *(one for one, has in division.layers.items() if case.needs[stack] & set(has)))
        for stack, names in below.items()
    }
    waste = division.cost.waste
    loaded = (
        f"{waste:,} bytes are loaded that a function does not need"
        if waste
        else "no function loads more than it needs"
    )
    return held, stacks, f"layers divided by the planner: {loaded}; {division.how}"


def _impossible(case: Case, project: Project, prepared: Mapping[str, Prepared]) -> LimitExceededError:
    """Return the error for a case that no division solves: what is too large alone, or too mixed together."""
    lines, compiled = [], 0
    for function, needs in case.needs.items():
        size = sum(case.sizes[name][0] for name in needs)
        if size > case.room[function]:
            compiled = max(compiled, sum(prepared[name].compiled for name in needs))
            top = sorted(needs, key=lambda name: (-case.sizes[name][0], name))[:10]
            listed = [f"    {name}  {case.sizes[name][0]:,}" for name in top]
            over = size - case.room[function]
            lines += [
                f"{function} needs {size:,} bytes unzipped, {over:,} more than there is room for",
                *listed,
            ]
    if not lines:
        most = limit("layers_per_function")
        lines = [f"no division was found that gives each function at most {most} layers below the limit"]
    ways = (
        *smaller(project, compiled),
        "give functions fewer requirements, or more of them in common",
        "name packages that can be done without in tool.layerkit.never-deploy",
        bundled(),
        "deploy the largest as a container image",
    )
    what = "\n".join(lines)
    return LimitExceededError(what, where="tool.layerkit.layers", fix=f"ways out: {'; '.join(ways)}")
