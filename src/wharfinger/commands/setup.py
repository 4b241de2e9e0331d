"""What `server.setup` runs on a server over plain SSH, which may have no Python yet; nothing here runs it.

Every script is a constant, and what differs comes as an argument or on standard input.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Final

Argv = tuple[str, ...]

DAEMON_FILE: Final = "/etc/docker/daemon.json"

_LOOK: Final = r"""
fact() { printf '%s %s\n' "$1" "$(printf %s "$2" | base64 -w 0)"; }
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
PATH=$PATH:/usr/sbin:/sbin
. /etc/os-release
fact system "$ID ${ID_LIKE:-}"
fact called "${PRETTY_NAME:-$ID}"
fact codename "${VERSION_CODENAME:-}"
fact login "$(id -un)"
if [ "$(id -u)" = 0 ]; then fact root direct; elif sudo -n true 2>/dev/null; then fact root sudo; else exit 0; fi
fact python "$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)"
fact engine "$(dockerd --version 2>/dev/null)"
fact client "$(command -v docker)"
fact compose "$(docker compose version --short 2>/dev/null)"
fact docker-ce "$(dpkg-query -W -f '${db:Status-Status}' docker-ce 2>/dev/null)"
fact answers "$(root docker version --format '{{.Server.Version}}' 2>/dev/null)"
fact swarm "$(root docker info --format '{{.Swarm.LocalNodeState}}' 2>/dev/null)"
fact daemon "$(root cat /etc/docker/daemon.json 2>/dev/null)"
fact user "$(id -un -- "$1" 2>/dev/null)"
fact groups "$(id -nG -- "$1" 2>/dev/null)"
fact folder "$(root stat -c '%U %a' -- "$2" 2>/dev/null)"
if [ -d /run/systemd/system ]; then
    fact systemd yes
    fact enabled "$(systemctl is-enabled docker 2>/dev/null)"
fi
if [ -n "${3:-}" ]; then
    for tool in nginx curl openssl sudo; do fact "$tool" "$(command -v "$tool")"; done
    fact nginx-runs "$(pidof nginx)"
    fact nginx-enabled "$(systemctl is-enabled nginx 2>/dev/null)"
    fact includes "$(root nginx -T -q 2>/dev/null | grep -cF "include $3/*.conf;")"
    may='sudo -n nginx -T -q && sudo -n -l nginx -s reload'
    fact may-reload "$(root runuser -u "$1" -- sh -c "$may" >/dev/null 2>&1 && echo yes)"
fi
fact ufw "$(root ufw status 2>/dev/null | head -n 1)"
fact nft "$(root nft list ruleset 2>/dev/null | grep -c 'hook input.*policy drop')"
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    [ -r "$file" ] && fact "apt:$file" "$(cat "$file")"
done
exit 0
"""

_ADD_SUITE: Final = r"""
cat >"/etc/apt/sources.list.d/$1"
printf 'Package: *\nPin: release n=trixie\nPin-Priority: 50\n' >/etc/apt/preferences.d/wharfinger-trixie
"""

_INSTALL: Final = r"""
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet
apt-get install --yes --quiet --no-install-recommends "$@"
"""

# A new user gets the keys of whoever sets the server up: otherwise nobody could log in as that user.
_ADD_USER: Final = r"""
useradd --create-home --shell /bin/bash -- "$1"
home=$(getent passwd "$1" | cut -d : -f 6)
keys=$(getent passwd "${SUDO_USER:-root}" | cut -d : -f 6)/.ssh/authorized_keys
if [ -s "$keys" ]; then
    install -d -m 0700 -o "$1" -g "$(id -gn "$1")" "$home/.ssh"
    install -m 0600 -o "$1" -g "$(id -gn "$1")" "$keys" "$home/.ssh/authorized_keys"
fi
"""

_PATH: Final = "PATH=$PATH:/usr/sbin:/sbin\n"
_FUNCTIONS: Final = (
    _PATH
    + r"""
answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
# Not every package lets the engine that runs end when it brings a newer one.
installed() {
    running=$(docker version --format '{{.Server.Version}}' 2>/dev/null) && dockerd --version | grep -qF " $running,"
}
await() {
    tries=0
    until answers; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || { echo "the engine does not answer" >&2; exit 1; }
        sleep 0.2 # nothing tells a shell that a socket answers
    done
}
launch() {
    DOCKER_OPTS=
    [ ! -r /etc/default/docker ] || . /etc/default/docker
    setsid --fork dockerd $DOCKER_OPTS >>/var/log/dockerd.log 2>&1 </dev/null
}
"""
)

_START: Final = (
    _FUNCTIONS
    + r"""
if [ -d /run/systemd/system ]; then
    systemctl enable --now docker >&2
    installed || systemctl restart docker >&2
elif ! answers; then
    launch
fi
await
"""
)

# The reload lets containers live on without the engine, so that the restart, which the rest needs, stops none.
_CONFIGURE: Final = (
    _FUNCTIONS
    + r"""
file=/etc/docker/daemon.json
mkdir -p /etc/docker
umask 022
cat >"$file.new"
trap 'rm -f "$file.new"' EXIT
dockerd --validate --config-file "$file.new" >&2
if [ -e "$file" ] && [ ! -e "$file.before-wharfinger" ]; then cp -p "$file" "$file.before-wharfinger"; fi
mv "$file.new" "$file"
answers || exit 0
if [ -d /run/systemd/system ]; then
    systemctl reload docker >&2
    systemctl restart docker >&2
else
    pid=$(cat /var/run/docker.pid)
    kill -HUP "$pid"
    sleep 1 # a reload tells nobody of its end
    kill "$pid"
    while kill -0 "$pid" 2>/dev/null && [ "$(cut -d ' ' -f 3 "/proc/$pid/stat" 2>/dev/null)" != Z ]; do sleep 0.1; done
    rm -f /var/run/docker.pid
    launch
fi
await
"""
)

_INCLUDE: Final = r"""
file=/etc/nginx/conf.d/wharfinger.conf
[ ! -e "$file" ] || cp -p "$file" "$file.before"
printf 'include %s/*.conf;\n' "$1" >>"$file"
if ! nginx -t; then
    if [ -e "$file.before" ]; then mv "$file.before" "$file"; else rm "$file"; fi
    exit 1
fi
rm -f "$file.before"
[ -z "$(pidof nginx)" ] || nginx -s reload
"""

# Any other flag of it would make root of whoever deploys. sudo reads no file with a dot in its name.
_LET_RELOAD: Final = r"""
file=/etc/sudoers.d/wharfinger-$(printf %s "$1" | tr -c 'A-Za-z0-9_-' _)
umask 0337
printf '%s ALL=(root) NOPASSWD: %s -T -q, %s -s reload\n' "$1" "$(command -v nginx)" "$(command -v nginx)" >"$file.new"
trap 'rm -f "$file.new"' EXIT
visudo -cqf "$file.new"
mv "$file.new" "$file"
"""

_START_NGINX: Final = r"""
if [ -d /run/systemd/system ]; then systemctl enable --now nginx; else [ -n "$(pidof nginx)" ] || nginx; fi
"""


def look(user: str, folder: str, sites: str = "") -> Argv:
    """Print what there is on a server, as `read_facts` reads it; it changes nothing.

    `sites` is the folder that the server's own Nginx is to include, where that is the edge.
    """
    return ("sh", "-c", _LOOK, "sh", user, folder, sites)


def read_facts(text: str) -> dict[str, str]:
    """Return what `look` printed, by name."""
    pairs = (line.partition(" ")[::2] for line in text.splitlines() if " " in line)
    return {name: base64.b64decode(value).decode(errors="replace").strip() for name, value in pairs}


def add_suite(file: str) -> Argv:
    """Let apt know Debian 13 too, pinned low, by the source on standard input."""
    return _script(_ADD_SUITE, file)


def install(packages: Sequence[str]) -> Argv:
    """Install packages from the server's own apt sources."""
    return _script(_INSTALL, *packages)


def add_user(name: str) -> Argv:
    """Make a user for deploys, whom the same keys let in as whoever sets the server up."""
    return _script(_ADD_USER, name)


def join_docker(user: str) -> Argv:
    """Let a user use the engine."""
    return ("usermod", "--append", "--groups", "docker", user)


def make_folder(folder: str, user: str) -> Argv:
    """Make a folder a user's own, and nobody else's to look into."""
    return ("install", "-d", "-o", user, "-g", user, "-m", "0750", folder)


def configure_engine() -> Argv:
    """Let the engine take up the daemon.json on standard input, once it has proved valid; the old one is kept."""
    return _script(_CONFIGURE)


def start_engine() -> Argv:
    """Start the engine, now and at boot, and return when it answers."""
    return _script(_START)


def include_sites(folder: str) -> Argv:
    """Let the server's own Nginx include the sites of a folder; where its test fails all is as it was."""
    return _script(_PATH + _INCLUDE, folder)


def let_reload(user: str) -> Argv:
    """Let a user test and reload the server's own Nginx by sudo, and nothing else of it."""
    return _script(_PATH + _LET_RELOAD, user)


def start_nginx() -> Argv:
    """Start the server's own Nginx, now and at boot."""
    return _script(_PATH + _START_NGINX)


def _script(text: str, *arguments: str) -> Argv:
    return ("sh", "-euc", text, "sh", *arguments)
