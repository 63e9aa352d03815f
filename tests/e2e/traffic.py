# SPDX-License-Identifier: GPL-2.0-only
"""
Real traffic between the hosts of a Lab, and what bulkhead counted of it: servers that greet
and echo, single conversations, streams that go on while something else happens.
"""

import heapq
import multiprocessing
import select
import socket
import struct
import threading
import time

from netlab import family_of, receive, wait_until

ARRIVES, DENIED = "arrives", "denied"
ENOUGH = 200  # datagrams of a stream

_SO_RCVBUFFORCE = 33  # Python has no name for it


class Server:
    """Greets every TCP connection, then echoes it; echoes every datagram; until the end."""

    def __init__(self, host, address, port):
        self.connections = self.datagrams = 0
        self._listener = host.listen(address, port)
        self._echo = host.udp(address, port)
        for body in (self._tcp, self._udp):
            threading.Thread(target=body, daemon=True).start()

    def seen(self):
        """Connections and datagrams that arrived."""
        return self.connections + self.datagrams

    def _tcp(self):
        while True:
            conn, _ = self._listener.accept()
            self.connections += 1
            threading.Thread(target=self._converse, args=(conn,), daemon=True).start()

    @staticmethod
    def _converse(conn):
        with conn:
            try:
                conn.sendall(b"hello\n")
                while data := conn.recv(65536):
                    conn.sendall(data)
            except OSError:
                return

    def _udp(self):
        while True:
            try:
                data, sender = self._echo.recvfrom(65536)
                self.datagrams += 1
                self._echo.sendto(data, sender)
            except OSError:  # an ICMP error for an earlier answer, or a deny at our own egress
                continue


def serve(host, address, port):
    """A Server of both TCP and UDP."""
    return Server(host, address, port)


def greeted(sock, seconds=1.0):
    """A connected socket reads the greeting."""
    got = receive(sock, seconds)
    return bool(got) and got[0] == b"hello\n"


def talk(host, address, port, seconds=0.7):
    """arrives: connected, and the server's greeting came back; else denied."""
    sock = host.connect(address, port, seconds)
    if not sock:
        return DENIED
    with sock:
        return ARRIVES if greeted(sock) else "no reply"


def still_talks(sock, seconds=1.0):
    """A connection that has been greeted before echoes what it is sent."""
    word = b"still here %d\n" % time.monotonic_ns()
    try:
        sock.sendall(word)
        got = receive(sock, seconds)
    except OSError:
        return False
    return bool(got) and got[0] == word


def ask(host, address, port, seconds=0.7, source=None):
    """One datagram and its echo: arrives or denied."""
    with host.udp(*(source or ()), family=family_of(address)) as sock:
        try:
            sock.sendto(b"ask", (address, port))
        except PermissionError:  # what a deny at tc egress looks like to the sender
            return DENIED
        return ARRIVES if receive(sock, seconds) else DENIED


def segments(sock):
    """[out, in]: TCP's own count of a connection's segments, tcpi_segs_out and tcpi_segs_in."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return list(struct.unpack_from("=II", info, 136))


class Stream:
    """Numbered datagrams to an echoing port, one a millisecond, until end()."""

    def __init__(self, host, address, port, pace=0.001):
        self.sock = host.udp(family=family_of(address))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.target = (address, port)
        self.pace = pace
        self.sent = 0
        self.answered = 0
        self.going = True
        self.threads = [threading.Thread(target=body, daemon=True)
                        for body in (self._send, self._receive)]
        for thread in self.threads:
            thread.start()

    def _send(self):
        while self.going:
            try:
                self.sock.sendto(b"%d" % self.sent, self.target)
            except PermissionError:
                pass
            self.sent += 1
            time.sleep(self.pace)

    def _receive(self):
        # What is still under way when sending ends has half a second to come.
        while True:
            got = receive(self.sock, 0.5)
            if got:
                self.answered += 1
            elif not self.going:
                return

    def end(self):
        """(sent, answered), once so many are sent that it means something."""
        wait_until(lambda: self.sent > ENOUGH, seconds=20, what=f"{ENOUGH} datagrams")
        self.going = False
        for thread in self.threads:
            thread.join()
        self.sock.close()
        return self.sent, self.answered


class Questions:
    """
    Datagrams in a flow of their own each, from a new port, at a steady pace until end(), and their answers;
    in processes of their own, so that nothing else in the test takes their time.
    """

    DELAYS = (0, 0.002, 0.005, 0.01, 0.02, 0.03)  # of the answers: some are under way at any moment
    PATIENCE = 5  # with an answer; what was given and has not come by then is lost

    def __init__(self, asker, answerer, address, port, pace=0.001):
        self.asker, self.target, self.pace = asker, (address, port), pace
        context = multiprocessing.get_context("fork")
        self._sock = answerer.udp(address, port)
        self._sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 24)
        self._ends = []
        for body in (self._ask, self._answer):
            pipe, theirs = context.Pipe()
            process = context.Process(target=body, args=(theirs,), daemon=True)
            process.start()
            self._ends.append((pipe, process))

    def _answer(self, pipe):
        due, given = [], 0
        while not pipe.poll():
            left = max(due[0][0] - time.monotonic(), 0) if due else 0.1
            if select.select([self._sock], [], [], left)[0]:
                data, sender = self._sock.recvfrom(64)
                delay = self.DELAYS[int(data) % len(self.DELAYS)]
                heapq.heappush(due, (time.monotonic() + delay, data, sender))
            while due and due[0][0] <= time.monotonic():
                _, data, sender = heapq.heappop(due)
                given += 1
                try:
                    self._sock.sendto(data, sender)
                except PermissionError:  # denied at our own egress: it is missed at the other end
                    pass
        pipe.send(given)

    def _ask(self, pipe):
        asked, answered, due, ending = 0, 0, time.monotonic(), None
        waiting = {}  # by descriptor, in the order in which they were asked
        poll = select.epoll()
        with self.asker.enter():
            while not ending or (waiting and time.monotonic() < ending + self.PATIENCE):
                now = time.monotonic()
                if not ending and now >= due:
                    sock = socket.socket(family_of(self.target[0]), socket.SOCK_DGRAM)
                    sock.sendto(b"%d" % asked, self.target)
                    waiting[sock.fileno()] = (now, sock)
                    poll.register(sock, select.EPOLLIN)
                    asked, due = asked + 1, max(due + self.pace, now)
                for number, _ in poll.poll(min(max(due - now, 0), self.pace)):
                    waiting.pop(number)[1].close()
                    answered += 1
                while waiting and next(iter(waiting.values()))[0] < now - self.PATIENCE:
                    waiting.pop(next(iter(waiting)))[1].close()
                if not ending and pipe.poll():
                    ending = time.monotonic()
        pipe.send(answered)

    def end(self):
        """(answers given, answers that came)"""
        seen = []
        for pipe, process in self._ends:
            pipe.send("end")
            seen.append(pipe.recv())
            process.join()
        self._sock.close()
        return seen[1], seen[0]


def rules(host):
    """{rule name: its line of `bulkhead rules --json`} of the policy in force."""
    return {rule["name"]: rule for rule in host.bulkhead_json("rules")["rules"]}


def reasons(host):
    """{(reason, direction): packets} of what was decided without a rule."""
    return {(line["name"], line["direction"]): line["packets"]
            for line in host.bulkhead_json("rules")["reasons"]}
