#!/bin/sh
# compare-output.sh EXPECTED PROGRAM [ARGUMENT]...: the program succeeds and prints what the file says.
set -eu
expected=$1
shift
output=$(mktemp)
trap 'rm -f "$output"' EXIT
"$@" >"$output"
diff -u "$expected" "$output"
