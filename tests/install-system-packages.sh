#!/bin/sh
# Installs what the tests of real programs need and a minimal Debian lacks. For root on a Debian machine.
set -eu
missing=
for package in build-essential gcc make patch autoconf automake dpkg-dev gdb python3-venv clang csmith libcsmith-dev \
  libevent-dev libpam0g-dev libcap-dev libtool tcl zlib1g-dev; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
apt-get update -qq
# shellcheck disable=SC2086 # a list of words
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
