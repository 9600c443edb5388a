#!/bin/sh
# Runs each fuzz target, one after the other, for so many seconds: fuzz/run.sh SECONDS [TARGET…]
#
# Needs a nightly compiler and cargo-fuzz. Ends with status 1 if any target found something; the input that did it
# is then in fuzz/artifacts/TARGET, and `cargo fuzz run TARGET FILE` shows it again.
set -eu
cd "$(dirname "$0")"
seconds=${1:?usage: fuzz/run.sh SECONDS [TARGET...]}
shift
[ $# -gt 0 ] || set -- $(cargo +nightly fuzz list)
failed=
for target in "$@"; do
    echo "== $target: $seconds s"
    mkdir -p "corpus/$target" "seeds/$target"
    log=$(mktemp)
    if cargo +nightly fuzz run "$target" "corpus/$target" "seeds/$target" -- \
        -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -fork=0 -print_final_stats=1 -verbosity=1 >"$log" 2>&1
    then
        grep -E 'stat::(number_of_executed_units|average_exec_per_sec|new_units_added|peak_rss_mb)|^Done' "$log" || true
    else
        failed="$failed $target"
        tail -60 "$log"
    fi
    rm -f "$log"
done
[ -z "$failed" ] || { echo "failed:$failed"; exit 1; }
echo "all clean"
