# SPDX-License-Identifier: Apache-2.0
"""Manual pages, examples and completion agree with the programs."""

import re
import subprocess

import pytest

from harness import BUILD, ROOT, environment, run, secret_file

MAN = ROOT / "deploy" / "man"
PAGES = sorted(MAN.iterdir())
COMMANDS = {
    "thinknx-relay": ("init", "serve", "check", "server", "key", "status", "operator", "audit", "backup"),
    "thinknx-agent": ("run", "check", "status", "key"),
}
# Options that every command has, told once.
EVERYWHERE = {"--help", "--version"}


def tool(*command):
    done = subprocess.run(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )
    return done.returncode, done.stdout


def rendered(page):
    """The page as a reader sees it, without the overstriking."""
    code, text = tool("mandoc", "-T", "ascii", MAN / page)
    assert code == 0, text
    return re.sub(".\b", "", text)


def options(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def section(page, title):
    """The text of a .Ss or .Sh of the page's source."""
    found = re.search(rf"^\.S[sh] {re.escape(title)}\n(.*?)(?=^\.S[sh] |\Z)", page, re.M | re.S)
    assert found, f"no section {title}"
    return found[1]


def options_of_source(text):
    return {f"-{flag}" for flag in re.findall(r"Fl (-[a-z][a-z-]*)", text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_is_well_formed(page):
    code, text = tool("mandoc", "-T", "lint", "-W", "warning", page)
    assert code == 0 and not text, text


@pytest.mark.parametrize("program", COMMANDS)
def test_the_commands_are_those_of_the_program(program):
    listed = re.findall(r"^  ([a-z]+) ", run(program, "--help").stdout, re.M)
    assert tuple(listed) == COMMANDS[program]
    page = (MAN / f"{program}.8").read_text()
    assert tuple(re.findall(r"^\.Ss (.*)$", page, re.M)) == COMMANDS[program]


@pytest.mark.parametrize(
    "program, command", [(p, c) for p, commands in COMMANDS.items() for c in commands]
)
def test_the_options_of_a_command_are_those_of_its_help(program, command):
    page = (MAN / f"{program}.8").read_text()
    told = options_of_source(section(page, command)) - EVERYWHERE
    known = options(run(program, command, "--help").stdout) - EVERYWHERE
    # agent run's help explains the configuration too, where no option stands.
    assert told == known


@pytest.mark.parametrize(
    "program, command",
    [("thinknx-relay", "server"), ("thinknx-relay", "key"), ("thinknx-relay", "operator"),
     ("thinknx-agent", "key")],
)
def test_the_words_behind_a_command_are_those_of_its_help(program, command):
    help_text = run(program, command, "--help").stdout
    known = set(re.findall(rf"^(?:Usage:)? +(?:{program} )?{command} ([a-z]+)", help_text, re.M))
    page = section((MAN / f"{program}.8").read_text(), command)
    assert set(re.findall(rf"^\.It Nm Cm {command} ([a-z]+)", page, re.M)) == known
    assert len(known) >= 3


def test_the_options_of_the_simulator_are_those_of_its_help():
    told = options_of_source((MAN / "thinknx-simulator.1").read_text())
    assert told - EVERYWHERE == options(run("thinknx-simulator", "--help").stdout) - EVERYWHERE


def settings_of_program(program):
    """{(section, key): default} as the program's own table has it."""
    found, where = {}, None
    for line in run(program, "check", "--settings").stdout.splitlines():
        if title := re.fullmatch(r"\[(\w+)\]", line):
            where = title[1]
        elif line:
            key, default = re.fullmatch(r"(\w+) = ?(.*?) ?; .*", line).groups()
            found[where, key] = default
    return found


def settings_of_page(page):
    found = {}
    for title, text in re.findall(r"^\.Sh \[(\w+)\]\n(.*?)(?=^\.Sh )", page, re.M | re.S):
        for key, default in re.findall(r"^\.It Cm (\w+) No =(.*)$", text, re.M):
            found[title, key] = default.strip()
    return found


@pytest.mark.parametrize("program", COMMANDS)
def test_the_settings_and_their_defaults_are_those_of_the_program(program):
    known = settings_of_program(program)
    assert len(known) > 15
    assert settings_of_page((MAN / f"{program}.conf.5").read_text()) == known


@pytest.mark.parametrize("program", COMMANDS)
def test_the_required_settings_are_marked(program):
    listed = run(program, "check", "--settings").stdout
    page = (MAN / f"{program}.conf.5").read_text()
    required = set(re.findall(r"^(\w+) = ?; required", listed, re.M))
    marked = set(re.findall(r"^\.It Cm (\w+) No =.*\nRequired", page, re.M))
    assert marked == required


def test_a_page_shows_what_it_should():
    assert "--no-building-keys" in rendered("thinknx-relay.8")
    assert "key_rate = 20" in rendered("thinknx-relay.conf.5")


def example(tmp_path, name):
    """The example as a file that can be checked: its paths lead into a folder of ours."""
    text = (ROOT / "deploy" / "examples" / name).read_text()
    assert settings_in(text) == set(settings_of_program(f"thinknx-{name.partition('.')[0]}"))
    conf = tmp_path / name
    conf.write_text(text)
    return conf


def settings_in(text):
    found, where = set(), None
    for line in text.splitlines():
        if title := re.fullmatch(r"\[(\w+)\]", line):
            where = title[1]
        elif key := re.match(r"(\w+) = ", line):
            found.add((where, key[1]))
    return found


def test_the_example_of_the_relay_has_every_setting_and_passes_the_check(tmp_path):
    run("thinknx-relay", "init", "--dir", tmp_path / "made", "--host", "relay.example")
    conf = example(tmp_path, "relay.conf")
    (tmp_path / "made" / "cert.pem").rename(tmp_path / "fullchain.pem")
    (tmp_path / "made" / "key.pem").rename(tmp_path / "privkey.pem")
    assert "ok" in run("thinknx-relay", "check", "--config", conf).stdout


def test_the_example_of_the_agent_has_every_setting_and_passes_the_check(tmp_path):
    run("thinknx-relay", "init", "--dir", tmp_path / "made", "--host", "relay.example")
    (tmp_path / "made" / "ca.pem").rename(tmp_path / "ca.pem")
    for secret in ("agent.token", "password", "proxy-password"):
        secret_file(tmp_path / secret, "s3cret" * 5)
    for devices in ("house.json", "house-all.json"):
        (tmp_path / devices).write_text('{"rooms": []}')
    assert "OK" in run("thinknx-agent", "check", "--config", example(tmp_path, "agent.conf")).stdout


@pytest.mark.parametrize("name", ["relay.conf", "agent.conf"])
def test_the_defaults_in_an_example_are_the_programs(name):
    program = f"thinknx-{name.partition('.')[0]}"
    text = (ROOT / "deploy" / "examples" / name).read_text()
    chosen = {"auth", "database", "listen"}  # have no default, or another one is shown
    for (_, key), default in settings_of_program(program).items():
        if default and key not in chosen:
            assert f"{key} = {default}\n" in text


def completed(program, *words):
    """What bash offers for the last word of a command line."""
    function = f"_{program.replace('-', '_')}"
    script = (
        f'source "{ROOT}/deploy/completion/{program}"; COMP_WORDS=("$@"); '
        f'COMP_CWORD=$(($# - 1)); {function} "$1"; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script, "bash", program, *words],
        env={**environment(), "PATH": f"{BUILD}/bin:/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert not done.stderr, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("program", COMMANDS)
def test_bash_completes_commands_and_options(program):
    assert completed(program, "") == {*COMMANDS[program], *EVERYWHERE}
    for command in COMMANDS[program]:
        known = options(run(program, command, "--help").stdout) | {"--help"}
        assert completed(program, command, "--") == known
    assert completed(program, "sta") == {"status"}


def test_bash_completes_the_words_behind_a_command():
    assert completed("thinknx-relay", "key", "r") == {"rotate", "revoke"}
    assert {"add", "list", "token", "remove"} < completed("thinknx-relay", "server", "")
    assert completed("thinknx-agent", "key", "e") == {"enable"}
    assert completed("thinknx-relay", "server", "change", "X", "--building-keys", "") == {"yes", "no"}


def test_bash_completes_the_simulator():
    known = options(run("thinknx-simulator", "--help").stdout)
    assert completed("thinknx-simulator", "--") >= known - EVERYWHERE


def test_bash_completes_files(tmp_path):
    (tmp_path / "agent.conf").touch()
    assert completed("thinknx-agent", "run", "--config", f"{tmp_path}/ag") == {
        f"{tmp_path}/agent.conf"
    }
