#!/usr/bin/env bash
# A real Slurm cluster of emulated nodes on this machine, for as long as a command
# runs.  The command's Slurm is the cluster; nothing of the machine's own
# configuration is read or changed, and nothing is left over.
#
#   tests/cluster/cluster.sh NODES COMMAND [ARGUMENT...]
#   tests/cluster/cluster.sh 2 bash
#
# As root, where the kernel allows it, everything lives in namespaces of its own: a
# head and NODES nodes, each with its own network, host name and /dev/shm, joined by a
# bridge, and one PID namespace around them all, with which they end.  Elsewhere the
# nodes are several slurmd on 127.0.0.1.  CLUSTER_MODE=plain asks for the latter.
#
# Exits with the command's code; 1 where the cluster does not come up.
set -u
export PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C

fail() {
	echo "cluster.sh: $*" >&2
	tail -n 5 "$dir"/log/* >&2
	exit 1
}

# --- namespaces ---

spaces=(--net --uts --ipc --mount)

namespaces_work() {
	[ "${CLUSTER_MODE:-}" != plain ] && [ "$(id -u)" -eq 0 ] && command -v ip >/dev/null &&
		unshare "${spaces[@]}" --pid --fork --kill-child --mount-proc sh -ec '
			hostname probe
			ip link add br0 type bridge
			ip link add v0 type veth peer name v1
			mount --bind /etc/hosts /etc/hosts
			unshare --net --uts --ipc --mount mount -t tmpfs none /dev/shm' >/dev/null 2>&1
}

make_head() {
	hostname head
	{
		printf '127.0.0.1 localhost\n10.0.0.1 head\n'
		for ((n = 1; n <= nodes; n++)); do printf '10.0.0.%d node%d\n' $((n + 1)) "$n"; done
	} >"$dir/hosts"
	mount --bind "$dir/hosts" /etc/hosts && ip link set lo up &&
		ip link add br0 type bridge && ip addr add 10.0.0.1/24 dev br0 && ip link set br0 up
}

# A node is a process that moves into namespaces, says so, and waits for its cable.
start_node() { # N
	local pid
	# shellcheck disable=SC2016 # expanded on the node
	unshare "${spaces[@]}" sh -ec '
		hostname "node$1"
		mount -t tmpfs -o mode=1777 none /dev/shm
		ip link set lo up
		touch "$2/node$1/made"
		until [ -e "$2/node$1/plugged" ]; do sleep 0.02; done
		exec slurmd -D -N "node$1" -f "$2/slurm.conf"' \
		sh "$1" "$dir" >"$dir/log/node$1.out" 2>&1 </dev/null &
	pid=$!
	until [ -e "$dir/node$1/made" ]; do
		kill -0 $pid 2>/dev/null || fail "node $1 was not made"
		sleep 0.02
	done
	if ! { ip link add "cable$1" type veth peer name eth0 netns $pid &&
		ip link set "cable$1" master br0 up &&
		nsenter --net --target $pid ip addr add "10.0.0.$(($1 + 1))/24" dev eth0 &&
		nsenter --net --target $pid ip link set eth0 up; }; then
		fail "node $1 has no network"
	fi
	touch "$dir/node$1/plugged"
}

# --- daemons ---

free_port() { # the first of several that are free
	local port try
	for ((try = 0; try < 100; try++)); do
		port=$((20000 + RANDOM % 10000))
		for ((n = 0; n < nodes + 2; n++)); do
			if (: <>"/dev/tcp/127.0.0.1/$((port + n))") 2>/dev/null; then continue 2; fi
		done
		echo $port
		return
	done
}

write_conf() {
	local host=head port=6817 n
	[ "$mode" = namespaces ] || { host="$(uname -n | cut -d. -f1)(127.0.0.1)" port=$(free_port); }
	cat <<-CONF
		ClusterName=test
		SlurmctldHost=$host
		SlurmctldPort=$port
		SlurmdPort=$((port + 1))
		SlurmUser=$(id -un)
		SlurmdUser=$(id -un)
		AuthType=auth/munge
		CredType=cred/munge
		# cred_expire is also how long a requeued job is held (elsewhere 120 s).  Until
		# then a node refuses it: "already killed".
		AuthInfo=socket=$dir/munge/socket,cred_expire=5
		StateSaveLocation=$dir/state
		SlurmdSpoolDir=$dir/%n/spool
		# mpi/pmix makes folders here that two nodes must not share.
		TmpFS=$dir/%n/tmp
		SlurmctldPidFile=$dir/slurmctld.pid
		SlurmdPidFile=$dir/%n/slurmd.pid
		SlurmctldLogFile=$dir/log/slurmctld.log
		SlurmdLogFile=$dir/log/%n.log
		# Neither cgroups nor true hardware are needed.
		ProctrackType=proctrack/linuxproc
		TaskPlugin=task/none
		SlurmdParameters=config_overrides
		SelectType=select/cons_tres
		SelectTypeParameters=CR_CPU
		SwitchType=switch/none
		MpiDefault=none
		AccountingStorageType=accounting_storage/none
		JobCompType=jobcomp/none
		SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
		KillWait=5
		JobRequeue=1
		ReturnToService=2
		PartitionName=main Default=YES MaxTime=INFINITE State=UP Nodes=node[1-$nodes]
	CONF
	for ((n = 1; n <= nodes; n++)); do
		if [ "$mode" = namespaces ]; then
			echo "NodeName=node$n NodeAddr=10.0.0.$((n + 1)) CPUs=4"
		else # "slurmd -N" says which one it is, so the host names only have to differ
			echo "NodeName=node$n NodeHostName=node$n NodeAddr=127.0.0.1 Port=$((port + 1 + n)) CPUs=4"
		fi
	done
}

start_munge() {
	mkdir -m 755 "$dir/munge"
	(umask 077 && head -c 128 /dev/urandom >"$dir/munge/key")
	munged --foreground --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" \
		--pid-file="$dir/munge/pid" --seed-file="$dir/munge/seed" \
		--log-file="$dir/log/munge.log" >"$dir/log/munge.out" 2>&1 </dev/null &
	for ((n = 0; n < 100; n++)); do
		[ ! -S "$dir/munge/socket" ] || return 0
		sleep 0.05
	done
	fail 'munged does not start'
}

start_daemons() {
	local n
	mkdir -p "$dir"/{log,state}
	for ((n = 1; n <= nodes; n++)); do mkdir -p "$dir/node$n"/{spool,tmp}; done
	write_conf >"$dir/slurm.conf"
	# Not used, but left to choose for itself slurmd looks for /sys/fs/cgroup, and ends
	# where that is not mounted.
	printf 'CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n' >"$dir/cgroup.conf"
	start_munge
	slurmctld -D -c -f "$dir/slurm.conf" >"$dir/log/slurmctld.out" 2>&1 </dev/null &
	for ((n = 1; n <= nodes; n++)); do
		if [ "$mode" = namespaces ]; then
			start_node "$n"
		else
			slurmd -D -N "node$n" -f "$dir/slurm.conf" >"$dir/log/node$n.out" 2>&1 </dev/null &
		fi
	done
	for ((n = 0; n < 150; n++)); do
		[ "$(sinfo -h -N -t idle -o %N 2>/dev/null | wc -l)" -lt "$nodes" ] || return 0
		sleep 0.1
	done
	fail 'not every node came up'
}

# What the command, and through it every job, is given.
export_environment() {
	export SLURM_CONF=$dir/slurm.conf RLHF_CLUSTER=$dir
	export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
	# The nodes share this machine's cores: no rank may have one for itself.
	export OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1
	# Nodes of one host name would take each other's shared memory for their own.
	[ "$mode" = namespaces ] || export OMPI_MCA_btl=tcp,self
}

# --- the end ---

# All that was started here carries RLHF_CLUSTER in its environment; this shell does not.
# shellcheck disable=SC2317 # called by a trap
our_processes() {
	grep -lzxF "RLHF_CLUSTER=$dir" /proc/[0-9]*/environ 2>/dev/null | tr -dc '0-9\n'
}

# shellcheck disable=SC2317
end_processes() {
	local signal pids
	export -n RLHF_CLUSTER
	for signal in TERM TERM KILL KILL; do
		mapfile -t pids < <(our_processes)
		[ ${#pids[@]} -gt 0 ] || return 0
		kill -"$signal" "${pids[@]}" 2>/dev/null
		for ((n = 0; n < 30; n++)); do
			[ -n "$(our_processes)" ] || return 0
			sleep 0.1
		done
	done
}

# --- main ---

if [ "${1:-}" = --head ]; then # inside the namespaces: COMMAND's parent and PID 1
	dir=$2 nodes=$3 mode=namespaces
	shift 3
	trap 'exit 143' INT TERM
	export_environment
	mkdir -p "$dir/log"
	make_head 2>"$dir/log/head.out" || fail 'the head has no network'
	start_daemons
	"$@"
	exit $?
fi

if [ $# -lt 2 ] || ! [ "$1" -gt 0 ]; then
	sed -n '6,7s/^#  *//p' "$0" >&2
	exit 2
fi
nodes=$1
dir=$(mktemp -d /tmp/cluster.XXXXXX)
chmod 755 "$dir"
if namespaces_work; then
	unshare "${spaces[@]}" --pid --fork --kill-child --mount-proc \
		"$(readlink -f "$0")" --head "$dir" "$@" <&0 &
	pid=$!
	trap 'rm -rf "$dir"' EXIT
	trap 'kill -KILL $pid; wait $pid 2>/dev/null; exit 143' INT TERM HUP
	wait $pid
	exit $?
fi
mode=plain
shift
mkdir -p "$dir/log"
trap 'end_processes; rm -rf "$dir"' EXIT
trap 'exit 143' INT TERM HUP
export_environment
start_daemons
"$@" &
wait $!
exit $?
