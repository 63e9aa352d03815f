#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""How a TCP flow is established, on real stacks: by its opener, who has seen the answer."""

import socket
import struct
import time

from netlab import Tap, receive, wait_until
from sockets import vanish
from test_traffic import BASE, HOST, PEER, expect, pair
from traffic import rules
from twins import TCP, ip

tap = Tap()

STRANGERS = 50
HALF_OPEN = 2  # seconds
SHORT = f"timeouts: {{tcp_half_open: {HALF_OPEN}}}\n"
STRANGER = {4: "198.51.100.%d", 6: "2001:db8:ff::%d"}
SYN = 0x02


def flows(host):
    """The states of its TCP flows, by the address of the other end."""
    found = {}
    for flow in host.bulkhead_json("flows")["flows"]:
        if flow["protocol"] == "tcp":
            found.setdefault(flow["remote"].rpartition(":")[0].strip("[]"), []).append(flow["state"])
    return found


def send_syns(raw, version, number):
    for i in range(STRANGERS):
        source = STRANGER[version] % (i + 1)
        head = struct.pack("!HHIIBBHHH", 30000 + i, 80, number, 0, 0x50, SYN, 8000, 0, 0)
        packet = ip(version, TCP, source, HOST[version], head)
        raw.sendto(packet, (HOST[version], 0))


def strangers_establish_nothing(lab, version):
    """A second SYN of another number has the host's own stack say ACK: RFC 5961, section 4."""
    peer, host = pair(lab)
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    host.run("ip", f"-{version}", "route", "add", "default", "via", PEER[version])
    with host.enter():
        host.sysctl("net/ipv4/tcp_synack_retries", 0)  # what is counted is no SYN-ACK again
    with host.listen(HOST[version], 80), \
            peer.open_socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        host.apply(BASE)
        for number, answers in ((1000, STRANGERS), (1 << 30, 2 * STRANGERS)):
            send_syns(raw, version, number)
            wait_until(lambda answers=answers: rules(host)["web"]["reply_packets"] == answers,
                       what=f"{answers} answers")
        seen = flows(host)
        for i in range(STRANGERS):
            expect(seen[STRANGER[version] % (i + 1)], ["syn-ack"], f"stranger {i}")
        with peer.connect(HOST[version], 80):
            expect(flows(host)[PEER[version]], ["established"], "one who has seen the answer")


@tap
def strangers_who_see_no_answer_establish_nothing_over_ipv4(lab):
    strangers_establish_nothing(lab, 4)


@tap
def strangers_who_see_no_answer_establish_nothing_over_ipv6(lab):
    strangers_establish_nothing(lab, 6)


@tap
def a_connection_that_idles_behind_its_handshake_lives(lab):
    """The server speaks first, and late; in either direction only the client's is admitted."""
    peer, host = pair(lab)
    host.apply(BASE, host=host.host_yaml(SHORT))
    for version in (4, 6):
        for client, server, address, port in ((host, peer, PEER[version], 5432),
                                              (peer, host, HOST[version], 80)):
            with server.listen(address, port) as listener, client.connect(address, port) as held:
                listener.settimeout(5)
                conn, _ = listener.accept()
                with conn:
                    time.sleep(HALF_OPEN + 2)  # the silence is what is being tested
                    conn.sendall(b"220 at last")
                    got = receive(held, 2)
                    expect(got and got[0], b"220 at last", f"port {port} over IPv{version}")


@tap
def what_the_peer_holds_of_a_crashed_host_is_reset_and_opened_anew(lab):
    """It answers the new SYN by an ACK of the old connection, and the host resets that: RFC 9293, 3.5.1."""
    peer, host = pair(lab)
    for version in (4, 6):
        source = (HOST[version], 900 + version)
        host.apply(BASE)
        with peer.listen(PEER[version], 5432) as listener:
            held = host.connect(PEER[version], 5432, source=source)
            listener.settimeout(5)
            old, _ = listener.accept()
            with old:
                held.sendall(b"x")
                expect(receive(old)[0], b"x", "before")
                host.bulkhead("detach")
                vanish(held)
                host.apply(BASE)
                anew = host.connect(PEER[version], 5432, seconds=10, source=source)
                assert anew, f"no connection over IPv{version}: the peer still holds the old one"
                anew.close()


if __name__ == "__main__":
    tap.main()
