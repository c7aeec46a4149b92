# SPDX-License-Identifier: Apache-2.0
"""The example calls of the vendor's document "Thinknx Integration Kit", one per controller, in its
order and byte for byte (its fonts made several spellings of one GUID; they are kept).

    for example in EXAMPLES:
        assert_answer(example, get(f"/KEY{example.target}").body, in_order=True)

Run in this order on a simulator that was just started with its built-in house, every answer is
known exactly but for "comm_obj" and the values of system/serverStatus; in any other order, the
fields, their order, the echoed parameters and the ranges are."""

import dataclasses
import json
import re
from urllib.parse import parse_qsl

INTEGER = "integer"
DECIMAL = "decimal"

SERVER_STATUS = {
    "version": r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}\.[0-9]{2}",
    "process_uptime": r"[0-9]+ days [0-9]+ hours [0-9]+ min",
    "server_uptime": r"[0-9]+ days [0-9]+ hours [0-9]+ min",
    "config_time": r"[0-2][0-9]:[0-5][0-9]:[0-6][0-9] [0-9]{4}-[01][0-9]-[0-3][0-9]",
}


@dataclasses.dataclass(frozen=True)
class Example:
    version: str  # "v1" or "V1", as the document writes it here
    controller: str
    query: str  # exactly as in the document, without "?"; "" for none
    status: str = ""  # text of "status" in the answer, when run in order; "" = no such field
    kind: str = INTEGER  # of the status
    most: int = 1  # largest status; the smallest is 0

    def __str__(self):
        return self.controller

    @property
    def path(self):
        return f"/api/{self.version}/{self.controller}"

    @property
    def target(self):
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def form(self):
        """The same parameters as a form, for POST to `path` (`fb` keeps its lack of a value)."""
        return self.query.replace("&&", "&").encode()

    @property
    def params(self):
        return dict(parse_qsl(self.query, keep_blank_values=True))

    @property
    def is_set(self):
        """A command: executed once, one line in the KNX log (a scene adds those of its steps)."""
        return "cmd" in self.params or "val" in self.params or "value" in self.params

    @property
    def has_feedback(self):
        return "fb" in self.params

    @property
    def fields(self):
        """Names of the answer's fields, in order."""
        if self.controller == "system/serverStatus":
            return ["namespace", *SERVER_STATUS, "connected_clients", "pbx_users"]
        if self.controller.startswith("system/"):
            return ["namespace", "group", "value"]
        return ["namespace", "guid", *(["status"] if self.status else []), "comm_obj"]


EXAMPLES = (
    # Lights, switches and bulbs
    Example("v1", "power", "guid=1lzPszHWAeuvzxtXBMkzWQ&cmd=1&fb", "1"),
    Example("V1", "powerstatus", "guid=1IzPszHWAEEuvzxtXBMkzWQ", "1"),
    Example("V1", "powerlevel", "guid=1IzPszHWAEEuvzxtXBMkzWQ&&cmd=50&fb", "50", most=100),
    Example("V1", "powerlevelstatus", "guid=1IzPszHWAEuvzxtXBMkzWQ", "50", most=100),
    # Blinds, curtains and lamellas
    Example("V1", "updown", "guid=1lzPszHWAEuvzxtXBMkzWQ&cmd=1"),
    Example("V1", "stop", "guid=1lzPszHWAEuvzxtXBMkzWQ&cmd=1"),
    Example("V1", "heightlevel", "guid=1lzPszHWAEuvzxtXBMkzWQ&&val=50&fb", "50", most=100),
    Example("V1", "heightlevelstatus", "guid=1lzPszHWAEuvzxtXBMkzWQ", "50", most=100),
    Example("V1", "blindstep", "guid=1IzPszHWAEuvzxtXBMkzWQ&cmd=1"),
    Example("V1", "blindangle", "guid=1IzPszHWAEuvzxtXBMkzWQ&&cmd=50&fb", "50", most=100),
    Example("V1", "blindanglestatus", "guid=1IzPszHWAEuvzxtXBMkzWQ", "50", most=100),
    # Analog values
    Example("V1", "setvalue", "guid=1IzPszHWAEuvzxtXBMkzWQ&&cmd=85.325&fb", "85.325", DECIMAL),
    Example("V1", "getvalue", "guid=1IzPszHWAEuvzxtXBMkzWQ", "85.325", DECIMAL),
    # Thermostats
    Example("V1", "actualtemp", "guid=1IzPszHWAEuvzxtXBMkzWQ", "21.3", DECIMAL),
    Example("V1", "setpoint", "guid=1lzPszHWAEuvzxtXBMkzWQ&&cmd=20.5&fb", "20.5", DECIMAL),
    Example("V1", "setpointstatus", "guid=1IzPszHWAEuvzxtXBMkzWQ", "20.5", DECIMAL),
    Example("V1", "tempmode", "guid=1IzPszHWAEuvzxtXBMkzWQ&cmd=1&fb", "1", most=3),
    Example("V1", "tempmodestatus", "guid=1IzPszHWAEuvzxtXBMkzWQ", "1", most=3),
    Example("V1", "chronoen", "guid=1lzPszHWAEuvzxtXBMkzWQ&cmd=1&fb", "1"),
    Example("V1", "chronoenstatus", "guid=1lzPszHWAEuvzxtXBMkzWQ", "1"),
    # HVAC units and fans
    Example("V1", "hvacpower", "guid=1lzPszHWAEuvzxtXBMkzWQ&cmd=1&fb", "1"),
    Example("V1", "hvacpowerstatus", "guid=1lzPszHWAEuvzxtXBMkzWQ", "1"),
    Example("V1", "hvacsetpoint", "guid=1IzPszHWAEuvzxtXBMkzWQ&&cmd=20.5&fb", "20.5", DECIMAL),
    Example("V1", "hvacsetpointstatus", "guid=1lzPszHWAEuvzxtXBMkzWQ", "20.5", DECIMAL),
    Example("V1", "hvacmode", "guid=1lzPszHWAEuvzxtXBMkzWQ&cmd=1&fb", "1", most=4),
    Example("V1", "hvacmodestatus", "guid=1lzPszHWAeuvzxtXBMkzWQ", "1", most=4),
    Example("V1", "hvacfan", "guid=1IzPszHWAEuvzxtXBMkzWQ&cmd=2&fb", "2", most=3),
    Example("V1", "hvacfanstatus", "guid=1lzPszHWAEuvzxtXBMkzWQ", "2", most=3),
    # Scenes
    Example("V1", "scenelaunch", "guid=1lzPszHWAEuvzxtXBMkzWQ&cmd=1"),
    # Generic button
    Example("V1", "trigger", "guid=1IzPszHWAEuvzxtXBMkzWQ&cmd=1"),
    # System commands
    Example("V1", "system/sendKNXbit", "group=1/0/1&value=0"),
    Example("V1", "system/sendKNX4bits", "group=1/0/1&value=30"),
    Example("V1", "system/sendKNXbyte", "group=1/0/1&value=30"),
    Example("V1", "system/sendKNXbyteun", "group=1/0/1&value=30"),
    Example("V1", "system/sendKNXfloat2bytes", "group=1/0/1&value=85.235"),
    Example("V1", "system/sendKNXfloat4bytes", "group=1/0/1&value=85.235"),
    Example("V1", "system/serverStatus", ""),
)

BY_CONTROLLER = {example.controller: example for example in EXAMPLES}


def exactly(body):
    """The JSON object in `body`, its numbers as the text that stands there."""
    return json.loads(body, parse_int=Text, parse_float=Text)


class Text(str):
    """The text of a number: tells 85.325 from "85.325"."""


def _assert_status(example, status, in_order):
    assert isinstance(status, Text), f"status {status!r} is no number"
    if in_order or example.has_feedback:
        assert status == example.status
    elif example.kind == INTEGER:
        assert re.fullmatch("[0-9]+", status) and int(status) <= example.most
    else:
        assert re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", status)


def _assert_server_status(answer):
    for name, pattern in SERVER_STATUS.items():
        assert re.fullmatch(pattern, answer[name]), f"{name} {answer[name]!r}"
    assert isinstance(answer["connected_clients"], Text) and int(answer["connected_clients"]) > 0
    assert re.fullmatch(r"([^,]+(,[^,]+)*)?", answer["pbx_users"])


def assert_answer(example, body, in_order=False):
    """That `body`, the bytes or text of an answer, is the documented one."""
    answer = exactly(body)
    assert list(answer) == example.fields
    assert answer["namespace"] == example.controller
    if "guid" in answer:
        assert answer["guid"] == example.params["guid"]
        assert isinstance(answer["comm_obj"], Text) and int(answer["comm_obj"]) > 0
    if "group" in answer:
        assert answer["group"] == example.params["group"]
        assert isinstance(answer["value"], Text) and answer["value"] == example.params["value"]
    if "status" in answer:
        _assert_status(example, answer["status"], in_order)
    if example.controller == "system/serverStatus":
        _assert_server_status(answer)
