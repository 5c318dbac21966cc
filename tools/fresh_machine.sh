#!/bin/sh
# Try set-up, demonstration and tests as a fresh machine would: a clone of the last commit, an
# empty HOME, and nothing in the environment but PATH, HOME and TERM. No pip configuration is read;
# one of its own names the certificates of the machine, which an older pip does not look for.
#     tools/fresh_machine.sh [FOLDER]     (default: a new temporary folder; it is kept)
# Real sensor data for tests may lie beside a checkout, in ../shared: it is linked where it does.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-$(mktemp -d)}
mkdir -p "$folder/home"
git clone --quiet "$root" "$folder/checkout"
if [ -d "$root/../shared" ] && [ ! -e "$folder/shared" ]; then
    ln -s "$(cd "$root/../shared" && pwd)" "$folder/shared"
fi
certificates=/etc/ssl/certs/ca-certificates.crt
: >"$folder/pip.conf"
[ ! -e "$certificates" ] || printf '[global]\ncert = %s\n' "$certificates" >"$folder/pip.conf"
path=$PATH
# A virtual environment or ROS of the caller must not help.
if [ -n "${VIRTUAL_ENV:-}" ]; then
    path=$(printf '%s' "$path" | sed "s#$VIRTUAL_ENV/bin:##g")
fi
failed=0
step() {
    name=$1
    shift
    started=$(date +%s)
    code=0
    (cd "$folder/checkout" && env -i PATH="$path" HOME="$folder/home" TERM=dumb \
        PIP_CONFIG_FILE="$folder/pip.conf" "$@") >"$folder/$name.log" 2>&1 || code=$?
    size=$(du -sm "$folder/checkout/.venv" 2>/dev/null | cut -f1)
    echo "$name: exit $code, $(($(date +%s) - started)) s, .venv ${size:-0} MB, log $folder/$name.log"
    [ "$code" = 0 ] || failed=1
}
step setup make setup
step demo make demo
step setup-dev make setup-dev
step test make test
exit $failed
