"""Work inside images: everything that speaks with a container engine.

    engine.py   the engine: found as the docker command finds it, its failures in words, leftovers swept
    owner.py    who made a thing on the engine, and whether that process still runs
    images.py   which image stands for a target, here or pulled
    room.py     a running container: run, put, get, and gone at the end
    log.py      what programs print there: a file, and its last lines
    tarred.py   the tar archives that carry files in and out, hostile ones included

Nothing here relies on a local path being visible to the engine, which may be on another machine:
files travel as archives. The library `docker` is imported by `engine.connect` and by nothing before
it, so a build that needs no container pays for none.
"""
