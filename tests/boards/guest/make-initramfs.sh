#!/bin/sh
# make-initramfs.sh ROOT OUTPUT: busybox and the drivers that the emulated arm64 machine needs before it has its root.
set -eu

here=$(dirname "$0")
root=$1
output=$2
version=$(ls "$root/lib/modules")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/bin" "$work/dev" "$work/proc" "$work/sys" "$work/modules"
cp "$root/bin/busybox" "$work/bin/busybox"
cp "$here/init" "$work/init"
depmod -b "$root" "$version"
for module in virtio_pci virtio_console 9pnet_virtio 9p overlay virtio_rng; do
    modprobe -d "$root" -S "$version" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
    cp "$file" "$work/modules/"
    basename "$file" >>"$work/modules/order"
done
(cd "$work" && find . | cpio --quiet -o -H newc | gzip -1) >"$output.part"
mv "$output.part" "$output"
