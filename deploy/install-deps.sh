#!/bin/sh
# Installs what rlhf needs to build and to run.
#
#   deploy/install-deps.sh [--yes] [--with-slurm]
#
# Debian and Ubuntu by apt, the RHEL family by dnf; elsewhere it prints a list.
# Does nothing when all is there.  Asks before it uses sudo; --yes does not ask.
# --with-slurm adds what the tests on an emulated cluster need.
set -eu

yes='' slurm=''
for argument in "$@"; do
	case $argument in
	--yes) yes=1 ;;
	--with-slurm) slurm=1 ;;
	*)
		echo "install-deps.sh: unknown argument $argument, expected --yes or --with-slurm" >&2
		exit 2
		;;
	esac
done

apt_packages='gcc make libc6-dev openmpi-bin libopenmpi-dev libopenblas0-pthread libcjson-dev uuid-dev
	zlib1g-dev libpcre2-dev libutf8proc-dev libcmocka-dev'
dnf_packages='gcc make openmpi openmpi-devel openblas-threads cjson-devel libuuid-devel zlib-devel
	pcre2-devel utf8proc-devel libcmocka-devel'
[ -z "$slurm" ] || apt_packages="$apt_packages slurm-wlm munge libpmix-dev iproute2 procps"

# Runs a command as root, asking first unless --yes was given.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
		return
	fi
	if ! command -v sudo >/dev/null 2>&1; then
		echo "install-deps.sh: run this as root: $*" >&2
		exit 2
	fi
	if [ -z "$yes" ]; then
		printf 'Run "sudo %s"? [y/N] ' "$*" >&2
		read -r answer || answer=''
		case $answer in
		y | Y | yes) ;;
		*)
			echo 'install-deps.sh: nothing was installed' >&2
			exit 2
			;;
		esac
	fi
	sudo "$@"
}

if command -v apt-get >/dev/null 2>&1; then
	missing=''
	for package in $apt_packages; do
		case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true) in
		*' installed') ;;
		*) missing="$missing $package" ;;
		esac
	done
	if [ -z "$missing" ]; then
		echo 'install-deps.sh: everything is installed'
		exit 0
	fi
	echo "install-deps.sh: installing$missing"
	as_root apt-get update -qq
	# shellcheck disable=SC2086 # a list of words
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
elif command -v dnf >/dev/null 2>&1; then
	missing=''
	for package in $dnf_packages; do
		rpm -q "$package" >/dev/null 2>&1 || missing="$missing $package"
	done
	if [ -z "$missing" ]; then
		echo 'install-deps.sh: everything is installed'
		exit 0
	fi
	echo "install-deps.sh: installing$missing"
	# shellcheck disable=SC2086 # a list of words
	as_root dnf install -y -q $missing
else
	cat >&2 <<'LIST'
install-deps.sh: this system has neither apt nor dnf.  Please install:
  a C17 compiler (gcc 10 or clang 12, or later) and GNU make
  Open MPI 4.1 or later with its development files
  OpenBLAS, cJSON, libuuid, zlib, PCRE2 (8-bit), utf8proc, with their development files
  cmocka, for the tests
LIST
	exit 2
fi
echo 'install-deps.sh: done'
