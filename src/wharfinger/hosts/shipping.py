"""What a server is given to serve with: our own modules, sent over the connection and installed nowhere."""

from __future__ import annotations

import importlib.util
import json
import zlib
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Final

SHIPPED: Final = (
    "wharfinger",
    "wharfinger.errors",
    "wharfinger.secrets",
    "wharfinger.hosts",
    "wharfinger.hosts.containers",
    "wharfinger.hosts.files",
    "wharfinger.hosts.leftover",
    "wharfinger.hosts.local",
    "wharfinger.hosts.operator",
    "wharfinger.hosts.plugins",
    "wharfinger.hosts.processes",
    "wharfinger.hosts.serving",
    "wharfinger.hosts.unix_http",
    "wharfinger.hosts.wire",
)
"""Every module that the server's end consists of: only the standard library is imported by them beyond each other."""

OLDEST: Final = (3, 11)

PYTHON: Final = (
    *("python3", "-I", "-X", "utf8", "-u", "-c"),
    "import sys;i=sys.stdin.buffer;exec(i.read(int(i.readline())))",
)
"""What is started on the server; it then reads `bootstrap`."""

MARK: Final = b"wharfinger-serves "
"""What a line begins with that says whether the server can serve: a shell's greetings may come before it."""

_BOOTSTRAP: Final = """\
import json, sys, zlib
sys.stdout.write({mark!r} + ".".join(map(str, sys.version_info[:3])) + "\\n")
sys.stdout.flush()
if sys.version_info < {oldest!r}:
    sys.exit(3)
import importlib.util
packages = {packages!r}
sources = json.loads(zlib.decompress(sys.stdin.buffer.read({size})).decode())
class Shipped:
    def find_spec(self, name, path=None, target=None):
        if name in sources:
            return importlib.util.spec_from_loader(name, self, is_package=name in packages)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        name = module.__name__
        exec(compile(sources[name], "<" + name + ">", "exec", dont_inherit=True), module.__dict__)
sys.meta_path.insert(0, Shipped())
from wharfinger.hosts.serving import main
main({name!r})
"""
"""It says which Python it runs on, so it must be read by the oldest Python 3 that may be met."""


def bootstrap(name: str) -> bytes:
    """Return what the started Python reads first: how to serve, and with which modules; `name` is the host's."""
    specs = {module: _spec(module) for module in SHIPPED}
    sources = {module: Path(str(spec.origin)).read_text(encoding="utf-8") for module, spec in specs.items()}
    packed = zlib.compress(json.dumps(sources).encode(), 9)
    script = _BOOTSTRAP.format(
        mark=MARK.decode(),
        oldest=OLDEST,
        packages=tuple(module for module, spec in specs.items() if spec.submodule_search_locations is not None),
        size=len(packed),
        name=name,
    ).encode()
    return str(len(script)).encode() + b"\n" + script + packed


def _spec(module: str) -> ModuleSpec:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(module)
    return spec
