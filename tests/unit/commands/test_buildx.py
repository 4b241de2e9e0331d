from __future__ import annotations

import base64
import json

from hypothesis import given
from hypothesis import strategies as st

from wharfinger.commands import buildx
from wharfinger.commands.buildx import BuildLog, SecretSource


def test_the_plainest_build() -> None:
    assert buildx.build("/s/app", tag="r/s/api:tree-1", dockerfile="/s/app/Dockerfile") == (
        *("docker", "build", "--load", "--progress=rawjson", "--provenance=false"),
        *("--tag", "r/s/api:tree-1", "--file", "/s/app/Dockerfile", "/s/app"),
    )


def test_everything_that_can_be_asked_for() -> None:
    argv = buildx.build(
        "/s",
        tag="t",
        dockerfile="/s/D",
        target="final",
        platform="linux/arm64",
        args={"B": "2", "A": "x y"},
        labels={"l": "v"},
        secrets=[SecretSource("npm", env="NPM_TOKEN"), SecretSource("key", file='/a,b/"k"')],
        no_cache=True,
    )
    assert argv[9:] == (
        *("--target", "final", "--platform", "linux/arm64"),
        *("--build-arg", "A=x y", "--build-arg", "B=2", "--label", "l=v"),
        *("--secret", "id=npm,env=NPM_TOKEN", "--secret", 'id=key,"src=/a,b/""k"""'),
        *("--no-cache", "/s"),
    )


def vertex(name: str, **more: object) -> dict[str, object]:
    return {"digest": f"sha256:{name}", "name": name, **more}


def log(name: str, text: str) -> dict[str, object]:
    return {"vertex": f"sha256:{name}", "stream": 1, "data": base64.b64encode(text.encode()).decode()}


REPORTS = [
    {"vertexes": [vertex("[internal] load build definition", started="1", completed="1")]},
    {"vertexes": [vertex("[1/3] FROM debian"), vertex("[2/3] RUN  a\n b"), vertex("[3/3] COPY . /")]},
    {"vertexes": [vertex("[1/3] FROM debian", started="1", completed="1", cached=True)]},
    {"vertexes": [vertex("[2/3] RUN  a\n b", started="2")]},
    {"statuses": [{"id": "x", "vertex": "sha256:y", "current": 3}]},
    {"logs": [log("[2/3] RUN  a\n b", "10%\r50%\r100%\ndone {\n\n}\n")]},
]
FAILURE = {"vertexes": [vertex("[2/3] RUN  a\n b", started="2", completed="3", error="exit code: 7")]}


def read(lines: list[str]) -> BuildLog:
    report = BuildLog()
    for line in lines:
        report.feed(line)
    return report


def indented(*reports: object) -> list[str]:
    return [line for report in reports for line in json.dumps(report, indent=2).splitlines()]


def compact(*reports: object) -> list[str]:
    return [json.dumps(report) for report in reports]


def test_both_forms_of_the_report_are_read() -> None:
    for form in (indented, compact):
        report = read(form(*REPORTS))
        assert (report.completed, report.total, report.current) == (1, 3, "[2/3] RUN a b")
        assert not report.failed


def test_a_failed_step_is_named_with_its_own_last_lines() -> None:
    for form in (indented, compact):
        report = read([*form(*REPORTS, {"logs": [log("other", "noise")]}, FAILURE), "ERROR: failed to solve"])
        assert (report.failed, report.error) == ("[2/3] RUN a b", "exit code: 7")
        assert report.tail() == ("100%", "done {", "}")
        assert report.completed == 1


def test_where_no_step_failed_the_commands_own_words_remain() -> None:
    report = read(["Dockerfile:1", "", "ERROR: failed to solve: unknown instruction: FORM"])
    assert report.tail() == ("Dockerfile:1", "ERROR: failed to solve: unknown instruction: FORM")


def test_a_step_that_begins_again_is_not_done() -> None:
    report = read(compact({"vertexes": [vertex("a", started="1", completed="1")]}))
    assert report.completed == 1
    report.feed(json.dumps({"vertexes": [vertex("a", started="2")]}))
    assert report.completed == 0


@given(st.lists(st.text(max_size=20), max_size=20))
def test_no_line_is_fatal(lines: list[str]) -> None:
    report = read([*lines, "}"])
    report.feed(json.dumps({"vertexes": [vertex("a", started="1")]}))
    assert report.current == "a"
