#!/usr/bin/env bash
# Make sure that the servers which the tests start privately are on this machine.
#
# Installs Debian's packages where that is possible (apt-get, as root) and says so. Elsewhere it only says
# what is missing: tests that need it are skipped, or fail where PLACET_REQUIRE lists it.
# Programs that are named on the command line are wanted as well, under the names of their packages.
# No service of the system is started: the tests bring their own, on free ports.
set -euo pipefail

missing=()
[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || command -v rabbitmq-server > /dev/null || missing+=(rabbitmq-server)
compgen -G "/usr/lib/postgresql/*/bin/initdb" > /dev/null || command -v initdb > /dev/null || missing+=(postgresql)
command -v docker-registry > /dev/null || missing+=(docker-registry)
command -v caddy > /dev/null || missing+=(caddy)
command -v haproxy > /dev/null || missing+=(haproxy)
{ command -v prometheus && command -v promtool; } > /dev/null || missing+=(prometheus)
ldconfig -p 2> /dev/null | grep -q libgomp.so.1 || missing+=(libgomp1) # LightGBM's wheel brings all but this
command -v chromium > /dev/null || missing+=(chromium)
command -v go > /dev/null || missing+=(golang-go)
[ -d /usr/share/gocode/src/golang.org/x/mod ] || missing+=(golang-golang-x-mod-dev) # what Go is asked for
command -v faketime > /dev/null || missing+=(faketime) # services whose clocks are wrong
command -v jq > /dev/null || missing+=(jq) # as the pages have it typed
command -v cc > /dev/null || missing+=(gcc libc6-dev) # the disk that loses power, tests/faults/disk.c
command -v dockerd > /dev/null || [ -S /var/run/docker.sock ] || [ -n "${DOCKER_HOST:-}" ] || missing+=(docker.io)
command -v ip > /dev/null || missing+=(iproute2) # an engine in a network of its own
command -v iptables > /dev/null || missing+=(iptables)
compose=/usr/local/lib/docker/cli-plugins/docker-compose
[[ "$(docker compose version --short 2> /dev/null)" =~ ^v?[2-9] ]] || missing+=(docker-compose)
for program in "$@"; do
    command -v "$program" > /dev/null || missing+=("$program")
done

if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null; then
    echo "Not on this machine: ${missing[*]}. Only on Debian, and as root, are they installed from here." >&2
    exit 0
fi

echo "Installing ${missing[*]} with apt-get …"
# Debian starts what it installs, unless this file forbids it.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
# Version 2 is a plugin of docker. This release of Debian may have version 1 alone, a program by itself; a later one has
# a plugin that needs nothing but the C library. It is taken from this machine's own mirror by itself, with apt's
# settings, lists and state in a folder that goes again, so that nothing else of that release can be installed.
install_compose() {
    local package aside
    for package in docker-compose-v2 docker-compose; do
        if [[ "$(apt-cache policy "$package" 2> /dev/null)" =~ Candidate:\ ([0-9]+:)?v?[2-9] ]]; then
            install "$package"
            return
        fi
    done
    aside=$(mktemp -d)
    (
        trap 'rm -rf "$aside"' EXIT
        mkdir -p "$aside"/{lists/partial,cache/archives/partial,unpacked}
        : > "$aside/status"
        cat > "$aside/trixie.sources" <<- END
			Types: deb
			URIs: $(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -n 1)
			Suites: trixie
			Components: main
			Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
		END
        apart=(
            -o "Dir::Etc::SourceList=/dev/null" -o "Dir::Etc::SourceParts=$aside" -o "Dir::State::Lists=$aside/lists"
            -o "Dir::State::Status=$aside/status" -o "Dir::Cache=$aside/cache" -o "APT::Sandbox::User=root"
        )
        apt-get -qq "${apart[@]}" update < /dev/null > /dev/null
        cd "$aside"
        apt-get -qq "${apart[@]}" download docker-compose < /dev/null > /dev/null
        dpkg-deb --extract docker-compose_*.deb unpacked
        command install -D --mode=755 unpacked/usr/libexec/docker/cli-plugins/docker-compose "$compose"
    )
}
install() {
    apt-get -qq install --yes --no-install-recommends "$@" < /dev/null > /dev/null
}
apt-get -qq update < /dev/null > /dev/null || true
if [[ " ${missing[*]} " == *" docker-compose "* ]]; then
    install_compose || echo "docker-compose could not be installed; the tests say what they could not have." >&2
    kept=()
    for package in "${missing[@]}"; do
        [ "$package" = docker-compose ] || kept+=("$package")
    done
    missing=("${kept[@]}")
fi
if [ ${#missing[@]} -gt 0 ] && ! install "${missing[@]}"; then
    # One that cannot be had must not keep the others away.
    for package in "${missing[@]}"; do
        install "$package" || echo "$package could not be installed; the tests say what they could not have." >&2
    done
fi
