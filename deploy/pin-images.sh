#!/bin/sh
# Writes the images of compose.yaml into .env by the digests that their tags have now. Needs docker, and asks its registries.
set -e
cd "$(dirname "$0")/.."
images=$(sed -n 's/.*\${\([A-Z]*_IMAGE\):-\([^}]*\)}.*/\1=\2/p' compose.yaml | sort -u)
pinned=""
for line in $images; do
    tag=${line#*=}
    digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$tag")
    case $digest in sha256:*) ;; *) echo "$tag: no digest in the answer of docker: $digest" >&2; exit 1 ;; esac
    pinned="$pinned${line%%=*}=${tag}@${digest}
"
done
touch .env
rest=$(grep -Ev '^(TIMESCALEDB|POSTGRES|GRAFANA|PYTHON)_IMAGE=' .env || true)
umask 077
{ [ -z "$rest" ] || printf '%s\n' "$rest"; printf '%s' "$pinned"; } > .env.new
mv .env.new .env
printf '%s' "$pinned"
