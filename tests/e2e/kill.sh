# Sourced by the tests that kill: kills a run again and again and compares its bytes
# with those of the run "whole", which was left alone.
# shellcheck shell=bash

# Runs COMMAND CONFIG on RANKS ranks (0: alone) until it is done, killing it once on
# each launch for which KILLS are left; who is killed is random, and when, within the
# time that a whole run takes.
run_with_kills() { # RUN KILLS RANKS COMMAND CONFIG
	local run=$1 kills=$2 ranks=$3 command=$4 config=$5
	local launches=0 most=$((4 * $2 + 40)) rc pid victims victim after began took ms start=()
	[ "$ranks" -eq 0 ] || start=(mpirun --oversubscribe -n "$ranks")
	began=${EPOCHREALTIME/[.,]/}
	"${start[@]}" "$RLHF" "$command" "$config" --set run.dir="$run" 2>"$run.log" ||
		fail "$run: $(tail -n 3 "$run.log")"
	ms=$(((${EPOCHREALTIME/[.,]/} - began) / 1000 + 1))
	rm -rf "$run"
	while :; do
		launches=$((launches + 1))
		began=${EPOCHREALTIME/[.,]/}
		[ $launches -le $most ] || fail "$run: no end after $launches launches"
		"${start[@]}" "$RLHF" "$command" "$config" --set run.dir="$run" 2>>"$run.log" &
		pid=$!
		if [ "$kills" -gt 0 ]; then
			after=$((RANDOM % ms))
			sleep "$((after / 1000)).$(printf %03d $((after % 1000)))"
			# The launcher itself, or one of its ranks.
			victims=()
			{ read -ra victims <"/proc/$pid/task/$pid/children"; } 2>/dev/null || true
			victims+=("$pid")
			victim=${victims[$((RANDOM % ${#victims[@]}))]}
			kill -KILL "$victim" 2>/dev/null && kills=$((kills - 1))
		fi
		# Open MPI's launcher can hang for ever when a rank is killed while it starts.
		for ((after = 0; after < 1200; after++)); do
			kill -0 "$pid" 2>/dev/null || break
			sleep 0.05
		done
		[ "$after" -lt 1200 ] || kill -KILL "$pid"
		rc=0
		wait "$pid" 2>/dev/null || rc=$?
		if [ $rc -eq 0 ]; then
			# The first run may have shared its cores: later kills would come too late.
			took=$(((${EPOCHREALTIME/[.,]/} - began) / 1000 + 1))
			[ "$took" -ge "$ms" ] || ms=$took
			# It may have been done before all the kills: once more from the start.
			[ "$kills" -gt 0 ] || break
			same_run whole "$run" "after kills ($launches launches)"
			rm -rf "$run"
		fi
		[ $rc -eq 0 ] || [ $rc -gt 3 ] || fail "$run: exit $rc: $(tail -n 3 "$run.log")"
	done
	same_run whole "$run" "after kills ($launches launches)"
	rm -rf "$run"
}

# One SIGKILL at a named point of a run on N ranks (0: alone), then the same command.
kill_at() { # RANKS POINT HIT
	local run=at-$2-$3 rc=0
	RLHF_FAULT=kill:$2:$3 on "$1" "$RLHF" ppo config.json --set run.dir="$run" \
		2>"$run.log" || rc=$?
	[ $rc -ne 0 ] || fail "point $2 was not passed $3 times"
	on "$1" "$RLHF" ppo config.json --set run.dir="$run" 2>>"$run.log" ||
		fail "after a kill at $2: $(tail -n 3 "$run.log")"
	same_run whole "$run" "after a kill at $2"
}
