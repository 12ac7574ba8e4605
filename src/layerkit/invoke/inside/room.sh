#!/bin/sh
# Lays out a root of its own in a mount namespace of its own, and becomes the command in it.
#
#     sh room.sh ROOT OPT TASK RUNTIME PACKAGES LANG SITE TMP COMMAND...
#
# ROOT is an empty folder; the others but SITE and TMP become /opt, /var/task, /var/runtime, SITE and /var/lang.
# TMP are the bytes of /tmp, or a folder that is /tmp. Every mount goes with the namespace. Whatever the caller may do, the command may do nothing that Lambda forbids: as root
# it gets the numbers that functions have there, and in no case any capability.
set -eu
path=$PATH
PATH=$PATH:/usr/sbin:/sbin
root=$1 opt=$2 task=$3 runtime=$4 packages=$5 lang=$6 site=$7 tmp=$8
shift 8
# In a user namespace the flags that a mount came with must stay: what it was made with is tried in turn.
readonly_() {
    for more in '' ,nosuid,nodev ,nosuid,nodev,noexec ,nosuid,nodev,noatime; do
        if mount -o "remount,bind,ro$more" "$1" 2>/dev/null; then return; fi
    done
    mount -o remount,bind,ro "$1"
}
bind() { mkdir -p "$root$2"; mount --bind "$1" "$root$2"; readonly_ "$root$2"; }
mount -t tmpfs -o mode=755 none "$root"
for name in usr bin sbin lib lib32 lib64 libx32 etc; do
    if [ -L "/$name" ]; then cp -P "/$name" "$root/$name"
    elif [ -d "/$name" ]; then bind "/$name" "/$name"; fi
done
bind "$opt" /opt
bind "$task" /var/task
bind "$runtime" /var/runtime
bind "$lang" /var/lang
bind "$packages" "$site"
# Lambda has no /dev/shm: what needs one, such as multiprocessing's locks, fails there and here.
mkdir "$root/dev" "$root/proc" "$root/tmp"
for name in null zero full random urandom; do
    : >"$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
ln -s /proc/self/fd "$root/dev/fd"
for name in stdin:0 stdout:1 stderr:2; do ln -s "/proc/self/fd/${name#*:}" "$root/dev/${name%:*}"; done
mount --rbind /proc "$root/proc"
if [ -d "$tmp" ]; then mount --bind "$tmp" "$root/tmp"
else mount -t tmpfs -o "mode=1777,size=$tmp" none "$root/tmp"; fi
mount -o remount,ro none "$root"
drop=
if command -v setpriv >/dev/null; then
    drop="setpriv --pdeathsig KILL --no-new-privs --inh-caps=-all --bounding-set=-all"
    if [ "$(cat /proc/self/uid_map | tr -s ' ')" = ' 0 0 4294967295' ]; then
        drop="$drop --reuid=993 --regid=990 --clear-groups"
    fi
fi
chroot=$(command -v chroot)
# shellcheck disable=SC2016,SC2086  # words of a command
PATH=$path exec "$chroot" "$root" /bin/sh -c 'cd /var/task && path=$1 && shift && PATH=$PATH:/usr/bin:/bin exec "$@"' \
    sh "$path" $drop "$@"
