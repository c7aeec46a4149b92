# SPDX-License-Identifier: Apache-2.0
"""The agent's pages in the building: the same Integration Kit, keys asked of the relay."""

import contextlib
import json
import os
import re
import signal
import socket
import struct

import pytest

import fake_relay as fake
import harness
import tools
from admin_api import PREFIX, Admin
from axe import assert_accessible
from browser import DESKTOP, PHONE, Browser
from harness import HOST, SERIAL, closed_port, wait_until
from test_agent import identities, setup  # noqa: F401 (fixtures)

LIGHT = "1lzPszHWAEuvzxtXBMkzWQ"
HOUSE = harness.ROOT / "tests" / "simulator" / "house.json"
JSON = "Content-Type: application/json"
VISITS_MAX = 32  # pages.h: PAGES_VISITS_MAX
BODY_BYTES_MAX = 1 << 20  # of an answer: pages.h: PAGES_DEVICE_BYTES_MAX
VISIT_S = 60  # pages.h: PAGES_VISIT_MS
CALL, POWER = f"/servers/{SERIAL}/call", {"controller": "power", "query": "id=1"}
NOT_REACHED = "It did not reach the building."
PERHAPS_REACHED = "Nobody can know whether it reached the building."
CLOCK = harness.BUILD / "tests" / "libtnx_clock.so"


@pytest.fixture(scope="module")
def building(tmp_path_factory):
    made = harness.Building(
        tmp_path_factory.mktemp("building"),
        agent={"pages": {"listen": f"{HOST}:0", "devices": HOUSE}},
    )
    yield made
    try:
        made.stop()
    finally:
        made.kill()


@pytest.fixture
def site(building):
    port = building.agent.process.wait_log(r"msg=pages host=127.0.0.1 port=([0-9]+)")[1]
    return Admin((HOST, int(port)))


def get(site, path, expect=200):
    answer = site.send("GET", PREFIX + path)
    assert answer.status == expect, answer.body
    return answer.json()


def post(site, path, body, expect=200):
    fields = [JSON, f"X-Csrf-Token: {get(site, '/session')['csrf']}", f"Origin: {site.origin}"]
    answer = site.send("POST", PREFIX + path, body, fields)
    assert answer.status == expect, answer.body
    return answer.json()


def test_the_installer_sees_and_tries_the_building(building, site):
    session = get(site, "/session")
    assert (session["role"], session["serial"], session["login_required"]) == ("agent", SERIAL, False)
    assert len(get(site, "/kit.json")["paths"]) == 37
    rooms = get(site, f"/servers/{SERIAL}/devices")["rooms"]
    assert [r["name"] for r in rooms] == [r["name"] for r in json.loads(HOUSE.read_text())["rooms"]]
    call = post(site, f"/servers/{SERIAL}/call", {"controller": "power", "query": f"guid={LIGHT}&cmd=1&fb"})
    assert (call["status"], call["delivered"], json.loads(call["body"])["status"]) == (200, True, 1)
    call = post(site, f"/servers/{SERIAL}/call", {"controller": "powerstatus", "query": "guid=nobody"})
    assert call["status"] == 404
    status = get(site, "/status")
    assert status["relays"][0]["state"] == "open" and status["server"]["state"] == "ok"


def test_the_agent_has_its_own_pages_and_no_others(site):
    for path in ("/", "/app.js", "/site.js", "/mithril.js", "/style.css"):
        answer = site.send("GET", path, fields=["Accept-Encoding: gzip"])
        assert answer.status == 200 and not answer.values("Content-Encoding"), path
    for path in ("/relay.js", "/fleet.js", "/audit.js", "/dygraph.js"):
        assert site.send("GET", path).status == 404, path


def test_keys_are_enabled_at_the_relay(building, site):
    made = post(site, "/keys", {"label": "on site"})
    assert building.get(building.path("system/serverStatus", made["key"])).status == 200
    assert [k["label"] for k in get(site, "/keys") if k["id"] == made["id"]] == ["on site"]
    post(site, f"/keys/{made['id']}/revoke", {})
    assert building.get(building.path("system/serverStatus", made["key"])).status == 403


def test_strangers_are_refused(building, site):
    token = f"X-Csrf-Token: {get(site, '/session')['csrf']}"
    body = {"controller": "power", "query": f"guid={LIGHT}&cmd=0"}
    path = f"{PREFIX}/servers/{SERIAL}/call"
    for fields in ([JSON], [token], [JSON, token, "Origin: http://evil.example"],
                   [JSON, token, "Sec-Fetch-Site: cross-site"], [JSON, "X-Csrf-Token: " + "0" * 32]):
        assert site.send("POST", path, body, fields).status == 403
    other = Admin(site.address, host="evil.example")
    assert other.send("GET", "/").status == 421
    assert other.send("GET", PREFIX + "/session").status == 421
    assert site.send("GET", PREFIX + "/nothing").status == 404
    assert site.send("POST", path, {"controller": "../x"}, [JSON, token]).status == 400
    with harness.Connection(site.address) as c:
        c.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: x\r\n\r\n")
        c._socket.shutdown(socket.SHUT_WR)
        assert re.match(rb"HTTP/1.1 400 ", c.rest())


@pytest.mark.parametrize(
    "path, body, status, reason",
    [
        ("/keys", [], 400, "bad_request"),
        ("/nothing", {}, 404, "no_such_path"),
        (f"/keys/k_{'1' * 40}/revoke", {}, 400, "bad_request"),
    ]
    + [
        (f"/servers/{SERIAL}/call", {"controller": "power", "query": query}, 400, "bad_request")
        for query in ("guid=a b", "guid=a#b", "guid=\u00e9", "x" * 513)
    ],
)
def test_wrong_questions_reach_nobody(building, site, path, body, status, reason):
    with building.watch() as seen:
        assert post(site, path, body, status)["reason"] == reason
    assert not seen


@pytest.mark.parametrize(
    "status, head",
    [
        ("413 Content Too Large", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65537\r\n\r\n"),
        ("414 URI Too Long", f"GET /{'x' * 8192}"),
        ("417 Expectation Failed", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nExpect: tea\r\n\r\n"),
        ("431 Request Header Fields Too Large", f"GET / HTTP/1.1\r\nHost: localhost\r\nX: {'x' * 16384}"),
    ],
)
def test_requests_that_cannot_be_taken_are_told_why(site, status, head):
    with harness.Connection(site.address) as c:
        c.send(head.encode())
        assert c.rest().startswith(f"HTTP/1.1 {status}\r\n".encode())


def test_visitors_who_ask_nothing_have_a_bound_and_may_leave(site):
    with contextlib.ExitStack() as open_ones:
        visitors = [open_ones.enter_context(harness.Connection(site.address)) for _ in range(VISITS_MAX)]
        visitors[0].send(b"GET / HT")  # and no more
        with harness.Connection(site.address) as one_too_many:
            assert one_too_many.rest() == b""
        visitors[0].close()

        def is_answered():
            with contextlib.suppress(harness.Closed, ConnectionError):
                return site.send("GET", "/").status == 200

        wait_until(is_answered, "answered again")


def site_of(agent, start=0, host=HOST):
    port = int(agent.wait_log(r"msg=pages .*port=([0-9]+)", start)[1])
    return Admin((host, port), host=f"[{host}]:{port}" if ":" in host else None)


@contextlib.contextmanager
def posting(site, path, body):
    """A question whose answer somebody else gives meanwhile: gives the connection."""
    data = json.dumps(body).encode()
    fields = [JSON, f"X-Csrf-Token: {get(site, '/session')['csrf']}"]
    with harness.Connection(site.address) as c:
        c.send(harness.request(PREFIX + path, "POST", fields, data))
        yield c


def test_pages_without_relay_and_device_file(setup):
    with closed_port() as port:
        agent = setup.start(f"wss://{HOST}:{port}", pages={"listen": "[::1]:0"})
        site = site_of(agent, host="::1")
        assert get(site, "/keys", 503)["reason"] == "not_connected"
        assert post(site, "/keys", {"label": "x"}, 503)["reason"] == "not_connected"
        path = f"/servers/{SERIAL}/devices"
        assert get(site, path) == {"rooms": [], "source": "none", "problem": None}
        setup.configure(f"wss://{HOST}:{port}", pages={"listen": "[::1]:0", "devices": "missing.csv"})
        agent.signal(signal.SIGHUP)
        agent.wait_log("configuration reloaded")
        devices = get(site, path)
        assert (devices["rooms"], devices["source"]) == ([], "agent") and "missing.csv" in devices["problem"]


@pytest.mark.parametrize(
    "status, body, sentence",
    [
        (4, b'{"error":"too many keys"}', "too many keys"),
        (1, b"", "the relay refused"),
        (0, b"nonsense", "the relay's answer is no JSON"),
        (None, b"", "the tunnel was lost before the relay answered"),
    ],
)
def test_what_the_relay_says_of_a_key_is_shown(setup, status, body, sentence):
    _, tunnel = setup.up(pages={"listen": f"{HOST}:0"})
    with posting(site_of(setup.agent), "/keys", {"label": "x"}) as c:
        call = tunnel.recv(fake.CONTROL)
        if status is None:
            tunnel.drop()
        else:
            tunnel.send(fake.pack(fake.CONTROL_REPLY, call.stream, struct.pack("<HH", status, 0) + body))
        answer = c.answer()
    assert answer.status == 503 and answer.json() == {"reason": "relay", "error": sentence}


@pytest.mark.parametrize(
    "body, shown",
    [
        (b"".join(b"%07d " % i for i in range(BODY_BYTES_MAX // 8 + 1)), BODY_BYTES_MAX),
        (b"x" + "é".encode() * (BODY_BYTES_MAX // 2), BODY_BYTES_MAX - 1),  # the last é is cut
        (b"\x01" * (BODY_BYTES_MAX // 2), None),  # six times as long as JSON
    ],
    ids=["ascii", "cut character", "controls"],
)
def test_an_answer_that_is_too_long_is_shown_as_far_as_it_fits(setup, body, shown):
    setup.up(pages={"listen": f"{HOST}:0"})
    with posting(site_of(setup.agent), CALL, POWER) as c:
        request = setup.server.request()
        with contextlib.suppress(ConnectionError):  # nobody reads it to its end
            request.answer(body)
        call = c.answer().json()
    assert (call["status"], call["delivered"], call["truncated"]) == (200, True, True)
    assert call["body"] == (None if shown is None else body[:shown].decode())


@tools.needs(CLOCK.exists(), f"{CLOCK} is not built")
def test_a_call_that_takes_longer_than_a_visit_is_told_as_far_as_it_came(setup, tmp_path):
    """One that the server is silent to, and one whose answer stands still."""
    clock = tmp_path / "clock"
    clock.write_bytes(struct.pack("q", 0))
    variables = {
        "LD_PRELOAD": str(CLOCK),
        "TNX_CLOCK_FILE": str(clock),
        "ASAN_OPTIONS": harness.environment()["ASAN_OPTIONS"] + ":verify_asan_link_order=0",
    }
    relay = setup.relay()
    setup.start(relay.url(), variables=variables, pages={"listen": f"{HOST}:0"}, timeouts={"answer": "600"})
    relay.tunnel().greet()
    site = site_of(setup.agent)
    with posting(site, CALL, POWER) as one, posting(site, CALL, POWER) as another:
        requests = [setup.server.request(), setup.server.request()]
        requests[0].sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: \xe9\r\nContent-Length: 5\r\n\r\nbe")
        wait_until(lambda: setup.status()["server"]["state"] == "ok", "the beginning of an answer")
        clock.write_bytes(struct.pack("q", VISIT_S))
        get(site, "/session")  # it wakes up
        calls = sorted((c.answer().json() for c in (one, another)), key=lambda call: call["status"])
        for request in requests:
            request.wait_cancelled()
    assert [(c["status"], c["reason"], c["delivered"], c["body"], c["truncated"]) for c in calls] == [
        (200, None, True, "be", True),
        (502, "deadline", "unknown", "", False),
    ]


def test_a_call_that_the_agent_s_end_cuts_is_shown_as_such(setup):
    setup.up(pages={"listen": f"{HOST}:0"})
    with posting(site_of(setup.agent), CALL, POWER) as c:
        request = setup.server.request()
        setup.stop()
        call = c.answer().json()
        request.wait_cancelled()
    assert (call["status"], call["reason"], call["delivered"]) == (502, "shutdown", "unknown")


def test_only_loopback_is_allowed(tmp_path, building):
    text = building.agent.conf.read_text().replace(f"listen = {HOST}:0", "listen = 0.0.0.0:8081")
    conf = building.agent.folder / "open.conf"
    conf.write_text(text)
    done = harness.run("thinknx-agent", "check", "--config", conf, expect=2)
    assert "[pages] listen" in done.stderr and "no login" in done.stderr


needs_browser = tools.needs(os.path.exists("/usr/bin/chromium"), "Debian's chromium is not installed")


@needs_browser
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_axe_finds_no_serious_fault_in_the_building(building, site, axe, size):
    post(site, "/keys", {"label": "shown"})
    with Browser() as browser:
        browser.resize(size)
        for path in ("site/kit", "site/keys", "site/connection"):
            browser.open("about:blank")
            browser.open(f"http://{HOST}:{site.address[1]}/#!/{path}")
            if path == "site/kit":
                browser.click("button.leaf", "Chandelier")
            else:
                browser.find("tbody tr, .history li")
            browser.wait(lambda: "Loading" not in browser.text(), "end of loading")
            assert_accessible(browser, axe, f"{path} at {size}")
            assert browser.driver.execute_script("return document.documentElement.scrollWidth") <= size[0], path


@needs_browser
def test_the_installer_s_browser(building, site):
    with Browser() as browser:
        browser.open(f"http://{HOST}:{site.address[1]}/")
        browser.click("button.leaf", "Chandelier")
        browser.click("form[data-controller=power] button.primary", "Simulate")
        answer = browser.find("form[data-controller=power] .result pre")
        assert json.loads(answer.text)["namespace"] == "power"
        browser.click("nav a", "Keys")
        browser.type("Label", "tablet")
        browser.click("button.primary", "Enable Integration Kit")
        browser.read("shown only now")
        browser.click("dialog button", "Done")
        browser.find("tbody tr", "tablet")
        browser.click("nav a", "Connection")
        browser.find(".history .good", "open")
        assert not browser.errors()


@needs_browser
def test_the_page_says_of_a_call_that_failed_only_what_is_known(setup):
    """No connection of its own tells whether the building has the call."""
    setup.up(pages={"listen": f"{HOST}:0", "devices": HOUSE})
    site = site_of(setup.agent)
    form = "form[data-controller=power]"

    def simulate():
        browser.click(f"{form} button.primary:enabled", "Simulate")

    with Browser() as browser:
        browser.open(f"http://{HOST}:{site.address[1]}/")
        browser.click("button.leaf", "Chandelier")
        simulate()
        with contextlib.suppress(ConnectionError):  # nobody reads it to its end
            setup.server.request().answer(b"x" * (BODY_BYTES_MAX + 1))
        browser.find(f"{form} .result small", "Only the beginning of the answer is shown.")
        for status, body, told in (
            (503, {"reason": "server_offline", "error": "the building is not connected"}, NOT_REACHED),
            (429, {"reason": "rate_limited", "error": "too many commands"}, NOT_REACHED),
            (500, {"reason": "internal", "error": "out of memory"}, PERHAPS_REACHED),
            (502, {}, PERHAPS_REACHED),  # of a proxy in between
            (200, None, PERHAPS_REACHED),  # its end is missing
            (200, {"status": 200, "delivered": True, "ms": 1, "body": None, "truncated": True},
             "The answer is too long to be shown."),
        ):
            text = "{" if body is None else json.dumps(body)
            browser.driver.execute_script(
                "const [status, text] = arguments; const real = window.fetch; window.fetch = () => {"
                " window.fetch = real; return Promise.resolve(new Response(text, { status })); };", status, text)
            simulate()
            browser.find(f"{form} .result small", told)
            assert len(browser.all(f"{form} .result small")) == 1, (status, body)
        simulate()
        setup.server.request()
        setup.agent.kill()  # the connection closes without an answer
        browser.find(f"{form} .result small", PERHAPS_REACHED)
        assert not [e for e in browser.errors() if "TypeError" in e]
