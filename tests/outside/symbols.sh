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

forbidden='stdout|abort|exit|_exit|_Exit|quick_exit|__assert_fail|__assert_perror_fail|printf|__printf_chk|vprintf|__vprintf_chk|puts|putchar|perror|system'
archive=$BUILD_ROOT/libargent.a
strange=$(nm -g --defined-only "$archive" 2>/dev/null | awk 'NF == 3 { print $3 }' | grep -v '^ag_' | sort -u || :)
[ -z "$strange" ] || fail "global in $archive, but not ag_...: $strange"
for file in "$library" "$archive"; do
    case $file in
    *.so) found=$(nm -D --undefined-only "$file") ;;
    *) found=$(nm --undefined-only "$file" 2>/dev/null) ;;
    esac
    [ -n "$found" ] || fail "nm says nothing of $file"
    found=$(echo "$found" | awk '{ print $NF }' | sed 's/@.*//' | grep -xE "$forbidden" | sort -u || :)
    [ -z "$found" ] || fail "$file refers to $found"
done
echo "$exported symbols"
