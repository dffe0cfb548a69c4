#!/bin/sh
# Programs outside the tree, compiled as C11 and C++17 by every compiler there is with `pkg-config --cflags --libs argent`, and linked
# once more with the static library. Each prints "fine".
. "$SOURCE_ROOT/tests/outside/lib.sh"
install_library
warnings="-Wall -Wextra -Wpedantic -Wshadow -Werror"

# check NAME COMMAND...: compiles, runs, looks at what it prints.
check() {
    name=$1
    shift
    echo "$name"
    "$@" -o "$work/program" || fail "$name does not build: $*"
    [ "$("$work/program")" = fine ] || fail "$name does not run"
}

flags=$(staged --cflags --libs)
static_flags="$(staged --cflags) $library_folder/libargent.a $(staged --static --libs | sed 's/-largent//')"
# shellcheck disable=SC2086 # flags are words
for compiler in $(c_compilers); do
    own_compiler "$compiler" || continue
    for source in "$here"/*.c; do
        check "$(basename "$source") by $compiler" "$compiler" -std=c11 $warnings $(sanitize) "$source" $flags
    done
    check "train.c by $compiler, static" "$compiler" -std=c11 $warnings $(sanitize) "$here/train.c" $static_flags
done
# shellcheck disable=SC2086
for compiler in $(cxx_compilers); do
    own_compiler "$compiler" || continue
    for source in "$here"/*.cc; do
        check "$(basename "$source") by $compiler" "$compiler" -std=c++17 $warnings $(sanitize) "$source" $flags
    done
done
