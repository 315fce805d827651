#!/bin/sh
# Writes requirements.txt (what runs) and requirements-dev.txt (what develops) from pyproject.toml:
# exact versions with hashes, and no address of any index.
set -eu
pip_compile=${LOCK_TOOL:-pip-compile}  # not PIP_COMPILE: pip takes PIP_ANYTHING for its own
options="--quiet --generate-hashes --allow-unsafe --strip-extras
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host"
export CUSTOM_COMPILE_COMMAND="make lock"
$pip_compile $options --output-file requirements.txt pyproject.toml
$pip_compile $options --extra dev --constraint requirements.txt --output-file requirements-dev.txt pyproject.toml
