"""The best division that can be put together from given layers, found by HiGHS.

HiGHS is a solver for mixed integer programs (highspy, MIT licence). Each layer that was met on the way is a
variable, 0 or 1; every block has to be in exactly one of them, no function in more than it may have. It
weighs all combinations of some hundred layers at once, where a search that moves block by block stays in
the next hollow. It is an extra, since it comes with numpy and takes 70 MB.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from layerkit.plan.auto.case import Layer, broken, layer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerkit.plan.auto.case import Block, Case

_MOST_NODES = 2_000
_MOST_PARTS = 4_000


def installed() -> bool:
    """Say whether HiGHS is there."""
    from importlib.util import find_spec

    return find_spec("highspy") is not None


def chosen(case: Case, blocks: Sequence[Block], parts: set[frozenset[Block]]) -> tuple[Layer, ...] | None:
    """Return the best division made of `parts`; None where HiGHS finds none that is not broken.

    What is exact is checked in whole numbers afterwards: to a solver 262,144,000 and one byte less are
    the same.
    """
    ordered = sorted(parts, key=lambda part: (len(part), sorted(block.packages for block in part)))
    ordered = ordered[:_MOST_PARTS]
    layers = [layer_of(sorted(part, key=lambda block: block.packages)) for part in ordered]
    program = _Program(case, blocks, ordered, layers)
    found = program.solved()
    if found is None or broken(case, found):
        return None
    return found


class _Program:
    """The integer program, and the three numbers that it makes small one after the other."""

    def __init__(
        self,
        case: Case,
        blocks: Sequence[Block],
        parts: Sequence[frozenset[Block]],
        layers: Sequence[Layer],
    ) -> None:
        highspy: Any = import_module("highspy")
        self.case, self.layers = case, layers
        self.solver = highspy.Highs()
        for name, value in (
            ("output_flag", False),
            ("threads", 1),
            ("random_seed", 0),
            ("mip_rel_gap", 0.0),
            ("mip_max_nodes", _MOST_NODES),
        ):
            self.solver.setOptionValue(name, value)
        self.solver.addVars(len(layers), [0.0] * len(layers), [1.0] * len(layers))
        kinds = [highspy.HighsVarType.kInteger] * len(layers)
        self.solver.changeColsIntegrality(len(layers), list(range(len(layers))), kinds)
        for block in blocks:
            self._row([(n, 1.0) for n, part in enumerate(parts) if block in part], 1.0, 1.0)
        for bit, function in enumerate(case.functions()):
            used = [n for n, layer in enumerate(layers) if layer.users >> bit & 1]
            self._row([(n, 1.0) for n in used], 0.0, float(case.slots[function]))
            room = max(case.room[function], 1)
            self._row([(n, layers[n].unzipped / room) for n in used], 0.0, 1.0)

    def _row(self, entries: Sequence[tuple[int, float]], low: float, high: float) -> None:
        """Add a condition."""
        columns, values = [n for n, _ in entries], [value for _, value in entries]
        self.solver.addRow(low, high, len(columns), columns, values)

    def solved(self) -> tuple[Layer, ...] | None:
        """Return the layers that HiGHS takes when waste, indirect zips and layers are made small in turn."""
        weights: tuple[Callable[[Layer], int], ...] = (
            lambda layer: layer.waste,
            lambda layer: int(layer.zipped > self.case.direct),
            lambda _: 1,
        )
        found = None
        for weight in weights:
            values = [weight(layer) for layer in self.layers]
            scale = max(max(values, default=0), 1)
            taken = self._minimised([value / scale for value in values])
            if taken is None:
                return found
            found = tuple(self.layers[n] for n in taken)
            best = sum(values[n] for n in taken) / scale
            self._row([(n, value / scale) for n, value in enumerate(values) if value], 0.0, best)
        return found

    def _minimised(self, weights: Sequence[float]) -> list[int] | None:
        """Return the layers taken when the sum of their weights is smallest."""
        highspy: Any = import_module("highspy")
        self.solver.changeColsCost(len(weights), list(range(len(weights))), list(weights))
        self.solver.run()
        info = self.solver.getInfo()
        if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
            return None
        values = list(self.solver.getSolution().col_value)
        return [n for n, value in enumerate(values) if value > 0.5]  # noqa: PLR2004 - of 0 and 1
