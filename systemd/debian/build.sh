#!/bin/sh
# build.sh PIP-PYTHON OUTPUT-FOLDER: makes edgemass_VERSION_ARCH.deb for this machine, by Debian's own dpkg-deb and python3.
#
# A virtual environment under /usr/lib/edgemass holds the wheel and what it needs on such a board, as locked in
# requirements/run.txt. PIP-PYTHON: a Python with pip (22.3 or newer) and hatchling. DEB_COMPRESSION: as dpkg-deb takes it.
set -eu

pip="$1 -m pip --disable-pip-version-check --quiet"
output=$2
here=$(dirname "$0")
work=${DEB_WORK:-build/deb}
root=$work/root
home=$root/usr/lib/edgemass
python=$(readlink -f /usr/bin/python3)
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' edgemass/__init__.py)
arch=$(dpkg --print-architecture)
case $arch in arm*) extra=pi ;; *) extra=x86 ;; esac

rm -rf "$work"
mkdir -p "$work/wheels" "$root/DEBIAN" "$root/usr/bin" "$root/usr/share/doc/edgemass" "$output"

$pip wheel --no-deps --no-build-isolation --wheel-dir "$work/wheels" .
wheel=$(echo "$work"/wheels/*.whl)
"$python" -m venv --without-pip "$home"
install="$pip --python $home/bin/python3 install --no-compile --only-binary=:all:"
# What this board's extra needs of the lock is found out first; then it is installed by its hashes.
sed -e '/^ *--hash/d' -e 's/ \\$//' requirements/run.txt >"$work/constraints.txt"
$install --dry-run --ignore-installed --report "$work/report.json" --constraint "$work/constraints.txt" "$wheel[$extra]"
"$python" "$here/locked.py" "$work/report.json" requirements/run.txt >"$work/locked.txt"
$install --require-hashes --no-deps --requirement "$work/locked.txt"
$install --no-deps "$wheel"

# As it will lie there: nothing of this machine's folders, no tools, modules compiled once for all users.
ln -sf "../../../bin/${python##*/}" "$home/bin/python3"
find "$home/bin" -mindepth 1 ! -name edgemass ! -name 'python3' -delete
sed -i '1s|.*|#!/usr/lib/edgemass/bin/python3|' "$home/bin/edgemass"
sed -i '/^command/d' "$home/pyvenv.cfg"
find "$home/lib" '(' -name direct_url.json -o -name RECORD -o -name .gitignore ')' -delete
find "$home/lib" -type f -exec chmod 644 {} +
rm -rf "$home/include" "$home/lib64"
"$python" -m compileall -q --invalidation-mode unchecked-hash -s "$root" -p / "$home/lib" >/dev/null || true
ln -s ../lib/edgemass/bin/edgemass "$root/usr/bin/edgemass"

install -D -m 644 systemd/edgemass.service "$root/lib/systemd/system/edgemass.service"
install -D -m 644 systemd/edgemass.sysusers "$root/usr/lib/sysusers.d/edgemass.conf"
install -D -m 644 systemd/edgemass.tmpfiles "$root/usr/lib/tmpfiles.d/edgemass.conf"
install -D -m 644 systemd/60-edgemass.rules "$root/lib/udev/rules.d/60-edgemass.rules"
install -D -m 644 systemd/edgemass.toml "$root/etc/edgemass/edgemass.toml"
install -m 644 "$here/copyright" "$root/usr/share/doc/edgemass/copyright"
gzip -9n <CHANGELOG.md >"$root/usr/share/doc/edgemass/CHANGELOG.md.gz"

for script in postinst prerm postrm; do install -m 755 "$here/$script" "$root/DEBIAN/$script"; done
echo /etc/edgemass/edgemass.toml >"$root/DEBIAN/conffiles"
# 1.2.0.dev3 and 1.2.0rc1 come before 1.2.0 for dpkg as well.
debian_version=$(echo "$version" | sed -E 's/\.?(dev|a|b|rc)([0-9]+)/~\1\2/g')
printf 'edgemass (%s) stable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- %s  %s\n' "$debian_version" \
    "$(sed -n 's/^Maintainer: //p' "$here/control")" "$(date -R)" | gzip -9n >"$root/usr/share/doc/edgemass/changelog.gz"
minor=${python##*python3.}
sed -e "s/@VERSION@/$debian_version/" -e "s/@ARCH@/$arch/" -e "s/@PYTHON@/3.$minor/" -e "s/@NEXT_PYTHON@/3.$((minor + 1))/" \
    -e "s/@SIZE@/$(du -sk --exclude=DEBIAN "$root" | cut -f1)/" "$here/control" >"$root/DEBIAN/control"
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -print0 | sort -z | xargs -0 md5sum | sed 's|  \./|  |') >"$root/DEBIAN/md5sums"
chmod -R u=rwX,go=rX "$root"

dpkg-deb --root-owner-group ${DEB_COMPRESSION:--Zxz -z1} --build "$root" "$output/edgemass_${debian_version}_$arch.deb" >/dev/null
echo "$output/edgemass_${debian_version}_$arch.deb"
