#!/bin/sh
# Programs outside the tree, compiled as C11 and C++17 by every compiler there is with `pkg-config --cflags --libs argent`,
# and linked with the shared library and with the static one. Each prints "fine".
. "$SOURCE_ROOT/tests/outside/lib.sh"
install_library
# shellcheck disable=SC2034 # in an eval
warnings="-Wall -Wextra -Wpedantic -Wshadow -Werror"

flags=$(staged --libs)
static_flags="'$library_folder/libargent.a' $(staged --static --libs | sed 's/-largent//')"

# check SOURCE COMPILER STANDARD: both ways.
check() {
    name="$(basename "$1") by $2"
    echo "$name"
    eval '"$2" "-std=$3" $warnings $(sanitize)' "$(staged --cflags)" '-c "$1" -o "$work/program.o"' ||
        fail "$name does not compile"
    eval '"$2" $(sanitize) "$work/program.o" -o "$work/program"' "$flags" || fail "$name does not link"
    [ "$("$work/program")" = fine ] || fail "$name does not run"
    eval '"$2" $(sanitize) "$work/program.o" -o "$work/program"' "$static_flags" || fail "$name does not link, static"
    [ "$(LD_LIBRARY_PATH='' "$work/program")" = fine ] || fail "$name does not run, static"
}

for compiler in $(c_compilers); do
    own_compiler "$compiler" || continue
    for source in "$here"/*.c; do check "$source" "$compiler" c11; done
done
for compiler in $(cxx_compilers); do
    own_compiler "$compiler" || continue
    for source in "$here"/*.cc; do check "$source" "$compiler" c++17; done
done
