#!/bin/sh
# Makes .venv with exactly the versions of poetry.lock, or does nothing when it is current.
#
#   tools/venv.sh main    what layerkit needs to run: enough for `make layers`
#   tools/venv.sh dev     main, and the tools of `make test` and `make lint`
#   tools/venv.sh lock    no environment: writes poetry.lock anew
#
# A stamp beside each set holds the checksums of its inputs and the folder's own path, so that a
# changed lock, or a folder that was moved, is noticed without a look at any file's time.
# PYTHON=/path/to/python3 chooses the interpreter; else the first one that is good enough is taken.
set -eu
CDPATH='' cd -- "$(dirname -- "$0")/.."

say() { printf 'layerkit: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# The user's own settings for other environments must not send packages elsewhere.
unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_REQUIRE_HASHES PIP_CONSTRAINT VIRTUAL_ENV || true
export PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
export POETRY_CACHE_DIR="$PWD/.poetry/cache" POETRY_CONFIG_DIR="$PWD/.poetry/config" POETRY_DATA_DIR="$PWD/.poetry/data"

# Prints "" for an interpreter that can be used, else what it lacks: absent, old VERSION, or venv VERSION.
fault() {
    command -v "$1" >/dev/null 2>&1 || { echo absent; return; }
    "$1" -c '
import sys
version = "%d.%d" % sys.version_info[:2]
if sys.version_info < (3, 10):
    print("old " + version)
else:
    try:
        import ensurepip, venv
    except ImportError:
        print("venv " + version)
' 2>/dev/null || echo absent
}

# Sets `python`, or ends with one line that says what is missing and how to get it.
find_python() {
    old='' bare=''
    set -- python3 python3.14 python3.13 python3.12 python3.11 python3.10
    [ -z "${PYTHON:-}" ] || set -- "$PYTHON"
    for python in "$@"; do
        found=$(fault "$python")
        case $found in
        '') return ;;
        old*) old=${old:-${found#old }} ;;
        venv*) bare=${bare:-${found#venv }} ;;
        esac
    done
    as_root=''
    [ "$(id -u)" = 0 ] || as_root='sudo '
    if [ -n "$bare" ]; then
        die "Python $bare has no venv; get it:  ${as_root}apt-get install -y python3-venv  (python$bare-venv for a second Python)"
    elif [ -n "$old" ]; then
        die "Python 3.10 or newer is needed, and ${PYTHON:-python3} is $old; get a newer one, then:  make PYTHON=/path/to/python3"
    elif [ -n "${PYTHON:-}" ]; then
        die "PYTHON=$PYTHON does not run; name an interpreter that does, of Python 3.10 or newer"
    fi
    die "Python 3.10 or newer is needed, and none is on PATH; get it:  ${as_root}apt-get install -y python3 python3-venv"
}

# Is FOLDER ($1) a virtual environment that runs, with pip, on a Python that is new enough?
is_good() {
    [ -x "$1/bin/python" ] && [ -z "$(fault "$1/bin/python")" ] && "$1/bin/python" -c 'import pip' 2>/dev/null
}

make_venv() {
    # The scripts of an environment hold its path: one that was moved is made anew.
    is_good "$1" && [ "$PWD" = "$(cat "$1/.place" 2>/dev/null || pwd)" ] && return
    find_python
    say "making $1 with $("$python" -c 'import platform; print("Python", platform.python_version())')"
    rm -rf -- "$1"
    "$python" -m venv -- "$1" || die "$python could not make $1; its own message is above"
    printf '%s\n' "$PWD" >"$1/.place"
}

pip_install() {
    folder=$1
    shift
    # Twice quiet: pip's errors stay, its advice goes.
    "$folder/bin/python" -m pip install -q -q "$@" || die "pip could not install into $folder; its own message is above"
}

# Prints the text that is true of SET ($1) as long as nothing has to be done for it.
state() {
    printf '%s\n' "$1" "$PWD"
    cksum poetry.lock pyproject.toml tools/poetry.txt
}

is_current() { [ -x .venv/bin/python ] && [ "$(state "$1")" = "$(cat ".venv/.stamp-$1" 2>/dev/null)" ]; }

make_poetry() {
    wanted="$PWD $(cksum <tools/poetry.txt)"
    [ "$wanted" = "$(cat .poetry/.stamp 2>/dev/null)" ] && is_good .poetry/venv && return
    make_venv .poetry/venv
    say 'installing Poetry, which reads poetry.lock, into .poetry'
    pip_install .poetry/venv --no-deps --require-hashes -r tools/poetry.txt
    printf '%s\n' "$wanted" >.poetry/.stamp
}

install() {
    name=$1
    shift
    make_poetry
    make_venv .venv
    .poetry/venv/bin/python -m poetry export --no-interaction "$@" --output ".venv/$name.txt" ||
        die 'poetry.lock does not fit pyproject.toml; renew it:  make lock'
    say "installing the locked packages ($name) into .venv"
    pip_install .venv --no-deps --require-hashes -r ".venv/$name.txt"
    pip_install .venv --no-deps --no-build-isolation --editable .
    state "$name" >".venv/.stamp-$name"
}

case ${1:-} in
main) is_current main || is_current dev || install main --only main ;;
dev) is_current dev || install dev --with test,lint ;;
lock) make_poetry && .poetry/venv/bin/python -m poetry lock --no-interaction ;;
*) die 'usage: tools/venv.sh main|dev|lock' ;;
esac
