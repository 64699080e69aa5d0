#!/bin/sh
# Installs what is missing, builds, and runs the tests.
set -eu
cd "$(dirname "$0")/.."
deploy/install-deps.sh --yes
# Where mpirun and mpicc are kept out of the way (RHEL family).
[ -d /usr/lib64/openmpi/bin ] && PATH=$PATH:/usr/lib64/openmpi/bin && export PATH
make -j"$(nproc)"
make -j"$(nproc)" test
