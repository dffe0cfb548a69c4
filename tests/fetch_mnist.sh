#!/bin/sh
# fetch_mnist.sh PROGRAM: tools/fetch-mnist where nothing can be had, or only something else: it says so, fails, and leaves
# the folder as it was. Stand-ins for curl, wget and npm come first in the path, so no network is asked.
set -eu
program=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/some folder"
folder="$work/some folder"

fail() {
    echo "FAILED: $*" >&2
    cat "$work/output" >&2
    exit 1
}

# stand_in NAME BODY
stand_in() {
    printf '#!/bin/sh\n%s\n' "$2" >"$work/bin/$1"
    chmod +x "$work/bin/$1"
}

# refused SENTENCE ARGUMENT...: the program fails and says this; no temporary folder stays.
refused() {
    sentence=$1
    shift
    if PATH="$work/bin:$PATH" "$program" "$@" <&- >"$work/output" 2>&1; then fail "it should have failed: $*"; fi
    grep -qF -- "$sentence" "$work/output" || fail "it does not say: $sentence"
    [ -z "$(find "$folder" -name '.fetch*')" ] || fail "a temporary folder is left"
}

stand_in curl 'echo "curl: no network" >&2; exit 6'
stand_in wget 'exit 4'
stand_in npm 'exit 1'
refused "no source had the files" "$folder"
refused "missing: train-images-idx3-ubyte" "$folder"
refused "curl: no network" "$folder"
refused "npm pack failed" "$folder"
[ -z "$(ls -A "$folder")" ] || fail "the folder is not empty"

# A mirror that has something else, and a package without the files.
# shellcheck disable=SC2016 # the stand-in expands it
stand_in curl 'while [ "$1" != --output ]; do shift; done; echo nonsense >"$2"'
stand_in npm 'tar -czf other.tgz -T /dev/null'
refused "train-images-idx3-ubyte.gz: wrong checksum" "$folder"
refused "t10k-labels-idx1-ubyte: not in the package" "$folder"
[ -z "$(ls -A "$folder")" ] || fail "the folder is not empty"

# A wrong file that is there already is not taken for the right one, nor removed.
echo nonsense >"$folder/t10k-labels-idx1-ubyte"
echo nonsense >"$folder/train-labels-idx1-ubyte.gz"
refused "missing: t10k-labels-idx1-ubyte" "$folder"
refused "train-labels-idx1-ubyte.gz is not what it should be" "$folder"
[ "$(find "$folder" -type f | wc -l)" = 2 ] || fail "the folder has changed"

refused "one folder, not two" "$folder" "$folder"
refused "unknown option --bogus" --bogus
echo fine
