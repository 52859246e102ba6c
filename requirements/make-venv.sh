#!/bin/sh
# Makes a virtual environment: `PYTHON=python3 make-venv.sh FOLDER`. Says in one line what is missing when it cannot.
set -eu

venv=$1
python=${PYTHON:-python3}

if ! command -v "$python" >/dev/null 2>&1; then
    echo "$python is not installed; edgemass needs Python 3.10 or newer (another one: make PYTHON=/path/to/python)" >&2
    exit 1
fi
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    echo "$python is Python $version; edgemass needs 3.10 or newer (another one: make PYTHON=/path/to/python)" >&2
    exit 1
fi

# Debian and Ubuntu keep the module apart from the interpreter.
if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    package=python$version-venv
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "Installing $package ..."
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package"; } >/dev/null
    else
        echo "$python cannot make virtual environments; on Debian and Ubuntu: sudo apt-get install $package" >&2
        exit 1
    fi
fi

"$python" -m venv --clear "$venv"
