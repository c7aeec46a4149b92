# SPDX-License-Identifier: Apache-2.0
"""A client of the relay's admin API that holds every answer against its OpenAPI document."""

import json
import re
import ssl

import jsonschema

import known_secrets
from harness import HOST, Connection, ROOT, bound_port

DOCUMENT = json.loads((ROOT / "relay" / "admin" / "openapi.json").read_text())
PREFIX = "/api/v1"


def operation_of(method, path):
    """The document's operation for a path, and the path as the document has it."""
    for pattern, item in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"\{[a-z]+\}", "[^/]+", pattern), path) and method.lower() in item:
            return pattern, item[method.lower()]
    raise AssertionError(f"{method} {path} is not in openapi.json")


def follow(node):
    while "$ref" in node:
        target = DOCUMENT
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        node = target
    return node


def check(schema, value):
    """Validates with the document's components in sight."""
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(whole).validate(value)


class Admin:
    """One operator's browser, as far as HTTP goes."""

    def __init__(self, address, context=None, host=None):
        self.address = address
        self.context = context
        self.host = host or f"{HOST}:{address[1]}"
        self.cookie = None
        self.csrf = None
        self.seen = set()  # (method, path of the document) that were answered as it says

    @property
    def origin(self):
        return f"{'https' if self.context else 'http'}://{self.host}"

    def send(self, method, target, body=None, fields=()):
        """One request as it is asked for; no checks."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}", *fields]
        if self.cookie:
            lines.append(f"Cookie: {self.cookie}")
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        if method == "POST":
            lines.append(f"Content-Length: {len(data)}")
        with Connection(self.address, self.context) as c:
            c.send("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
            answer = c.answer(method)
        for value in answer.values("Set-Cookie"):
            self.cookie = value.split(";")[0]
            known_secrets.keep(self.cookie.partition("=")[2], "a session's cookie")
        return answer

    def hold(self, method, path, answer, expect):
        pattern, operation = operation_of(method, path.partition("?")[0])
        assert answer.status == expect, (answer.status, answer.body)
        assert answer.value("Content-Type") == "application/json"
        response = operation["responses"].get(str(answer.status), operation["responses"]["default"])
        schema = follow(response)["content"]["application/json"]["schema"]
        value = answer.json()
        check(schema, value)
        if answer.status < 400:
            self.seen.add((method, pattern))
        return value

    def get(self, path, expect=200):
        return self.hold("GET", path, self.send("GET", PREFIX + path), expect)

    def token(self):
        if self.csrf is None:
            self.csrf = self.get("/session")["csrf"]
        return self.csrf

    def post(self, path, body=None, expect=200):
        fields = ["Content-Type: application/json", f"Origin: {self.origin}"]
        if path != "/session":
            fields.append(f"X-Csrf-Token: {self.token()}")
        body = {} if body is None else body
        answer = self.send("POST", PREFIX + path, body, fields)
        if answer.status < 400:  # then the document allows what was asked
            check(operation_of("POST", path)[1]["requestBody"]["content"]["application/json"]["schema"], body)
        return self.hold("POST", path, answer, expect)

    def log_in(self, name, password, expect=200):
        session = self.post("/session", {"name": name, "password": password}, expect)
        self.csrf = session.get("csrf")
        return session


def admin_of(relay, context=None):
    runtime = json.loads(relay.runtime_file.read_text())
    return Admin((HOST, bound_port(runtime, "admin")), context)


def untrusting():
    """TLS without names, for an address that no certificate has."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
