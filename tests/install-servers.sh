#!/bin/sh
# Installs the servers of the integration tests from Debian's packages, where that is allowed.
# What is missing afterwards is named, with the tests that skip; with --strict, or with CI=true, it is a failure.
# A broker or registry that this script installs is not left running: the tests start their own.
set -eu

strict=no
if [ "${1:-}" = --strict ] || [ "${CI:-}" = true ]; then strict=yes; fi

rtsp="gir1.2-gst-rtsp-server-1.0 gir1.2-gstreamer-1.0 python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good
      gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly"
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# Prints the packages that are missing, one word each; a server from elsewhere is as good.
missing() {
    command -v mosquitto >/dev/null 2>&1 || echo mosquitto
    command -v docker-registry >/dev/null 2>&1 || echo docker-registry
    command -v chromium >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || echo chromium
    command -v promtool >/dev/null 2>&1 || echo prometheus
    command -v socat >/dev/null 2>&1 || echo socat
    command -v dpkg-query >/dev/null 2>&1 || { echo "$rtsp"; return; }
    for package in $rtsp; do installed "$package" || echo "$package"; done
}

packages=$(missing | tr '\n' ' ' | tr -s ' ')
[ -n "$packages" ] || exit 0

reason=
sudo=
if ! command -v apt-get >/dev/null 2>&1; then
    reason="this system has no apt-get"
elif [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        sudo=sudo
    else
        reason="this needs root: sudo apt-get install $packages"
    fi
fi

# As root: Debian starts a server as soon as it is installed, unless policy-rc.d says no (101).
install='
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ] && [ ! -L $policy ]; then
    trap "rm -f $policy" EXIT
    printf "#!/bin/sh\nexit 101\n" >$policy
    chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" || exit 1
for server in mosquitto docker-registry prometheus; do
    case " $* " in *" $server "*) update-rc.d $server disable && invoke-rc.d $server stop || true ;; esac
done
'
if [ -z "$reason" ]; then
    echo "Installing the servers of the tests: $packages"
    mkdir -p build
    # shellcheck disable=SC2086 # one word per package
    $sudo sh -c "$install" install-servers $packages >build/install-servers.log 2>&1 ||
        reason="apt-get failed, see build/install-servers.log"
    packages=$(missing | tr '\n' ' ' | tr -s ' ')
    [ -n "$packages" ] || exit 0
    reason=${reason:-"apt-get did not bring it"}
fi

for package in $packages; do
    case $package in
        mosquitto) echo "Skipped: tests marked broker, no mosquitto ($reason)" ;;
        socat) echo "Skipped: tests of serial lines with two ends, no socat ($reason)" ;;
        docker-registry) echo "Skipped: tests marked registry, no docker-registry ($reason)" ;;
        chromium) echo "Skipped: tests of the device page in a browser, no Chromium ($reason)" ;;
        prometheus) echo "Skipped: tests marked prometheus, no promtool ($reason)" ;;
    esac
done
case " $packages " in
    *gst*|*python3-gi*) echo "Skipped: tests marked rtsp, no GStreamer RTSP server ($reason)" ;;
esac
[ "$strict" = no ]
