# Sourced by test_kill.sh and soak_kill.sh: kills a run again and again and compares
# its bytes with those of a run that was left alone.
# shellcheck shell=bash

# Runs the command on 4 ranks until it is done, killing it once on each launch for
# which "kills" is left; who is killed, and when, is random.
run_with_kills() { # RUN KILLS
	local run=$1 kills=$2 launches=0 rc pid victims victim
	while :; do
		launches=$((launches + 1))
		[ $launches -le $((kills + 40)) ] || fail "$run: no end after $launches launches"
		mpirun --oversubscribe -n 4 "$RLHF" ppo config.json --set run.dir="$run" 2>>"$run.log" &
		pid=$!
		if [ "$kills" -gt 0 ]; then
			sleep "0.$((RANDOM % 90 + 10))"
			# mpirun itself, or one of its ranks.
			mapfile -t victims < <(pgrep -P "$pid" || true; echo "$pid")
			victim=${victims[$((RANDOM % ${#victims[@]}))]}
			kill -KILL "$victim" 2>/dev/null && kills=$((kills - 1))
		fi
		rc=0
		wait "$pid" 2>/dev/null || rc=$?
		if [ $rc -eq 0 ]; then
			break
		fi
		[ $rc -gt 3 ] || fail "$run: exit $rc: $(tail -n 3 "$run.log")"
	done
	same_run whole "$run" "after kills ($launches launches)"
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
