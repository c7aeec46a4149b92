# SPDX-License-Identifier: Apache-2.0
"""The simulated Thinknx server: the documented API word for word, authentication, the HTTP around
it, the logs, and the faults that other tests ask it for."""

import base64
import contextlib
import hashlib
import http.client
import json
import re
import signal
import socket
import struct
import subprocess
import time

import pytest

from examples import BY_CONTROLLER, EXAMPLES, Text, assert_answer, exactly
from harness import (
    DEADLINE,
    HOST,
    USER,
    Connection,
    Process,
    Simulator,
    binary,
    closed_port,
    curl,
    environment,
    request,
    run,
    secret_file,
)

GUID = "1lzPszHWAEuvzxtXBMkzWQ"
PASSWORD = "pa:ss wörd&%"
STATUS = f"/api/v1/powerstatus?guid={GUID}"
DEVICE_NOT_FOUND = (404, {"error": "device not found"})
PARAMS_ERRORS = (400, {"error": "params errors"})
IMPOSSIBLE = (400, {"error": "impossible to execute"})


class Server(Simulator):
    """A simulator with a KNX log and a control file."""

    def __init__(self, folder, *options, auth="none", devices=None):
        folder.mkdir()
        self.folder = folder
        self.knx_log = folder / "knx.log"
        self.control = folder / "control.json"
        self.reloads = 0
        options = ["--knx-log", self.knx_log, "--control", self.control, *options]
        if devices is not None:
            path = folder / "devices.json"
            path.write_text(json.dumps({"devices": devices}))
            options += ["--devices", path]
        super().__init__(folder, *options, auth=auth, password=PASSWORD)
        self.start()

    def connect(self):
        return Connection((HOST, self.port))

    def call(self, target, method="GET", fields=(), body=b""):
        with self.connect() as c:
            return c.request(target, method, ["Connection: close", *fields], body)

    def get(self, controller, **params):
        """Status and JSON of a call; a parameter that is None stands without a value."""
        query = "&".join(k if v is None else f"{k}={v}" for k, v in params.items())
        answer = self.call(f"/api/v1/{controller}?{query}")
        assert answer.value("Content-Type") == "application/json"
        return answer.status, exactly(answer.body)

    def status(self, controller, guid=GUID):
        code, answer = self.get(controller, guid=guid)
        assert code == 200, answer
        return answer["status"]

    def curl(self, target, *options):
        return curl(self.url + target, *options, folder=self.folder)

    def commands(self):
        """The lines of the KNX log so far. What was answered is in it."""
        return [json.loads(line) for line in self.knx_log.read_text().splitlines()]

    def wait_commands(self, count):
        """For commands whose answer has not come yet."""
        until = time.monotonic() + DEADLINE
        while len(self.commands()) < count:
            assert time.monotonic() < until, self.commands()

    def log(self):
        """The lines of the request log up to a request of our own."""
        mark = f"/mark-{time.monotonic_ns()}"
        self.call(mark)
        end, _ = self.requests.wait(lambda line: f'"{mark}"' in line)
        return [json.loads(line) for line in self.requests.since()[:end]]

    def switch(self, **switches):
        """Writes the control file and has it read."""
        names = {name.replace("_", "-"): value for name, value in switches.items()}
        self.control.write_text(json.dumps(names))
        self.reloads += 1
        start = self.process.log.count()
        self.process.signal(signal.SIGHUP)
        self.process.wait_log(f"^reloaded {self.reloads}$", start)


@pytest.fixture
def start_server(tmp_path):
    """start_server(*options, auth=, devices=) gives a Server of the test's own."""
    made = []

    def start(*options, **settings):
        server = Server(tmp_path / f"server-{len(made)}", *options, **settings)
        made.append(server)
        return server

    yield start
    try:
        for server in made:
            server.process.stop()
    finally:
        for server in made:
            server.process.kill()
            server.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Server shared by the tests that need no special one."""
    made = Server(tmp_path_factory.mktemp("simulator") / "server", "--feedback-delay-ms", "1")
    yield made
    try:
        made.process.stop()
    finally:
        made.process.kill()
        made.close()


def json_of(answer):
    return answer.status, answer.json()


# --- the document's examples ------------------------------------------------------------------


def test_the_examples_of_the_document_in_order(start_server):
    server = start_server()
    with server.connect() as c:
        for example in EXAMPLES:
            answer = c.request(example.target)
            assert answer.status == 200, example
            assert_answer(example, answer.body, in_order=True)


def test_the_examples_as_forms(start_server):
    server = start_server("--feedback-delay-ms", "1")
    form = ["Content-Type: application/x-www-form-urlencoded"]
    with server.connect() as c:
        for example in EXAMPLES:
            answer = c.request(example.path, "POST", form, example.form)
            assert answer.status == 200, example
            assert_answer(example, answer.body, in_order=True)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_with_curl(server, example):
    answer = server.curl(example.target)
    assert (answer.status, answer.value("Content-Type")) == (200, "application/json")
    assert_answer(example, answer.body)
    posted = server.curl(example.path, "--data", example.form.decode())
    assert_answer(example, posted.body)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_in_either_case_of_v1_and_with_head(server, example):
    other = example.target.replace("/api/v1/", "/api/V1/")
    if other == example.target:
        other = example.target.replace("/api/V1/", "/api/v1/")
    assert_answer(example, server.call(other).body)
    head = server.call(example.target, "HEAD")
    assert head.status == 200 and int(head.value("Content-Length")) > 0


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.is_set], ids=str)
def test_an_example_command_is_executed_once(server, example):
    before = len(server.commands())
    server.call(example.target)
    lines = [line for line in server.commands()[before:] if "scene" not in line]
    assert len(lines) == 1
    params = example.params
    assert lines[0]["controller"] == example.controller
    assert {k: lines[0][k] for k in ("guid", "group") if k in lines[0]} == {
        k: params[k] for k in ("guid", "group") if k in params
    }
    value = params.get("value") or params.get("val") or params["cmd"]
    assert lines[0]["value"] == (None if example.controller == "trigger" else json.loads(value))


@pytest.mark.parametrize("example", [e for e in EXAMPLES if not e.is_set], ids=str)
def test_an_example_status_call_executes_nothing(server, example):
    before = len(server.commands())
    server.call(example.target)
    assert len(server.commands()) == before


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.has_feedback], ids=str)
def test_without_fb_there_is_no_status(server, example):
    answer = exactly(server.call(example.target.removesuffix("&fb")).body)
    assert list(answer) == ["namespace", "guid", "comm_obj"]


def test_communication_objects_are_stable_and_different(start_server):
    def numbers():
        server = start_server("--feedback-delay-ms", "0")
        answers = [exactly(server.call(e.target).body) for e in EXAMPLES]
        return [answer["comm_obj"] for answer in answers if "comm_obj" in answer]

    first = numbers()
    assert len(first) == len(set(first)) == 30
    assert numbers() == first


# --- parameters -------------------------------------------------------------------------------


def test_ampersands_order_and_unknown_parameters_do_not_matter(server):
    for query in (
        f"&&cmd=1&&&guid={GUID}&",
        f"guid={GUID}&cmd=1&unknown=x&=y&z",
        f"fb=&cmd=1&guid={GUID}",
        f"guid=%31lzPszHWAEuvzxtXBMkzW%51&%63md=%31",
    ):
        assert server.call(f"/api/v1/power?{query}").status == 200, query


def test_fb_with_a_value_is_fb(server):
    for fb in ("fb", "fb=", "fb=1", "fb=0"):
        answer = server.call(f"/api/v1/power?guid={GUID}&{fb}&cmd=1")
        assert answer.json()["status"] == 1, fb


def test_the_last_of_a_repeated_parameter_counts(server):
    server.call(f"/api/v1/power?guid={GUID}&cmd=1&cmd=0")
    assert server.status("powerstatus") == "0"
    assert server.get("power", guid=f"{GUID}&guid=nobody", cmd=1) == DEVICE_NOT_FOUND


def test_query_and_form_are_merged(server):
    form = ["Content-Type: application/x-www-form-urlencoded; charset=utf-8"]
    target = f"/api/V1/powerlevel?guid={GUID}"
    assert server.call(target, "POST", form, b"cmd=33").status == 200
    assert server.status("powerlevelstatus") == "33"
    assert server.call(target + "&cmd=1", "POST", form, b"cmd=44").status == 200
    assert server.status("powerlevelstatus") == "44"


def test_a_body_of_another_type_holds_no_parameters(server):
    target = f"/api/V1/power?guid={GUID}"
    for type_ in ("application/json", "text/plain", "multipart/form-data"):
        answer = server.call(target, "POST", [f"Content-Type: {type_}"], b"cmd=1")
        assert json_of(answer) == PARAMS_ERRORS
    assert json_of(server.call(target, "POST", [], b"cmd=1")) == PARAMS_ERRORS
    assert server.call(target + "&cmd=1", "POST", [], b"{}").status == 200


def test_a_bad_escape_is_a_params_error(server):
    for query in ("guid=%", "guid=%zz", f"guid={GUID}&cmd=1&%4"):
        assert json_of(server.call(f"/api/v1/power?{query}")) == PARAMS_ERRORS


def test_system_controllers_with_an_encoded_group(server):
    code, answer = server.get("system/sendKNXbit", group="1%2F0%2f1", value=1)
    assert (code, answer["group"], answer["value"]) == (200, "1/0/1", "1")


# --- set and status agree ---------------------------------------------------------------------

PAIRS = [
    ("power", "powerstatus", "cmd", ["0", "1"]),
    ("powerlevel", "powerlevelstatus", "cmd", ["0", "1", "77", "100"]),
    ("heightlevel", "heightlevelstatus", "val", ["0", "42", "100"]),
    ("blindangle", "blindanglestatus", "cmd", ["0", "42", "100"]),
    ("setvalue", "getvalue", "cmd", ["85.325", "0", "-12.50", "20.0", "1234567890.123456789"]),
    ("setpoint", "setpointstatus", "cmd", ["20.5", "-3", "7.05"]),
    ("tempmode", "tempmodestatus", "cmd", ["0", "1", "2", "3"]),
    ("chronoen", "chronoenstatus", "cmd", ["1", "0"]),
    ("hvacpower", "hvacpowerstatus", "cmd", ["1", "0"]),
    ("hvacsetpoint", "hvacsetpointstatus", "cmd", ["20.5", "19.95"]),
    ("hvacmode", "hvacmodestatus", "cmd", ["0", "1", "2", "3", "4"]),
    ("hvacfan", "hvacfanstatus", "cmd", ["0", "1", "2", "3"]),
]


@pytest.mark.parametrize("fb", [False, True], ids=["at once", "with feedback"])
@pytest.mark.parametrize("setter, getter, param, values", PAIRS, ids=[p[0] for p in PAIRS])
def test_what_was_set_is_what_is_read(server, setter, getter, param, values, fb):
    for value in values:
        params = {"guid": GUID, param: value}
        if fb:
            params["fb"] = None
        code, answer = server.get(setter, **params)
        assert code == 200
        assert answer.get("status") == (value if fb else None)
        status = server.status(getter)
        assert isinstance(status, Text) and status == value


def test_every_spelling_of_the_documents_guid_is_one_device(server):
    server.get("power", guid="1lzPszHWAeuvzxtXBMkzWQ", cmd=1)
    for guid in (GUID, "1IzPszHWAEEuvzxtXBMkzWQ", "1IzPszHWAEuvzxtXBMkzWQ"):
        assert server.status("powerstatus", guid) == "1"
    server.get("power", guid=GUID, cmd=0)
    assert server.status("powerstatus", "1IzPszHWAEEuvzxtXBMkzWQ") == "0"
    assert server.get("powerstatus", guid=GUID.lower()) == DEVICE_NOT_FOUND


def test_power_and_level_of_a_light_hang_together(server):
    server.get("power", guid=GUID, cmd=0)
    assert server.status("powerlevelstatus") == "0"
    server.get("power", guid=GUID, cmd=1)
    assert server.status("powerlevelstatus") == "100"
    server.get("powerlevel", guid=GUID, cmd=0)
    assert server.status("powerstatus") == "0"


def test_blinds_move(server):
    server.get("updown", guid=GUID, cmd=1)
    assert server.status("heightlevelstatus") == "100"
    server.get("updown", guid=GUID, cmd=0)
    assert server.status("heightlevelstatus") == "0"
    server.get("blindangle", guid=GUID, cmd=50)
    server.get("blindstep", guid=GUID, cmd=0)
    assert server.status("blindanglestatus") == "60"
    server.get("blindstep", guid=GUID, cmd=1)
    assert server.status("blindanglestatus") == "50"


def test_a_travelling_blind_stops_where_it_is(start_server):
    blind = {"class": "blind", "guid": "b", "travel_ms": 600000}
    server = start_server(devices=[blind])
    server.get("updown", guid="b", cmd=1)
    server.get("stop", guid="b", cmd=1)
    assert int(server.status("heightlevelstatus", "b")) < 50
    server.get("updown", guid="b", cmd=0)
    assert int(server.status("heightlevelstatus", "b")) < 50


# --- errors -----------------------------------------------------------------------------------

DEVICE_EXAMPLES = [e for e in EXAMPLES if "guid" in e.params]


@pytest.mark.parametrize("example", DEVICE_EXAMPLES, ids=str)
def test_an_unknown_device_is_not_found(server, example):
    before = len(server.commands())
    answer = server.call(example.target.replace(example.params["guid"], "nobody"))
    assert json_of(answer) == DEVICE_NOT_FOUND
    assert len(server.commands()) == before


@pytest.mark.parametrize("example", DEVICE_EXAMPLES, ids=str)
def test_a_missing_or_empty_guid_is_a_params_error(server, example):
    guid = f"guid={example.params['guid']}"
    for instead in ("", "guid", "guid=", f"GUID={GUID}"):
        assert json_of(server.call(example.target.replace(guid, instead))) == PARAMS_ERRORS


@pytest.mark.parametrize("example", DEVICE_EXAMPLES, ids=str)
def test_a_device_of_another_class_cannot_execute(start_server, example):
    light = {"class": "light", "guid": "x", "dimmable": True}
    blind = {"class": "blind", "guid": "x"}
    is_light = example.controller.startswith("power")
    server = start_server(devices=[blind if is_light else light])
    answer = server.call(example.target.replace(example.params["guid"], "x"))
    assert json_of(answer) == IMPOSSIBLE
    assert server.commands() == []


def test_a_light_that_cannot_be_dimmed(start_server):
    server = start_server(devices=[{"class": "light", "guid": "x"}])
    assert server.get("powerlevel", guid="x", cmd=50) == IMPOSSIBLE
    assert server.get("powerlevelstatus", guid="x") == IMPOSSIBLE
    assert server.get("power", guid="x", cmd=1)[0] == 200


BAD_VALUES = {
    "power": ["2", "-1", "on", "1.0", "", "01x", "1%20", "%2B1"],
    "powerlevel": ["101", "-1", "50.5", "50%25", ""],
    "updown": ["2", "-1", "up"],
    "stop": ["0", "2", ""],
    "heightlevel": ["101", "-1", "1e1", ""],
    "blindstep": ["2", "-1"],
    "blindangle": ["101", "-1", "999999999999999999999"],
    "setvalue": ["", "85,325", "1e3", ".5", "5.", "abc", "--1", "1.2.3", "nan", "9" * 40],
    "setpoint": ["", "20,5", "0x14", "+20"],
    "tempmode": ["4", "-1", "comfort"],
    "chronoen": ["2", "true"],
    "hvacpower": ["2", "-1"],
    "hvacsetpoint": ["20,5", "x"],
    "hvacmode": ["5", "-1"],
    "hvacfan": ["4", "-1"],
    "scenelaunch": ["2", "-1"],
    "system/sendKNXbit": ["2", "-1", "true"],
    "system/sendKNX4bits": ["32", "-1", "1.5"],
    "system/sendKNXbyte": ["256", "-1"],
    "system/sendKNXbyteun": ["128", "-129"],
    "system/sendKNXfloat2bytes": ["670760.97", "-671088.65", "1e2", "8,5", ""],
    "system/sendKNXfloat4bytes": ["1e39", "nan", ""],
}
GOOD_VALUES = {
    "system/sendKNXbit": ["0", "1"],
    "system/sendKNX4bits": ["0", "31"],
    "system/sendKNXbyte": ["0", "255"],
    "system/sendKNXbyteun": ["-128", "127"],
    "system/sendKNXfloat2bytes": ["-671088.64", "670760.96", "85.325", "21"],
    "system/sendKNXfloat4bytes": ["-0.001", "85.325", "100000000000000000000"],
}


def with_value(controller, value):
    example = BY_CONTROLLER[controller]
    param = next(p for p in ("cmd", "val", "value") if p in example.params)
    old = f"{param}={example.params[param]}"
    return example.target.replace(old, f"{param}={value}" if value is not None else "")


@pytest.mark.parametrize("controller", BAD_VALUES)
def test_a_value_that_is_missing_or_out_of_range_is_a_params_error(server, controller):
    before = len(server.commands())
    for value in [None, *BAD_VALUES[controller]]:
        answer = server.call(with_value(controller, value))
        assert json_of(answer) == PARAMS_ERRORS, value
    assert len(server.commands()) == before


@pytest.mark.parametrize("controller", GOOD_VALUES)
def test_telegrams_carry_their_value_exactly(server, controller):
    for value in GOOD_VALUES[controller]:
        answer = server.call(with_value(controller, value))
        assert answer.status == 200
        assert exactly(answer.body)["value"] == value


def test_the_height_is_set_with_val_and_all_else_with_cmd(server):
    assert server.get("heightlevel", guid=GUID, cmd=50) == PARAMS_ERRORS
    assert server.get("blindangle", guid=GUID, val=50) == PARAMS_ERRORS


def test_trigger_needs_no_cmd_and_ignores_one(server):
    for extra in ({}, {"cmd": 1}, {"cmd": "whatever"}):
        assert server.get("trigger", guid=GUID, **extra)[0] == 200
        assert server.commands()[-1]["value"] is None


def test_group_addresses(server):
    for group in ("0/0/1", "31/7/255", "31/2047", "1/1"):
        code, answer = server.get("system/sendKNXbit", group=group, value=1)
        assert (code, answer["group"]) == (200, group)
        assert server.commands()[-1]["group"] == group
    for group in ("32/0/1", "1/8/1", "1/0/256", "1/2048", "257", "0/0/0", "1/0/1/1", "1.0.1", ""):
        assert server.get("system/sendKNXbit", group=group, value=1) == PARAMS_ERRORS, group
    assert server.get("system/sendKNXbit", value=1) == PARAMS_ERRORS


def test_controllers_that_there_are_not(server):
    for name in ("nothing", "Power", "POWER", "system", "system/sendknxbit", "power/status"):
        answer = server.call(f"/api/v1/{name}?guid={GUID}&cmd=1")
        assert answer.status == 404 and set(answer.json()) == {"error"}
    for path in ("/api/v2/power", "/API/v1/power", "/api/v1", "/api/", "/power"):
        assert server.call(path).status == 404


def test_the_range_of_an_analog_value_is_the_devices(start_server):
    server = start_server(
        devices=[{"class": "analog", "guid": "a", "value": "20.5", "min": 5, "max": 40}]
    )
    assert server.status("getvalue", "a") == "20.5"
    assert server.get("setvalue", guid="a", cmd="40")[0] == 200
    assert server.get("setvalue", guid="a", cmd="40.01") == PARAMS_ERRORS


# --- feedback ---------------------------------------------------------------------------------


def test_feedback_comes_when_the_device_has_confirmed(start_server):
    server = start_server("--feedback-delay-ms", "400")
    with server.connect() as slow, server.connect() as c:
        started = time.monotonic()
        slow.send(request(f"/api/v1/power?guid={GUID}&cmd=1&fb"))
        server.requests.wait(lambda line: "cmd=1&fb" in line)
        # Executed, and not confirmed: the status is the old one.
        assert c.request(STATUS).json()["status"] == 0
        assert len(server.commands()) == 1
        assert time.monotonic() - started < 0.4, "the machine is too slow for this test"
        assert slow.answer().json()["status"] == 1
        assert time.monotonic() - started >= 0.39
        assert c.request(STATUS).json()["status"] == 1


def test_without_fb_the_answer_and_the_change_are_immediate(start_server):
    server = start_server("--feedback-delay-ms", "600000")
    assert server.get("power", guid=GUID, cmd=1)[0] == 200
    assert server.status("powerstatus") == "1"
    assert server.get("updown", guid=GUID, cmd=1, fb=None)[0] == 200  # takes no fb


def test_a_device_may_have_its_own_delay(start_server):
    server = start_server(
        "--feedback-delay-ms",
        "600000",
        devices=[
            {"class": "light", "guid": "fast", "delay_ms": 0},
            {"class": "light", "guid": "slow", "delay_ms": 300},
        ],
    )
    assert server.get("power", guid="fast", cmd=1, fb=None)[1]["status"] == "1"
    started = time.monotonic()
    assert server.get("power", guid="slow", cmd=1, fb=None)[1]["status"] == "1"
    assert time.monotonic() - started >= 0.29


def test_a_command_takes_effect_though_its_caller_has_gone(start_server):
    server = start_server("--feedback-delay-ms", "100")
    with server.connect() as c:
        c.send(request(f"/api/v1/power?guid={GUID}&cmd=1&fb"))
        server.requests.wait(lambda line: "cmd=1&fb" in line)
    until = time.monotonic() + DEADLINE
    while server.status("powerstatus") == "0":
        assert time.monotonic() < until
    assert len(server.commands()) == 1


def test_feedback_of_several_callers_at_once(start_server):
    server = start_server("--feedback-delay-ms", "200")
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(20)]
        for i, c in enumerate(connections):
            c.send(request(f"/api/v1/powerlevel?guid={GUID}&cmd={i + 1}&fb"))
            server.requests.wait(lambda line, i=i: f"cmd={i + 1}&fb" in line)
        statuses = [c.answer().json()["status"] for c in connections]
    # Each sees what the device said at that time: its own value, or already a later one.
    assert all(own <= status <= 20 for own, status in enumerate(statuses, 1))
    assert server.status("powerlevelstatus") == "20"


# --- scenes and buttons -----------------------------------------------------------------------


def scene(*operations, pauses=()):
    steps = [
        {"controller": "power", "guid": "l", "value": value, "pause_ms": pause}
        for value, pause in zip(operations, [*pauses, *[0] * len(operations)])
    ]
    return [
        {"class": "light", "guid": "l"},
        {"class": "scene", "guid": "s", "operations": steps},
        {"class": "button", "guid": "b", "operations": steps},
    ]


def values(server):
    return [c["value"] for c in server.commands() if c["controller"] == "power"]


def test_a_scene_runs_its_operations(start_server):
    server = start_server(devices=scene(1, 0, 1))
    assert server.get("scenelaunch", guid="s", cmd=1)[0] == 200
    assert values(server) == [1, 0, 1]
    assert [c.get("scene") for c in server.commands()] == [None, "s", "s", "s"]
    assert server.status("powerstatus", "l") == "1"


def test_a_button_triggers_its_operations(start_server):
    server = start_server(devices=scene(1))
    assert server.get("trigger", guid="b")[0] == 200
    assert [c["controller"] for c in server.commands()] == ["trigger", "power"]


def test_a_running_scene_is_stopped(start_server):
    server = start_server(devices=scene(1, 0, pauses=(0, 600000)))
    server.get("scenelaunch", guid="s", cmd=1)
    assert server.get("scenelaunch", guid="s", cmd=0)[0] == 200
    assert values(server) == [1]
    # Launched twice, it begins again; and the end of the program ends it.
    server.get("scenelaunch", guid="s", cmd=1)
    server.get("scenelaunch", guid="s", cmd=1)
    assert values(server) == [1, 1, 1]


def test_a_scene_goes_on_after_its_pauses(start_server):
    server = start_server(devices=scene(1, 0, 1, pauses=(0, 50, 50)))
    server.get("scenelaunch", guid="s", cmd=1)
    server.wait_commands(4)
    assert values(server) == [1, 0, 1]
    times = [c["time"] for c in server.commands()]
    assert times[3] - times[1] >= 0.09


# --- authentication ---------------------------------------------------------------------------


CURL_USER = ["--user", f"{USER}:{PASSWORD}"]
ENCODED = "pa%3Ass%20w%C3%B6rd%26%25"


def challenges(answer):
    return [value.split(" ", 1) for value in answer.values("WWW-Authenticate")]


def parameters(challenge):
    return dict(re.findall(r'([a-z]+)="?([^",]*)"?', challenge[1]))


def test_basic(start_server):
    server = start_server(auth="basic")
    refused = server.call(STATUS)
    assert (refused.status, challenges(refused)[0][0]) == (401, "Basic")
    assert set(refused.json()) == {"error"}
    assert server.curl(STATUS, "--basic", *CURL_USER).status == 200
    assert server.curl(STATUS, "--basic", "--user", f"{USER}:wrong").status == 401
    assert server.call(f"{STATUS}&user={USER}&pass={ENCODED}").status == 401


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "both"])
def test_digest(start_server, algorithm):
    server = start_server("--digest-algorithm", algorithm, auth="digest")
    refused = server.call(STATUS)
    offered = [parameters(c)["algorithm"] for c in challenges(refused)]
    assert refused.status == 401
    assert offered == (["SHA-256", "MD5"] if algorithm == "both" else [algorithm])
    for challenge in challenges(refused):
        assert challenge[0] == "Digest"
        assert {"realm", "nonce", "opaque", "qop"} <= set(parameters(challenge))
    assert server.curl(STATUS, "--digest", *CURL_USER).status == 200
    form = f"guid={GUID}&cmd=1"
    answer = server.curl("/api/v1/power", "--digest", *CURL_USER, "--data", form)
    assert answer.status == 200
    assert server.curl(STATUS, "--digest", "--user", f"{USER}:wrong").status == 401
    assert server.curl(STATUS, "--basic", *CURL_USER).status == 401
    assert [line["user"] for line in server.log() if line["user"]] == [USER, USER]


def test_credentials_in_the_query(start_server):
    server = start_server(auth="query")
    good = f"auth=basic&user={USER}&pass={ENCODED}"
    assert server.curl(f"{STATUS}&{good}").status == 200
    form = ["Content-Type: application/x-www-form-urlencoded"]
    assert server.call(STATUS, "POST", form, good.encode()).status == 200
    for wrong in ("", f"&auth=basic&user={USER}&pass=wrong", f"&user={USER}", f"&pass={ENCODED}"):
        answer = server.call(STATUS + wrong)
        assert answer.status == 403 and "incorrect" in answer.json()["error"]
    assert server.curl(STATUS, "--basic", *CURL_USER).status == 403


def test_any_takes_all_three_and_asks_as_the_query_says(start_server):
    server = start_server(auth="any")
    schemes = lambda query: [c[0] for c in challenges(server.call(STATUS + query))]
    assert schemes("") == ["Digest", "Digest", "Basic"]
    assert schemes("&auth=digest") == ["Digest", "Digest"]
    assert schemes("&auth=basic") == ["Basic"]
    assert server.curl(f"{STATUS}&auth=basic", "--basic", *CURL_USER).status == 200
    assert server.curl(f"{STATUS}&auth=digest", "--digest", *CURL_USER).status == 200
    assert server.call(f"{STATUS}&auth=basic&user={USER}&pass={ENCODED}").status == 200
    assert server.call(f"{STATUS}&auth=basic&user={USER}&pass=no").status == 403
    assert json_of(server.call(f"{STATUS}&auth=ntlm")) == PARAMS_ERRORS


def test_the_credentials_are_no_parameters_of_the_device(start_server):
    server = start_server()
    answer = server.call(f"{STATUS}&auth=digest&user=x&pass=y")
    assert list(answer.json()) == ["namespace", "guid", "status", "comm_obj"]


class Digest:
    """A client that does digest by hand, to do it wrong on purpose."""

    def __init__(self, server, target=STATUS, algorithm="SHA-256"):
        self.server, self.target, self.algorithm = server, target, algorithm
        self.take(server.call(target))

    def take(self, refused):
        assert refused.status == 401
        offers = [parameters(c) for c in challenges(refused)]
        self.challenge = next(o for o in offers if o["algorithm"] == self.algorithm)

    def hash(self, *parts):
        name = self.algorithm.replace("-", "").lower()
        return hashlib.new(name, ":".join(parts).encode()).hexdigest()

    def field(self, count, /, method="GET", **changes):
        c = {**self.challenge, "nc": f"{count:08x}", "uri": self.target, "username": USER}
        c |= {"cnonce": "0a4f113b", "qop": "auth", "password": PASSWORD, **changes}
        secret = self.hash(c["username"], c["realm"], c["password"])
        asked = self.hash(method, c["uri"])
        c.setdefault(
            "response", self.hash(secret, c["nonce"], c["nc"], c["cnonce"], c["qop"], asked)
        )
        quoted = ("username", "realm", "nonce", "uri", "response", "cnonce", "opaque")
        return "Authorization: Digest " + ", ".join(
            [*(f'{name}="{c[name]}"' for name in quoted)]
            + [f"{name}={c[name]}" for name in ("algorithm", "qop", "nc")]
        )

    def call(self, count, /, **changes):
        return self.server.call(self.target, fields=[self.field(count, **changes)])


def is_stale(answer):
    assert answer.status == 401
    return [parameters(c).get("stale") == "true" for c in challenges(answer)] == [True] * 2


def test_a_nonce_count_must_grow(start_server):
    client = Digest(start_server(auth="digest"))
    assert client.call(1).status == 200
    assert is_stale(client.call(1))
    assert client.call(9).status == 200
    assert is_stale(client.call(8))
    assert client.call(10).status == 200


def test_nonce_counts_in_any_order_but_once_where_wanted(start_server):
    client = Digest(start_server("--nonce-count", "window", auth="digest"))
    assert [client.call(nc).status for nc in (2, 1, 4, 3)] == [200] * 4
    assert is_stale(client.call(3))


def test_a_nonce_is_used_up(start_server):
    client = Digest(start_server("--nonce-uses", "2", auth="digest"))
    assert [client.call(nc).status for nc in (1, 2)] == [200, 200]
    refused = client.call(3)
    assert is_stale(refused)
    client.take(refused)
    assert client.call(1).status == 200


def test_an_unknown_nonce_is_stale_and_a_wrong_password_is_not(start_server):
    client = Digest(start_server(auth="digest"))
    assert is_stale(client.call(1, nonce="0" * 32))
    assert not is_stale(client.call(1, password="wrong"))


def test_digests_that_are_wrong_in_one_thing(start_server):
    server = start_server(auth="digest")
    client = Digest(server)
    for changes in (
        {"uri": "/api/v1/powerstatus?guid=other"},
        {"realm": "elsewhere"},
        {"opaque": "00"},
        {"qop": "auth-int"},
        {"algorithm": "SHA-512"},
        {"username": "nobody"},
        {"nc": "1"},
        {"cnonce": ""},
        {"response": "0" * 64},
        {"method": "POST"},
    ):
        assert client.call(1, **changes).status == 401, changes
    twice = [client.field(1), client.field(1)]
    assert server.call(STATUS, fields=twice).status == 401
    assert client.call(1).status == 200
    assert server.commands() == []


def test_curl_follows_a_stale_nonce(start_server):
    server = start_server("--nonce-uses", "1", auth="digest")
    twice = [server.url + STATUS, "--output", str(server.folder / "second")]
    assert server.curl(STATUS, "--digest", *CURL_USER, *twice).status == 200
    # Asked, answered; the old nonce once more, and then the new one.
    assert [line["user"] for line in server.log()] == [None, USER, None, USER]


def test_maintenance_pages_ask_nobody(start_server):
    server = start_server(auth="digest")
    for path in ("/", "/maintenance", "/config", "/reboot", "/api/v1/../../reboot"):
        answer = server.call(path)
        assert (answer.status, b"maintenance" in answer.body) == (200, True)
        assert answer.value("Content-Type").startswith("text/html")
    assert [line["route"] for line in server.log()] == ["maintenance"] * 5


# --- HTTP -------------------------------------------------------------------------------------


def test_keep_alive_and_pipelining(server):
    with server.connect() as c:
        c.send(request(STATUS) * 50 + request("/", "HEAD") + request("/api/v1/none"))
        for _ in range(50):
            answer = c.answer()
            assert answer.status == 200 and answer.values("Connection") == []
        assert c.answer("HEAD").status == 200
        assert c.answer().status == 404
        assert c.request(STATUS).status == 200


def test_pipelined_feedback_keeps_the_order(start_server):
    server = start_server("--feedback-delay-ms", "50")
    with server.connect() as c:
        for cmd in (1, 0, 1):
            c.send(request(f"/api/v1/power?guid={GUID}&cmd={cmd}&fb") + request(STATUS))
        statuses = [c.answer().json()["status"] for _ in range(6)]
    assert statuses == [1, 1, 0, 0, 1, 1]


def test_http_1_0(server):
    with server.connect() as c:
        c.send(request(STATUS, fields=["Connection: keep-alive"], version="1.0"))
        assert c.answer().value("Connection") == "keep-alive"
        c.send(request(STATUS, version="1.0"))
        assert c.answer().value("Connection") == "close"
        assert c.rest() == b""


def test_dates_are_dates(server):
    date = server.call(STATUS).value("Date")
    parsed = time.strptime(date, "%a, %d %b %Y %H:%M:%S GMT")
    assert date == time.strftime("%a, %d %b %Y %H:%M:%S GMT", parsed)


def test_bodies_in_chunks_and_byte_by_byte(server):
    head = [
        "Transfer-Encoding: chunked",
        "Content-Type: application/x-www-form-urlencoded",
        "Connection: close",
    ]
    lines = [f"POST /api/v1/power?guid={GUID} HTTP/1.1", f"Host: {HOST}", *head, "", ""]
    data = "\r\n".join(lines).encode() + b"4;x=y\r\ncmd=\r\n1\r\n1\r\n0\r\nX-Trailer: x\r\n\r\n"
    with server.connect() as c:
        for byte in data:
            c.send(bytes([byte]))
        assert c.answer().json()["namespace"] == "power"


def test_a_client_that_waits_for_100_continue(server):
    with server.connect() as c:
        fields = ["Expect: 100-continue", "Content-Type: application/x-www-form-urlencoded"]
        whole = request("/api/v1/power", "POST", fields, f"guid={GUID}&cmd=1".encode())
        head, _, body = whole.partition(b"\r\n\r\n")
        c.send(head + b"\r\n\r\n")
        assert c.answer().status == 100
        c.send(body)
        assert c.answer().status == 200


def test_a_client_that_shuts_its_side_gets_its_answer(start_server):
    server = start_server("--feedback-delay-ms", "50")
    with plain_socket(server) as s:
        s.sendall(request(f"/api/v1/power?guid={GUID}&cmd=1&fb"))
        s.shutdown(socket.SHUT_WR)
        data = b"".join(iter(lambda: s.recv(65536), b""))
    assert data.endswith(b"}") and b'"status":1' in data


def test_other_methods_are_not_allowed(server):
    before = len(server.commands())
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
        answer = server.call(f"/api/v1/power?guid={GUID}&cmd=1", method)
        assert (answer.status, answer.value("Allow")) == (405, "GET, HEAD, POST")
    assert len(server.commands()) == before


@pytest.mark.parametrize(
    "data, status",
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n", 413),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 17000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 101 + b"\r\n", 431),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ],
)
def test_requests_that_cannot_be_read(server, data, status):
    with server.connect() as c:
        # What follows a refused request is not a request, however it looks.
        c.send(data + request("/reboot"))
        answer = c.answer()
        assert (answer.status, answer.value("Connection")) == (status, "close")
        assert c.rest() == b""


def test_idle_connections_are_closed(start_server):
    server = start_server("--keepalive-s", "1")
    with server.connect() as idle, server.connect() as partial:
        idle.request(STATUS)
        partial.send(request(STATUS)[:20])
        assert idle.rest() == b""
        assert partial.rest() == b""


def test_a_client_that_reads_slowly_is_not_idle(start_server):
    server = start_server("--keepalive-s", "1", "--big-body", "16777216")
    with socket.socket() as s:
        s.settimeout(DEADLINE)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        s.connect((HOST, server.port))
        s.sendall(request("/api/v1/system/serverStatus", fields=["Connection: close"]))
        length, begun = 0, time.monotonic()
        while data := s.recv(65536):
            length += len(data)
            time.sleep(max(0, length / 5000000 - (time.monotonic() - begun)))
    assert length > 16777216


@pytest.mark.parametrize("when", ["delayed", "large"])
def test_a_client_that_is_gone_before_its_answer(start_server, when):
    """It resets the connection: nobody else notices."""
    server = start_server(*(["--answer-delay-ms", "200"] if when == "delayed" else ["--big-body", "16777216"]))
    with plain_socket(server) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.sendall(request("/api/v1/system/serverStatus"))
        if when == "large":
            s.recv(1000)
        else:
            server.requests.wait(lambda line: "serverStatus" in line)
    assert server.call(STATUS).status == 200


def is_refused(server):
    try:
        return server.call(STATUS).status != 200
    except (AssertionError, ConnectionError):
        return True


def test_too_many_connections(start_server):
    server = start_server("--max-connections", "2")
    with server.connect() as a, server.connect() as b:
        assert a.request(STATUS).status == b.request(STATUS).status == 200
        with server.connect() as c:
            assert c.rest() == b""
        a.send(request(STATUS, fields=["Connection: close"]))
        assert a.answer().status == 200 and a.rest() == b""
        a.close()
        # The server may hear of that end after the next beginning.
        until = time.monotonic() + DEADLINE
        while is_refused(server):
            assert time.monotonic() < until


def test_a_client_that_does_not_read(start_server):
    server = start_server("--big-body", "1000000")
    target = "/api/v1/system/serverStatus"
    with server.connect() as c:
        c.send(request(target) * 40)
        assert server.call(STATUS).status == 200
        for _ in range(40):
            assert len(c.answer().body) == 1000000


# --- the logs ---------------------------------------------------------------------------------


def test_the_request_log_holds_everything_byte_for_byte(start_server):
    server = start_server()
    target = f"/api/V1/power?guid={GUID}&&%63md=1&x=\"<'>"
    body = bytes(range(256))
    before = time.time()
    with server.connect() as c:
        c.request(target, "POST", ["X-Odd:  a\"b\\c\xff", "x-odd: "], body)
        c.request("/nowhere?")
    first, second = server.log()
    assert list(first) == [
        "n", "time", "conn", "method", "target", "headers", "body", "user", "route",
    ]
    assert (first["n"], first["method"], first["target"]) == (1, "POST", target)
    assert first["body"].encode("latin-1") == body
    assert ["X-Odd", 'a"b\\c\xff'] in first["headers"] and ["x-odd", ""] in first["headers"]
    assert before - 1 <= first["time"] <= time.time() + 1
    assert (first["user"], first["route"]) == (None, "api")
    assert (second["n"], second["target"], second["route"]) == (2, "/nowhere?", "nowhere")
    assert first["conn"] == second["conn"]


def test_the_logs_belong_together(start_server):
    server = start_server("--feedback-delay-ms", "1")
    for cmd in (1, 0):
        server.get("power", guid=GUID, cmd=cmd, fb=None)
        server.get("powerstatus", guid=GUID)
    server.get("system/sendKNXbyteun", group="1/0/1", value=-128)
    commands = server.commands()
    assert [c["n"] for c in commands] == [1, 2, 3]
    assert [c["request"] for c in commands] == [1, 3, 5]
    assert [c["value"] for c in commands] == [1, 0, -128]
    assert commands[0]["device"] == "Chandelier" and "device" not in commands[2]


def test_logs_are_appended_to_and_private(start_server, tmp_path):
    server = start_server()
    server.get("power", guid=GUID, cmd=1)
    server.process.stop()
    server.start()
    server.get("power", guid=GUID, cmd=0)
    assert [c["value"] for c in server.commands()] == [1, 0]
    assert server.knx_log.stat().st_mode & 0o777 == 0o600


def test_without_logs_and_with_a_log_that_is_full(tmp_path):
    """It serves; of a log that cannot be written it says so once."""
    for options in ([], ["--request-log", "/dev/full"]):
        process = Process("thinknx-simulator", "--listen", f"{HOST}:0", *options)
        try:
            port = int(process.wait_log(r"^listening .*:([0-9]+)$")[1])
            with Connection((HOST, port)) as c:
                for cmd in (1, 0):
                    assert c.request(f"/api/v1/power?guid={GUID}&cmd={cmd}").status == 200
            process.stop()
            assert process.log.text().count("a log line was not written") == len(options) // 2
        finally:
            process.kill()


# --- faults -----------------------------------------------------------------------------------


def test_delayed_answers(start_server):
    server = start_server("--answer-delay-ms", "300")
    with server.connect() as slow:
        started = time.monotonic()
        slow.send(request(f"/api/v1/power?guid={GUID}&cmd=1"))
        server.wait_commands(1)
        assert time.monotonic() - started < 0.3, "the machine is too slow for this test"
        assert slow.answer().status == 200
        assert time.monotonic() - started >= 0.29


def test_dropped_answers_were_executed(start_server):
    server = start_server("--drop-answers", "3", auth="basic")
    with contextlib.ExitStack() as stack:
        answers = []
        for i in range(6):
            c = stack.enter_context(server.connect())
            auth = ["Authorization: Basic " + basic()]
            c.send(request(f"/api/v1/powerlevel?guid={GUID}&cmd={i}"))
            assert c.answer().status == 401
            c.send(request(f"/api/v1/powerlevel?guid={GUID}&cmd={i}", fields=auth))
            answers.append(c.rest() if i % 3 == 2 else c.answer().status)
    assert answers == [200, 200, b""] * 2
    assert [c["value"] for c in server.commands()] == list(range(6))


def basic():
    return base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def raw(server, target=STATUS):
    """All bytes of an answer until the server closes or says that it would keep the connection."""
    with server.connect() as c:
        c.send(request(target, fields=["Connection: close"]))
        return c.rest()


def test_broken_answers(start_server):
    server = start_server()
    good = raw(server).partition(b"\r\n\r\n")[2]
    seen = {}
    for kind in (
        "garbage http09 short-body two-answers huge-head cr-in-value bad-chunk no-length-close"
        " early-close-mid-body empty-header-name duplicate-length length-and-chunked 1xx-first"
        " chunked"
    ).split():
        server.switch(broken_answer=kind)
        seen[kind] = raw(server)
    assert not seen["garbage"].startswith(b"HTTP")
    assert seen["http09"] == good
    assert seen["short-body"].endswith(b"\r\n\r\n" + good[:-10])
    assert seen["two-answers"].count(b"HTTP/1.1 200 OK") == 2
    assert len(seen["huge-head"]) > 131072
    assert re.search(rb"one\rContent-Length: 0\r\n", seen["cr-in-value"])
    assert b"\r\n\r\nzz\r\n" in seen["bad-chunk"]
    assert b"Content-Length" not in seen["no-length-close"]
    assert seen["no-length-close"].endswith(b"\r\n\r\n" + good)
    assert seen["early-close-mid-body"].endswith(b"\r\n\r\n" + good[: len(good) - len(good) // 2])
    assert b"\r\n: no name\r\n" in seen["empty-header-name"]
    assert seen["duplicate-length"].count(b"Content-Length") == 2
    assert b"Content-Length: 4\r\nTransfer-Encoding: chunked" in seen["length-and-chunked"]
    assert seen["1xx-first"].startswith(b"HTTP/1.1 102 ")
    # These are right, though unusual: a real client reads them.
    server.switch(broken_answer="1xx-first")
    assert server.curl(STATUS).body == good
    for kind in ("no-length-close", "chunked"):
        server.switch(broken_answer=kind)
        with contextlib.closing(http.client.HTTPConnection(HOST, server.port)) as client:
            client.request("GET", STATUS)
            assert client.getresponse().read() == good
            client.request("HEAD", STATUS)
            assert client.getresponse().read() == b""


def plain_socket(server):
    return socket.create_connection((HOST, server.port), timeout=DEADLINE)


def assert_silent(s):
    """That nothing comes, nor the end. It takes that long to see nothing."""
    s.settimeout(0.2)
    with pytest.raises(TimeoutError):
        s.recv(1)


def test_a_short_body_leaves_the_connection_open(start_server):
    server = start_server("--broken-answer", "short-body")
    with plain_socket(server) as s:
        s.sendall(request(STATUS))
        data = b""
        while b'{"namespace"' not in data:
            data += s.recv(65536)
        assert b"HTTP/1.1 200" in data
        assert_silent(s)


def test_a_status_for_everything(start_server):
    server = start_server("--answer-status", "429")
    answer = server.call(f"/api/v1/power?guid={GUID}&cmd=1")
    assert (answer.status, set(answer.json())) == (429, {"error"})
    for line in ("500 Internal Server Error", "503 Service Unavailable", "599 Error"):
        server.switch(answer_status=int(line[:3]))
        assert raw(server).startswith(f"HTTP/1.1 {line}\r\n".encode())
    assert server.commands() == []


def test_big_bodies(start_server):
    server = start_server()
    for size in (1000, 1000000, 16777216):
        server.switch(big_body=size)
        body = server.curl("/api/v1/system/serverStatus").body
        assert len(body) == size
        answer = json.loads(body)
        assert list(answer)[-1] == "padding" and set(answer["padding"]) == {"x"}
    assert len(server.call(STATUS).body) < 200


def test_a_connection_ends_after_some_requests(start_server):
    server = start_server("--close-after", "3")
    with server.connect() as c:
        c.send(request(STATUS) * 5)
        closes = [c.answer().values("Connection") for _ in range(3)]
        assert closes == [[], [], ["close"]]
        assert c.rest() == b""


def test_a_stalled_server_reads_and_says_nothing(start_server):
    server = start_server("--stall")
    with plain_socket(server) as s:
        s.sendall(request(f"/api/v1/power?guid={GUID}&cmd=1"))
        server.requests.wait(lambda line: "cmd=1" in line)
        server.switch(stall=False)
        assert server.status("powerstatus") == "0"
        assert_silent(s)
    assert server.commands() == []


def test_refused_connections(start_server):
    server = start_server()
    with plain_socket(server) as s:
        s.sendall(request(STATUS))
        assert s.recv(65536).startswith(b"HTTP/1.1 200")
        server.switch(refuse_connections=True)
        with pytest.raises(ConnectionResetError):
            s.recv(65536)
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                server.connect()
    server.switch()
    assert server.call(STATUS).status == 200


def test_a_port_that_was_taken_while_connections_were_refused(start_server):
    server = start_server()
    server.switch(refuse_connections=True)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((HOST, server.port))
        other.listen()
        server.control.write_text("{}")
        server.process.signal(signal.SIGHUP)
        server.process.wait_log("^reload failed 2$")
    server.reloads += 1
    server.switch()
    assert server.call(STATUS).status == 200


def test_refusing_from_the_start(start_server):
    server = start_server("--refuse-connections")
    with pytest.raises(ConnectionRefusedError):
        server.connect()
    server.switch(refuse_connections=False)
    assert server.call(STATUS).status == 200


def test_the_control_file_goes_on_top_of_the_command_line(start_server):
    server = start_server("--big-body", "5000")
    server.switch(close_after=1)
    answer = server.call("/api/v1/system/serverStatus")
    assert (len(answer.body), answer.value("Connection")) == (5000, "close")
    server.switch(big_body=0)
    assert len(server.call("/api/v1/system/serverStatus").body) < 500
    server.control.unlink()
    server.process.signal(signal.SIGHUP)
    server.process.wait_log("^reloaded 3$")
    assert len(server.call("/api/v1/system/serverStatus").body) == 5000


def test_a_bad_control_file_changes_nothing(start_server):
    server = start_server()
    server.switch(big_body=5000)
    server.control.write_text('{"big-body": 1, "stalll": true}')
    server.process.signal(signal.SIGHUP)
    server.process.wait_log("control.json.*stalll")
    server.process.wait_log("^reload failed 2$")
    assert len(server.call("/api/v1/system/serverStatus").body) == 5000


# --- the program ------------------------------------------------------------------------------


def test_it_says_where_it_listens(start_server):
    server = start_server()
    port = int(server.process.wait_log(r"^listening 127\.0\.0\.1:([0-9]+)$")[1])
    assert port == server.port
    runtime = json.loads((server.folder / "simulator.json").read_text())
    assert runtime == {
        "listen": f"{HOST}:{port}", "host": HOST, "port": port, "pid": server.process.pid,
    }


def test_it_listens_on_ipv6_and_by_name(tmp_path):
    for listen, pattern in (("[::1]:0", r"^listening \[::1\]:[0-9]+$"), ("localhost:0", "^liste")):
        process = Process("thinknx-simulator", "--listen", listen)
        try:
            process.wait_log(pattern)
            process.stop()
        finally:
            process.kill()


def test_it_ends_cleanly_whatever_goes_on(start_server):
    server = start_server("--feedback-delay-ms", "600000", devices=scene(1, pauses=(600000,)))
    server.get("scenelaunch", guid="s", cmd=1)
    server.switch(big_body=16777216)
    with contextlib.ExitStack() as stack:
        waiting, partial, idle, reading = (stack.enter_context(server.connect()) for _ in range(4))
        reading.send(request("/api/v1/system/serverStatus"))
        reading.wait_for(b"HTTP/1.1 200 OK\r\n")
        waiting.send(request("/api/v1/power?guid=l&cmd=1&fb"))
        server.requests.wait(lambda line: "cmd=1&fb" in line)
        partial.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
        idle.request("/")
        server.process.stop()  # asserts exit code 0 and no report of the sanitizers
        assert waiting.rest() == partial.rest() == idle.rest() == b""


def test_interrupting_ends_it_too(start_server):
    server = start_server()
    server.process.signal(signal.SIGINT)
    server.process.wait_end(0)


def refused(*arguments, code=2):
    return run("thinknx-simulator", *arguments, expect=code).stderr


def test_configuration_errors_name_their_cause(tmp_path):
    password = secret_file(tmp_path / "password", "secret")
    assert "--listen" in refused("--listen", "nowhere")
    assert "--user" in refused("--auth", "basic")
    assert "--password-file" in refused("--user", "u")
    assert "/nonexistent" in refused("--user", "u", "--password-file", "/nonexistent")
    assert "--user" in refused("--user", "a:b", "--password-file", password)
    password.chmod(0o644)
    assert "password" in refused("--user", "u", "--password-file", password)
    devices = tmp_path / "devices.json"
    devices.write_text('{"devices": [{"class": "light", "guid": "a"}, {"class": "lamp"}]}')
    assert "devices.json: device 2: " in refused("--devices", devices)
    control = tmp_path / "control.json"
    control.write_text('{"stalll": true}')
    message = refused("--listen", f"{HOST}:0", "--control", control)
    assert "control.json" in message and "stalll" in message
    assert "/nonexistent/log" in refused("--knx-log", "/nonexistent/log", code=1)
    assert "nowhere.invalid" in refused("--listen", "nowhere.invalid:0")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.iterdir())
    for runtime in ("/nonexistent/runtime.json", tmp_path / "folder"):
        assert f"cannot write {runtime}" in refused("--listen", f"{HOST}:0", "--runtime-file", runtime, code=1)
    assert sorted(tmp_path.iterdir()) == before


def test_it_runs_without_anybody_who_reads_what_it_says():
    with open("/dev/full", "wb") as full, subprocess.Popen(
        [binary("thinknx-simulator"), "--listen", f"{HOST}:0"],
        env=environment(),
        stdout=full,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            assert any(b'"stdout is gone"' in line for line in process.stderr)
            process.terminate()
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()


def test_a_port_that_is_taken():
    with closed_port() as free, socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert str(port) in refused("--listen", f"{HOST}:{port}", code=1)
        assert free != port


def test_the_built_in_house_can_be_printed_and_used(tmp_path, start_server):
    text = run("thinknx-simulator", "--print-devices").stdout
    devices = [d for room in json.loads(text)["rooms"] for d in room["devices"]]
    assert {d["class"] for d in devices} == {
        "light", "blind", "analog", "thermostat", "hvac", "scene", "button",
    }
    path = tmp_path / "house.json"
    path.write_text(text)
    server = start_server("--devices", path)
    for device in devices:
        if device["class"] == "thermostat":
            assert server.status("actualtemp", device["guid"]) == device["temperature"]
