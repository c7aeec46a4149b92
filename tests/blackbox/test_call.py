# SPDX-License-Identifier: Apache-2.0
"""A call goes from the caller through relay and agent to the building, and its answer back."""

import http.client
import json
import re

import pytest

import examples
from harness import HOST, PUBLIC_URL, USER, Building, closed_port, curl, request

LIGHT = "1lzPszHWAEuvzxtXBMkzWQ"
STATUS = f"powerstatus?guid={LIGHT}"

AUTHS = ("digest", "basic", "query", "none")
# What the agent puts behind the query, by kind of authentication.
APPENDED = {
    "digest": r"auth=digest",
    "basic": r"auth=basic",
    "query": r"auth=basic&user={user}&pass={password}",
    "none": r"",
}


@pytest.fixture(scope="module", params=AUTHS)
def any_building(request, tmp_path_factory):
    """A building under each kind of authentication."""
    made = Building(tmp_path_factory.mktemp(request.param), auth=request.param)
    yield made
    try:
        made.stop()
    finally:
        made.kill()


# --- the calls of the integration kit ---------------------------------------------------------


@pytest.mark.parametrize("auth", AUTHS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_documented_url_gets_the_documented_answer(start_building, auth, method):
    building = start_building(auth=auth)
    for example in examples.EXAMPLES:
        if method == "GET":
            answer = building.curl_target(example.target)
        else:
            kind = "Content-Type: application/x-www-form-urlencoded"
            options = ["--header", kind, "--data-binary", example.form.decode()]
            answer = building.curl_target(example.path, *options)
        assert answer.status == 200, (str(example), answer)
        assert answer.value("Content-Type").startswith("application/json")
        examples.assert_answer(example, answer.body, in_order=True)
    # Each command was executed, and none twice.
    direct = [line["controller"] for line in building.commands() if "scene" not in line]
    assert direct == [e.controller for e in examples.EXAMPLES if e.is_set or e.controller == "trigger"]


def test_the_prefix_may_be_written_with_either_v(any_building):
    for v in "vV":
        assert any_building.get(f"/{any_building.key}/api/{v}1/{STATUS}").status == 200


# set controller, name of its value, two values, status controller
SETTERS = [
    ("power", "cmd", (1, 0), "powerstatus"),
    ("powerlevel", "cmd", (37, 100), "powerlevelstatus"),
    ("heightlevel", "val", (30, 75), "heightlevelstatus"),
    ("blindangle", "cmd", (10, 90), "blindanglestatus"),
    ("setvalue", "cmd", (85.325, 12.5), "getvalue"),
    ("setpoint", "cmd", (20.5, 23.25), "setpointstatus"),
    ("tempmode", "cmd", (2, 3), "tempmodestatus"),
    ("chronoen", "cmd", (1, 0), "chronoenstatus"),
    ("hvacpower", "cmd", (1, 0), "hvacpowerstatus"),
    ("hvacsetpoint", "cmd", (19.5, 24), "hvacsetpointstatus"),
    ("hvacmode", "cmd", (4, 1), "hvacmodestatus"),
    ("hvacfan", "cmd", (3, 1), "hvacfanstatus"),
]


@pytest.mark.parametrize("setter, name, values, getter", SETTERS, ids=lambda s: str(s))
def test_what_was_set_is_what_status_tells(building, setter, name, values, getter):
    for value in values:
        done = building.curl(f"{setter}?guid={LIGHT}&{name}={value}&fb")
        assert done.status == 200 and float(done.json()["status"]) == value
        told = building.curl(f"{getter}?guid={LIGHT}")
        assert told.status == 200 and float(told.json()["status"]) == value


ERRORS = [
    ("power?guid=nobody&cmd=1", 404, "device not found"),
    (f"power?guid={LIGHT}", 400, "params errors"),
    (f"powerlevel?guid={LIGHT}&cmd=101", 400, "params errors"),
    ("system/sendKNXbit?group=1/0/1&value=2", 400, "params errors"),
]


@pytest.mark.parametrize("call, status, error", ERRORS)
def test_an_error_of_the_server_is_passed_on_as_it_is(building, call, status, error):
    answer = building.curl(call)
    assert (answer.status, answer.json()) == (status, {"error": error})


# --- byte for byte ----------------------------------------------------------------------------

ALL_BYTES = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) != "#")
QUERIES = {
    "documented": f"?guid={LIGHT}&&cmd=50&fb",
    "no query": "",
    "question mark alone": "?",
    "ampersands alone": "?&&&",
    "valueless": f"?fb&guid={LIGHT}",
    "repeated": f"?cmd=1&cmd=0&guid={LIGHT}&cmd=",
    "escapes in either case": f"?guid={LIGHT}&a=%41%c3%BC&b=%2F%2f%2e%2E",
    "escaped controls": f"?guid={LIGHT}&a=%0d%0aX-Evil:%201&b=%00",
    "not an escape": f"?guid={LIGHT}&a=100%&b=%zz",
    "plus": f"?guid={LIGHT}&a=1+1",
    "slashes and question marks": "?group=1/0/1&value=0?/../api/v1/x",
    "every byte": "?" + ALL_BYTES,
    "looks like authentication": f"?guid={LIGHT}&auth=none&user=eve&pass=eve",
    "long": f"?guid={LIGHT}&a=" + "x" * 7000,
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_the_query_string_arrives_byte_for_byte(any_building, query):
    with any_building.watch() as seen:
        any_building.get(any_building.path("power" + query))
    assert seen, "the call did not arrive"
    sent = f"/api/V1/power{query}"
    appended = APPENDED[any_building.auth].format(user=USER, password=any_building.password)
    for entry in seen:
        assert entry["target"].startswith(sent)
        behind = entry["target"].removeprefix(sent)
        # Parameters are joined with "?" where there was no query, with "&" elsewhere.
        assert behind.lstrip("?&") == appended
        assert behind == appended or re.fullmatch(r"[?&]", behind[: -len(appended)])


BODIES = {
    "form": b"guid=" + LIGHT.encode() + b"&&cmd=1&fb",
    "empty": b"",
    "every byte": bytes(range(256)),
    "looks like a request": b"\r\n\r\nGET /maintenance HTTP/1.1\r\nHost: x\r\n\r\n",
    "largest allowed": b"cmd=" + b"x" * (65536 - 4),
}


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_posted_body_arrives_byte_for_byte(any_building, body, chunked):
    kind = "Content-Type: application/x-www-form-urlencoded"
    with any_building.watch() as seen:
        with any_building.connect() as c:
            c.send(as_chunks(any_building.path("power"), kind, body) if chunked else
                   request(any_building.path("power"), "POST", [kind], body))
            c.answer()
    assert seen
    for entry in seen:
        assert entry["method"] == "POST"
        assert ["content-type", kind.split(": ")[1]] in lower_names(entry)
    assert seen[-1]["body"].encode("latin-1") == body


def as_chunks(target, kind, body):
    head = [f"POST {target} HTTP/1.1", f"Host: {HOST}", kind, "Transfer-Encoding: chunked", "", ""]
    pieces = [body[i : i + 10000] for i in range(0, len(body), 10000)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return "\r\n".join(head).encode() + chunks + b"0\r\n\r\n"


def lower_names(entry):
    return [[name.lower(), value] for name, value in entry["headers"]]


def test_callers_credentials_and_addresses_do_not_reach_the_building(building):
    fields = [
        "Authorization: Basic ZXZlOmV2ZQ==",
        "Cookie: session=1",
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-Host: evil.example",
        "Proxy-Authorization: Basic eDp5",
        "Connection: X-Secret, keep-alive",
        "X-Secret: hop by hop",
        "X-Harmless: kept",
    ]
    with building.watch() as seen:
        assert building.get(building.path(STATUS), fields=fields).status == 200
    for entry in seen:
        got = dict(lower_names(entry))
        assert "Basic" not in got.get("authorization", "")
        for name in ("cookie", "x-forwarded-host", "proxy-authorization", "x-secret"):
            assert name not in got
        assert "192.0.2.1" not in json.dumps(entry["headers"])
        assert got["host"] == building.simulator.url.removeprefix("http://")


# --- only the api -----------------------------------------------------------------------------

# {key} is the building's key. Each tries to make the server serve something that is not its API.
TRICKS = [
    "/{key}",
    "/{key}/",
    "/{key}/maintenance",
    "/{key}/api",
    "/{key}/api/",
    "/{key}/api/V1",
    "/{key}/api/V1/",
    "/{key}/api/V2/powerstatus",
    "/{key}/api/V11/powerstatus",
    "/{key}/API/V1/powerstatus",
    "/{key}/api/V1/../../maintenance",
    "/{key}/api/V1/..",
    "/{key}/api/V1/.",
    "/{key}/api/V1/./powerstatus",
    "/{key}/api/V1/power/../../../maintenance",
    "/{key}/api/V1/..;/..;/maintenance",
    "/{key}/api/V1/%2e%2e/%2e%2e/maintenance",
    "/{key}/api/V1/.%2e/.%2E/maintenance",
    "/{key}/api/V1/%2e./maintenance",
    "/{key}/api/V1/%252e%252e/%252e%252e/maintenance",
    "/{key}/api/V1/..%2f..%2fmaintenance",
    "/{key}/api/V1/..%5c..%5cmaintenance",
    "/{key}/api/V1/%2fmaintenance",
    "/{key}/api/V1/\\..\\..\\maintenance",
    "/{key}/api/V1/..\\..\\maintenance",
    "/{key}/api/V1\\maintenance",
    "/{key}/api/V1//maintenance",
    "/{key}/api/V1//../../maintenance",
    "/{key}/api//V1/powerstatus",
    "/{key}//api/V1/powerstatus",
    "//{key}/api/V1/powerstatus",
    "/{key}//maintenance",
    "/{key}/../maintenance",
    "/../{key}/maintenance",
    "/./{key}/maintenance",
    "/{key}/%61pi/V1/../../maintenance",
    "/{key}/api/%56%31/powerstatus",
    "/{key}%2fapi/V1/powerstatus",
    "/{key}/api%2fV1/powerstatus",
    "/{key}/api/V1%2fpowerstatus",
    "/{key}/api/V1/%00/maintenance",
    "/{key}/api/V1/%0d%0aGET%20/maintenance",
    "/{key}/api/V1/power\x00status",
    "/{key}/api/V1/power\tstatus",
    "/{key}/api/V1/power status",
    "/{key}/api/V1/power\x7fstatus",
    "/{key}/api/V1/powerstat\xfcs",
    "/{key}/api/V1/powerstatus#fragment",
    "/{key}/api/V1/%",
    "/{key}/api/V1/%2",
    "/{key}/api/V1/%zz",
    "/{key}?/api/V1/powerstatus",
    "/{key};/api/V1/powerstatus",
    "/maintenance",
    "/api/V1/powerstatus",
    "/",
    "http://127.0.0.1/maintenance",
    "http://127.0.0.1/{key}/maintenance",
    "http://127.0.0.1/{key}/api/V1/../../maintenance",
    "http://{key}/api/V1/powerstatus",
    "http:///{key}/api/V1/powerstatus",
    "http:/{key}/api/V1/powerstatus",
    "ftp://127.0.0.1/{key}/api/V1/powerstatus",
    "{key}/api/V1/powerstatus",
    "api/V1/powerstatus",
    "*",
    "127.0.0.1:443",
    "",
]


@pytest.mark.parametrize("trick", TRICKS, ids=ascii)
def test_nothing_but_the_api_can_be_reached(building, trick):
    target = trick.format(key=building.key)
    with building.watch() as seen:
        with building.connect() as c:
            # Closing on a framing error is right too, but something must be answered first.
            c.send(request(target))
            answer = c.answer()
    assert answer.status in (400, 403, 404)
    assert_ours(answer, answer.status)
    assert seen == []


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_absolute_target_is_served_like_the_path_in_it(building, version):
    with building.watch() as seen:
        with building.connect() as c:
            c.send(request(f"https://{HOST}{building.path(STATUS)}", version=version))
            assert c.answer().status == 200
    assert all(entry["target"].startswith(f"/api/V1/{STATUS}") for entry in seen)


# --- the relay's own answers ------------------------------------------------------------------

REASONS = {
    (400, "bad_request", False),
    (403, "key_refused", False),
    (404, "no_such_path", False),
    (405, "method_not_allowed", False),
    (413, "too_large", False),
    (414, "too_large", False),
    (431, "too_large", False),
    (502, "server_auth", False),
    (502, "server_unreachable", False),
    (503, "server_offline", False),
    (504, "server_timeout", True),
    (504, "server_timeout", "unknown"),
}


def assert_ours(answer, status, method="GET"):
    """An answer that the relay makes itself, as documented."""
    assert answer.status == status, answer
    assert answer.value("Cache-Control") == "no-store"
    assert re.fullmatch(r"[0-9A-Za-z._-]{1,128}", answer.value("X-Request-Id"))
    assert answer.value("Content-Type") == "application/json"
    if method != "HEAD":
        body = answer.json()
        assert set(body) == {"error", "reason", "delivered"}
        assert body["error"] and isinstance(body["error"], str)
        assert (status, body["reason"], body["delivered"]) in REASONS
    return answer


MALFORMED = {
    "no host": "GET {path} HTTP/1.1\r\n\r\n",
    "two hosts": "GET {path} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "bad host": "GET {path} HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "space before colon": "GET {path} HTTP/1.1\r\nHost: a\r\nX-A : b\r\n\r\n",
    "empty name": "GET {path} HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "folded field": "GET {path} HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n",
    "bare cr": "GET {path} HTTP/1.1\r\nHost: a\r\nX-A: b\rc\r\n\r\n",
    "nul in value": "GET {path} HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\n\r\n",
    "version 0.9": "GET {path}\r\n\r\n",
    "version 1.2": "GET {path} HTTP/1.2\r\nHost: a\r\n\r\n",
    "version 2.0": "GET {path} HTTP/2.0\r\nHost: a\r\n\r\n",
    "two lengths": "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "negative length": "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "length and chunked": "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "gzip, chunked": "POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
    "0\r\n\r\n",
    "chunked in 1.0": "POST {path} HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    "0\r\n\r\n",
    "bad chunk size": "POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    "zz\r\n",
    "tls in tls": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 \r\n\r\n",
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_request_is_refused_and_what_follows_it_never_read(building, text):
    hidden = request(building.path(STATUS)).decode()
    with building.watch() as seen:
        with building.connect() as c:
            c.send((text.format(path=building.path(STATUS)) + hidden).encode("latin-1"))
            answer = assert_ours(c.answer(), 400)
            assert answer.value("Connection") == "close"
            assert c.rest() == b""
    assert seen == []


UNKNOWN_KEYS = ["nobody", "x" * 40, "x" * 2000, "%41%42", "a.b", "-", "K" * 32]


def test_an_unknown_key_gets_one_answer_whatever_follows(building):
    bodies = set()
    for key in UNKNOWN_KEYS:
        for target in (f"/{key}", f"/{key}/", f"/{key}/api/V1/{STATUS}", f"/{key}/maintenance"):
            for method in ("GET", "POST", "DELETE", "PROPFIND"):
                answer = assert_ours(building.get(target, method), 403)
                named = sorted((n, v) for n, v in answer.fields if n not in ("X-Request-Id", "Date"))
                bodies.add((answer.body, str(named)))
    assert len(bodies) == 1, bodies


def test_the_key_is_compared_exactly(building):
    for key in (building.key.swapcase(), building.key[:-1], building.key + "x", building.key[1:]):
        assert_ours(building.get(building.path(STATUS, key)), 403)


@pytest.mark.parametrize("path", ["/", "/maintenance", "/api/V2/power", "/api/V1/", "/tunnel"])
def test_another_path_behind_a_good_key_is_not_found(building, path):
    assert assert_ours(building.get(f"/{building.key}{path}"), 404).json()["delivered"] is False


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_another_method_is_not_allowed(building, method):
    with building.watch() as seen:
        answer = assert_ours(building.get(building.path(STATUS), method), 405)
    assert {m.strip() for m in answer.value("Allow").split(",")} == {"GET", "HEAD", "POST"}
    assert seen == []


def padded_line(building, length):
    """A request line of that many bytes."""
    start = building.path(f"{STATUS}&a=")
    return request(start + "x" * (length - len(f"GET {start} HTTP/1.1")))


def test_a_request_line_of_8_kib_is_served_and_a_longer_one_refused(start_building):
    # With digest the server would get the target twice, and find that too long.
    building = start_building(auth="none")
    with building.connect() as c:
        c.send(padded_line(building, 8192))
        assert c.answer().status == 200
        c.send(padded_line(building, 8193))
        assert_ours(c.answer(), 414)


def test_100_header_fields_are_served_and_101_refused(building):
    with building.connect() as c:
        # Fields that do not travel on: the server has a limit of its own.
        fields = [f"X-Forwarded-For: 192.0.2.{i}" for i in range(99)]
        assert c.request(building.path(STATUS), fields=fields).status == 200
        assert_ours(c.request(building.path(STATUS), fields=[*fields, "X-Last: 1"]), 431)


def test_a_head_of_more_than_16_kib_is_refused(building):
    fields = [f"X-{i}: " + "x" * 1000 for i in range(17)]
    assert building.get(building.path(STATUS), fields=fields[:14]).status == 200
    assert_ours(building.get(building.path(STATUS), fields=fields), 431)


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
def test_a_body_of_more_than_64_kib_is_refused(building, chunked):
    body = b"cmd=" + b"x" * (65537 - 4)
    kind = "Content-Type: application/x-www-form-urlencoded"
    target = building.path("power")
    with building.watch() as seen:
        with building.connect() as c:
            c.send(as_chunks(target, kind, body) if chunked else
                   request(target, "POST", [kind], body))
            assert_ours(c.answer(), 413)
    assert seen == []


def test_an_expected_continue_comes_for_a_body_that_is_welcome_and_not_for_another(building):
    head = "POST {} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n"
    with building.connect() as c:
        c.send(head.format(building.path("power"), 5).encode())
        assert c.answer().status == 100
        c.send(b"cmd=1")
        assert c.answer().status == 400  # the server's: there is no guid
    with building.connect() as c:
        c.send(head.format(building.path("power"), 65537).encode())
        assert_ours(c.answer(), 413)


def test_a_server_that_is_switched_off_is_reported_as_unreachable(start_building):
    with closed_port() as port:
        building = start_building(agent={"server": {"url": f"http://{HOST}:{port}"}})
        answer = assert_ours(building.curl(STATUS), 502)
        assert answer.json()["reason"] == "server_unreachable"
        # And again: the agent keeps trying.
        assert_ours(building.curl(STATUS), 502)


def test_a_building_without_agent_is_reported_as_offline(start_building):
    building = start_building(relay={"timeouts": {"offline_grace": "0.2"}}, start=False)
    answer = assert_ours(building.curl(STATUS), 503)
    assert answer.json()["reason"] == "server_offline"
    assert int(answer.value("Retry-After")) >= 1
    # The same key works as soon as the agent is there.
    building.start_agent()
    assert building.curl(STATUS).status == 200


def test_a_call_made_while_the_agent_is_away_for_a_moment_waits_for_it(start_building):
    building = start_building(relay={"timeouts": {"offline_grace": "20"}}, start=False)
    with building.connect() as c:
        c.send(request(building.path(STATUS)))
        building.start_agent()
        assert c.answer().status == 200


def test_a_server_that_does_not_answer_in_time_is_reported_and_that_it_was_asked(start_building):
    building = start_building(relay={"timeouts": {"server": "0.3"}}, simulator=["--answer-delay-ms", "60000"])
    answer = assert_ours(building.curl(STATUS), 504)
    assert answer.json()["delivered"] is True


def test_a_request_id_of_the_caller_is_kept_and_another_one_made_up(building):
    target = building.path(STATUS)
    given = building.get(target, fields=["X-Request-Id: order-66.b_7"])
    assert given.value("X-Request-Id") == "order-66.b_7"
    assert building.get("/nobody", fields=["X-Request-Id: a-1"]).value("X-Request-Id") == "a-1"
    ids = {building.get(target).value("X-Request-Id") for _ in range(3)}
    ids |= {building.get(target, fields=["X-Request-Id: a b\"c"]).value("X-Request-Id")}
    ids |= {building.get(target, fields=["X-Request-Id: " + "x" * 300]).value("X-Request-Id")}
    assert len(ids) == 5
    assert all(re.fullmatch("[0-9A-Za-z._-]{8,64}", i) for i in ids)


# --- connections ------------------------------------------------------------------------------


def test_many_calls_share_one_connection(building):
    client = http.client.HTTPSConnection(*building.relay.https, context=building.relay.tls_context())
    client.connect()
    socket = client.sock
    for cmd in (1, 0, 1):
        client.request("GET", building.path(f"power?guid={LIGHT}&cmd={cmd}&fb"))
        answer = client.getresponse()
        assert (answer.status, json.load(answer)["status"]) == (200, cmd)
        client.request("GET", "/nobody")
        answer = client.getresponse()
        assert answer.status == 403 and answer.read()
    assert client.sock is socket, "the connection was closed in between"
    client.close()


def test_pipelined_calls_are_answered_in_order(building):
    levels = [5, 80, 20, 99, 1]
    calls = [building.path(f"powerlevel?guid={LIGHT}&cmd={level}&fb") for level in levels]
    calls.insert(2, "/nobody")
    with building.connect() as c:
        c.send(b"".join(map(request, calls)))
        answers = [c.answer() for _ in calls]
    assert answers.pop(2).status == 403
    assert [int(answer.json()["status"]) for answer in answers] == levels


def test_a_request_may_arrive_byte_by_byte(building):
    with building.connect() as c:
        for byte in request(building.path(STATUS), fields=["X-Slow: yes"]):
            c.send(bytes([byte]))
        assert c.answer().status == 200


def test_head_gets_the_head_of_the_answer_alone(building):
    with building.connect() as c:
        full = c.request(building.path(STATUS))
        head = c.request(building.path(STATUS), "HEAD")
        assert (head.status, head.body) == (full.status, b"")
        assert head.value("Content-Type") == full.value("Content-Type")
        assert_ours(c.request("/nobody", "HEAD"), 403, "HEAD")
        # Were there bytes of a body, this answer would not be one.
        assert c.request(building.path(STATUS)).status == 200


def test_a_connection_ends_when_the_caller_wants_it(building):
    with building.connect() as c:
        answer = c.request(building.path(STATUS), fields=["Connection: close"])
        assert (answer.status, answer.value("Connection")) == (200, "close")
        assert c.rest() == b""


def test_an_http_1_0_caller_gets_an_answer_and_the_end(building):
    with building.connect() as c:
        c.send(request(building.path(STATUS), version="1.0"))
        answer = c.answer()
        assert answer.status == 200 and answer.json()["namespace"] == "powerstatus"
        assert answer.values("Transfer-Encoding") == []
        assert c.rest() == b""


# --- plain HTTP -------------------------------------------------------------------------------


@pytest.mark.parametrize("method, status", [("GET", 301), ("HEAD", 301), ("POST", 308)])
def test_plain_http_leads_to_https_with_path_and_query(building, method, status):
    target = building.path(f"power?guid={LIGHT}&&cmd=1&fb")
    with building.watch() as seen:
        with building.connect_plain() as c:
            answer = c.request(target, method, ["X-Forwarded-Host: evil.example"])
    assert (answer.status, answer.value("Location")) == (status, PUBLIC_URL + target)
    assert seen == []


def test_plain_http_takes_the_name_from_its_configuration_alone(building):
    with building.connect_plain() as c:
        c.send(b"GET /x?y HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert c.answer().value("Location") == f"{PUBLIC_URL}/x?y"


def test_plain_http_redirects_what_curl_sends(building):
    url = f"http://{HOST}:{building.relay.http[1]}{building.path(STATUS)}"
    answer = curl(url, folder=building.folder)
    assert answer.status == 301
    answer = curl(url, "--data", "a=b", folder=building.folder)
    assert answer.status == 308


def test_plain_http_serves_no_call(building):
    with building.watch() as seen:
        with building.connect_plain() as c:
            for target in (building.path(STATUS), "/tunnel", "/"):
                assert c.request(target).status == 301
    assert seen == []
