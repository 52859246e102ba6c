#!/bin/sh
# Installs what the emulated boards need from Debian's packages, where that is allowed.
# What is missing afterwards is named; the tests then skip and say so.
set -eu

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
wanted="mmdebstrap:mmdebstrap qemu-system-aarch64:qemu-system-arm qemu-arm-static:qemu-user-static depmod:kmod cpio:cpio
systemd-nspawn:systemd-container"

# Prints the packages whose programs are missing.
missing() {
    for pair in $wanted; do command -v "${pair%%:*}" >/dev/null 2>&1 || echo "${pair#*:}"; done
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || echo debian-archive-keyring
}

packages=$(missing | tr '\n' ' ')
[ -n "$packages" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
    reason="this system has no apt-get"
elif [ "$(id -u)" -ne 0 ]; then
    reason="this needs root: sudo apt-get install $packages"
else
    echo "Installing what the emulated boards need: $packages"
    mkdir -p build/boards
    reason="apt-get failed, see build/boards/install-packages.log"
    # shellcheck disable=SC2086 # one word per package
    if (
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq && timeout 600 apt-get install -y -qq --no-install-recommends $packages
    ) >build/boards/install-packages.log 2>&1; then
        packages=$(missing | tr '\n' ' ')
        [ -n "$packages" ] || exit 0
        reason="apt-get did not bring it"
    fi
fi
echo "Skipped: emulated boards, no $packages($reason)"
