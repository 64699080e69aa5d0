#!/usr/bin/env bash
# The cable between two nodes is out: the silent ranks are named, both sides end in half a
# minute, and the same command goes on to the same bytes.  The nodes are network
# namespaces with names of their own, joined by a bridge; this needs root.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
skip() {
	echo "$1"
	exit 77
}
[ "$(id -u)" -eq 0 ] || skip 'network namespaces need root'
command -v ip >/dev/null || skip 'ip (iproute2) is not installed'
id=$$ limit=6
ip netns add "rlhf-a-$id" 2>log || skip "no network namespaces: $(cat log)"
# shellcheck disable=SC2317 # called by the trap
clean_up() {
	running_in "$work/" | xargs -r kill -KILL || true
	ip netns del "rlhf-a-$id" || true
	ip netns del "rlhf-b-$id" || true
	ip link del "rlhf$id" || true
	rm -rf "$work"
} 2>/dev/null
trap clean_up EXIT
ip netns add "rlhf-b-$id"
ip link add "rlhf$id" type bridge
ip link set "rlhf$id" up
for node in a b; do
	ip link add "$node$id" type veth peer name eth0 netns "rlhf-$node-$id"
	ip link set "$node$id" master "rlhf$id" up
	ip -n "rlhf-$node-$id" link set lo up
	ip -n "rlhf-$node-$id" link set eth0 up
done
ip -n "rlhf-a-$id" addr add 10.213.7.1/24 dev eth0
ip -n "rlhf-b-$id" addr add 10.213.7.2/24 dev eth0
printf '10.213.7.1 slots=2\n10.213.7.2 slots=2\n' >hosts
# In place of ssh: HOST COMMAND...
cat >agent <<SHELL
#!/bin/bash
shift
exec ip netns exec rlhf-b-$id unshare --uts bash -c "hostname b; \$*"
SHELL
chmod +x agent

job() { # ARGUMENTS...
	exec ip netns exec "rlhf-a-$id" unshare --uts bash -c 'hostname a; exec "$@"' - mpirun \
		--mca plm_rsh_agent "$work/agent" --mca oob_tcp_if_include eth0 --mca btl tcp,self \
		--mca btl_tcp_if_include eth0 --hostfile hosts -n 4 "$RLHF" ppo "$work/config.json" \
		--set run.heartbeat_timeout=$limit --set ppo.iterations=600 "$@"
}

make_toy
sed -i "s:\"path\"\: \":&$work/:; s:\"prompts\"\: \":&$work/:" config.json
(job --set run.dir="$work/whole" 2>log) || fail "$(cat log)"
(job --set run.dir="$work/cut" 2>log) &
cut=$!
until [ -s cut/metrics.jsonl ] && [ "$(wc -l <cut/metrics.jsonl)" -gt 100 ]; do
	kill -0 $cut || fail "ended: $(cat log)"
	sleep 0.1
done
began=$SECONDS
ip link set "b$id" nomaster
rc=0
wait $cut || rc=$?
[ $rc -ne 0 ] || fail "exit 0 without a cable: $(cat log)"
while [ -n "$(running_in "$work/cut")" ]; do
	[ $((SECONDS - began)) -lt 40 ] || fail "left after 40 s: $(running_in "$work/cut")"
	sleep 0.5
done
echo "both sides ended $((SECONDS - began)) s after the cut, exit code $rc"
grep -qE '^rlhf: error: rank 2 \(actor.1\) on host b has been silent for [67]\.[0-9] s, last in phase [a-z]+; rank 3 \(reward.0\) on host b' log ||
	fail "the silent ranks are not named: $(cat log)"
ip link set "b$id" master "rlhf$id"
(job --set run.dir="$work/cut" 2>log) || fail "with the cable back: $(cat log)"
grep -q 'resuming from' log || fail "began again: $(cat log)"
same_run whole cut 'the cable was out'
