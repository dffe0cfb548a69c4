#!/bin/sh
# Every installed header stands alone, as C11 and as C++17, with and without the short names; twice is once.
. "$SOURCE_ROOT/tests/outside/lib.sh"
install_library
flags="-Wall -Wextra -Wpedantic -Wshadow -Werror -fsyntax-only $(staged --cflags)" # words for eval
n=0
for header in "$root"/include/argent/*.h; do
    name=argent/$(basename "$header")
    printf '#include <%s>\n#include <%s>\nint main(void);\n' "$name" "$name" >"$work/alone.c"
    cp "$work/alone.c" "$work/alone.cc"
    for names in "" -DAG_NO_SHORT_NAMES; do
        for compiler in $(c_compilers); do
            eval '"$compiler" -std=c11 $names "$work/alone.c"' "$flags" || fail "$name by $compiler $names"
        done
        for compiler in $(cxx_compilers); do
            eval '"$compiler" -std=c++17 $names "$work/alone.cc"' "$flags" || fail "$name by $compiler $names"
        done
    done
    n=$((n + 1))
done
[ "$n" -gt 20 ] || fail "only $n headers are installed"
echo "$n headers"
