# SPDX-License-Identifier: GPL-2.0-only
"""
A packet written down layer by layer → the bytes of its frame. README.md lists the layers.

    vlan 5 / ip4 ihl=6 / udp 53 / data 8

Each layer takes key=value, and most one value without a key. What is not said is filled in as it is
right: lengths, checksums, the number of the next header. A length or header length that begins with + or
- is off by so much. Values may lie; nothing here corrects them.
"""

import ipaddress
import socket
import struct

from generator import checksum

HOST = {4: "10.0.0.1", 6: "2001:db8::1"}
PEER = {4: "10.1.0.1", 6: "2001:db8:1::1"}
CARRIER = {4: "10.9.0.1", 6: "2001:db8:9::1"}  # the policy lets tunnels of these pass
HOST_MAC, PEER_MAC = "020000000001", "02000000ffff"
NAMES = {"host": HOST, "peer": PEER, "carrier": CARRIER}

QUOTED_PORT = 5000  # the host's own, of what an ICMP error quotes; one more for the denied port
SOURCE_PORT = 20000  # the first

ETHER_TYPES = {"ip4": 0x0800, "ip6": 0x86dd, "arp": 0x0806, "vlan": 0x8100}
PROTOCOLS = {"icmp": 1, "igmp": 2, "ip4": 4, "tcp": 6, "udp": 17, "ip6": 41, "route": 43, "frag": 44,
             "gre": 47, "esp": 50, "ah": 51, "icmp6": 58, "dst": 60, "sctp": 132, "udplite": 136,
             "hop": 0}
FLAGS = {letter: 1 << bit for bit, letter in enumerate("FSRPAUEC")}
OPTIONS4 = {  # RFC 791 and followers
    "end": "00", "nop": "01", "full": 40 * "01", "rr-full": "072704" + 36 * "00" + "01", "rr": "07070400000000", "lsrr": "8307040a000001",
    "lsrr-done": "8307080a000001", "ssrr": "8907040a000001", "ssrr-done": "8907080a000001",
    "ts": "440c05000000000000000000", "ra": "94040000", "sec": "820b000000000000000000",
    "sid": "88040001", "cipso": "860600000001", "unknown": "9e048301",
}
OPTIONS6 = {"pad1": "00", "padn": "010400000000", "ra": "05020000", "ra-rsvp": "05020001",
            "jumbo": "c20400010000", "jumbo-small": "c20400000010", "home": "c910" + "20010db8" + 12 * "0a",
            "limit": "040101", "skip": "1e020000", "drop": "5e020000", "drop-icmp": "9e020000",
            "ioam": "31020000", "calipso": "0708000000010000" + "0000"}


class Making:
    """What the layers of one frame share. number: of the packet, unlike that of any other one."""

    def __init__(self, number, port, is_shut):
        self.number, self.port, self.is_shut = number, port, is_shut
        self.ip = None  # (version, source, destination) of the header around
        self.quoted = False  # inside an ICMP error

    def source_port(self):
        if self.quoted:
            return QUOTED_PORT + self.is_shut
        return SOURCE_PORT + self.number


class Layer:
    """One of them: its name, and what is said of it."""

    def __init__(self, text):
        self.name, *words = text.split()
        if self.name not in BUILDERS:
            raise ValueError(f"no layer '{self.name}'")
        self.said = {}
        for word in words:
            key, equals, value = word.partition("=")
            if not equals:
                key, value = "", word
            if key in self.said or key not in KEYS[self.name]:
                raise ValueError(f"{self.name} does not take '{word}'")
            self.said[key] = value

    def text(self, key, default):
        return self.said.get(key, default)

    def number(self, key, right=0):
        """right: what it should be; a value that begins with a sign is added to it."""
        value = self.said.get(key)
        if value is None:
            return right
        return int(value, 0) + (right if value[0] in "+-" else 0)

    def bytes(self, key, names=None):
        """Hexadecimal digits, or names of some, joined by + or commas."""
        parts = self.said.get(key, "").replace("+", ",").split(",")
        return b"".join(bytes.fromhex((names or {}).get(part, part)) for part in parts if part)

    def address(self, key, default, version):
        value = self.said.get(key, default)
        return ipaddress.ip_address(NAMES[value][version] if value in NAMES else value).packed


def frames_of(text, number, port, is_shut):
    """The frames of a case, which are divided by semicolons."""
    return [frame_of(one, number, port, is_shut) for one in text.split(";")]


def frame_of(text, number, port, is_shut):
    layers = [Layer(part) for part in text.split(" / ")]
    after = []
    while layers and layers[-1].name in ("cut", "pad"):
        after.insert(0, layers.pop())
    if layers[0].name != "eth":
        layers.insert(0, Layer("eth"))
    frame = build(layers, Making(number, port, is_shut))
    for layer in after:
        size = layer.number("")
        frame = frame + bytes(size) if layer.name == "pad" else frame[:size]
    return frame


def build(layers, making):
    """The bytes of layers that lie in each other."""
    return BUILDERS[layers[0].name](layers[0], layers[1:], making) if layers else b""


def next_name(rest):
    """Of the next layer that has a header."""
    for layer in rest:
        if layer.name not in ("clip", "skip"):
            return layer
    return None


def next_protocol(rest, none):
    """Its number in an IP header; none: where nothing follows."""
    layer = next_name(rest)
    if layer is None or layer.name in ("data", "raw"):
        return none
    return layer.number("") if layer.name == "proto" else PROTOCOLS[layer.name]


def ether_type(rest, none=0):
    layer = next_name(rest)
    if layer is None:
        return none
    return layer.number("tpid", 0x8100) if layer.name == "vlan" else ETHER_TYPES.get(layer.name, none)


# ---- link --------------------------------------------------------------------------------------

def _eth(layer, rest, making):
    payload = build(rest, making)
    right = len(payload) if rest and rest[0].name in ("llc", "raw") else ether_type(rest)
    mac = {"broadcast": "ff" * 6, "host": HOST_MAC, "stp": "0180c2000000", "lldp": "0180c200000e",
           "slow": "0180c2000002", "other": "020000000002"}
    destination = layer.text("dst", "host")
    return (bytes.fromhex(mac.get(destination, destination)) + bytes.fromhex(PEER_MAC)
            + struct.pack("!H", layer.number("type", right)) + payload)


def _vlan(layer, rest, making):
    tci = layer.number("") & 0xfff | layer.number("pcp") << 13
    return struct.pack("!HH", tci, layer.number("type", ether_type(rest))) + build(rest, making)


def _llc(layer, rest, making):
    return bytes([layer.number("dsap", 0xaa), layer.number("ssap", 0xaa), 3]) + build(rest, making)


def _snap(layer, rest, making):
    return (layer.number("oui").to_bytes(3, "big")
            + struct.pack("!H", layer.number("type", ether_type(rest))) + build(rest, making))


def _arp(layer, rest, making):
    who = layer.address("from", "peer", 4), layer.address("of", "host", 4)
    return (struct.pack("!HHBBH", layer.number("hw", 1), layer.number("of-type", 0x0800), 6, 4,
                        layer.number("", 1)) + bytes.fromhex(PEER_MAC) + who[0] + bytes(6) + who[1]
            + build(rest, making))


# ---- IP ----------------------------------------------------------------------------------------

def _ends(layer, making, version):
    """Source and destination; in what an ICMP error quotes the host speaks."""
    ends = ("host", "peer") if making.quoted else ("peer", "host")
    making.ip = (version, layer.address("src", ends[0], version),
                 layer.address("dst", ends[1], version))
    return making.ip[1:]


def _ip4(layer, rest, making):
    ends = _ends(layer, making, 4)
    options = layer.bytes("options", OPTIONS4)
    options += bytes(-len(options) % 4)
    payload = build(rest, making)
    size = 20 + len(options)
    fragment = (layer.number("evil") << 15 | layer.number("df") << 14 | layer.number("mf") << 13
                | layer.number("offset") // 8)
    head = struct.pack(
        "!BBHHHBBH4s4s", (layer.number("version", 4) & 15) << 4 | layer.number("ihl", size // 4) & 15,
        layer.number("tos"), layer.number("len", size + len(payload)) & 0xffff,
        layer.number("id", making.number), fragment, layer.number("ttl", 64),
        layer.number("proto", next_protocol(rest, 253)), 0, *ends) + options
    whole = head + payload
    claimed = max(20, (head[0] & 15) * 4)  # what the stack sums up
    return _with_sum(layer, whole[:claimed], 10, b"") + whole[claimed:]


def _ip6(layer, rest, making):
    ends = _ends(layer, making, 6)
    payload = build(rest, making)
    first = (layer.number("version", 6) & 15) << 28 | layer.number("class") << 20 | layer.number("flow")
    return struct.pack("!IHBB", first, layer.number("len", len(payload)) & 0xffff,
                       layer.number("next", next_protocol(rest, 59)),
                       layer.number("hops", 64)) + b"".join(ends) + payload


def _filled(size):
    """Options that are skipped, of so many bytes together."""
    out = b""
    while size - len(out) >= 2:
        some = min(257, size - len(out))
        out += bytes([0x1e, some - 2]) + bytes(some - 2)
    return out + bytes(size - len(out))


def _extension(layer, rest, body, making):
    body += bytes(-(len(body) + 2) % 8)
    return (bytes([layer.number("next", next_protocol(rest, 59)),
                   layer.number("len", (len(body) + 2) // 8 - 1) & 0xff]) + body + build(rest, making))


def _options6(layer, rest, making):
    body = layer.bytes("options", OPTIONS6)
    short = layer.number("size", max(8, (len(body) + 9) // 8 * 8)) - 2 - len(body)
    body += bytes([1, short - 2]) + bytes(short - 2) if 2 <= short <= 7 and "size" not in layer.said \
        else _filled(short)
    return _extension(layer, rest, body, making)


def _route(layer, rest, making):
    segments = layer.number("segments", 0)
    kind = layer.number("", 0)
    fixed = bytes([kind, layer.number("left", 0), max(0, segments - 1) if kind == 4 else 0, 0, 0, 0])
    hop = layer.address("hop", "host", 6)
    return _extension(layer, rest, fixed + hop * segments, making)


def _frag(layer, rest, making):
    return struct.pack("!BBHI", layer.number("next", next_protocol(rest, 59)),
                       layer.number("reserved"), layer.number("offset") & 0xfff8 | layer.number("mf")
                       | layer.number("bits") << 1, layer.number("id", making.number)) + build(rest, making)


def _ah(layer, rest, making):
    icv = layer.number("icv", 12)
    return struct.pack("!BBHII", layer.number("next", next_protocol(rest, 59)),
                       layer.number("len", (12 + icv) // 4 - 2), 0, 0x100, making.number) \
        + bytes(icv) + build(rest, making)


def _esp(_layer, rest, making):
    return struct.pack("!II", 0x100, making.number) + build(rest, making)


# ---- upper layers ------------------------------------------------------------------------------

def _with_sum(layer, data, at, pseudo):
    """data with the checksum of pseudo and itself; sum=N says another one, sum=bad a wrong one."""
    right = checksum(pseudo + data)
    said = layer.text("sum", "")
    value = right ^ 0x5555 if said == "bad" else int(said, 0) if said else right
    return data[:at] + struct.pack("!H", value) + data[at + 2:]


def _pseudo(making, protocol, length):
    if making.ip is None:
        return b""
    version, source, destination = making.ip
    if version == 4:
        return source + destination + struct.pack("!HH", protocol, length & 0xffff)
    return source + destination + struct.pack("!II", length, protocol)


def _tcp(layer, rest, making):
    pseudo = _pseudo, making.ip
    options = layer.bytes("options")
    options += bytes(-len(options) % 4)
    flags = layer.text("", "S")
    bits = int(flags, 0) if flags[0].isdigit() else sum(FLAGS[letter] for letter in flags if letter != "-")
    payload = build(rest, making)
    making.ip = pseudo[1]
    size = 20 + len(options)
    head = struct.pack("!HHIIBBHHH", layer.number("sport", making.source_port()),
                       layer.number("port", making.port), 1000, 1 if bits & 0x10 else 0,
                       (layer.number("doff", size // 4) & 15) << 4 | layer.number("reserved"), bits & 0xff,
                       8000, 0, layer.number("urgent")) + options + payload
    return _with_sum(layer, head, 16, _pseudo(making, 6, layer.number("total", len(head))))


def _udp(layer, rest, making):
    around = making.ip
    payload = build(rest, making)
    making.ip = around
    length = layer.number("len", 8 + len(payload))
    data = struct.pack("!HHHH", layer.number("sport", making.source_port()),
                       layer.number("", making.port), length & 0xffff, 0) + payload
    return _with_sum(layer, data, 6, _pseudo(making, 17, length))


def _udplite(layer, rest, making):
    data = struct.pack("!HHHH", layer.number("sport", making.source_port()),
                       layer.number("", making.port), 8, 0)
    return _with_sum(layer, data, 6, _pseudo(making, 136, 8)) + build(rest, making)


def _sctp(layer, rest, making):
    """An INIT chunk; nobody looks at the checksum, since nobody here speaks SCTP."""
    return struct.pack("!HHII", layer.number("sport", making.source_port()), layer.number("", making.port),
                       0, 0) + bytes.fromhex("010000140000000100010000000100010000000a") + build(rest, making)


def _type_code(layer, default):
    kind, _, code = layer.text("", default).partition("/")
    return int(kind), int(code or 0)


def _icmp(layer, rest, making):
    kind, code = _type_code(layer, "8")
    around = making.ip
    making.quoted = making.quoted or kind in (3, 4, 5, 11, 12)
    word = layer.number("word", making.number if kind in (0, 8) else 0)
    data = struct.pack("!BBHI", kind, code, 0, word << 16 if kind in (0, 8) else word) + build(rest, making)
    making.ip = around
    return _with_sum(layer, data, 2, b"")


def _icmp6(layer, rest, making):
    kind, code = _type_code(layer, "128")
    around = making.ip
    making.quoted = making.quoted or kind < 128
    word = making.number << 16 if kind in (128, 129) else layer.number("word", 1280 if kind == 2 else 0)
    body = build(rest, making)
    if kind in (135, 136, 137):
        body = layer.address("target", "host", 6) + (layer.address("by", "host", 6) if kind == 137 else b"") + body
    making.ip = around
    data = struct.pack("!BBHI", kind, code, 0, word) + body
    return _with_sum(layer, data, 2, _pseudo(making, 58, len(data)))


def _igmp(layer, rest, making):
    data = bytes([layer.number("", 0x11), 100, 0, 0]) + socket.inet_aton("0.0.0.0")
    return _with_sum(layer, data, 2, b"") + build(rest, making)


def _gre(layer, rest, making):
    kind = ether_type(rest) if not rest or rest[0].name != "eth" else 0x6558
    key = struct.pack("!I", making.number) if layer.number("key") else b""
    return struct.pack("!HH", layer.number("key") << 13 | layer.number("version"),
                       layer.number("type", kind)) + key + build(rest, making)


def _vxlan(layer, rest, making):
    return struct.pack("!II", 0x08000000, layer.number("", 7) << 8) + build(rest, making)


# ---- bytes -------------------------------------------------------------------------------------

def _data(layer, rest, making):
    return bytes(layer.number("", 8)) + build(rest, making)


def _raw(layer, rest, making):
    return layer.bytes("") + build(rest, making)


def _proto(_layer, rest, making):
    return build(rest, making)


def _clip(layer, rest, making):
    return build(rest, making)[:layer.number("")]


def _skip(layer, rest, making):
    return build(rest, making)[layer.number(""):]


def _nothing(_layer, _rest, _making):
    raise ValueError("cut and pad stand at the end")


BUILDERS = {
    "eth": _eth, "vlan": _vlan, "llc": _llc, "snap": _snap, "arp": _arp, "ip4": _ip4, "ip6": _ip6,
    "hop": _options6, "dst": _options6, "route": _route, "frag": _frag, "ah": _ah, "esp": _esp,
    "tcp": _tcp, "udp": _udp, "udplite": _udplite, "sctp": _sctp, "icmp": _icmp, "icmp6": _icmp6,
    "igmp": _igmp, "gre": _gre, "vxlan": _vxlan, "data": _data, "raw": _raw, "proto": _proto,
    "clip": _clip, "skip": _skip, "cut": _nothing, "pad": _nothing,
}

KEYS = {
    "eth": {"dst", "type"}, "vlan": {"", "pcp", "tpid", "type"}, "llc": {"dsap", "ssap"},
    "snap": {"oui", "type"}, "arp": {"", "from", "of", "hw", "of-type"},
    "ip4": {"version", "ihl", "tos", "len", "id", "evil", "df", "mf", "offset", "ttl", "proto", "sum",
            "src", "dst", "options"},
    "ip6": {"version", "class", "flow", "len", "next", "hops", "src", "dst"},
    "hop": {"options", "size", "len", "next"}, "dst": {"options", "size", "len", "next"},
    "route": {"", "left", "segments", "hop", "len", "next"},
    "frag": {"offset", "mf", "bits", "reserved", "id", "next"}, "ah": {"icv", "len", "next"}, "esp": set(),
    "tcp": {"", "sport", "port", "options", "doff", "reserved", "sum", "total", "urgent"},
    "udp": {"", "sport", "len", "sum"}, "udplite": {"", "sport", "sum"}, "sctp": {"", "sport"},
    "icmp": {"", "word", "sum"}, "icmp6": {"", "word", "sum", "target", "by"}, "igmp": {"", "sum"},
    "gre": {"key", "version", "type"}, "vxlan": {""}, "data": {""}, "raw": {""}, "proto": {""},
    "clip": {""}, "skip": {""}, "cut": {""}, "pad": {""},
}
