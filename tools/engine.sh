#!/usr/bin/env bash
# A Docker engine of its own for the tests, apart from any other on this machine. Needs root and dockerd.
#
#   tools/engine.sh start FOLDER    starts it with all it keeps under FOLDER, prints the DOCKER_HOST to use
#   tools/engine.sh stop FOLDER     stops it, and takes FOLDER away
set -euo pipefail

die() {
    printf 'engine: %s\n' "$*" >&2
    exit 1
}

start() {
    command -v dockerd >/dev/null || die 'dockerd is missing; get it:  apt-get install -y --no-install-recommends docker.io iptables'
    [ "$(id -u)" = 0 ] || die 'only root can start one'
    mkdir -p "$1"
    # The address of a socket may have some hundred characters at most.
    socket=unix://$1/docker.sock
    setsid dockerd --host "$socket" --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/dockerd.pid" \
        >"$1/dockerd.log" 2>&1 </dev/null &
    for _ in $(seq 120); do
        if DOCKER_HOST=$socket docker info >/dev/null 2>&1; then
            printf '%s\n' "$socket"
            return
        fi
        kill -0 $! 2>/dev/null || break
        sleep 0.25
    done
    tail -n 20 "$1/dockerd.log" >&2
    die "dockerd did not start; its whole log: $1/dockerd.log"
}

stop() {
    [ -f "$1/dockerd.pid" ] || return 0
    pid=$(cat "$1/dockerd.pid")
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 120); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.25
    done
    awk -v folder="$1/" 'index($2, folder) == 1 {print $2}' /proc/mounts | sort -r | while IFS= read -r mounted; do
        umount -l "$mounted" 2>/dev/null || true
    done
    rm -rf -- "$1"
}

[ $# = 2 ] || die 'usage: tools/engine.sh start|stop FOLDER'
case $1 in
start) start "$(realpath -m -- "$2")" ;;
stop) stop "$(realpath -m -- "$2")" ;;
*) die 'usage: tools/engine.sh start|stop FOLDER' ;;
esac
