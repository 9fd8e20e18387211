#!/usr/bin/env bash
# Whole processes on the same files: `rsigma engine eval` and `docket detect --format json`, in turns on one core; processor
# seconds (user and system), the median of the rounds. See ../README.md.
#
#   process.sh FOLDER [ROUNDS] [CORE]
#
# FOLDER holds what `rsigma-bench files FOLDER` wrote. RSIGMA and DOCKET name the binaries.
set -euo pipefail
export LC_ALL=C
dir=$1 rounds=${2:-5} core=${3:-0}
rsigma=${RSIGMA:-rsigma} docket=${DOCKET:-docket}

# Processor seconds of a command, whose output goes to FOLDER/out.
cpu() {
    local TIMEFORMAT='%U %S'
    { time taskset -c "$core" "$@" >"$dir/out" 2>"$dir/err" || [ $? -eq 1 ]; } 2>&1 | awk '{ printf "%.3f\n", $1 + $2 }'
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# compare NAME EVENTS RULES ROUNDS: a row of the table.
compare() {
    local ours=() theirs=() ours_out theirs_out
    for _ in $(seq "$4"); do
        theirs+=("$(cpu "$rsigma" engine eval --rules "$3" --event "@$2" --input-format json --logsource-routing --no-detections)")
        theirs_out=$(wc -l <"$dir/out")
        ours+=("$(cpu "$docket" detect --format json --policies "$3" "$2")")
        ours_out=$(wc -l <"$dir/out")
    done
    awk -v name="$1" -v r="$(printf '%s\n' "${theirs[@]}" | median)" -v d="$(printf '%s\n' "${ours[@]}" | median)" \
        -v rl="$theirs_out" -v dl="$ours_out" \
        'BEGIN { printf "| %s | %.2f | %.2f | %.1f | %d | %d |\n", name, r, d, r / d, rl, dl }'
}

echo "$("$rsigma" --version), $("$docket" --version); $(date -u +%FT%RZ), load $(cut -d' ' -f1-3 /proc/loadavg)"
echo "| what | RSigma, s | Docket, s | times | lines of RSigma | findings of Docket |"
echo "|---|---:|---:|---:|---:|---:|"
compare "603 rules" "$dir/events.ndjson" "$dir/rules-603" "$rounds"
compare "3,141 rules" "$dir/events.ndjson" "$dir/rules-3141" "$rounds"
compare "event_count, 10,000 groups, below" "$dir/many.ndjson" "$dir/event_count-below" "$rounds"
compare "event_count, 10,000 groups, each fires" "$dir/many.ndjson" "$dir/event_count-fires" "$rounds"
# Minutes of RSigma's: once.
compare "value_count, 17,000 values, below" "$dir/spray.ndjson" "$dir/value_count-below" 1
compare "value_count, 17,000 values, fires" "$dir/spray.ndjson" "$dir/value_count-fires" 1
echo "docket policy check, 3,757 rules: $(cpu "$docket" policy check "$dir/rules-3757") s; load $(cut -d' ' -f1-3 /proc/loadavg)"
