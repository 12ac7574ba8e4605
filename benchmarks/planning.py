"""How long the planner takes, and how much memory: `make bench-plan`.

The cases are made up, like the projects of large teams: packages that all functions share, topics that some
share, and a few that one function has alone. The same seed gives the same case everywhere.
"""

from __future__ import annotations

import random
import resource
import sys
import time

from layerkit.plan.auto import Case, divide

_ROOM = 262_143_999
_DIRECT = 52_428_800


def large(seed: int, *, packages: int = 300, functions: int = 50) -> Case:
    """Return a case of so many packages and functions."""
    chance = random.Random(seed)  # noqa: S311 - no secrets
    names = [f"package-{number:03}" for number in range(packages)]
    sizes = {}
    for name in names:
        unzipped = int(chance.lognormvariate(13.0, 1.2))
        sizes[name] = (unzipped, max(1, unzipped // 3))
    topics = [frozenset(chance.sample(names, 20)) for _ in range(8)]
    common = frozenset(chance.sample(names, 12))
    needs = {}
    for number in range(functions):
        picked = chance.sample(topics, chance.randint(1, 2))
        needs[f"function-{number:02}"] = common.union(*picked, chance.sample(names, 3))
    return Case(
        needs=needs,
        room=dict.fromkeys(needs, _ROOM),
        slots=dict.fromkeys(needs, 5),
        sizes=sizes,
        direct=_DIRECT,
    )


def main() -> None:
    """Divide some cases and print a row for each."""
    print("| packages | functions | seconds | peak MB | layers | MB loaded and not needed | of MB loaded |")
    print("|---|---|---|---|---|---|---|")
    for seed, (packages, functions) in enumerate([(40, 5), (100, 20), (300, 50), (300, 50)], 1):
        case = large(seed, packages=packages, functions=functions)
        begun = time.perf_counter()
        division = divide(case)
        seconds = time.perf_counter() - begun
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        if division is None:
            sys.exit(f"no division was found of {packages} packages for {functions} functions")
        waste = division.cost.waste / 1e6
        loaded = waste + sum(case.sizes[name][0] for needs in case.needs.values() for name in needs) / 1e6
        row = (
            packages,
            functions,
            f"{seconds:.1f}",
            peak,
            len(division.layers),
            f"{waste:.0f}",
            f"{loaded:.0f}",
        )
        print("| " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    main()
