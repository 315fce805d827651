#!/bin/sh
# Prints the path of a Python interpreter of version 3.11 or later, or says what to install.
# The interpreter names itself: a version manager's shim would cost its own start at every call.
for name in ${LAMINA_PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
    "$name" -c 'if 1:
        import sys
        if sys.version_info < (3, 11): sys.exit(1)
        print(getattr(sys, "_base_executable", "") or sys.executable)' 2>/dev/null && exit 0
done
echo "no Python 3.11 or later was found; install it (apt-get install python3) or name one with LAMINA_PYTHON=" >&2
exit 1
