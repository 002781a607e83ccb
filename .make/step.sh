#!/bin/sh
# Usage: step.sh LOG WHAT COMMAND…: runs a step of the setting up, and says how long it takes, every ten seconds while it lasts. What it
# prints goes to the file LOG, and is shown only if it fails.
log=$1
printf '%s ... ' "$2"
shift 2
began=$(date +%s)
said=0
"$@" >"$log" 2>&1 &
job=$!
# A command behind & in a script ignores Ctrl-C.
trap 'kill "$job" 2>/dev/null; echo stopped; exit 130' INT TERM HUP
while kill -0 "$job" 2>/dev/null; do
    sleep 0.5
    seconds=$(($(date +%s) - began))
    if [ "$seconds" -ge $((said + 10)) ]; then
        said=$seconds
        packages=$(grep -c '^ *Collecting ' "$log")
        if grep -q '^ *Installing collected packages' "$log"; then
            printf '%s s, installing %s packages ... ' "$seconds" "$packages"
        elif [ "$packages" -gt 0 ]; then
            printf '%s s, %s packages found ... ' "$seconds" "$packages"
        else
            printf '%s s ... ' "$seconds"
        fi
    fi
done
wait "$job"
code=$?
if [ "$code" -ne 0 ]; then
    echo "failed after $(($(date +%s) - began)) s:"
    tail -n 25 "$log"
    echo "All of it is in $log."
    exit "$code"
fi
echo "$(($(date +%s) - began)) s"
