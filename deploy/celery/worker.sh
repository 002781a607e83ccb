#!/bin/sh
# A worker, in the foreground: sh worker.sh QUEUE RUNS [options of `celery worker`]
# It executes runs of one queue, at most RUNS at once, and starts a worker that breaks again. docs/operations/celery.md
# says what it needs.
set -e
[ $# -ge 2 ] || { echo "usage: sh worker.sh QUEUE RUNS [options of celery worker]" >&2; exit 2; }
queue=$1
runs=$2
shift 2
: "${DAGSTER_HOME:?is the folder of dagster.yaml}" "${TICKS_CELERY_BROKER:?is the URL of Redis}"
here=$(cd "$(dirname "$0")" && pwd)
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"

stopping=
worker=
forward() {
    stopping=1
    [ -z "$worker" ] || kill -s "$1" "$worker" 2>/dev/null || true
}
for signal in TERM INT QUIT; do
    # shellcheck disable=SC2064  # the signal of this turn
    trap "forward $signal" "$signal"
done
while :; do
    celery -A dagster_celery.app worker -Q "$queue" -c "$runs" -n "$queue@%h" --loglevel INFO "$@" &
    worker=$!
    # A signal ends the wait, and not the worker.
    while wait "$worker" && status=0 || status=$?; kill -0 "$worker" 2>/dev/null; do :; done
    worker=
    [ -z "$stopping" ] && [ "$status" -ne 0 ] || exit "$status"
    echo "the worker of queue $queue ended with status $status; it is started again" >&2
    sleep 2 &
    wait $! || true
    [ -z "$stopping" ] || exit "$status"
done
