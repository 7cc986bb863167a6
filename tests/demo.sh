#!/bin/sh
# make demo: a container from a bundle that needs no download, and the plan that ran with its times.
#
#   tests/demo.sh PYRUNC
#
# The container's /usr is this host's, read-only; everything else it sees is its own. Files go to demo/, state to a
# directory that is removed at the end. An ordinary user gets a container in a user namespace. demo/ stays, for the
# tour in README.md.
set -eu
cd "$(dirname "$0")/.."
pyrunc=$1
bundle=$PWD/demo trace=$PWD/demo/trace.json
rm -rf "$bundle"
.venv/bin/python tests/demo_bundle.py "$bundle"

root=$(mktemp -d -p /run 2>/dev/null || mktemp -d)       # a tmpfs, where one may
trap 'rm -rf "$root"' EXIT
echo "\$ pyrunc --trace demo/trace.json run --bundle demo --config demo/show.json demo"
"$pyrunc" --root "$root" --trace "$trace" run --bundle "$bundle" --config "$bundle/show.json" demo
echo
echo "The plan that ran (pyrunc explain --bundle demo prints it without running it; demo/trace.json has it as JSON):"
[ -t 1 ] || export COLUMNS=160 LC_ALL=C.UTF-8
"$pyrunc" trace show --all demo/trace.json
echo
echo "demo/ is a bundle whose program waits: README.md has a tour through all commands that begins in it."
