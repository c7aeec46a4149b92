# SPDX-License-Identifier: Apache-2.0
"""What the tests take for a secret in what a command prints."""

import pytest

import known_secrets

TOKEN = "Zk3" + "a1B2" * 7 + "x"
# 32 letters and digits between two signs, as one certificate in some dozens has them
LINE = "AQH/wQEAwIBBjAdBgNVHQ4EFgQUabcdefghi+9RLZRFaJUhAj3K"


def printed():
    return (f"---- agent.token (mode 600; shown only now)\n{TOKEN}\n\n---- ca.pem\n"
            f"-----BEGIN CERTIFICATE-----\n{LINE}\n-----END CERTIFICATE-----\n")


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(known_secrets, "_known", {})


def test_a_printed_token_is_looked_for_in_logs():
    known_secrets.keep_of_command(("server", "add", "TNX-0001"), None, printed())
    with pytest.raises(AssertionError, match="a secret is in the log"):
        known_secrets.assert_none_in(f"token {TOKEN[:20]}", "a program")


def test_a_certificate_beside_a_token_is_no_secret():
    assert known_secrets.MADE.search(LINE)
    known_secrets.keep_of_command(("server", "add", "TNX-0001"), None, printed())
    known_secrets.assert_none_in(LINE, "a program")
