# SPDX-License-Identifier: Apache-2.0
"""A bad line: passes bytes between agent and relay, and breaks in the ways that lines break.

One thread serves all connections. What a method asks for has happened when it returns. "Up" is from
who connected (the agent) to the target (the relay), "down" the other way."""

import collections
import contextlib
import errno
import selectors
import socket
import struct
import threading
import time

HOST = "127.0.0.1"
CHUNK = 65536
BUFFER_MAX = 1 << 20  # held per direction; as a line with a long queue would
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST


class _Flow:
    """One direction of a connection."""

    def __init__(self, source, sink):
        self.source = source
        self.sink = sink
        self.held = collections.deque()  # (due, bytes)
        self.n_held = 0
        self.ended = False  # the source has sent its end
        self.passed_end = False
        self.frozen = False

    def wants_read(self, stalled):
        return not (stalled or self.frozen or self.ended or self.n_held >= BUFFER_MAX)

    def is_due(self, now):
        return bool(self.held) and self.held[0][0] <= now


class _Pair:
    def __init__(self, client, server):
        self.client = client
        self.server = server
        self.connected = False
        self.up = _Flow(client, server)
        self.down = _Flow(server, client)
        self.interest = {client: 0, server: 0}


class Cutter:
    """Listens on `port` (0: any) of 127.0.0.1 and connects to `target` (host, port), which may be
    set later and changed; a connection keeps the one it was made with."""

    def __init__(self, target=None, port=0):
        self.target = target
        self._stalled = {"up": False, "down": False}
        self._delay = 0.0
        self._pairs = set()
        self._n_accepted = 0
        self._commands = collections.deque()
        self._closing = False
        # Keeps the port ours while nobody listens.
        self._holder = self._bound(port)
        self.port = self._holder.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._listener = None
        self._open_listener()
        self._thread = threading.Thread(target=self._run, name="cutter", daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # What a test asks for.

    def cut(self):
        """Resets (RST) both ends of every connection. New ones pass. Returns how many were cut."""
        return self._do(lambda: self._drop_all(True))

    def stall(self, up=True, down=True):
        """From now on bytes, and ends, in these directions vanish silently, also on connections to
        come: what is sent stays with its sender's kernel or here, unanswered, until resume()."""
        return self._do(lambda: self._stalled.update(up=up, down=down))

    def freeze(self, up=True, down=True):
        """As stall, but only for the connections that are open now, for ever."""

        def freeze():
            for pair in self._pairs:
                pair.up.frozen |= up
                pair.down.frozen |= down

        return self._do(freeze)

    def resume(self):
        """Ends stall, delay and refuse. Held bytes go on, as after a retransmission."""

        def resume():
            self._stalled.update(up=False, down=False)
            self._delay = 0.0
            if self._listener is None:
                self._open_listener()

        return self._do(resume)

    def delay(self, seconds):
        """Bytes that come from now on arrive so much later."""

        def delay():
            self._delay = seconds

        return self._do(delay)

    def refuse(self):
        """Nobody listens any more: connecting fails. Open connections stay."""
        return self._do(self._close_listener)

    @property
    def n_open(self):
        return self._do(lambda: len(self._pairs))

    @property
    def n_accepted(self):
        return self._do(lambda: self._n_accepted)

    def close(self):
        if not self._closing:
            self._closing = True
            self._wake()
            self._thread.join(10)
            assert not self._thread.is_alive(), "the cutter's thread hangs"
            self._holder.close()
            self._wake_read.close()
            self._wake_write.close()
            self._selector.close()

    # The thread.

    def _do(self, action):
        """Runs it in the thread, and gives its result."""
        done, result = threading.Event(), []
        self._commands.append((action, result, done))
        self._wake()
        assert done.wait(10), "the cutter's thread hangs"
        return result[0]

    def _wake(self):
        with contextlib.suppress(BlockingIOError):
            self._wake_write.send(b"x")

    @staticmethod
    def _bound(port):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        s.bind((HOST, port))
        s.setblocking(False)
        return s

    def _open_listener(self):
        self._listener = self._bound(self.port)
        self._listener.listen(1024)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def _close_listener(self):
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None

    def _run(self):
        while not self._closing:
            for key, mask in self._selector.select(self._prepare()):
                if key.fileobj is self._wake_read:
                    self._wake_read.recv(CHUNK)
                elif key.fileobj is self._listener:
                    self._accept()
                elif key.data in self._pairs:
                    self._serve(key.data, key.fileobj, mask)
            while self._commands:
                action, result, done = self._commands.popleft()
                result.append(action())
                done.set()
        self._drop_all(True)
        self._close_listener()

    def _prepare(self):
        """Sets what each socket is watched for; gives the seconds until delayed bytes are due."""
        now = time.monotonic()
        next_due = None
        for pair in list(self._pairs):
            wanted = {pair.client: 0, pair.server: 0}
            if not pair.connected:
                wanted[pair.server] = selectors.EVENT_WRITE
            for name, flow in (("up", pair.up), ("down", pair.down)):
                stalled = self._stalled[name]
                if not pair.connected:
                    continue
                if flow.wants_read(stalled):
                    wanted[flow.source] |= selectors.EVENT_READ
                if stalled or flow.frozen:
                    continue
                if flow.is_due(now):
                    wanted[flow.sink] |= selectors.EVENT_WRITE
                elif flow.held:
                    due = flow.held[0][0] - now
                    next_due = due if next_due is None else min(due, next_due)
            self._watch(pair, wanted)
        return next_due

    def _watch(self, pair, wanted):
        for s, events in wanted.items():
            if events == pair.interest[s]:
                continue
            if events == 0:
                self._selector.unregister(s)
            elif pair.interest[s] == 0:
                self._selector.register(s, events, pair)
            else:
                self._selector.modify(s, events, pair)
            pair.interest[s] = events

    def _accept(self):
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            client, _ = self._listener.accept()
            self._n_accepted += 1
            server = socket.socket()
            for s in (client, server):
                s.setblocking(False)
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = _Pair(client, server)
            self._pairs.add(pair)
            code = server.connect_ex(self.target)
            if code not in (0, errno.EINPROGRESS):
                self._drop(pair, True)

    def _serve(self, pair, s, mask):
        if not pair.connected:
            if s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0:
                self._drop(pair, True)
            else:
                pair.connected = True
            return
        for name, flow in (("up", pair.up), ("down", pair.down)):
            if pair not in self._pairs:
                return
            if s is flow.source and mask & selectors.EVENT_READ:
                self._read(pair, flow)
            if pair in self._pairs and s is flow.sink and mask & selectors.EVENT_WRITE:
                self._write(pair, flow, self._stalled[name])

    def _read(self, pair, flow):
        try:
            data = flow.source.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self._drop(pair, True)
            return
        # An end is an empty piece, so that it comes after the bytes before it.
        flow.ended = data == b""
        flow.held.append((time.monotonic() + self._delay, data))
        flow.n_held += len(data)
        if self._delay == 0.0:
            self._write(pair, flow, False)

    def _write(self, pair, flow, stalled):
        now = time.monotonic()
        while not (stalled or flow.frozen) and flow.is_due(now):
            due, data = flow.held[0]
            if data == b"":
                flow.held.popleft()
                self._pass_end(pair, flow)
                return
            try:
                n = flow.sink.send(data)
            except BlockingIOError:
                return
            except OSError:
                self._drop(pair, True)
                return
            flow.n_held -= n
            if n == len(data):
                flow.held.popleft()
            else:
                flow.held[0] = (due, data[n:])

    def _pass_end(self, pair, flow):
        flow.passed_end = True
        if pair.up.passed_end and pair.down.passed_end:
            self._drop(pair, False)
            return
        with contextlib.suppress(OSError):
            flow.sink.shutdown(socket.SHUT_WR)

    def _drop(self, pair, reset):
        self._watch(pair, {pair.client: 0, pair.server: 0})
        self._pairs.discard(pair)
        for s in (pair.client, pair.server):
            if reset:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            s.close()

    def _drop_all(self, reset):
        pairs = list(self._pairs)
        for pair in pairs:
            self._drop(pair, reset)
        return len(pairs)
