"""Images built by the real BuildKit, pushed to the real Distribution."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from tests.ports import free_ports

from wharfinger import assets, builds, registry
from wharfinger.builds import BuiltImage
from wharfinger.builds.tree import context_files
from wharfinger.console import Console
from wharfinger.errors import BuildFailed, InvalidInput, NotReady
from wharfinger.hosts import Completed
from wharfinger.hosts.local import LocalHost
from wharfinger.model.build import BuildSpec
from wharfinger.registry import Registry

STACK: Final = f"wharfinger-test-{os.getpid()}"
BASE: Final = "debian:trixie-slim"


def docker(*words: str, stdin: str = "") -> str:
    """Run `docker` for at most two minutes and return what it printed."""
    done = subprocess.run(("docker", *words), input=stdin, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Recording(LocalHost):
    """This machine, and a record of every command that it was told to run."""

    def __init__(self) -> None:
        super().__init__()
        self.commands: list[tuple[str, ...]] = []

    def run(self, argv: Sequence[str], **more: Any) -> Completed:
        self.commands.append(tuple(argv))
        return super().run(argv, **more)


@pytest.fixture(scope="module")
def embedded() -> Iterator[Registry]:
    """An embedded registry of our own, on a free port."""
    ours = registry.embedded(port=free_ports(1)[0], project=f"{STACK}-registry")
    assert ours.ensure_running(LocalHost(), assets.folder("compose"))
    yield ours
    subprocess.run(
        ("docker", "compose", "-p", f"{STACK}-registry", "down", "--volumes"),
        capture_output=True,
        timeout=60,
        check=False,
    )
    names = docker("image", "ls", "--filter", f"reference=127.0.0.1:*/{STACK}/*", "--format", "{{.ID}}").split()
    if names:
        docker("image", "rm", "--force", *set(names))


class Stack:
    """A stack's folder, and how it is built."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        self.folder = folder
        self.registry = registry
        self.host = Recording()
        self.log = io.StringIO()
        self.environ: dict[str, str] = {}

    def write(self, path: str, text: str) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def ensure(self, **specs: BuildSpec) -> dict[str, BuiltImage]:
        return self._ensure(specs)

    def ensure_anew(self, **specs: BuildSpec) -> dict[str, BuiltImage]:
        return self._ensure(specs, no_cache=True)

    def _ensure(self, specs: Mapping[str, BuildSpec], *, no_cache: bool = False) -> dict[str, BuiltImage]:
        with Console(io.StringIO(), self.log).steps([]) as steps, steps.step("build") as step:
            return builds.ensure(
                self.folder,
                STACK,
                specs,
                registry=self.registry,
                host=self.host,
                step=step,
                no_cache=no_cache,
                environ=self.environ,
            )

    def commands(self, word: str) -> list[tuple[str, ...]]:
        return [argv for argv in self.host.commands if word in argv]


@pytest.fixture
def stack(tmp_path: Path, embedded: Registry) -> Stack:
    stack = Stack(tmp_path, embedded)
    stack.write("app/Dockerfile", "FROM scratch\nCOPY . /\n")
    stack.write("app/.dockerignore", "*.log\n")
    stack.write("app/page", str(tmp_path))  # no two tests build the same tree
    return stack


APP: Final = BuildSpec(context="app")


# --- by content --------------------------------------------------------------------------------------------


def test_an_unchanged_tree_is_neither_built_nor_pushed_again(stack: Stack) -> None:
    first = stack.ensure(api=APP)["api"]
    assert (first.built, first.pushed) == (True, True)
    assert first.tag == builds.tag_of(stack.folder, APP)
    assert first.reference == f"{stack.registry.address}/{STACK}/api@{first.digest}"
    stack.host.commands.clear()
    again = stack.ensure(api=APP)["api"]
    assert (again.built, again.pushed, again.reference) == (False, False, first.reference)
    assert stack.host.commands == []


def one_byte(stack: Stack) -> None:
    page = stack.folder / "app/page"
    page.write_text(page.read_text() + "2")


def executable(stack: Stack) -> None:
    (stack.folder / "app/page").chmod(0o755)


@pytest.mark.parametrize("change", [one_byte, executable])
def test_a_changed_tree_is(stack: Stack, change: Callable[[Stack], None]) -> None:
    first = stack.ensure(api=APP)["api"]
    change(stack)
    second = stack.ensure(api=APP)["api"]
    assert second.built
    assert second.digest != first.digest
    assert stack.registry.digest(stack.registry.repository(STACK, "api"), first.tag) == first.digest


def test_a_change_to_an_ignored_file_is_none(stack: Stack) -> None:
    stack.ensure(api=APP)
    stack.write("app/debug.log", "x")
    assert not stack.ensure(api=APP)["api"].built


def test_what_the_engine_still_has_is_only_pushed(stack: Stack) -> None:
    wanted = builds.survey(stack.folder, STACK, {"api": APP}, registry=stack.registry)["api"]
    assert wanted.digest is None
    label = f"org.wharfinger.tree={wanted.tree}"
    docker("build", "--quiet", "--tag", wanted.local, "--label", label, str(stack.folder / "app"))
    image = stack.ensure(api=APP)["api"]
    assert (image.built, image.pushed) == (False, True)
    assert stack.commands("build") == []


def test_a_build_alone_pushes_nothing(stack: Stack) -> None:
    with Console(io.StringIO(), io.StringIO()).steps(()) as steps, steps.step("build") as step:
        arguments = (stack.folder, STACK, {"api": APP})
        named = builds.build_only(*arguments, registry=stack.registry, host=stack.host, step=step)
    tag = builds.tag_of(stack.folder, APP)
    assert named == {"api": f"{stack.registry.address}/{STACK}/api:{tag}"}
    assert stack.registry.digest(f"{stack.registry.address}/{STACK}/api", tag) is None
    pushed = stack.ensure(api=APP)["api"]
    assert (pushed.built, pushed.pushed) == (False, True)


def test_a_strangers_image_under_our_tag_is_not_taken_for_ours(stack: Stack) -> None:
    wanted = builds.survey(stack.folder, STACK, {"api": APP}, registry=stack.registry)["api"]
    docker("build", "--quiet", "-t", wanted.local, str(stack.folder / "app"))
    assert stack.ensure(api=APP)["api"].built


def test_no_cache_builds_all_the_same(stack: Stack) -> None:
    stack.ensure(api=APP)
    assert stack.ensure_anew(api=APP)["api"].built
    assert "--no-cache" in stack.commands("build")[-1]


def test_the_reference_can_be_pulled_and_carries_tree_and_revision(stack: Stack) -> None:
    def git(*words: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        done = subprocess.run(
            ("git", "-C", str(stack.folder), *identity, *words), capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout.strip()

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "x")
    image = stack.ensure(api=APP)["api"]
    docker("pull", "--quiet", image.reference)
    labels = docker("image", "inspect", "-f", "{{json .Config.Labels}}", image.reference)
    assert f'"org.opencontainers.image.revision":"{git("rev-parse", "HEAD")}"' in labels
    assert f'"org.wharfinger.tree":"{builds.tree_hash(stack.folder, APP)}"' in labels

    one_byte(stack)
    image = stack.ensure(api=APP)["api"]
    labels = docker("image", "inspect", "-f", "{{json .Config.Labels}}", image.reference)
    assert f'{git("rev-parse", "HEAD")}-dirty"' in labels


def test_outside_git_there_is_no_revision(stack: Stack) -> None:
    image = stack.ensure(api=APP)["api"]
    labels = docker("image", "inspect", "-f", "{{json .Config.Labels}}", image.reference)
    assert "revision" not in labels


def test_stage_and_arguments_reach_the_build(stack: Stack) -> None:
    stack.write("app/Multi", f"FROM {BASE} AS one\nARG WORD\nRUN echo $WORD > /word\nFROM one AS two\nRUN false\n")
    image = stack.ensure(api=BuildSpec(context="app", dockerfile="Multi", target="one", args={"WORD": "a b$c"}))
    assert docker("run", "--rm", image["api"].reference, "cat", "/word") == "a b$c\n"


def test_several_images_are_built_at_the_same_time(stack: Stack) -> None:
    stack.write("app/Slow", f"FROM {BASE}\nARG N\nRUN sleep 3\n")
    specs = {f"w{n}": BuildSpec(context="app", dockerfile="Slow", args={"N": str(n)}) for n in range(2)}
    began = time.monotonic()
    images = stack.ensure(**specs)
    assert list(images) == ["w0", "w1"]
    assert len({image.reference for image in images.values()}) == 2
    overlapping = [line for line in stack.log.getvalue().splitlines() if "w0" in line and "w1" in line]
    assert overlapping or time.monotonic() - began < 5.5


# --- ignore files: BuildKit itself is asked ------------------------------------------------------------------

IGNORE_FILES: Final = [
    "",
    "*\n!a\n",
    "a\n!a/b/keep\n",
    "**/x\n",
    "a/**\n!**/keep\n",
    "*\n!**/keep\n",
    "*/b\n!a/b/x\n",
    "# a\n\n  a  \n!  a/keep  \n",
    "/a/\n!/a/b/\n",
    "a/b/..\n",
    "a?b\n[!a].txt\n[^a].md\n",
    "**\n!a.txt\n",
    "*.t?t\n!b.txt\n",
    "a/**/x\n",
    "**b\n",
    "a*\n!a/b*\n",
    "\\*star\n.hidden\n",
    "a\n!a\na/b\n",
]


@pytest.mark.parametrize("text", IGNORE_FILES)
def test_we_read_ignore_files_as_buildkit_does(tmp_path: Path, text: str) -> None:
    context = tmp_path / "context"
    paths = [
        *("a/b/keep", "a/b/x", "a/b/c/keep", "a/keep", "a/x", "b/x", "b/keep", "c/b/x", "c/keep"),
        *("a.txt", "b.txt", "a.md", "b.md", "a-b", "ab", "x", "keep", "*star", "star", ".hidden"),
    ]
    for path in paths:
        (context / path).parent.mkdir(parents=True, exist_ok=True)
        (context / path).touch()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (context / ".dockerignore").write_text(text)
    target = tmp_path / "out"
    docker("build", "--quiet", "--output", f"type=local,dest={target}", str(context))
    sent = {str(path.relative_to(target)) for path in target.rglob("*") if not path.is_dir()}
    assert set(context_files(context, context / "Dockerfile")) == sent


# --- what goes wrong -----------------------------------------------------------------------------------------


def test_a_build_that_fails_shows_the_step_and_its_last_words(stack: Stack) -> None:
    stack.write("app/Bad", f"FROM {BASE}\nRUN for i in $(seq 30); do echo word $i; done; exit 7\n")
    with pytest.raises(BuildFailed) as caught:
        stack.ensure(bad=BuildSpec(context="app", dockerfile="Bad"))
    error = caught.value
    assert error.exit_code == 5
    assert error.problem.startswith("image bad does not build at [2/2] RUN for i in")
    assert error.details[0] == "word 11"
    assert error.details[-2] == "word 30"
    assert error.details[-1].endswith("exit code: 7")
    assert error.fix


def test_a_dockerfile_that_is_none_is_shown_where_it_is_wrong(stack: Stack) -> None:
    stack.write("app/Bad", f"FROM {BASE}\nRUM true\n")
    with pytest.raises(BuildFailed) as caught:
        stack.ensure(bad=BuildSpec(context="app", dockerfile="Bad"))
    assert any("RUM true" in line for line in caught.value.details)
    assert any("unknown instruction: RUM" in line for line in caught.value.details)


def test_a_base_image_that_does_not_exist_is_named(stack: Stack) -> None:
    stack.write("app/Bad", "FROM 127.0.0.1:1/nobody/nothing:1\n")
    with pytest.raises(BuildFailed) as caught:
        stack.ensure(bad=BuildSpec(context="app", dockerfile="Bad"))
    assert any("127.0.0.1:1/nobody/nothing:1" in line for line in caught.value.details)


def test_after_a_failure_nothing_more_is_begun(stack: Stack) -> None:
    stack.write("app/Bad", f"FROM {BASE}\nRUN exit 7\n")
    bad = BuildSpec(context="app", dockerfile="Bad")
    slow = BuildSpec(context="app", args={"N": "1"})
    more = {f"more{n}": BuildSpec(context="app", args={"N": f"m{n}"}) for n in range(4)}
    with pytest.raises(BuildFailed, match="image bad does not build"):
        stack.ensure(bad=bad, slow=slow, **more)
    assert len(stack.commands("build")) < 6


def test_a_registry_that_is_down_is_named_with_the_mend(stack: Stack) -> None:
    (port,) = free_ports(1)
    stack.registry = Registry(f"127.0.0.1:{port}")
    with pytest.raises(BuildFailed, match=f"registry 127.0.0.1:{port} does not answer") as caught:
        stack.ensure(api=APP)
    assert "registry" in caught.value.fix
    assert stack.commands("build") == []
    with pytest.raises(BuildFailed, match="does not answer"):
        stack.registry.ensure_running(stack.host, assets.folder("compose"))


def test_our_registry_that_is_not_running_has_nothing_yet(stack: Stack) -> None:
    absent = registry.embedded(port=free_ports(1)[0], project=f"{STACK}-absent")
    assert builds.survey(stack.folder, STACK, {"api": APP}, registry=absent)["api"].digest is None
    assert stack.host.commands == []


def test_a_push_that_the_registry_refuses_is_an_error(stack: Stack) -> None:
    built = stack.ensure(api=APP)["api"]
    nobody = f"127.0.0.1:{free_ports(1)[0]}/{STACK}/api"
    docker("tag", f"{stack.registry.repository(STACK, 'api')}:{built.tag}", f"{nobody}:{built.tag}")
    elsewhere = Registry(nobody.partition("/")[0])
    with pytest.raises(BuildFailed, match=rf"{nobody}:{built.tag} was not pushed: .*refused") as caught:
        elsewhere.push(nobody, built.tag, moved=lambda _sent, _total: None)
    assert caught.value.fix
    with pytest.raises(BuildFailed, match="was not pushed: "):
        stack.registry.push(stack.registry.repository(STACK, "api"), "no-such-tag", moved=lambda *_: None)


def test_a_push_reports_its_bytes(stack: Stack) -> None:
    (stack.folder / "app/big").write_bytes(os.urandom(3_000_000))
    seen: list[tuple[int, int]] = []
    built = stack.ensure(api=APP)["api"]
    other = stack.registry.repository(f"{STACK}/copy", "api")
    docker("tag", f"{stack.registry.repository(STACK, 'api')}:{built.tag}", f"{other}:1")
    assert stack.registry.push(other, "1", moved=lambda *moved: seen.append(moved)) == built.digest
    assert all(0 <= sent <= total for sent, total in seen)


def test_what_answers_but_is_no_registry_is_told_apart(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    peer.recv(4096)
                    peer.sendall(b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        port = server.getsockname()[1]
        assert not Registry(f"127.0.0.1:{port}").is_up()
        with pytest.raises(BuildFailed, match="answers 418 and is no registry"):
            Registry(f"127.0.0.1:{port}").digest(f"127.0.0.1:{port}/{STACK}/api", "tree-0")
        ours = registry.embedded(port=port, project=f"{STACK}-taken")
        with pytest.raises(NotReady, match=f"does not start on 127.0.0.1:{port}") as caught:
            ours.ensure_running(LocalHost(), assets.folder("compose"))
        assert f"free port {port}" in caught.value.fix
        server.shutdown(socket.SHUT_RDWR)
    docker("compose", "-p", f"{STACK}-taken", "down", "--volumes")


def test_the_registry_is_started_once_and_answers_on_loopback_only(embedded: Registry) -> None:
    assert not embedded.ensure_running(LocalHost(), assets.folder("compose"))
    bindings = docker("inspect", "-f", "{{json .HostConfig.PortBindings}}", f"{STACK}-registry-registry-1")
    assert '"HostIp":"127.0.0.1"' in bindings
    assert bindings.count("HostIp") == 1


def test_a_context_that_is_not_there_fails_before_anything_is_built(stack: Stack) -> None:
    with pytest.raises(InvalidInput, match="the build context is no folder"):
        stack.ensure(api=APP, other=BuildSpec(context="nowhere"))
    assert stack.host.commands == []


# --- secrets -------------------------------------------------------------------------------------------------

HIDDEN: Final = "hunter2-correct-horse"
WITH_SECRETS: Final = BuildSpec.model_validate(
    {
        "context": "app",
        "dockerfile": "Secret",
        "secrets": [{"id": "npm", "env": "WHARFINGER_TEST_TOKEN"}, {"id": "key", "file": "key.txt"}],
    }
)


def test_a_build_secret_is_seen_by_its_step_alone(stack: Stack) -> None:
    stack.environ["WHARFINGER_TEST_TOKEN"] = HIDDEN
    stack.write("key.txt", HIDDEN[::-1])
    mounts = "--mount=type=secret,id=npm --mount=type=secret,id=key"
    stack.write("app/Secret", f"FROM {BASE}\nRUN {mounts} sha256sum /run/secrets/* > /sums\n")
    image = stack.ensure(api=WITH_SECRETS)["api"]

    seen = docker("run", "--rm", image.reference, "cat", "/sums")
    for secret in (HIDDEN, HIDDEN[::-1]):
        assert hashlib.sha256(secret.encode()).hexdigest() in seen
        assert secret not in " ".join(word for argv in stack.host.commands for word in argv)
        assert secret not in docker("history", "--no-trunc", image.reference)
        assert secret not in docker("image", "inspect", image.reference)
        assert secret not in stack.log.getvalue()
    search = f"grep -rlF {HIDDEN[:9]} /etc /run /tmp /root /sums || true"
    assert docker("run", "--rm", image.reference, "sh", "-c", search) == ""
    assert "id=npm,env=WHARFINGER_TEST_TOKEN" in stack.commands("build")[0]


def test_a_build_that_prints_its_secret_and_fails_does_not_make_us_print_it(stack: Stack) -> None:
    stack.environ["WHARFINGER_TEST_TOKEN"] = HIDDEN
    stack.write("key.txt", f"-----BEGIN KEY-----\n{HIDDEN[::-1]}\n")
    stack.write(
        "app/Secret",
        f"FROM {BASE}\n"
        "RUN --mount=type=secret,id=npm --mount=type=secret,id=key cat /run/secrets/npm /run/secrets/key; exit 1\n",
    )
    with pytest.raises(BuildFailed) as caught:
        stack.ensure(api=WITH_SECRETS)
    assert HIDDEN not in str(caught.value)
    assert HIDDEN[::-1] not in str(caught.value)
    assert "***" in str(caught.value)


def test_missing_secrets_are_all_named_before_anything_is_built(stack: Stack) -> None:
    stack.write("app/Secret", "FROM scratch\n")
    with pytest.raises(InvalidInput, match="build secrets are missing") as caught:
        stack.ensure(api=WITH_SECRETS, other=APP)
    assert caught.value.details[0] == "build.api.secrets.npm: WHARFINGER_TEST_TOKEN is not set"
    assert caught.value.details[1].startswith("build.api.secrets.key: there is no file ")
    assert stack.commands("build") == []


def test_this_machines_certificates_are_there_for_a_build_that_asks(stack: Stack) -> None:
    bundle = stack.write("bundle.crt", f"certificates of {stack.folder}")
    stack.environ["SSL_CERT_FILE"] = str(bundle)
    mount = "--mount=type=secret,id=ca-certificates,target=/ca.crt"
    stack.write("app/Certs", f"FROM {BASE}\nRUN {mount} sha256sum < /ca.crt > /sum # {bundle}\n")
    image = stack.ensure(api=BuildSpec(context="app", dockerfile="Certs"))["api"]
    seen = docker("run", "--rm", image.reference, "cat", "/sum")
    assert seen.startswith(hashlib.sha256(bundle.read_bytes()).hexdigest())


def test_a_build_that_asks_for_certificates_works_without_them(stack: Stack) -> None:
    stack.environ["SSL_CERT_FILE"] = str(stack.folder / "absent")
    stack.write("app/Certs", f"FROM {BASE}\nRUN --mount=type=secret,id=ca-certificates,target=/ca.crt true\n")
    assert stack.ensure(api=BuildSpec(context="app", dockerfile="Certs"))["api"].built
    assert not any("id=ca-certificates" in word for argv in stack.commands("build") for word in argv)
