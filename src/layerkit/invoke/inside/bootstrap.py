"""What the managed runtime does before it hands over to awslambdaric.

    python bootstrap.py OPT PACKAGES    the folders that are /opt and the interpreter's packages on Lambda

Any Python from 3.6 on runs this. sys.path becomes the one of a function, without what lies beside this
machine's interpreter; a `.pth` file in the code or in a layer is executed, as it is on Lambda. Where the
function sets PYTHONPATH, the folders of layers stay out.
"""

import os
import site
import sys

SINCE_311 = (3, 11)


def folders(opt: str) -> "list[str]":
    """Return the folders of code and layers, in their order."""
    task, runtime = os.environ["LAMBDA_TASK_ROOT"], os.environ["LAMBDA_RUNTIME_DIR"]
    if os.environ.get("PYTHONPATH") != runtime:
        return [task]
    major, minor = sys.version_info[:2]
    return [task, f"{opt}/python/lib/python{major}.{minor}/site-packages", f"{opt}/python"]


def rest(packages: str) -> "list[str]":
    """Return what lies behind them: the runtime, the SDK, the standard library."""
    runtime = os.environ["LAMBDA_RUNTIME_DIR"]
    own = [
        entry
        for entry in sys.path
        if entry not in ("", runtime) and not entry.endswith(("site-packages", "dist-packages"))
    ]
    if sys.version_info[:2] >= SINCE_311:
        return [packages, runtime, *own]
    return [runtime, *own, packages]


def main() -> None:
    """Set sys.path and hand over."""
    opt, packages = sys.argv[1:]
    first = folders(opt)
    sys.path[:] = [*first, *rest(packages)]
    for folder in first:
        if os.path.isdir(folder):
            site.addsitedir(folder)
    from awslambdaric.__main__ import main as run

    run(["bootstrap", os.environ["_HANDLER"]])


if __name__ == "__main__":
    main()
