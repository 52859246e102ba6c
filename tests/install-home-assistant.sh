#!/bin/sh
# A real Home Assistant in an environment of its own, for the long tests. It wants a Python of its own: 3.13.
# install-home-assistant.sh FOLDER
set -eu
folder=$1
[ -x "$folder/bin/python" ] && "$folder/bin/python" -c 'import homeassistant, paho.mqtt' 2>/dev/null && exit 0
python=${HOME_ASSISTANT_PYTHON:-$(command -v python3.13 || true)}
if [ -z "$python" ]; then
    echo "no Python 3.13 on the PATH, nor in HOME_ASSISTANT_PYTHON: Home Assistant is not installed" >&2
    exit 1
fi
"$python" -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install homeassistant==2025.4.4 paho-mqtt==2.1.0
