#!/bin/sh
# Finds a Python that the wheels support and hands over to setup_environment.py.
# Choose another one with PYTHON=/path/to/python3.
here=$(dirname "$0")
for candidate in ${PYTHON:-python3 python3.12 python3.11 python3.13 python3.10 /usr/bin/python3}; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
            >/dev/null 2>&1; then
        exec "$candidate" "$here/setup_environment.py" "$@"
    fi
done
echo "setup: expected Python 3.10 to 3.13 as python3 (or PYTHON=...), found none. Install it with:" >&2
echo "    sudo apt-get install -y python3 python3-venv python3-dev g++ make" >&2
exit 1
