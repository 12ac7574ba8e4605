"""Work inside images: everything that speaks with a container engine.

    engine.py   the engine: found as the docker command finds it, its failures in words, leftovers swept
    owner.py    who made a thing on the engine, and whether that process still runs
    images.py   which image stands for a target, here or pulled
    room.py     a running container: run, put, get, and gone at the end
    log.py      what programs print there: a file, and its last lines
    tarred.py   the tar archives that carry files in and out, hostile ones included
    building.py wheels from source archives: found in the store, or built and kept
    sdist*.py   a source archive read without running it; the steps of its build
    vendoring.py, graft.py  the tag that a built wheel deserves, and the libraries it brings along
    surroundings.py  this machine's proxies and certificates
    inside/     the programs that run in images

Nothing here relies on a local path being visible to the engine, which may be on another machine:
files travel as archives. The library `docker` is imported by `engine.connect` and by nothing before
it, so a build that needs no container pays for none.
"""
