#!/bin/sh
# What the shared library exports begins with ag_; and it refers to nothing that ends the program or prints unasked.
. "$SOURCE_ROOT/tests/outside/lib.sh"
if [ "$SANITIZE" != none ]; then
    echo "sanitizers bring symbols of their own"
    exit 77
fi
library=$BUILD_ROOT/libargent.so
[ -e "$library" ] || fail "there is no $library"

strange=$(nm -D --defined-only "$library" | awk '$2 != "A" { print $3 }' | grep -v '^ag_' || :)
[ -z "$strange" ] || fail "exported, but not ag_...: $strange"
internal=$(nm -D --defined-only "$library" | awk '{ print $3 }' | grep '^ag__' || :)
[ -z "$internal" ] || fail "exported, but internal: $internal"
exported=$(nm -D --defined-only "$library" | grep -c ' ag_')
[ "$exported" -gt 200 ] || fail "only $exported symbols are exported"

forbidden='abort|exit|_exit|_Exit|quick_exit|__assert_fail|__assert_perror_fail|printf|__printf_chk|vprintf|__vprintf_chk|puts|putchar|perror|__stack_chk_fail_local|system'
found=$(nm -D --undefined-only "$library" | awk '{ print $2 }' | sed 's/@.*//' | grep -xE "$forbidden" || :)
[ -z "$found" ] || fail "the library refers to $found"
echo "$exported symbols"
