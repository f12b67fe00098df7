#!/bin/sh
# A lane on a Spark cluster, with what docs/cluster.md explains:
#
#   streaming/spark-submit.sh online --master spark://host:7077 -- --repo feature_repo --checkpoint hdfs:///tidemark/online
#
# The first word is the lane (online or history), then come options of spark-submit, then --, then the
# lane's own. What is named again wins: spark-submit takes the last of an option.
set -eu

usage() {
    echo "use: $0 online|history [options of spark-submit] -- --repo DIR --checkpoint URI [options of the lane]" >&2
    exit 2
}

home=$(cd "$(dirname "$0")/.." && pwd)
[ $# -gt 0 ] || usage
job=$home/streaming/jobs/$1.py
case $1 in online | history) ;; *) usage ;; esac
shift

# The options of spark-submit stay at the end of the list while those of the lane go behind the script.
count=0
for word in "$@"; do
    [ "$word" != -- ] || break
    count=$((count + 1))
done
[ $count -lt $# ] || usage

python=${PYSPARK_DRIVER_PYTHON:-${PYSPARK_PYTHON:-python3}}
submit=${SPARK_HOME:+$SPARK_HOME/bin/}spark-submit
if [ -z "${SPARK_HOME:-}" ] && [ -x "$home/.venv/bin/spark-submit" ]; then
    submit=$home/.venv/bin/spark-submit
    python=${PYSPARK_PYTHON:-$home/.venv/bin/python}
    export PYSPARK_PYTHON="$python"
fi

# Executors import these packages by what the driver sends them, not by what their image has.
packed=$(mktemp -d)
trap 'rm -rf "$packed"' EXIT
(cd "$home" && "$python" -m zipfile -c "$packed/tidemark.zip" streaming serving generators)

taken=0
for word in "$@"; do
    shift
    if [ $taken -eq $count ]; then
        set -- "$@" "$job"
    else
        set -- "$@" "$word"
    fi
    taken=$((taken + 1))
done

cd "$home"
"$submit" \
    --properties-file conf/spark-defaults.conf \
    --files conf/log4j2.properties \
    --py-files "$packed/tidemark.zip" \
    "$@" &
running=$!
# A lane that is told to stop ends its batch first; the JVM above it would end it at once.
stop() {
    lane=$(ps -A -o pid= -o ppid= | awk -v parent="$running" '$2 == parent { print $1 }')
    # shellcheck disable=SC2086
    kill -TERM ${lane:-$running} 2>/dev/null || true
}
trap stop TERM INT
set +e
while :; do
    wait $running
    code=$?
    kill -0 $running 2>/dev/null || break
done
exit $code
