"""A real OpenSSH server in a container that shares this machine's engine, and an operator's own ssh_config for it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.integration.deployments import docker
from tests.integration.ssh.relay import Relay

IMAGE: Final = "wharfinger-test-sshd"
HERE: Final = Path(__file__).parent
DEPLOY_UID: Final = 1000
CAPABILITIES: Final = tuple(
    word
    for name in (
        *("AUDIT_CONTROL", "BPF", "DAC_READ_SEARCH", "IPC_LOCK", "LINUX_IMMUTABLE", "MKNOD", "NET_ADMIN", "NET_RAW"),
        *("PERFMON", "SYS_ADMIN", "SYS_CHROOT", "SYS_NICE", "SYS_PTRACE", "SYSLOG"),
    )
    for word in ("--cap-add", name)
)
"""What an engine in a container needs."""
UNCONFINED: Final = (
    *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
    *("--security-opt", "systempaths=unconfined"),
)
_OWN_ENGINE: Final = (
    *(*CAPABILITIES, *UNCONFINED, "--cgroupns", "host"),
    *("--volume", "/sys/fs/cgroup:/sys/fs/cgroup", "--volume", "/var/lib/docker"),
)
_UP_WITHIN: Final = 60.0
_BUILD_WITHIN: Final = 600


def build_image() -> None:
    """Build the server's image; unchanged it takes a moment."""
    proxies = [word for name in ("http_proxy", "https_proxy", "no_proxy") for word in ("--build-arg", name)]
    argv = ("docker", "build", "--quiet", "--tag", IMAGE, *proxies, str(HERE))
    subprocess.run(argv, check=True, capture_output=True, timeout=_BUILD_WITHIN)


@dataclass
class SshServer:
    """A server, the way to it, and the files of an operator who may log in."""

    container: str
    folder: Path
    root: Path
    """Where its deployments lie, on this machine too."""
    relay: Relay

    @property
    def config(self) -> Path:
        """The operator's ssh_config; it knows the server as `vps1`, `guest` and `nobody`."""
        return self.folder / "config"

    @property
    def known_hosts(self) -> Path:
        """The operator's known_hosts."""
        return self.folder / "known_hosts"

    @property
    def environ(self) -> dict[str, str]:
        """What an operator's commands run with."""
        return {"WHARFINGER_SSH_CONFIG": str(self.config), "XDG_RUNTIME_DIR": str(self.folder / "run")}

    def trust(self) -> None:
        """Write the server's true key into known_hosts."""
        key = docker("exec", self.container, "cat", "/etc/ssh/ssh_host_ed25519_key.pub")
        kind, text = key.split()[:2]
        self.known_hosts.write_text(f"[127.0.0.1]:{self.relay.port} {kind} {text}\n", encoding="utf-8")

    def master(self) -> int:
        """Return the pid of the process that holds the operator's connection to `vps1`."""
        listed = subprocess.run(("ps", "-eo", "pid,args"), capture_output=True, text=True, check=True).stdout
        sockets = f"ssh: {self.folder}/run/"
        return next(int(line.split()[0]) for line in listed.splitlines() if sockets in line and "[mux]" in line)

    def forget_master(self) -> None:
        """End the connection that is kept for the next command."""
        subprocess.run(
            ("sh", "-c", 'for s in "$0"/run/wharfinger-*/*; do ssh -S "$s" -O exit x; done', self.folder),
            capture_output=True,
            check=False,
        )

    def serving(self) -> list[str]:
        """Return the processes on the server that serve an operator."""
        return [line for line in docker("top", self.container, "-eo", "pid,args").splitlines() if "python3 -I" in line]

    def remove(self) -> None:
        """Remove it."""
        docker("rm", "--force", "--volumes", self.container)
        self.relay.close()


def start(folder: Path, name: str, root: Path, *, own_engine: bool = False) -> SshServer:
    """Start a server that holds `root` at the same path as this machine; the operator knows its key."""
    engine = _OWN_ENGINE if own_engine else ("--volume", "/var/run/docker.sock:/var/run/docker.sock")
    (folder / "run").mkdir(parents=True, mode=0o700)
    key = folder / "key"
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)), check=True)
    root.mkdir(parents=True, exist_ok=True)
    os.chown(root, DEPLOY_UID, DEPLOY_UID)
    (folder / "keys").mkdir()
    (folder / "keys" / "authorized").write_bytes(key.with_suffix(".pub").read_bytes())
    docker(
        *("run", "--detach", "--name", name, "--hostname", name, "--init", "--publish", "127.0.0.1::22"),
        *engine,
        *("--volume", f"{root}:{root}", "--volume", f"{folder / 'keys'}:/run/keys:ro", IMAGE),
    )
    port = int(docker("port", name, "22").rpartition(":")[2])
    await_banner("127.0.0.1", port)
    made = SshServer(name, folder, root, Relay(port))
    shared = f"""
  HostName 127.0.0.1
  Port {made.relay.port}
  IdentityFile {key}
  IdentitiesOnly yes
  UserKnownHostsFile {made.known_hosts}
"""
    users = {"vps1": "deploy", "guest": "guest", "nobody": "nobody-here"}
    made.config.write_text("".join(f"Host {host}\n  User {user}{shared}" for host, user in users.items()))
    made.trust()
    return made


def await_banner(address: str, port: int) -> None:
    """Return once an SSH server answers."""
    deadline = time.monotonic() + _UP_WITHIN
    while True:
        try:
            with socket.create_connection((address, port), timeout=5) as connection:
                if connection.recv(4) == b"SSH-":
                    return
        except OSError:
            pass
        assert time.monotonic() < deadline, "sshd does not answer"
        time.sleep(0.05)
