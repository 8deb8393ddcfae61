# shellcheck shell=sh
# packages - installs the Debian packages that are missing, and nothing else.
#
# Sourced by deploy/serve and tests/run. A list is a file of deploy/packages, one name a
# line; the Dockerfile reads the same files. When nothing is missing, apt is not called.

# The names in the lists that are not installed, on one line.
packages_missing() {
    packages_wanted=$(sort -u "$@") || return 1
    # shellcheck disable=SC2086 # one argument a package
    packages_present=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' \
        $packages_wanted 2>/dev/null) || : # 1 only says that some are unknown
    for package in $packages_wanted; do
        case "
$packages_present
" in
        *"
$package installed
"*) ;;
        *) printf '%s ' "$package" ;;
        esac
    done
}

# What turns this user into root: nothing for root itself, else sudo, which may ask for a
# password only where somebody can type one.
packages_root_command() {
    if [ "$(id -u)" = 0 ]; then
        return 0
    elif ! command -v sudo >/dev/null; then
        return 1
    elif (: </dev/tty) 2>/dev/null; then
        echo sudo
    else
        echo sudo -n
    fi
}

packages_apt() {
    # shellcheck disable=SC2086 # the command and its option
    $packages_as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
        -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" >>"$packages_log" 2>&1
}

# Installs packages for their programs: a server among them is neither started, which
# Debian's policy-rc.d forbids for that long, nor enabled.
packages_apt_install() ( # package...
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap '$packages_as_root rm -f $policy' EXIT
        trap 'exit 130' HUP INT TERM
        # shellcheck disable=SC2016 # for the inner shell
        $packages_as_root sh -c 'printf "#!/bin/sh\nexit 101\n" >"$1" && chmod 755 "$1"' sh $policy
    fi
    # Removing somebody's packages to make room is never right here.
    packages_apt install --no-install-recommends --no-remove "$@" || exit 1
    for package; do
        [ ! -e "/lib/systemd/system/$package.service" ] ||
            $packages_as_root systemctl --quiet disable "$package.service" >/dev/null 2>&1 || :
    done
)

# Installs what the lists name. On failure it has said why, and returns 1.
packages_install() {
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        echo "  no apt here: relying on what is installed (Debian's names: $*)"
        return 0
    fi
    packages_names=$(packages_missing "$@") || return 1
    if [ -z "$packages_names" ]; then
        echo "  all there"
        return 0
    fi
    echo "  installing ${packages_names% }"
    if ! packages_as_root=$(packages_root_command); then
        echo "  apt needs root and sudo is not here. As root: apt-get install $packages_names" >&2
        return 1
    fi
    packages_log=$(mktemp) || return 1
    # A broken third-party source fails the update; what is needed may still be found.
    packages_apt update || echo "  apt-get update failed; trying with the lists there are"
    # shellcheck disable=SC2086 # one argument a package
    if packages_apt_install $packages_names; then
        rm -f "$packages_log"
        return 0
    fi
    tail -n 15 "$packages_log" >&2
    rm -f "$packages_log"
    return 1
}
