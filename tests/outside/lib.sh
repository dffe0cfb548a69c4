# shellcheck shell=sh
# Sourced by the scripts here, which meson runs with SOURCE_ROOT, BUILD_ROOT, MESON, SANITIZE (b_sanitize) and PREFIX set:
# puts the library as `meson install` would have it into $stage, and says how programs are compiled against it.

set -eu
work=$(mktemp -d "$BUILD_ROOT/outside-XXXXXX")
trap 'rm -rf "$work"' EXIT
# shellcheck disable=SC2034 # for the scripts
here=$SOURCE_ROOT/tests/outside

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

install_library() {
    stage=$work/stage
    # shellcheck disable=SC2086 # a command and its words
    $MESON install -C "$BUILD_ROOT" --no-rebuild --quiet --destdir "$stage" >"$work/log" 2>&1 || {
        cat "$work/log" >&2
        fail "meson install"
    }
    root=$stage$PREFIX
    pc=$(find "$root" -name argent.pc)
    [ -n "$pc" ] || fail "there is no argent.pc"
    library_folder=$(dirname "$(dirname "$pc")")
    export PKG_CONFIG_PATH="${pc%/*}${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
    export LD_LIBRARY_PATH="$library_folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
}

# pkg-config, of the library where it has been staged: words for eval, as there may be blanks in its path.
staged() { pkg-config --define-variable=prefix="$root" "$@" argent; }

sanitize() { [ "$SANITIZE" = none ] || echo "-fsanitize=$SANITIZE"; }

# The compilers there are for a language.
c_compilers() { for c in gcc clang; do command -v $c || :; done; }
cxx_compilers() { for c in g++ clang++; do command -v $c || :; done; }
# With sanitizers, objects and libraries of one compiler only go together.
own_compiler() { # COMPILER
    case $SANITIZE:$CC:$1 in
    none:*) ;;
    *:*clang*:*clang*) ;;
    *:*clang*:* | *:*:*clang*) return 1 ;;
    esac
}
