"""Where the process begins: before anything is imported that takes time, so that Ctrl-C finds manners."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs


def main() -> None:
    """Run layerkit; whoever interrupts it while it still loads sees one line, as later on."""
    sys.unraisablehook = _heard
    # What a build makes stays to its end: looking through it for rings takes a fortieth of the time.
    gc.set_threshold(100_000)
    try:
        from layerkit.cli import main as run
    except KeyboardInterrupt:
        import os

        os.write(2, b"interrupted; nothing half-written is left\n")
        os._exit(130)
    run()


def _heard(ignored: UnraisableHookArgs) -> None:
    """Have an interrupt raised once more that Python drops, as it came while an object was cleared away.

    In a moment, from another thread: raised in here it would be dropped again.
    """
    if ignored.exc_type is KeyboardInterrupt:
        from _thread import interrupt_main
        from threading import Timer

        Timer(0.01, interrupt_main).start()
    else:
        sys.__unraisablehook__(ignored)


if __name__ == "__main__":
    main()
