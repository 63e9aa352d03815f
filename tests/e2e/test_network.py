#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What a network needs besides connections: discovery, errors of routers, groups, tags, forwarding."""

import contextlib
import errno
import mmap
import socket
import struct

from generator import mac_of
from netlab import Skip, Tap, drain, family_of, receive, wait_until
from test_traffic import BASE, HOST, PEER, expect, pair
from traffic import ARRIVES, DENIED, ask, reasons, rules, serve, talk

tap = Tap()

# Nothing is allowed: no rule of this group ever matches.
DENY_ALL = """\
bulkhead: 1
group: closed
rules:
  - {name: nobody, priority: 100, direction: inbound, access: allow, services: [tcp/9],
     source: 240.0.0.1, destination: self}
"""

# Of <linux/in.h>, <linux/in6.h> and <linux/errqueue.h>; Python does not name them.
SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6 = 2, 3
IP_RECVERR, IPV6_RECVERR = 11, 25
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PMTUDISC_DO = 10, 23, 2
IP_MTU, IPV6_MTU = 14, 24


# ---- discovery and configuration, under a policy that denies everything ----


def neighbours(host, address):
    """The state of an address in the host's neighbour table."""
    words = host.run("ip", "neighbour", "show", address).stdout.split()
    return words[-1] if words else "none"


@tap
def neighbours_are_found_under_a_policy_that_denies_everything(lab):
    peer, host = pair(lab)
    host.apply(DENY_ALL)
    for version in (4, 6):
        peer.run("ip", "neighbour", "flush", "all")
        host.run("ip", "neighbour", "flush", "all")
        expect(peer.ping(HOST[version], 1, 0.2), 0, f"ping v{version}")
        expect(neighbours(peer, HOST[version]), "REACHABLE", f"the host, seen by its peer, v{version}")


@tap
def duplicate_addresses_are_detected_under_a_policy_that_denies_everything(lab):
    peer, host = pair(lab)
    host.apply(DENY_ALL)
    with host.enter():
        host.sysctl("net/ipv6/conf/eth0/accept_dad", 1)
        host.sysctl("net/ipv6/conf/all/accept_dad", 1)
        host.sysctl("net/ipv6/neigh/eth0/retrans_time_ms", 100)

    def flags(address):
        text = host.run("ip", "-6", "-o", "address", "show", "dev", "eth0", "to", address).stdout
        return {word for word in ("tentative", "dadfailed") if word in text.split()}

    host.run("ip", "address", "add", "2001:db8::7/64", "dev", "eth0")
    wait_until(lambda: not flags("2001:db8::7"), what="an address that nobody else has")
    host.run("ip", "address", "add", f"{PEER[6]}/64", "dev", "eth0")
    wait_until(lambda: "dadfailed" in flags(PEER[6]), what="an address that the peer has")


def bound(host, address, port):
    """A UDP socket on eth0 that may broadcast."""
    sock = host.open_socket(family_of(address), socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    sock.bind((address, port))
    return sock


@tap
def a_dhcp_client_talks_to_its_server_and_a_server_is_nothing_special(lab):
    peer, host = pair(lab)
    host.apply(DENY_ALL)
    with bound(host, "0.0.0.0", 68) as client, bound(peer, "0.0.0.0", 67) as server:
        client.sendto(b"discover", ("255.255.255.255", 67))
        assert receive(server), "the client's broadcast left"
        server.sendto(b"offer", ("255.255.255.255", 68))
        assert receive(client), "the server's broadcast came in"
        server.sendto(b"acknowledge", (HOST[4], 68))
        assert receive(client), "and one to the address alone"
    with bound(host, "0.0.0.0", 67) as server, bound(peer, "0.0.0.0", 68) as client:
        client.sendto(b"discover", ("255.255.255.255", 67))
        expect(receive(server, 0.3), None, "a request to a server on this host")
    with host.enter():
        index = socket.if_nametoindex("eth0")
    with bound(host, "::", 546) as client, bound(peer, "::", 547) as server:
        join6(peer, server, "ff02::1:2")
        client.sendto(b"solicit", ("ff02::1:2", 547, 0, index))
        got = receive(server)
        assert got, "the DHCPv6 client's question left"
        server.sendto(b"advertise", got[1])
        assert receive(client), "the DHCPv6 server's answer came in"
    seen = reasons(host)
    expect((seen["dhcp", "outbound"], seen["dhcp", "inbound"]), (1, 2), "DHCP out, in")
    expect((seen["dhcpv6", "outbound"], seen["dhcpv6", "inbound"]), (1, 1), "DHCPv6 out, in")


# ---- groups ----


def join4(host, sock, group, address):
    with host.enter():
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                        socket.inet_aton(group) + socket.inet_aton(address))


def join6(host, sock, group):
    with host.enter():
        index = socket.if_nametoindex("eth0")
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
                        socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", index))


GROUP = "239.1.2.3"
MULTICAST = BASE + f"""\
  - {{name: from-group, priority: 200, direction: inbound, access: allow,
     services: [udp/6000], source: any, destination: {GROUP}}}
  - {{name: to-group, priority: 200, direction: outbound, access: allow,
     services: [udp/6000], source: self, destination: {GROUP}}}
"""


def multicast_is_judged_and_loops_back(lab, ingress):
    peer, host = pair(lab)
    host.apply(MULTICAST, host=host.host_yaml(f"hooks: {{ingress: {ingress}}}\n"))
    for port, arrives in ((6000, True), (6001, False)):
        with host.udp("0.0.0.0", port) as listener, peer.udp(PEER[4]) as far, \
                host.udp(HOST[4]) as near, peer.udp("0.0.0.0", port) as remote:
            join4(host, listener, GROUP, HOST[4])
            join4(peer, remote, GROUP, PEER[4])
            far.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
            for sock, address in ((far, PEER[4]), (near, HOST[4])):
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
                                socket.inet_aton(address))
            far.sendto(b"from afar", (GROUP, port))
            got = receive(listener, 1 if arrives else 0.3)
            expect(bool(got), arrives, f"from the peer to port {port}")
            # What the host sends to a group it gets itself, too: as PACKET_LOOPBACK, which is
            # never denied at tc; whether it leaves is the outbound rules' business.
            near.sendto(b"from here", (GROUP, port))
            expect(bool(receive(remote, 1 if arrives else 0.3)), arrives,
                   f"from the host to port {port}, at the peer")
            assert receive(listener), f"from the host to port {port}, at itself"
    # Membership reports of both families leave, though no rule speaks of them.
    with host.udp("::", 6000) as member:
        join6(host, member, "ff05::1234")
        wait_until(lambda: reasons(host)["mld", "outbound"], what="a report of MLD")
    assert reasons(host)["igmp", "outbound"] > 0


@tap
def multicast_is_judged_at_native_xdp_and_loops_back(lab):
    multicast_is_judged_and_loops_back(lab, "native")


@tap
def multicast_is_judged_at_tcx_and_loops_back(lab):
    multicast_is_judged_and_loops_back(lab, "tcx")
    expect(reasons(lab.hosts["host"])["loopback", "inbound"], 2, "looped datagrams")


# ---- routers ----

FAR = {4: "203.0.113.2", 6: "2001:db8:3::2"}
FAR_ROUTER = {4: "203.0.113.1", 6: "2001:db8:3::1"}


def routed(lab, far_mtu=1500):
    """peer - router - host with bulkhead nowhere: peer is the router; far lies behind it."""
    router, host = pair(lab)
    far = lab.host("far")
    lab.link(router, far, ("eth1", "eth0"),
             ([f"{FAR_ROUTER[4]}/24", f"{FAR_ROUTER[6]}/64"], [f"{FAR[4]}/24", f"{FAR[6]}/64"]),
             far_mtu)
    with router.enter():
        router.sysctl("net/ipv4/ip_forward", 1)
        router.sysctl("net/ipv6/conf/all/forwarding", 1)
    for end, gateway in ((host, PEER), (far, FAR_ROUTER)):
        for version in (4, 6):
            end.run("ip", f"-{version}", "route", "add", "default", "via", gateway[version])
    return router, host, far


def mtu_seen(sock, version):
    return (sock.getsockopt(socket.IPPROTO_IP, IP_MTU) if version == 4
            else sock.getsockopt(socket.IPPROTO_IPV6, IPV6_MTU))


@tap
def packet_too_big_of_a_router_reaches_the_sender(lab):
    """Path MTU discovery: 1500 here, 1280 behind the router."""
    _, host, far = routed(lab, 1280)
    host.apply(BASE)
    for version in (4, 6):
        with host.udp(family=family_of(FAR[version])) as sock, far.udp(FAR[version], 5353) as sink:
            if version == 4:
                sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DO)
            else:
                sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DO)
            sock.connect((FAR[version], 5353))
            expect(mtu_seen(sock, version), 1500, f"path MTU v{version} at first")
            sock.send(b"z" * 1400)
            wait_until(lambda: mtu_seen(sock, version) == 1280, what=f"path MTU v{version}")
            # The error waits at the socket, too, and is told once.
            expect(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), errno.EMSGSIZE, "error")
            sock.send(b"z" * 1200)
            expect(len(receive(sink)[0]), 1200, f"bytes of one that fits, v{version}")
    expect(reasons(host)["icmp-errors", "inbound"], 2, "ICMP errors")


@tap
def time_exceeded_of_a_router_reaches_the_sender_as_for_traceroute(lab):
    _, host, _ = routed(lab)
    host.apply(BASE)
    for version in (4, 6):
        with host.udp(family=family_of(FAR[version])) as sock:
            if version == 4:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
                sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            else:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 1)
                sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
            sock.sendto(b"how far", (FAR[version], 5353))

            def error(sock=sock):
                try:
                    return sock.recvmsg(64, 256, socket.MSG_ERRQUEUE)
                except BlockingIOError:
                    return None

            _, control, _, _ = wait_until(error, what=f"an ICMP error v{version}")
            # struct sock_extended_err: errno, origin, type, code; behind it who sent it.
            _, origin, kind = struct.unpack_from("=IBB", control[0][2])
            expect((origin, kind), (SO_EE_ORIGIN_ICMP, 11) if version == 4
                   else (SO_EE_ORIGIN_ICMP6, 3), f"error v{version}")
    # Of what the policy does not let out nothing is told, since nothing left.
    with host.udp() as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
        try:
            sock.sendto(b"not this", (FAR[4], 5354))
        except PermissionError:
            pass
    expect(reasons(host)["icmp-errors", "inbound"], 2, "ICMP errors")


@tap
def a_forwarded_packet_is_inbound_at_one_link_and_outbound_at_the_other(lab):
    router, host, far = routed(lab)
    for version in (4, 6):
        for port in (22, 80, 8080):
            serve(far, FAR[version], port)
    router.apply("""\
bulkhead: 1
group: router
sets:
  far: [203.0.113.0/24, "2001:db8:3::/64"]
  hosts: [192.0.2.0/24, "2001:db8::/64"]
rules:
  - {name: in-web, priority: 100, direction: inbound, access: allow,
     services: [tcp/80, tcp/22], source: hosts, destination: far}
  - {name: out-web, priority: 100, direction: outbound, access: allow,
     services: [tcp/80, tcp/8080], source: hosts, destination: far}
""")
    before = rules(router)
    for version in (4, 6):
        expect(talk(host, FAR[version], 80), ARRIVES, f"allowed at both links, v{version}")
        expect(talk(host, FAR[version], 22, 0.3), DENIED, f"denied at the second, v{version}")
        expect(talk(host, FAR[version], 8080, 0.3), DENIED, f"denied at the first, v{version}")
    after = rules(router)
    grown = {name: {column: after[name][column] - before[name][column]
                    for column in ("packets", "reply_packets", "flows")} for name in before}
    # Two connections to port 80 and two to 22 came in; the first two went out again.
    expect(grown["in-web"]["flows"], 4, "flows that came in")
    expect(grown["out-web"]["flows"], 2, "flows that went out")
    expect(grown["out-web"]["reply_packets"], grown["in-web"]["reply_packets"],
           "replies at either link")
    assert grown["DenyAllInBound"]["packets"] >= 2 and grown["DenyAllOutBound"]["packets"] >= 2


@tap
def a_fragmented_datagram_arrives_whole_or_not_at_all(lab):
    peer, host = pair(lab)
    host.apply(BASE)
    for version in (4, 6):
        for sender, address, port, arrives in (
                (peer, HOST[version], 53, True), (peer, HOST[version], 54, False),
                (host, PEER[version], 5353, True), (host, PEER[version], 5354, False)):
            target = host if sender is peer else peer
            with sender.udp(family=family_of(address)) as sock, target.udp(address, port) as sink:
                try:
                    sock.sendto(b"f" * 5000, (address, port))
                except PermissionError:
                    pass
                got = receive(sink, 1 if arrives else 0.2)
                expect(len(got[0]) if got else 0, 5000 if arrives else 0,
                       f"bytes at port {port} v{version}")
    seen = reasons(host)
    # The three later fragments of a denied one each lack an admitted first.
    expect(seen["fragment-unknown", "inbound"], 6, "later fragments denied")


# ---- tags, and protocols beside TCP and UDP ----


def tagged(source, destination, tag, packet):
    return destination + source + struct.pack("!HHH", 0x8100, tag, 0x0800) + packet


def udp_packet(source, destination, port):
    data = struct.pack("!HHHH", 40000, port, 12, 0) + b"data"
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(data), 0, 0x4000, 64, 17, 0,
                       socket.inet_aton(source), socket.inet_aton(destination))
    words = sum(struct.unpack("!10H", head))
    words = (words & 0xffff) + (words >> 16)
    return head[:10] + struct.pack("!H", ~words & 0xffff) + head[12:] + data


def send_tagged(lab, ingress):
    """A denied and an allowed datagram in tagged frames; what a packet socket of the host saw."""
    peer, host = pair(lab)
    host.apply(BASE, host=host.host_yaml(f"hooks: {{ingress: {ingress}}}\n"))
    before = rules(host)
    source, destination = mac_of(peer, "eth0"), mac_of(host, "eth0")
    with host.open_socket(socket.AF_PACKET, socket.SOCK_DGRAM) as behind, \
            peer.open_socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        with host.enter():
            behind.bind(("eth0", 3))
        with peer.enter():
            raw.bind(("eth0", 0))
        for port in (5353, 53):
            raw.send(tagged(source, destination, 7, udp_packet(PEER[4], HOST[4], port)))

        def grown():
            after = rules(host)
            return [after[rule]["packets"] - before[rule]["packets"]
                    for rule in ("web", "DenyAllInBound")]

        wait_until(lambda: sum(grown()) == 2, what="two frames counted")
        expect(grown(), [1, 1], "packets of web, DenyAllInBound")
        seen = []
        while got := receive(behind, 0):
            # The tag is in the socket's own words or still stands before the packet.
            data = got[0][4:] if got[0][:2] == b"\x00\x07" else got[0]
            if data[9:10] == b"\x11":
                seen.append(int.from_bytes(data[22:24], "big"))
    return seen


@tap
def tagged_frames_are_judged_by_what_they_carry_at_native_xdp(lab):
    expect(send_tagged(lab, "native"), [53], "ports behind the hook")


@tap
def tagged_frames_are_judged_by_what_they_carry_at_tcx(lab):
    # Packet sockets stand before tcx.
    expect(send_tagged(lab, "tcx"), [5353, 53], "ports before the hook")


@tap
def traffic_of_a_vlan_link_is_judged_at_the_link_below_it(lab):
    peer, host = pair(lab)
    inner = {"peer": "198.51.100.1", "host": "198.51.100.2"}
    for end in (peer, host):
        made = end.run("ip", "link", "add", "link", "eth0", "name", "eth0.7", "type", "vlan",
                       "id", "7", check=False)
        if made.returncode:
            raise Skip(f"no VLAN links here: {made.stderr.strip()}")
        end.run("ip", "address", "add", f"{inner[end.name]}/24", "dev", "eth0.7")
        end.run("ip", "link", "set", "eth0.7", "up")
        wait_until(lambda end=end: end.is_up("eth0.7"), what="eth0.7 up")
    for port in (22, 80):
        serve(host, inner["host"], port)
    host.apply(BASE)
    for where in ("eth0", "eth0.7"):
        host.apply(BASE, host=f"bulkhead: 1\ninterfaces: [{where}]\n")
        expect(talk(peer, inner["host"], 80), ARRIVES, f"tcp 80 covered at {where}")
        expect(talk(peer, inner["host"], 22, 0.3), DENIED, f"tcp 22 covered at {where}")


@tap
def sctp_is_judged_by_its_ports_and_other_protocols_by_their_number(lab):
    """Raw sockets send and see both, whether or not the kernel speaks SCTP."""
    peer, host = pair(lab)
    host.apply(BASE + """\
  - {name: sctp, priority: 300, direction: inbound, access: allow,
     services: [sctp/5000], source: any, destination: self}
  - {name: gre, priority: 310, direction: inbound, access: allow,
     protocol: gre, source: any, destination: self}
""")
    sctp = {port: struct.pack("!HHII", 4000, port, 1, 0) + b"\x01\x00\x00\x14" + bytes(16)
            for port in (5000, 5001)}
    for version in (4, 6):
        for protocol, payload, arrives in (
                (132, sctp[5000], True), (132, sctp[5001], False),
                (47, b"\x00\x00\x08\x00", True), (50, bytes(range(1, 17)), False),
                (253, b"experiment", False)):
            family = family_of(HOST[version])
            with host.open_socket(family, socket.SOCK_RAW, protocol) as sink, \
                    peer.open_socket(family, socket.SOCK_RAW, protocol) as raw:
                raw.sendto(payload, (HOST[version], 0))
                got = receive(sink, 1 if arrives else 0.2)
                expect(bool(got), arrives, f"protocol {protocol} v{version}")
    seen = rules(host)
    expect((seen["sctp"]["packets"], seen["gre"]["packets"]), (2, 2), "packets of sctp, gre")


# ---- checksums that the sender leaves open ----

# Of <linux/if_packet.h> and <linux/virtio_net.h>.
SOL_PACKET, PACKET_VNET_HDR, NEEDS_CSUM = 263, 15, 1

# In a frame. The kernel takes no checksum for one that begins before START_MIN.
START_MIN, UDP_AT, PAYLOAD_AT = 20, 34, 42


def sum_of(data):
    """The sum of RFC 1071, not yet turned over."""
    words = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while words >> 16:
        words = (words & 0xffff) + (words >> 16)
    return words


def left_open(frame, start, offset, becomes):
    """The frame of a packet socket, with a last word by which its checksum `becomes` that number."""
    word = (~becomes - sum_of(frame[start:-2])) % 0xffff
    return struct.pack("<BBHHHH", NEEDS_CSUM, 0, 0, 0, start, offset) + frame[:-2] + \
        struct.pack("!H", word)


def leaves_checksums_open(lab, egress):
    peer, host = pair(lab)
    # The card is to do nothing, or both ends would take a checksum that is never written for good.
    host.run("ethtool", "-K", "eth0", "tx", "off")
    host.apply(BASE, host=host.host_yaml(f"hooks: {{egress: {egress}}}\n"))
    ends = mac_of(peer, "eth0") + mac_of(host, "eth0")
    allowed = ends + b"\x08\x00" + udp_packet(HOST[4], PEER[4], 5353)
    address = int.from_bytes(socket.inet_aton(PEER[4])[2:], "big")
    cases = (
        ("its own checksum", allowed, UDP_AT, 6, 0x1234, None),
        ("what it carries", allowed, PAYLOAD_AT, 0, 0x1234, 5353),
        ("the port it goes to", allowed, UDP_AT, 2, 53, None),
        ("the port it comes from", allowed, UDP_AT, 0, 53, None),
        ("its length", allowed, UDP_AT, 4, 12, None),
        ("where it goes", allowed, START_MIN, 12, address, None),
        ("its protocol", allowed, START_MIN, 2, 64 << 8 | 17, None),
    )
    with host.open_socket(socket.AF_PACKET, socket.SOCK_RAW) as raw, \
            peer.udp(PEER[4], 53) as denied, peer.udp(PEER[4], 5353) as open_:
        raw.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        with host.enter():
            raw.bind(("eth0", 0))
        for n, (what, frame, start, offset, becomes, port) in enumerate(cases):
            with contextlib.suppress(OSError): # who sends past no queue is told of a deny
                raw.send(left_open(frame, start, offset, becomes))
            if n < 2: # a checksum of its own that is wrong is the receiver's business
                expect(bool(receive(open_, 1 if port else 0.1)), bool(port), f"{what} left open")
            wait_until(lambda n=n: reasons(host).get(("open-checksum", "outbound"), 0) ==
                       max(0, n - 1), what=f"{what} left open: denied")
        for sock in (denied, open_):
            expect(bool(receive(sock, 0.2)), False, "anything else arrives")
    expect(rules(host)["db"]["packets"], 2, "packets of db")


@tap
def a_checksum_left_open_writes_nothing_that_was_judged_at_tcx(lab):
    leaves_checksums_open(lab, "tcx")


@tap
def a_checksum_left_open_writes_nothing_that_was_judged_at_clsact(lab):
    leaves_checksums_open(lab, "clsact")


@tap
def what_the_kernel_does_not_show_is_named_and_asked_for_when_it_does(lab):
    _, host = pair(lab)
    policy = host.lab.write("base.yaml", BASE)
    yaml = host.lab.write("auto.yaml", host.host_yaml())
    hidden = ("unshare", "--mount", "sh", "-c",
              'mount -t tmpfs none /sys/kernel/btf && exec "$@"', "sh")
    told = "checksums that a sender leaves open"
    doctor = host.run(*hidden, *host.bulkhead_args("doctor"), check=False).stdout
    assert "warning  checksums" in doctor and "/sys/kernel/btf/vmlinux" in doctor, doctor
    host.run(*hidden, *host.bulkhead_args("apply", "--host", yaml, policy))
    assert any(told in line["words"] for line in host.bulkhead_json("status")["not_covered"])
    host.apply(BASE)
    assert not any(told in line["words"] for line in host.bulkhead_json("status")["not_covered"])


# ---- what changes behind the verdict ----

SOL_PACKET, PACKET_VERSION, PACKET_TX_RING = 263, 10, 13
TPACKET_V2, TP_STATUS_SEND_REQUEST = 1, 1
RING_PAGE, RING_DATA = 4096, 32  # where the frame begins, behind struct tpacket2_hdr


@tap
def what_a_sender_changes_in_its_ring_is_not_what_leaves(lab):
    """A frame waits behind the filter, in memory that its sender has mapped."""
    peer, host = pair(lab)
    sinks = {port: peer.udp(PEER[4], port) for port in (5353, 5999)}
    host.apply(BASE)
    expect(ask(host, PEER[4], 5999), DENIED, "the port that is denied")
    # Two kilobytes go at once, then a kilobyte a second.
    host.run("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "8kbit", "burst", "2000",
             "limit", "100000")
    frame = mac_of(peer, "eth0") + mac_of(host, "eth0") + b"\x08\x00" + udp_packet(
        HOST[4], PEER[4], 5353)
    with host.open_socket(socket.AF_PACKET, socket.SOCK_RAW) as raw, host.udp() as filler:
        raw.setsockopt(SOL_PACKET, PACKET_VERSION, struct.pack("i", TPACKET_V2))
        raw.setsockopt(SOL_PACKET, PACKET_TX_RING, struct.pack("IIII", RING_PAGE, 1, RING_PAGE, 1))
        with host.enter():
            raw.bind(("eth0", 0x0800))
        with mmap.mmap(raw.fileno(), RING_PAGE, mmap.MAP_SHARED,
                       mmap.PROT_READ | mmap.PROT_WRITE) as ring:
            for _ in range(30):
                filler.sendto(b"f" * 400, (PEER[4], 5353))
            before = rules(host)["db"]["packets"]
            ring[RING_DATA:RING_DATA + len(frame)] = frame
            struct.pack_into("II", ring, 0, TP_STATUS_SEND_REQUEST, len(frame))
            raw.send(b"", socket.MSG_DONTWAIT)
            expect(rules(host)["db"]["packets"] - before, 1, "frames judged")
            assert drain(sinks[5353]) < 30, "nothing waits"
            struct.pack_into("!H", ring, RING_DATA + 14 + 20 + 2, 5999)
            host.run("tc", "qdisc", "change", "dev", "eth0", "root", "tbf", "rate", "1gbit", "burst",
                     "2000", "limit", "100000")
            wait_until(lambda: (receive(sinks[5353], 0.1) or [b""])[0] == b"data",
                       what="the frame from the ring at the port that was judged")
    expect(drain(sinks[5999]), 0, "datagrams at the port that is denied")


if __name__ == "__main__":
    tap.main()
