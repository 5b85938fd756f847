#!/usr/bin/env bash
# Installs on Debian what the tests use and this machine lacks. Without it, the tests that need it are skipped.
set -euo pipefail

missing=()
need() { PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null || missing+=("$2"); }
need chromium chromium
need nginx nginx-light
need prlimit util-linux
need openssl openssl
need tinyproxy tinyproxy
need microsocks microsocks
need script bsdutils
need mount mount
need javac default-jdk-headless
need strace strace
need faketime faketime
/usr/bin/python3 -I -c 'import websockets' 2>/dev/null || missing+=(python3-websockets)
if [ ${#missing[@]} -eq 0 ]; then
  echo 'Nothing is missing.'
  exit
fi
sudo=()
[ "$(id -u)" -eq 0 ] || sudo=(sudo)
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
