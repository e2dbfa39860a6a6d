# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Sourced by the commands that run on a fresh Debian machine, when they are in the root.

# help <argument>...: if --help is among these, print the comment that the command begins with.
help() {
    for argument; do
        case $argument in
        -h | --help)
            usage
            exit 0
            ;;
        esac
    done
}

usage() {
    sed -n '3,/^$/s/^# \{0,1\}//p' "tools/${0##*/}"
}

# need <package>...: install the Debian packages that are missing, or say how and stop.
need() {
    command -v dpkg-query >/dev/null || return 0
    missing=
    for package; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok' ||
            missing="$missing $package"
    done
    [ -z "$missing" ] && return 0

    install="apt-get install -y -qq --no-install-recommends$missing"
    if [ "$(id -u)" = 0 ]; then
        sudo=
    elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        sudo=sudo
    else
        echo "Debian packages are missing, and only root can install them:"
        echo "    sudo apt-get update && sudo $install"
        exit 1
    fi
    echo "installing:$missing"
    # shellcheck disable=SC2086 # The lists are meant to split.
    if ! { $sudo apt-get update -qq &&
        $sudo env DEBIAN_FRONTEND=noninteractive $install </dev/null >/dev/null; }; then
        echo "could not install:$missing"
        exit 1
    fi
}
