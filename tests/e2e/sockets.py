# SPDX-License-Identifier: GPL-2.0-only
"""
Conversations of real sockets between pairs of hosts that have the same addresses: one pair with
bulkhead, one with nftables and connection tracking, one without a filter. Each word of a conversation
is done in all three, and what the sockets see of it is told.

Nothing is waited for but a fence: on one processor and links of one queue, whatever a call has set
off, answers too, is through when a datagram that was sent later has arrived. What has been refused
disappears without a word on both sides, so that nothing is sent again later.
"""

import errno
import os
import resource
import socket
import struct

import twins
from netlab import receive
from twins import HOST, MARKER, MARKER_PORT, PEERS, TCP

CLOSED_PORT = 8005  # nobody listens there
PORTS = (80, 443, 8000, 8010)
TCP_REPAIR = 19

# What a word looks like when it has worked.
CONNECTED, RECEIVED, ENDED, RESET = "connected", "received", "ended", "reset"
REFUSED, NOTHING = "refused", "nothing"


def vanish(sock):
    """Closes a TCP socket without telling the other side; TCP_REPAIR makes it silent."""
    try:
        sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    except OSError:
        pass  # already closed: there is nothing left to say
    sock.close()


def at_once(sock):
    """What is sent leaves at once: no small segment waits for an acknowledgement."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Ends:
    """The two sockets of a conversation in one pair; None: not there."""

    def __init__(self):
        self.client = self.server = None
        self.ended = set()  # the sides that have said FIN, and then say nothing more

    def vanish(self):
        for sock in (self.client, self.server):
            if sock:
                vanish(sock)
        self.client = self.server = None
        self.ended = set()

    def of(self, word):
        """(who speaks, who listens)"""
        ends = (self.client, self.server)
        return ends if word[0] == ">" else ends[::-1]


class Pair:
    """Two hosts, the servers on both, and the sockets of all conversations between them."""

    def __init__(self, lab, name):
        self.host, self.peer = lab.host(name), lab.host(f"{name}-peer")
        queues = ("numtxqueues", "1", "numrxqueues", "1")
        self.peer.run("ip", "link", "add", "eth0", *queues, "type", "veth", "peer", "name", "eth0",
                      *queues, "netns", self.host.netns)
        lab.interfaces[name].append("eth0")
        addresses = {self.host: (HOST[4], HOST[6]), self.peer: (*PEERS[4], *PEERS[6], MARKER)}
        for place, own in addresses.items():
            for address in own:
                place.run("ip", "address", "add", f"{address}/{32 if ':' in address else 16}", "dev",
                          "eth0", *(["nodad"] if ":" in address else []))
            place.run("ip", "link", "set", "eth0", "up")
        for place, other in ((self.host, self.peer), (self.peer, self.host)):
            mac = twins.mac_of(other, "eth0").hex(":")
            for address in addresses[other]:
                place.run("ip", "neigh", "replace", address, "lladdr", mac, "dev", "eth0", "nud",
                          "permanent")
            with place.enter():
                place.sysctl("net/ipv4/tcp_max_tw_buckets", 0)  # a port can be used again at once
                place.sysctl("net/ipv4/tcp_synack_retries", 0)
                place.sysctl("net/ipv4/icmp_ratemask", 0)  # each closed port is told
                place.sysctl("net/ipv6/icmp/ratemask", 127)
        self.fences = [place.udp(address, MARKER_PORT) for place, address in (
            (self.host, HOST[4]), (self.peer, MARKER))]
        self.servers = {}  # (protocol, address, port): socket
        self.ends = {}     # number of a flow: Ends

    def fence(self):
        """All that was set off before is through."""
        for sender, receiver, address in ((1, 0, HOST[4]), (0, 1, MARKER)):
            self.fences[sender].sendto(b"fence", (address, MARKER_PORT))
            assert receive(self.fences[receiver], 10), f"{self.host.name}: no fence"

    def ends_of(self, flow):
        """(host, address) of the client, and of the server."""
        ends = ((self.peer, PEERS[flow.version][flow.peer]), (self.host, HOST[flow.version]))
        return ends if flow.direction == "in" else ends[::-1]

    def server(self, flow):
        """What listens at the flow's port, or receives there; None where nobody does."""
        _, (host, address) = self.ends_of(flow)
        key = (flow.protocol, address, flow.port)
        if flow.port != CLOSED_PORT and key not in self.servers:
            listen = host.listen if flow.protocol == TCP else host.udp
            self.servers[key] = listen(address, flow.port)
            self.servers[key].setblocking(False)
        return self.servers.get(key)

    def start(self, flow, word):
        """What sets the word off. False: there is nothing that could say it."""
        ends = self.ends.setdefault(flow.number, Ends())
        self.server(flow)
        try:
            return (self._tcp if flow.protocol == TCP else self._udp)(flow, ends, word)
        except OSError as error:
            # How a filter at the way out, or an error that came for what was sent before, is told.
            assert error.errno in (errno.EPERM, errno.ECONNREFUSED, errno.ENOBUFS, errno.EACCES,
                                   errno.EHOSTUNREACH, errno.EPIPE, errno.ECONNRESET), error
            return True

    def _open(self, flow, kind):
        (host, address), (_, to) = self.ends_of(flow)
        family = socket.AF_INET6 if flow.version == 6 else socket.AF_INET
        sock = host.open_socket(family, kind)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, flow.client_port))
        return sock, (to, flow.port)

    def _tcp(self, flow, ends, word):
        if word == "open":
            ends.vanish()
            ends.client, to = self._open(flow, socket.SOCK_STREAM)
            at_once(ends.client)
            error = ends.client.connect_ex(to)
            assert error in (0, errno.EINPROGRESS, errno.ECONNREFUSED, errno.EPERM), error
            return True
        speaker, listener = ends.of(word)
        if not speaker or not listener or word[0] in ends.ended:
            return False
        if word[1:] == "data":
            speaker.send(b"x")
        elif word[1:] == "FIN":
            ends.ended.add(word[0])
            speaker.shutdown(socket.SHUT_WR)
        else:
            speaker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            speaker.close()
            if word[0] == ">":
                ends.client = None
            else:
                ends.server = None
        return True

    def _udp(self, flow, ends, word):
        if not ends.client:
            ends.client, to = self._open(flow, socket.SOCK_DGRAM)
            ends.client.connect(to)
        if word == ">":
            ends.client.send(b"%d" % flow.number)
        elif self.server(flow):
            (_, address), _ = self.ends_of(flow)
            self.server(flow).sendto(b"%d" % flow.number, (address, flow.client_port))
        else:
            return False
        return True

    def gather(self):
        """Behind the fence: the connections that came, each to its conversation, and datagrams."""
        datagrams = set()
        for (protocol, _, _), server in self.servers.items():
            while True:
                try:
                    if protocol == TCP:
                        sock, (_, port, *_) = server.accept()
                        at_once(sock)
                        self.ends[port - 20000].server = sock
                    else:
                        datagrams.add(int(server.recv(64)))
                except BlockingIOError:
                    break
                except ConnectionRefusedError:
                    continue
        return datagrams

    def outcome(self, flow, word, datagrams):
        """What the sockets see of a word that was set off."""
        ends = self.ends[flow.number]
        if flow.protocol != TCP:
            if word == ">" and flow.number in datagrams:
                return RECEIVED
            return heard(ends.client)
        if word == "open":
            result = connected(ends)
        else:
            speaker, listener = ends.of(word)
            result = heard(listener)
            if result in (RECEIVED, ENDED):  # acknowledged now, before the next word ends the sockets
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            if result == NOTHING and speaker and word[1:] != "RST":
                result = {RESET: "sender reset"}.get(heard(speaker), NOTHING)
        if word[1:] == "RST" or result in (NOTHING, REFUSED, "sender reset"):
            ends.vanish()
        return result


def connected(ends):
    error = ends.client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error == errno.ECONNREFUSED:
        return REFUSED
    try:
        ends.client.getpeername()
    except OSError:
        return NOTHING
    return CONNECTED if ends.server else "half open"


def heard(sock):
    try:
        return RECEIVED if sock.recv(64) else ENDED
    except BlockingIOError:
        return NOTHING
    except ConnectionResetError:
        return RESET
    except ConnectionRefusedError:
        return REFUSED


class Triplets:
    """The three pairs."""

    def __init__(self, lab):
        self.lab = lab
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self.ours, self.theirs, self.free = (Pair(lab, name) for name in ("ours", "theirs", "free"))
        with self.theirs.host.enter():
            for key, value in twins.SYSCTLS.items():
                self.theirs.host.sysctl(f"net/netfilter/nf_conntrack_{key}", value)

    def pairs(self):
        return (self.ours, self.theirs, self.free)

    def apply(self, rules, existing_flows):
        twins.apply_both(self.lab, self.ours.host, self.theirs.host, rules, existing_flows)

    def step(self, words):
        """[(flow, word)] in all pairs: for each of them [what is seen there], None: impossible."""
        started = [[pair.start(flow, word) for flow, word in words] for pair in self.pairs()]
        for pair in self.pairs():
            pair.fence()
        datagrams = [pair.gather() for pair in self.pairs()]
        return [[pair.outcome(flow, word, got) if done[i] else None
                 for pair, done, got in zip(self.pairs(), started, datagrams)]
                for i, (flow, word) in enumerate(words)]

    def forget(self, flow):
        """Nothing is left of a conversation, in any pair."""
        for pair in self.pairs():
            ends = pair.ends.pop(flow.number, None)
            if ends and flow.protocol == TCP:
                ends.vanish()
            elif ends and ends.client:
                ends.client.close()
