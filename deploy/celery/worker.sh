#!/bin/sh
# A worker, in the foreground: sh worker.sh QUEUE RUNS [options of `celery worker`]
# It executes runs of one queue, at most RUNS at once. docs/operations/celery.md says what it needs.
set -e
[ $# -ge 2 ] || { echo "usage: sh worker.sh QUEUE RUNS [options of celery worker]" >&2; exit 2; }
queue=$1
runs=$2
shift 2
: "${DAGSTER_HOME:?is the folder of dagster.yaml}" "${TICKS_CELERY_BROKER:?is the URL of Redis}"
here=$(cd "$(dirname "$0")" && pwd)
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
exec celery -A dagster_celery.app worker -Q "$queue" -c "$runs" -n "$queue@%h" --loglevel INFO "$@"
