"""The api as its users meet it: over HTTP and WebSockets, with real servers behind it."""

from __future__ import annotations

import http.client
import io
import json
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from sevra_atlas import __version__
from sevra_atlas.queue import FINISHED, STREAM
from tests.conftest import Browser, Relay, Role, eventually, query

Start = Callable[[str, dict[str, str]], Role]
MakeRelay = Callable[[str], tuple[Relay, str]]

PLACE = {
    "name": "Fox Well", "region": "Lower Sevra", "story": "Water, always cold, even in <b>August</b>.",
    "latitude": "45.4711", "longitude": "6.5888",
}  # fmt: skip


def image(size: tuple[int, int] = (900, 600)) -> bytes:
    content = io.BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(content, "JPEG")
    return content.getvalue()


@pytest.fixture
def api(start: Start, environ: dict[str, str]) -> Role:
    return start("api", environ)


def test_anonymous_pages_may_be_cached_for_a_moment(api: Role) -> None:
    for path in ("/", "/places/the-long-bridge", "/search?q=ferryman", "/api/places"):
        answer = Browser(api.url).get(path)
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "public, max-age=1"), path
        assert "Set-Cookie" not in answer.headers
        assert answer.headers["Vary"] == "Cookie"
    assert "Eleven arches" in Browser(api.url).get("/places/the-long-bridge").data.decode()
    assert "The Ferry of Anse" in Browser(api.url).get("/search?q=ferryman+soup").data.decode()


def test_nothing_that_a_member_sees_may_be_cached(api: Role) -> None:
    member = Browser(api.url).join()
    for path in ("/", "/me", "/places/the-long-bridge", "/search?q=soup", "/api/places", "/nowhere"):
        assert member.get(path).headers["Cache-Control"] == "private, no-store", path
    assert Browser(api.url).get("/", Authorization="Bearer x").headers["Cache-Control"] == "private, no-store"
    for path in ("/sign-in", "/sign-up"):
        assert Browser(api.url).get(path).headers["Cache-Control"] == "private, no-store"


def test_a_member_signs_up_out_and_in_again(api: Role) -> None:
    browser = Browser(api.url)
    form = {"name": "Ida", "email": "Ida@Example.com", "password": "a long password"}
    joined = browser.post("/sign-up", form)
    assert joined.status == 303
    cookie = joined.headers["Set-Cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "Ida" in browser.get("/me").data.decode()
    browser.post("/sign-out")
    assert browser.session == ""
    assert browser.get("/me").headers["Location"] == "/sign-in"
    assert Browser(api.url).post("/sign-up", form).status == 409
    assert browser.post("/sign-in", {"email": "ida@example.com", "password": "a wrong password"}).status == 401
    assert browser.post("/sign-in", {"email": "nobody@example.com", "password": "a long password"}).status == 401
    assert browser.post("/sign-in", {"email": "IDA@example.com", "password": "a long password"}).status == 303
    assert browser.get("/me").status == 200


def test_the_cookie_is_for_https_alone_where_the_site_is(start: Start, environ: dict[str, str]) -> None:
    secure = start("api", {**environ, "PUBLIC_URL": "https://atlas.example.com"})
    form = {"name": "Ida", "email": "ida@example.com", "password": "a long password"}
    assert "secure" in Browser(secure.url).post("/sign-up", form).headers["Set-Cookie"].lower()


@pytest.mark.parametrize(
    ("field", "value"), [("password", "short"), ("email", "nobody"), ("email", "a\0@b.c"), ("name", " ")]
)
def test_a_bad_sign_up_is_refused(field: str, value: str, api: Role) -> None:
    form = {"name": "Ida", "email": "ida@example.com", "password": "a long password", field: value}
    answer = Browser(api.url).post("/sign-up", form)
    assert answer.status == 422
    assert "Set-Cookie" not in answer.headers


def test_a_new_place_is_shown_listed_and_escaped(api: Role) -> None:
    member = Browser(api.url).join()
    before = json.loads(member.get("/api/places?limit=5000").data)
    assert member.post("/places", PLACE).headers["Location"] == "/places/fox-well"
    page = Browser(api.url).get("/places/fox-well").data.decode()
    assert "&lt;b&gt;August" in page
    after = json.loads(Browser(api.url).get("/api/places?limit=5000").data)
    assert after["total"] == before["total"] + 1
    assert after["places"][-1]["slug"] == "fox-well"
    again = member.post("/places", PLACE, Accept="application/json")
    assert again.status == 201
    assert json.loads(again.data)["slug"].startswith("fox-well-")


def test_a_bad_place_says_all_that_is_wrong(api: Role) -> None:
    answer = Browser(api.url).join().post("/places", {"name": "x", "latitude": "north"}, Accept="application/json")
    assert answer.status == 422
    assert len(json.loads(answer.data)["problems"]) == 5


def test_who_is_not_signed_in_changes_nothing(api: Role, environ: dict[str, str]) -> None:
    for browser in (Browser(api.url), Browser(api.url, session="1.9999999999.forged")):
        assert browser.post("/places", PLACE, Accept="application/json").status == 401
        assert browser.post("/places", PLACE).headers["Location"] == "/sign-in"
        assert browser.upload("the-long-bridge", image()).status == 401
    assert query(environ["DATABASE_URL"], "SELECT FROM places WHERE added_by IS NOT NULL") == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "same-origin"}, 303),
        ({"Origin": "http://atlas.localhost:8080"}, 303),
        ({}, 303),
    ],
)
def test_pages_of_other_sites_change_nothing(headers: dict[str, str], status: int, api: Role) -> None:
    assert Browser(api.url).join().post("/places", PLACE, **headers).status == status


def test_the_listing_is_large_and_its_limit_holds(api: Role) -> None:
    large = Browser(api.url).get("/api/places?limit=5000")
    assert len(large.data) > 1_000_000
    assert len(json.loads(large.data)["places"]) == 2412
    assert len(json.loads(Browser(api.url).get("/api/places?limit=3").data)["places"]) == 3
    for limit in ("0", "5001", "-1", "x", "", "%C2%B3"):
        assert Browser(api.url).get(f"/api/places?limit={limit}").status == 400, limit


def test_the_listing_comes_from_the_cache(api: Role, environ: dict[str, str]) -> None:
    first = Browser(api.url).get("/api/places?limit=2").data
    query(environ["DATABASE_URL"], "UPDATE places SET name = 'Changed behind its back' WHERE id = 1")
    assert Browser(api.url).get("/api/places?limit=2").data == first


def test_the_atlas_works_without_its_cache(start: Start, environ: dict[str, str], relay: MakeRelay) -> None:
    cable, url = relay(environ["REDIS_CACHE_URL"])
    api = start("api", {**environ, "REDIS_CACHE_URL": url})
    assert Browser(api.url).get("/api/places").status == 200
    cable.cut()
    assert Browser(api.url).get("/api/places").status == 200
    member = Browser(api.url).join()
    assert member.post("/places", PLACE).status == 303
    assert json.loads(Browser(api.url).get("/api/places").data)["total"] == 2413
    assert json.loads(Browser(api.url).get("/health").data)["status"] == "healthy"


def test_health_says_who_and_how(api: Role) -> None:
    answer = Browser(api.url).get("/health")
    body = json.loads(answer.data)
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    assert body.pop("timestamp").endswith("+00:00")
    assert body == {"status": "healthy", "database": "connected", "version": __version__}


def test_the_version_is_that_of_the_deploy(start: Start, environ: dict[str, str]) -> None:
    api = start("api", {**environ, "APP_VERSION": "9.8.7"})
    assert json.loads(Browser(api.url).get("/health").data)["version"] == "9.8.7"
    assert "Sevra Atlas 9.8.7" in Browser(api.url).get("/").data.decode()


def test_health_follows_the_database_down_and_up(start: Start, environ: dict[str, str], relay: MakeRelay) -> None:
    cable, url = relay(environ["DATABASE_URL"])
    api = start("api", {**environ, "DATABASE_URL": url})
    browser = Browser(api.url)
    assert browser.get("/health").status == 200
    cable.cut()
    down = browser.get("/health")
    assert down.status == 503
    assert json.loads(down.data)["database"] == "disconnected"
    page = browser.get("/")
    assert (page.status, page.headers["Retry-After"], page.headers["Cache-Control"]) == (503, "5", "private, no-store")
    cable.mend()
    assert eventually(lambda: browser.get("/health").status == 200, within_s=5)
    assert browser.get("/").status == 200


def test_the_api_starts_before_its_database(start: Start, environ: dict[str, str], relay: MakeRelay) -> None:
    cable, url = relay(environ["DATABASE_URL"])
    cable.cut()
    api = start("api", {**environ, "DATABASE_URL": url})
    assert Browser(api.url).get("/health").status == 503
    cable.mend()
    assert eventually(lambda: Browser(api.url).get("/health").status == 200, within_s=5)


def test_an_uploaded_image_comes_back_byte_for_byte(
    api: Role, environ: dict[str, str], queue_client: redis.Redis
) -> None:
    content = image()
    answer = Browser(api.url).join().upload("the-long-bridge", content)
    assert answer.status == 202
    body = json.loads(answer.data)
    back = Browser(api.url).get(body["url"])
    assert back.data == content
    assert back.headers["Content-Type"] == "image/jpeg"
    assert back.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert back.headers["X-Content-Type-Options"] == "nosniff"
    assert body["url"] in Browser(api.url).get("/places/the-long-bridge").data.decode()
    job = Browser(api.url).get(body["job_url"])
    assert (json.loads(job.data)["state"], job.headers["Cache-Control"]) == ("queued", "no-store")
    assert queue_client.xlen(STREAM) == 1


def test_uploads_that_are_too_large_or_no_image_are_refused(api: Role, environ: dict[str, str]) -> None:
    member = Browser(api.url).join()
    assert member.upload("the-long-bridge", b"<svg/>" * 10).status == 415
    assert member.upload("the-long-bridge", b"").status == 422
    assert member.upload("nowhere", image()).status == 404
    assert member.upload("the-long-bridge", b"\xff\xd8\xff" + bytes(10 * 1024 * 1024)).status == 413
    assert member.post("/places", {**PLACE, "story": "x" * 100_000}).status == 413
    assert query(environ["DATABASE_URL"], "SELECT FROM photos") == []
    largest = b"\xff\xd8\xff" + bytes(10 * 1024 * 1024 - 3)
    assert member.upload("the-long-bridge", largest).status == 202


@pytest.mark.parametrize("path", ["/uploads/../settings.py", "/uploads/%2e%2e%2fsecret.jpg", "/jobs/1", "/places/no"])
def test_what_is_not_there_is_404(path: str, api: Role) -> None:
    answer = Browser(api.url).get(path)
    assert (answer.status, answer.headers["Cache-Control"]) == (404, "private, no-store")


def lines_of(api: Role, request_id: str) -> list[dict[str, Any]]:
    return [line for line in api.lines() if line.get("request_id") == request_id]


def test_requests_are_logged_as_json_with_their_id_and_nothing_secret(api: Role, environ: dict[str, str]) -> None:
    browser = Browser(api.url).join()
    answer = browser.get("/search?q=my+secret+wish", X_Request_ID="edge-4711")
    assert answer.headers["X-Request-ID"] == "edge-4711"
    assert browser.get("/", X_Request_ID="bad id\t{}").headers["X-Request-ID"] != "bad id\t{}"
    (line,) = eventually(lambda: lines_of(api, "edge-4711"))
    assert (line["method"], line["path"], line["status"], line["level"]) == ("GET", "/search", 200, "info")
    log = api.log.read_text()
    for secret in ("secret", browser.session, environ["SESSION_SECRET"], environ["DATABASE_URL"], "a long password"):
        assert secret not in log


def test_a_fault_is_answered_and_logged_with_its_request(api: Role, environ: dict[str, str]) -> None:
    query(environ["DATABASE_URL"], "ALTER TABLE places RENAME COLUMN story TO tale")
    answer = Browser(api.url).get("/", X_Request_ID="fault-1")
    assert (answer.status, answer.headers["X-Request-ID"]) == (500, "fault-1")
    assert "tale" not in answer.data.decode()
    logged = eventually(lambda: [line for line in lines_of(api, "fault-1") if "exception" in line])
    assert "UndefinedColumnError" in logged[0]["exception"]


def socket_url(api: Role) -> str:
    return api.url.replace("http:", "ws:") + "/ws"


def test_the_live_feed_echoes_and_tells_of_jobs(api: Role, queue_client: redis.Redis) -> None:
    with connect(socket_url(api)) as websocket:
        websocket.send("hello ☺")
        assert websocket.recv(timeout=5) == "hello ☺"
        eventually(lambda: queue_client.publish(FINISHED, '{"event": "job"}'))
        assert websocket.recv(timeout=5) == '{"event": "job"}'
        websocket.send(b"\x00")
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(timeout=5)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1003


def test_sigterm_finishes_requests_and_says_goodbye_to_websockets(api: Role) -> None:
    member = Browser(api.url).join()
    answers: list[Any] = []
    sent_half, send_rest = threading.Event(), threading.Event()
    content = image()

    def upload_slowly() -> None:
        host = urlsplit(api.url).netloc
        connection = http.client.HTTPConnection(host, timeout=20)
        body = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="p"\r\n\r\n' + content + b"\r\n--x--\r\n"
        connection.putrequest("POST", "/places/the-long-bridge/photos")
        for name, value in {
            "Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(len(body)),
            "Cookie": f"session={member.session}", "Accept": "application/json",
        }.items():  # fmt: skip
            connection.putheader(name, value)
        connection.endheaders(body[:1000])
        sent_half.set()
        send_rest.wait(10)
        connection.send(body[1000:])
        answers.append(connection.getresponse().status)
        connection.close()

    uploading = threading.Thread(target=upload_slowly)
    with connect(socket_url(api)) as websocket:
        websocket.send("x")
        assert websocket.recv(timeout=5) == "x"
        uploading.start()
        sent_half.wait(10)
        # What was sent before this request has been read when this one is answered.
        eventually(lambda: Browser(api.url).get("/health").status == 200)
        api.process.terminate()
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(timeout=5)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    with pytest.raises(OSError):  # noqa: PT011 - refused or reset, according to the moment
        http.client.HTTPConnection(urlsplit(api.url).netloc, timeout=2).connect()
    assert api.process.poll() is None
    send_rest.set()
    uploading.join(20)
    assert answers == [202]
    assert api.process.wait(10) == 0
