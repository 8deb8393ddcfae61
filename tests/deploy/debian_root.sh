# shellcheck shell=bash
# debian_root - a Debian 12 that has nothing but a shell and apt, made by debootstrap.
#
# Sourced by bare_debian and container. It needs root, debootstrap and a Debian mirror.
# Environment: BARE_MIRROR (default: the first mirror of this machine's apt).

debian_root_mirror() {
    local mirrors
    # shellcheck disable=SC2016 # apt's own variable
    mirrors=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages')
    grep -m 1 '/debian/\?$' <<<"$mirrors" || echo http://deb.debian.org/debian
}

# Makes it in this folder, unless it is there. On failure it has said why, and returns 1.
debian_root() { # folder
    [[ -e $1/usr/bin/apt-get ]] && return
    command -v debootstrap >/dev/null ||
        { echo 'debootstrap is missing: apt-get install debootstrap' >&2 && return 1; }
    local mirror=${BARE_MIRROR-$(debian_root_mirror)} log
    log=$(mktemp) || return 1
    echo "== debootstrap from $mirror =="
    if ! debootstrap --variant=minbase bookworm "$1" "$mirror" >"$log"; then
        tail "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
    # A proxy that apt needs here is needed there too.
    apt-config dump | grep -E '^Acquire::https?::Proxy ' >"$1/etc/apt/apt.conf.d/80proxy" || :
}
