#!/bin/sh
# The library as a subproject of another Meson project, which builds and runs a program of its own.
. "$SOURCE_ROOT/tests/outside/lib.sh"
if [ "$SANITIZE" != none ]; then
    echo "once is enough"
    exit 77
fi
project=$work/project
mkdir -p "$project/subprojects"
cp "$here/subproject/meson.build" "$here/train.c" "$project"
ln -s "$SOURCE_ROOT" "$project/subprojects/argent"
# shellcheck disable=SC2086 # a command and its words
build_and_test() { $MESON setup "$project/build" "$project" --buildtype=debug && $MESON test -C "$project/build"; }
build_and_test >"$work/log" 2>&1 || {
    tail -n 40 "$work/log" >&2
    fail "a project with Argent as its subproject"
}
