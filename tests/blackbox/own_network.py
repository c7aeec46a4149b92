# SPDX-License-Identifier: Apache-2.0
"""Tests in a network and with names of their own: loopback with both families whatever the machine
has, /etc/hosts and a DNS server as the test wants them, and addresses at which packets vanish. Needs
root, and for the last /dev/net/tun.

    @in_own_network
    def test_something(tmp_path): ...

runs the test in a process of its own, in new network and mount namespaces."""

import ctypes
import functools
import multiprocessing
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import network
import tools
from harness import DEADLINE

CLONE_NEWNS = 0x00020000
# Where packets vanish: a device that nobody reads from.
HOLE_V4, HOLE_V6 = "10.88.0.2", "2001:db8:88::2"
TEST_END = 10  # seconds, for what a test's process does after its test
TYPES = {1: "A", 28: "AAAA"}
SERVFAIL = 2


def available():
    """Namespaces can be made, and loopback has both families in them."""
    if not network.available():
        return False
    both = "ip link set lo up && ip -6 address show dev lo | grep -q ::1 && mount --make-rprivate /"
    command = ["unshare", "--net", "--mount", "sh", "-c", f"PATH=$PATH:/usr/sbin; {both}"]
    done = subprocess.run(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
    return done.returncode == 0


needed = tools.needs(available(), "needs root, /dev/net/tun and IPv6")


def mount(*arguments):
    subprocess.run(["/usr/bin/mount", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL)


def unshare_mounts():
    """Of the calling thread, and of what it starts."""
    if network.LIBC.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    mount("--make-rprivate", "/")


def put_file(path, text, folder):
    """Another file in the place of `path`, which may change afterwards: gives its path."""
    own = Path(folder) / path.replace("/", "_")
    own.write_text(text)
    real = os.path.realpath(path)
    if os.path.exists(real):
        mount("--bind", own, real)
    return own


def use_names(folder, hosts="", nameserver=None, repeat_s=5):
    """/etc/hosts and the DNS server of the calling thread's mount namespace, which is asked again after
    so many seconds without an answer."""
    put_file("/etc/nsswitch.conf", "hosts: files dns\n", folder)
    put_file("/etc/hosts", f"127.0.0.1 localhost\n{hosts}", folder)
    dns = f"nameserver {nameserver}\noptions timeout:{repeat_s}\n" if nameserver else ""
    put_file("/etc/resolv.conf", dns, folder)


class Hole:
    """Makes HOLE_V4 and HOLE_V6 swallow what is sent to them."""

    def __init__(self):
        self._device = network.open_device("10.88.0.1", HOLE_V4)
        network.ip("-6", "addr", "add", "2001:db8:88::1/64", "dev", "tnx0", "nodad")

    def wait_for(self, n_packets, deadline=DEADLINE):
        """Waits until so many TCP packets have vanished."""
        until = time.monotonic() + deadline
        while n_packets > 0:
            left = until - time.monotonic()
            assert left > 0 and select.select([self._device], [], [], left)[0], "nothing is sent there"
            packet = os.read(self._device, network.PACKET)
            n_packets -= packet[9 if packet[0] >> 4 == 4 else 6] == socket.IPPROTO_TCP


def _inside(pipe, test, args, kwargs):
    try:
        network.unshare()
        unshare_mounts()
        network.ip("link", "set", "lo", "up")
        test(*args, **kwargs)
        pipe.send(None)
    except BaseException:  # pylint: disable=broad-except
        pipe.send(traceback.format_exc())
    sys.stdout.flush()


def in_own_network(test):
    @functools.wraps(test)
    def run(*args, **kwargs):
        ours, its = multiprocessing.Pipe(False)
        fork = multiprocessing.get_context("fork")
        process = fork.Process(target=_inside, args=(its, test, args, kwargs))
        process.start()
        its.close()
        try:
            trouble = ours.recv()
            process.join(TEST_END)
        except EOFError:
            trouble = "the test's process died"
        finally:
            process.kill()
            process.join()
        assert not trouble, trouble

    return run


class Dns:
    """A DNS server. `answers` is what it says of each name, as a list of addresses; it may be changed
    at any time. `mode`: "answer", "fail" (SERVFAIL) or "silent"."""

    def __init__(self, address="127.0.0.1", **answers):
        self.answers = answers
        self.mode = "answer"
        self.n_questions = 0  # one per look-up: for A
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 53))
        self._thread = threading.Thread(target=self._serve, name="dns", daemon=True)
        self._thread.start()

    def close(self):
        self._socket.close()

    def _serve(self):
        while True:
            try:
                query, peer = self._socket.recvfrom(512)
            except OSError:
                return
            answer = self._answer(query)
            if answer is not None:
                self._socket.sendto(answer, peer)

    def _answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        kind = TYPES.get(struct.unpack_from(">H", query, at + 1)[0])
        self.n_questions += kind == "A"
        if self.mode == "silent":
            return None
        records = []
        if self.mode == "answer":
            family = socket.AF_INET if kind == "A" else socket.AF_INET6
            for address in self.answers.get(labels[0], []):
                if kind and (":" in address) == (kind == "AAAA"):
                    packed = socket.inet_pton(family, address)
                    records.append(b"\xc0\x0c" + query[at + 1 : at + 5] + struct.pack(">IH", 0, len(packed)) + packed)
        code = SERVFAIL if self.mode == "fail" else 0
        head = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(records), 0, 0)
        return head + query[12 : at + 5] + b"".join(records)
