# shellcheck shell=bash
# Sourced by the programs in tools/: installs what is missing, and only then spends time on it.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "$(basename "$0"): $*"
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# The command that gives super-user rights without asking for a password, one word a line; fails where there is none.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        echo env
    elif have sudo && sudo -n true 2>/dev/null; then
        printf '%s\n' sudo -n env
    else
        return 1
    fi
}

# Installs Debian packages, or prints the line to run and stops.
install_packages() {
    local prefix
    if ! have apt-get; then
        fail "missing: $* (Debian's names). Please install them with your system's package manager, then run this again."
    fi
    if ! prefix=$(as_root); then
        say "$(basename "$0"): missing: $*. Please run"
        say "    sudo apt-get install -y --no-install-recommends $*"
        say "and then this again."
        exit 1
    fi
    # shellcheck disable=SC2206 # one word a line
    prefix=($prefix DEBIAN_FRONTEND=noninteractive)
    say "Installing $*"
    "${prefix[@]}" apt-get update -qq </dev/null >&2 ||
        say "apt-get update failed; trying with the package lists that are there"
    "${prefix[@]}" apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 "$@" </dev/null >&2 ||
        fail "apt-get could not install: $*"
}

c_headers_work() { printf '#include <stdio.h>\nint main(void) { return 0; }\n' | "${CC:-cc}" -E -x c - >/dev/null 2>&1; }
cxx_headers_work() { printf '#include <cstdio>\n' | "${CXX:-c++}" -E -x c++ - >/dev/null 2>&1; }

# has_tool NAME: whether that prerequisite is there.
has_tool() {
    case $1 in
    cc) have "${CC:-cc}" && c_headers_work ;;
    c++) have "${CXX:-c++}" && cxx_headers_work ;;
    zlib | check | sleef) have pkg-config && pkg-config --exists "$1" ;;
    download) have curl || have wget ;;
    *) have "$1" ;;
    esac
}

packages_of() {
    case $1 in
    cc) echo gcc libc6-dev ;;
    c++) echo g++ libc6-dev ;;
    ninja) echo ninja-build ;;
    zlib) echo zlib1g-dev ;;
    sleef) echo libsleef-dev ;;
    download) echo curl ca-certificates ;;
    *) echo "$1" ;;
    esac
}

# need NAME...: makes sure that these prerequisites are there.
need() {
    local tool packages=()
    for tool in "$@"; do
        # shellcheck disable=SC2207 # package names are words
        has_tool "$tool" || packages+=($(packages_of "$tool"))
    done
    if [ ${#packages[@]} = 0 ]; then return; fi
    install_packages "${packages[@]}"
    for tool in "$@"; do
        has_tool "$tool" || fail "$tool is still missing after installing: ${packages[*]}"
    done
}

# want NAME...: the same for what a build can do without: where it cannot be installed, it is not.
want() {
    local tool
    for tool in "$@"; do
        has_tool "$tool" && continue
        # shellcheck disable=SC2046 # package names are words
        (have apt-get && as_root >/dev/null && install_packages $(packages_of "$tool")) || say "going without $tool"
    done
}

# What every build needs, and SLEEF, by which asin, pow and the like are several times faster in float64.
need_build() {
    need cc meson ninja pkg-config zlib "$@"
    want sleef
    local version
    version=$(meson --version)
    case $version in
    0.*) fail "Meson $version is too old, 1.0 is needed. Please run: python3 -m pip install --user 'meson>=1.0'" ;;
    esac
}

# configure DIR OPTION...: makes DIR a configured build directory; nothing to do where these options made it already.
configure() {
    local dir=$1 wanted
    shift
    wanted="CC=${CC:-} $*"
    if [ -f "$dir/build.ninja" ] && [ "$(cat "$dir/configured-with" 2>/dev/null)" = "$wanted" ]; then return; fi
    if [ -e "$dir/meson-private" ]; then
        meson setup --wipe "$dir" "$root" "$@" </dev/null || return
    else
        meson setup "$dir" "$root" "$@" </dev/null || return
    fi
    printf '%s\n' "$wanted" >"$dir/configured-with"
}
