#!/bin/sh
# Unpack containerd and Docker of another release of Debian, without installing anything: download.sh SUITE FOLDER
set -eu
suite=$1 folder=$2
lists=$(mktemp -d)
trap 'rm -rf "$lists"' EXIT
mkdir -p "$lists/lists/partial" "$lists/cache/archives/partial"
mirror=$(apt-cache policy | sed -n 's|.* \(https\{0,1\}://[^ ]*\) [a-z]*/main .*|\1|p' | head -n 1)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} $suite main" \
  >"$lists/sources.list"
apt() {
  apt-get -qq -o APT::Sandbox::User=root -o "Dir::Etc::sourcelist=$lists/sources.list" -o Dir::Etc::sourceparts=- \
    -o "Dir::State::lists=$lists/lists" -o "Dir::Cache=$lists/cache" "$@"
}
apt update
(cd "$lists" && apt download containerd docker.io docker-cli)
rm -rf "$folder"
mkdir -p "$folder"
for package in "$lists"/*.deb; do dpkg-deb --extract "$package" "$folder"; done
"$folder/usr/bin/containerd" --version
"$folder/usr/sbin/dockerd" --version
