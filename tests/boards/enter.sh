#!/bin/sh
# enter.sh ROOT QEMU [SOURCE:TARGET]... -- COMMAND...
#
# Runs COMMAND inside ROOT with every program of that architecture, and their children, under QEMU's user mode. To be
# called in new user, mount and pid namespaces: the kernel (6.7 or newer) then gives them a binfmt_misc of their own, and
# nothing is registered for the machine.
#
# QEMU: as in /usr/lib/binfmt.d/qemu-QEMU.conf, which the package qemu-user-static brings. SOURCE: seen read-only.
set -eu

root=$1
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
cat "/usr/lib/binfmt.d/qemu-$2.conf" >/proc/sys/fs/binfmt_misc/register
shift 2

mount --rbind /proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
for device in null zero urandom; do
    mount --bind "/dev/$device" "$root/dev/$device"
done
while [ "$1" != -- ]; do
    target=$root${1#*:}
    mkdir -p "$target"
    mount --bind "${1%%:*}" "$target"
    mount -o remount,bind,ro "$target"
    shift
done
shift
exec chroot "$root" "$@"
