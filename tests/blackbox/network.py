# SPDX-License-Identifier: Apache-2.0
"""A bad network between a relay and its building, of real packets: two network namespaces, each with
a TUN device, and between them this process, which loses, delays, reorders, doubles and cuts what
passes. Needs root and /dev/net/tun, and nothing of the kernel but that.

enter() moves the calling process into a namespace of its own (the relay's and the clients'); Far is
the other one, in which a thread starts the building's programs."""

import concurrent.futures
import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
NEAR, FAR = "10.77.0.1", "10.77.0.2"
PACKET = 65536
# Packets that wait in the network; more are lost, as in a router's queue.
WAITING_MAX = 2000

LIBC = ctypes.CDLL(None, use_errno=True)


def available():
    if os.geteuid() != 0 or not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return False
    return subprocess.run(["unshare", "--net", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0


def ip(*arguments):
    subprocess.run(["/usr/sbin/ip", *arguments], check=True, stdin=subprocess.DEVNULL)


def unshare():
    if LIBC.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def open_device(own, other):
    """A TUN device in the calling thread's namespace."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"tnx0", IFF_TUN | IFF_NO_PI))
    ip("addr", "add", own, "peer", other, "dev", "tnx0")
    ip("link", "set", "tnx0", "up")
    ip("link", "set", "lo", "up")
    return fd


class Network:
    """Carries packets between the two devices. The attributes are what is wrong with it."""

    def __init__(self):
        unshare()
        self._near = open_device(NEAR, FAR)
        # Programs end with the thread that started them (PR_SET_PDEATHSIG): this one lives on.
        self._thread = concurrent.futures.ThreadPoolExecutor(1)
        self._far = self.in_far(self._enter_far)
        self.random = random.Random(1)
        self.counts = {"passed": 0, "lost": 0, "delayed": 0, "doubled": 0, "too large": 0, "reset": 0}
        self.heal()
        self._flows = set()  # ports of all TCP connections that were seen
        self._waiting = []  # (due, order, fd, packet)
        self._order = 0
        self._ending = False
        self._carrier = threading.Thread(target=self._carry, name="network", daemon=True)
        self._carrier.start()

    @staticmethod
    def _enter_far():
        unshare()
        return open_device(FAR, NEAR)

    def in_far(self, action, *arguments):
        """Runs it in the far namespace; its processes stay there."""
        return self._thread.submit(action, *arguments).result()

    def heal(self):
        self.loss = 0.0  # share of packets
        self.delay = (0.0, 0.0)  # seconds, least and most: what is drawn differently overtakes
        self.double = 0.0
        self.largest = PACKET  # bytes; larger ones vanish without a word
        self.dead = (False, False)  # towards far, towards near
        self.reset = False  # the next packets are answered with a RST instead
        self.forgotten = frozenset()  # connections whose packets vanish: see forget()
        self.known = None  # the only connections whose packets do not vanish; None = all pass

    def forget(self):
        """As a router that has restarted: what belongs to connections of before vanishes."""
        self.forgotten = frozenset(self._flows)

    def take_no_new(self):
        """Packets of connections to come vanish."""
        self.known = frozenset(self._flows)

    def _vanishes(self, packet):
        flow = ports_of(packet)
        if flow is None:
            return False
        self._flows.add(flow)
        return flow in self.forgotten or (self.known is not None and flow not in self.known)

    def close(self):
        self._ending = True
        self._carrier.join(5)
        self._thread.shutdown()
        os.close(self._near)
        os.close(self._far)

    def _carry(self):
        while not self._ending:
            wait = 0.05
            if self._waiting:
                wait = max(0.0, min(wait, self._waiting[0][0] - time.monotonic()))
            ready, _, _ = select.select([self._near, self._far], [], [], wait)
            for fd in ready:
                self._take(fd)
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                _, _, fd, packet = heapq.heappop(self._waiting)
                self._give(fd, packet)

    def _give(self, fd, packet):
        try:
            os.write(fd, packet)
            self.counts["passed"] += 1
        except OSError:
            self.counts["lost"] += 1

    def _take(self, fd):
        try:
            packet = os.read(fd, PACKET)
        except BlockingIOError:
            return
        to = self._far if fd == self._near else self._near
        if self.reset and (answer := reset_for(packet)):
            self.counts["reset"] += 1
            self._give(fd, answer)
            return
        if self._vanishes(packet):
            self.counts["lost"] += 1
            return
        if len(packet) > self.largest:
            self.counts["too large"] += 1
            return
        dead = self.dead[0 if to == self._far else 1]
        if dead or self.random.random() < self.loss or len(self._waiting) >= WAITING_MAX:
            self.counts["lost"] += 1
            return
        if self.random.random() < self.double:
            self.counts["doubled"] += 1
            self._send(to, packet)
        self._send(to, packet)

    def _send(self, to, packet):
        late = self.random.uniform(*self.delay)
        if late == 0.0:
            self._give(to, packet)
            return
        self.counts["delayed"] += 1
        self._order += 1
        heapq.heappush(self._waiting, (time.monotonic() + late, self._order, to, packet))


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ports_of(packet):
    """The two ports of an IPv4 TCP packet, in order, or None."""
    if packet[0] >> 4 != 4 or packet[9] != 6:
        return None
    at = (packet[0] & 15) * 4
    return tuple(sorted(struct.unpack(">HH", packet[at : at + 4])))


def reset_for(packet):
    """The RST that a middlebox sends to who sent this packet of an open TCP connection, or None."""
    if packet[0] >> 4 != 4 or packet[9] != 6:
        return None
    at = (packet[0] & 15) * 4
    source, target = packet[12:16], packet[16:20]
    from_port, to_port, _, ack, _, flags = struct.unpack(">HHIIBB", packet[at : at + 14])
    if not flags & 0x10 or flags & 0x04:  # without ACK, or a RST itself
        return None
    tcp = struct.pack(">HHIIBBHHH", to_port, from_port, ack, 0, 5 << 4, 0x04, 0, 0, 0)
    pseudo = target + source + struct.pack(">BBH", 0, 6, len(tcp))
    tcp = tcp[:16] + struct.pack(">H", checksum(pseudo + tcp)) + tcp[18:]
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + target + source
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + tcp
