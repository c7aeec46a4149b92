# SPDX-License-Identifier: Apache-2.0
"""What the compiler and the linker made of the programs of the release build."""

import re

import pytest

import tools

PROGRAMS = ("thinknx-relay", "thinknx-agent")


def look(program, *options):
    return tools.check("readelf", "-W", *options, tools.RELEASE / "bin" / program)


@tools.needs_release
@pytest.mark.parametrize("program", PROGRAMS)
def test_an_attacker_finds_neither_fixed_addresses_nor_writable_code_nor_tables(program):
    """Position-independent; the stack holds no code; what the linker resolves is read-only from the start."""
    assert re.search(r"Type: +DYN", look(program, "--file-header"))
    segments = look(program, "--segments")
    assert "GNU_RELRO" in segments
    assert re.search(r"GNU_STACK .* RW +0x", segments)
    assert not re.search(r"^ +LOAD .* RWE ", segments, re.M)
    dynamic = look(program, "--dynamic")
    assert "BIND_NOW" in dynamic
    assert "RUNPATH" not in dynamic and "RPATH" not in dynamic


@tools.needs_release
@pytest.mark.parametrize("program", PROGRAMS)
def test_overflows_end_the_program(program):
    """Of the stack (-fstack-protector-strong), and of buffers whose size is known (_FORTIFY_SOURCE)."""
    symbols = look(program, "--dyn-syms")
    assert "__stack_chk_fail" in symbols
    assert re.search(r" __(memcpy|snprintf|vsnprintf)_chk", symbols)
