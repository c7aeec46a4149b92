# SPDX-License-Identifier: Apache-2.0
"""What a limited key may call, attacked: whatever its scope does not clearly allow is answered 403
not_allowed, and the building never hears of it."""

import gzip
import time

import pytest

import harness
from harness import HOST, SERIAL

FORM = "Content-Type: application/x-www-form-urlencoded"
MINE = "1lzPszHWAEuvzxtXBMkzWQ"
OTHER = "2lzPszHWAEuvzxtXBMkzWQ"
TURN_ON = f"power?guid={MINE}&cmd=1"
STATUS = f"powerstatus?guid={MINE}"
TELEGRAM = "system/sendKNXbit?group={}&value=1"

SCOPES = {
    "reader": ["--read-only"],
    "lamps": ["--controllers", "power,powerstatus"],
    "device": ["--guids", MINE],
    "groups": ["--groups", "1/2/*,3/*,4/5/6"],
    "mixed": ["--guids", MINE, "--groups", "1/2/3", "--read-only"],
    "here": ["--cidrs", "127.0.0.0/8"],
    "elsewhere": ["--cidrs", "192.0.2.0/24,2001:db8::/32"],
}


class Scopes:
    def __init__(self, building):
        self.building = building
        self.keys = {name: building.relay.command("key", "enable", SERIAL, *options)["key"]
                     for name, options in SCOPES.items()}
        with building.connect() as c:
            until = time.monotonic() + harness.DEADLINE
            while c.request(self.path("elsewhere", STATUS)).json()["reason"] != "not_allowed":
                assert time.monotonic() < until

    def path(self, name, call):
        return self.building.path(call, self.keys[name])

    def ask(self, name, call, body=None, fields=(FORM,)):
        with self.building.connect() as c:
            if body is None:
                return c.request(self.path(name, call))
            return c.request(self.path(name, call), "POST", fields, body)


@pytest.fixture(scope="module")
def scopes(tmp_path_factory):
    building = harness.Building(tmp_path_factory.mktemp("scopes"), auth="none")
    try:
        yield Scopes(building)
        building.stop()
    finally:
        building.kill()


def assert_refused(scopes, name, calls):
    """Each of (call, body, fields) is refused, and none reaches the building."""
    with scopes.building.watch() as seen:
        for call, *form in calls:
            answer = scopes.ask(name, call, *form)
            told = answer.json()
            assert answer.status == 403, (name, call, form, answer)
            assert (told["reason"], told["delivered"]) == ("not_allowed", False)
    assert seen == [], f"reached the building: {seen}"


ALLOWED = [
    ("reader", STATUS), ("reader", f"getvalue?guid={MINE}"), ("reader", "system/serverStatus"),
    ("lamps", TURN_ON), ("lamps", STATUS),
    ("device", TURN_ON), ("device", "system/serverStatus"), ("device", f"power?cmd=1&%67uid={MINE}"),
    ("device", f"power?guid={MINE.replace('W', '%57')}&cmd=0&&fb"),
    ("groups", TELEGRAM.format("1/2/255")), ("groups", TELEGRAM.format("3%2F7%2f1")),
    ("groups", TELEGRAM.format("4/5/6")),
    ("mixed", STATUS), ("here", TURN_ON), ("here", f"power?guid={MINE}&guid={MINE}&cmd=1"),
]


@pytest.mark.parametrize("name,call", ALLOWED)
def test_what_a_scope_allows_is_forwarded_as_it_came(scopes, name, call):
    with scopes.building.watch() as seen:
        scopes.ask(name, call)
    assert [entry["target"] for entry in seen] == [f"/api/V1/{call}"]


def test_a_form_is_allowed_like_a_query(scopes):
    for fields in [(FORM,), (FORM + "; charset=UTF-8",), (FORM.upper(),)]:
        with scopes.building.watch() as seen:
            answer = scopes.ask("device", "power", f"guid={MINE}&cmd=1".encode(), fields)
        assert answer.status == 200 and len(seen) == 1


def test_a_read_only_key_sets_nothing(scopes):
    setters = ["power", "powerlevel", "updown", "stop", "heightlevel", "blindstep", "blindangle",
               "setvalue", "setpoint", "tempmode", "chronoen", "hvacpower", "hvacsetpoint",
               "hvacmode", "hvacfan", "scenelaunch", "trigger"]
    calls = [(f"{name}?guid={MINE}&cmd=1&val=1",) for name in setters]
    calls += [(f"{name}", f"guid={MINE}&cmd=1&val=1".encode()) for name in setters]
    calls += [(TELEGRAM.format("1/2/3"),), ("system/sendKNXfloat2bytes", b"group=1/2/3&value=1")]
    # Neither known as a status call nor quite one.
    calls += [("PowerStatus?guid=a",), ("%70owerstatus?guid=a",), ("powerstatus;x/power?cmd=1",),
              ("powerstatus/power?cmd=1",), ("unknown",), ("system/serverstatus",)]
    calls += [("powerstatus", b'{"cmd":1}', ("Content-Type: application/json",))]
    assert_refused(scopes, "reader", calls)


def test_a_key_for_controllers_calls_no_other(scopes):
    assert_refused(scopes, "lamps", [
        ("powerlevel?guid=a&cmd=1",), ("POWER?guid=a&cmd=1",), ("powe%72?guid=a&cmd=1",),
        ("system/power?guid=a&cmd=1",), ("power;/x?guid=a",), (TELEGRAM.format("1/2/3"),),
        ("power", b"--x\r\n", ("Content-Type: multipart/form-data; boundary=x",))])


QUERIES = [
    "power?cmd=1", "power?guid&cmd=1", "power?guid=&cmd=1", "power?guid={other}&cmd=1",
    "power?guid={mine}&guid={other}&cmd=1", "power?guid={other}&guid={mine}&cmd=1",
    "power?guid={mine}&guid={mine}&cmd=1", "power?guid={mine}&%67uid={other}&cmd=1",
    "power?guid={mine}&%67%75%69%64={other}", "power?guid={mine}&GUID={other}",
    "power?Guid={other}&guid={mine}", "power?guid={mine}&guid[]={other}",
    "power?guid={mine}&guid%5b0%5d={other}", "power?guid={mine}&+guid={other}",
    "power?guid={mine}&guid+={other}", "power?guid={mine}&%20guid={other}",
    "power?guid={mine};guid={other}", "power?a=1;guid={other}&guid={mine}",
    "power?guid={mine}&guid%00={other}", "power?guid={mine}%00&cmd=1",
    "power?guid={mine}&%00guid={other}", "power?guid={mine}+&cmd=1", "power?guid={mine}%20&cmd=1",
    "power?guid={mine}%2&cmd=1", "power?guid={mine}&%zz=1", "power?%67uid={other}",
    "power?guid=%31lzPszHWAEuvzxtXBMkzWQ%26guid={other}", "power?guid={mine}&x=%26guid={other}",
    "power?guid={mine}&x%26guid={other}", "power?guid={mine}&x=1%3Bguid={other}",
    "power?guid={mine}&%2567uid={other}", "power?x=1?guid={other}&guid={mine}",
    "power?guid={mine}&gu%C4%B1d={other}", "power?guid={mine}&%EF%BD%87uid={other}",
    "power?guid={mine}&x=%0d%0a", "power?guid={mine}&_charset_=utf-7",
    "power?guid={mine}&" + "a" * 200 + "=1",
    "trigger?guid={other}", "unknown?guid={mine}", "power/?guid={mine}",
]


def test_a_key_for_a_device_reaches_no_other_however_it_is_written(scopes):
    calls = [(q.format(mine=MINE, other=OTHER),) for q in QUERIES if not q.startswith("power/?")]
    # A telegram reaches any device.
    calls += [(TELEGRAM.format("1/2/3"),), (TELEGRAM.format("1/2/3") + f"&guid={MINE}",)]
    assert_refused(scopes, "device", calls)


def test_forms_fool_nobody_either(scopes):
    def form(text):
        return text.format(mine=MINE, other=OTHER).encode()

    mine, both = f"power?guid={MINE}", form("guid={other}&cmd=1")
    queries = [q.partition("?")[2] for q in QUERIES if q.startswith("power?")]
    calls = [("power", form(q)) for q in queries]
    # In the query and in the form.
    calls += [(mine, both), (mine, form("guid={mine}")), (mine, form("GUID={other}")),
              (f"power?guid={OTHER}", form("guid={mine}"))]
    # Raw bytes that a query cannot hold.
    calls += [("power", form("guid={mine}\0&cmd=1")), ("power", form("guid={mine}\n&cmd=1")),
              ("power", form("guid={mine}&x=\xff\xfe")), ("power", form("\ufeffguid={mine}"))]
    assert_refused(scopes, "device", calls)


@pytest.mark.parametrize("fields", [
    (), ("Content-Type: application/json",), ("Content-Type: text/plain",),
    ("Content-Type: multipart/form-data; boundary=x",), (FORM + "2",), (FORM + ", text/plain",),
    (FORM + "; charset=ibm037",), (FORM + "; charset=utf-16le",), (FORM + "; charset=utf-7",),
    (FORM + "; charset=utf-8; charset=ibm037",), (FORM + "; boundary=x",), (FORM + ";",),
    # Which of them would the building's server go by?
    (FORM, "Content-Type: application/json"), ("Content-Type: application/json", FORM),
    (FORM, FORM), (FORM, "Content_Type: application/json"),
    (FORM, "Content-Encoding: gzip"), (FORM, "Content-Encoding: identity"),
    (FORM, "content_encoding: deflate"),
], ids=repr)
def test_a_body_whose_reading_is_in_doubt_is_refused(scopes, fields):
    body = f"guid={MINE}&cmd=1".encode()
    assert_refused(scopes, "device", [("power", body, fields), (f"power?guid={MINE}", b"cmd=1",
                                                               fields)])


def test_a_compressed_form_is_refused(scopes):
    body = gzip.compress(f"guid={OTHER}&cmd=1".encode())
    assert_refused(scopes, "device",
                   [(f"power?guid={MINE}", body, (FORM, "Content-Encoding: gzip"))])


def test_a_key_for_groups_sends_to_no_other(scopes):
    groups = ["1/1/255", "1/3/0", "2/7/255", "4/0/0", "4/5/5", "4/5/7", "1/2", "1/2/", "1/2/256",
              "01/2/3", "1/2/03", "1/2/3/4", "2563", "+1/2/3", "1/2/3%20", "1/2/-3", "1/2/*", "*",
              "", "1/2/3%00", "1.2.3", "0x0a03", "1/2/3,5/5/5", "1%2F2", "%31%2f9%2f1"]
    calls = [(TELEGRAM.format(group),) for group in groups]
    calls += [("system/sendKNXbyte", f"group={group}&value=1".encode()) for group in groups]
    calls += [(TELEGRAM.format("1/2/3") + "&group=9/0/1",), (TELEGRAM.format("1/2/3"),
                                                           b"group=9/0/1"),
              (TELEGRAM.format("1/2/3") + "&Group=9/0/1",), (TURN_ON,), (STATUS,)]
    assert_refused(scopes, "groups", calls)


def test_rules_of_several_kinds_all_hold(scopes):
    assert_refused(scopes, "mixed", [(TURN_ON,), (TELEGRAM.format("1/2/3"),),
                                     (f"powerstatus?guid={OTHER}",)])


def test_an_address_that_is_not_listed_may_call_nothing(scopes):
    assert_refused(scopes, "elsewhere", [(STATUS,), ("system/serverStatus",), (TURN_ON,)])
    # What a client says of its address does not count.
    for field in ("X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1",
                  "X-Real-IP: 192.0.2.1"):
        with scopes.building.connect() as c:
            answer = c.request(scopes.path("elsewhere", STATUS), fields=(field,))
        assert answer.json()["reason"] == "not_allowed"


def test_head_is_judged_like_get(scopes):
    with scopes.building.watch() as seen, scopes.building.connect() as c:
        for name, call in (("reader", TURN_ON), ("device", f"power?guid={OTHER}&cmd=1")):
            assert c.request(scopes.path(name, call), "HEAD").status == 403
    assert seen == []


def test_fields_that_make_servers_take_another_method_or_path_do_not_travel(scopes):
    tricks = ["X-HTTP-Method-Override: POST", "X-Original-URL: /api/v1/power?cmd=1",
              "X-Rewrite-URL: /api/v1/power", "X_HTTP_Method_Override: POST"]
    with scopes.building.watch() as seen, scopes.building.connect() as c:
        assert c.request(scopes.path("reader", STATUS), fields=tricks).status == 200
    (entry,) = seen
    for trick in tricks:
        assert trick.split(":")[0].lower() not in str(entry).lower()


def test_what_was_refused_is_in_the_log_without_its_parameters(scopes):
    start = scopes.building.relay.process.log.count()
    scopes.ask("device", f"power?guid={OTHER}&cmd=1")
    line = scopes.building.relay.process.wait_log("reason=not_allowed", start).string
    assert "controller=power" in line and OTHER not in line and HOST in line
