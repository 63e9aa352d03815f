# SPDX-License-Identifier: GPL-2.0-only
"""Frames at the kernel's own speed from a host of a Lab, and how to build them."""

import os
import socket
import struct
import subprocess

from netlab import TOP

SIZE = 96  # GENERATOR_FRAME_SIZE of tests/lib/generator.h

FIN, SYN, RST, ACK = 1, 2, 4, 16
AS_IT_IS, SOURCE, DESTINATION = range(3)  # enum generator_varied


def program():
    """The generator that was built beside the program under test."""
    build = os.environ.get("BULKHEAD_BUILD", os.path.join(TOP, "build"))
    return os.path.join(build, "tests", "lib", "generator")


def checksum(data):
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def mac_of(host, name):
    """The six bytes of a link's address."""
    text = host.run("ip", "-o", "link", "show", "dev", name).stdout
    return bytes.fromhex(text.split("link/ether ")[1].split()[0].replace(":", ""))


def _ip4(protocol, source, destination, payload):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0x4000, 64, protocol, 0,
                       socket.inet_aton(source), socket.inet_aton(destination))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def udp4(source, destination, payload=b"\0" * 26):
    """A datagram between two (address, port), without a checksum."""
    return _ip4(17, source[0], destination[0], struct.pack(
        "!HHHH", source[1], destination[1], 8 + len(payload), 0) + payload)


def first(flags, sequence):
    """The number of a segment, or 0 of a SYN and 1 of what comes behind it."""
    return (0 if flags & SYN else 1) if sequence is None else sequence


def tcp4(source, destination, flags, sequence=None, acknowledged=1, payload=b""):
    """A segment between two (address, port). Where nothing else is said, its numbers fit a handshake."""
    head = struct.pack("!HHIIBBHHH", source[1], destination[1], first(flags, sequence),
                       acknowledged if flags & ACK else 0, 5 << 4, flags, 65535, 0, 0) + payload
    pseudo = socket.inet_aton(source[0]) + socket.inet_aton(destination[0]) + struct.pack(
        "!HH", 6, len(head))
    head = head[:16] + struct.pack("!H", checksum(pseudo + head)) + head[18:]
    return _ip4(6, source[0], destination[0], head)


def tcp6(source, destination, flags, sequence=None, acknowledged=1):
    """The same of IPv6, without a payload."""
    ends = b"".join(socket.inet_pton(socket.AF_INET6, end[0]) for end in (source, destination))
    head = struct.pack("!HHIIBBHHH", source[1], destination[1], first(flags, sequence),
                       acknowledged if flags & ACK else 0, 5 << 4, flags, 65535, 0, 0)
    pseudo = ends + struct.pack("!II", len(head), 6)
    head = head[:16] + struct.pack("!H", checksum(pseudo + head)) + head[18:]
    return struct.pack("!IHBB", 6 << 28, len(head), 6, 64) + ends + head


def frame(to, packet, varied=AS_IT_IS):
    """
    In Ethernet, as the generator wants it. varied: the end that gets an address and a port by a number
    each time it is sent, SOURCE or DESTINATION.
    """
    kind = b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00"
    whole = to + bytes.fromhex("02000000ffff") + kind + packet
    assert len(whole) < SIZE
    return whole.ljust(SIZE - 1, b"\0") + bytes([varied])


class Generator:
    """Sends a list of frames, or a file of them, out of a link of a host, again and again."""

    def __init__(self, host, link, frames, cpu=None):
        path = frames
        if not isinstance(frames, str):
            path = host.lab.write(f"{host.name}-{id(self):x}.frames", "")
            with open(path, "wb") as file:
                file.write(b"".join(frames))
        place = [] if cpu is None else [str(cpu)]
        self.process = host.popen(program(), link, path, *place, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        self.host, self.link = host, link
        self.sent = 0
        self.nanoseconds = 0
        self.cpu = 0  # nanoseconds that it and its CPU's ksoftirqd have run

    def send(self, count, link="", *which):
        """
        Returns when all are through the stack of the other side; how many that were. Into another
        link than the first one when it is given. which: first and n of the frames that are sent in turn,
        else all; every and other; from and span, as in tests/lib/generator.h.
        """
        self.process.stdin.write(f"{count} {link} {' '.join(map(str, which))}\n")
        self.process.stdin.flush()
        sent, nanoseconds, cpu = self.process.stdout.readline().split()
        self.sent += int(sent)
        self.nanoseconds += int(nanoseconds)
        self.cpu += int(cpu)
        return int(sent)

    def taken(self):
        """How many frames its link has taken: what finds the ring of the other side full is lost."""
        lines = self.host.run("ethtool", "-S", self.link).stdout.splitlines()
        return sum(int(line.split()[-1]) for line in lines if line.split(":")[0].endswith("_xdp_xmit"))

    def rate(self):
        """Frames a second while it sent."""
        return round(self.sent * 1e9 / max(self.nanoseconds, 1))
