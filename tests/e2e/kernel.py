# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel itself says, without bulkhead: programs at hooks, pins."""

import ctypes
import os
import re
import socket
import struct

from netlab import TOP

_libc = ctypes.CDLL(None, use_errno=True)
_NR_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
_MAP_LOOKUP_ELEM, _OBJ_GET, _PROG_QUERY, _LINK_GET_FD_BY_ID = 1, 7, 16, 30
_TCX_INGRESS, _TCX_EGRESS = 46, 47

# linux/rtnetlink.h, linux/if_link.h, linux/pkt_cls.h; a program of each mode has an attribute.
_GETLINK, _GETTFILTER, _DUMP = 18, 46, 0x300
_IFLA_XDP, _IFLA_XDP_MODES = 43, (5, 6, 7)
_TCA_OPTIONS, _TCA_BPF_ID = 2, 11


def _version():
    """The folder of the pins of this ABI version, below those of all: "v5"."""
    with open(os.path.join(TOP, "bpf", "abi.h"), encoding="utf-8") as file:
        return "v" + re.search(r"#define BH_ABI_VERSION (\d+)", file.read()).group(1)


VERSION = _version()


def ifindex(host, name):
    with host.enter():
        return socket.if_nametoindex(name)


def _query(index, attach_type):
    """Ids of the programs at a tcx hook; none where the kernel has no tcx."""
    ids = (ctypes.c_uint32 * 64)()
    attr = ctypes.create_string_buffer(
        struct.pack("=IIIIQI", index, attach_type, 0, 0, ctypes.addressof(ids), 64), 128)
    if _libc.syscall(_NR_BPF, _PROG_QUERY, attr, 128):
        return []
    return list(ids[:struct.unpack_from("=I", attr, 24)[0]])


def _attributes(data):
    """{type: value} of netlink attributes that stand behind each other."""
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        found[kind & 0x3FFF] = data[4:length]
        data = data[(length + 3) & ~3:]
    return found


def _ask(sock, kind, flags, request):
    """The bodies of the messages that rtnetlink answers a request with."""
    sock.send(struct.pack("=IHHII", 16 + len(request), kind, 1 | flags, 0, 0) + request)
    bodies = []
    while True:
        data = sock.recv(1 << 20)
        while data:
            length, answer = struct.unpack_from("=IH", data)
            if answer in (2, 3):  # an error, or the end, with a status each
                error = struct.unpack_from("=i", data, 16)[0]
                if error:
                    raise OSError(-error, f"netlink request {kind}")
                return bodies
            bodies.append(data[16:length])
            data = data[(length + 3) & ~3:]
        if not flags:
            return bodies


def _xdp(sock, index):
    """Ids of the XDP programs of a link, in each mode that has one."""
    link, = _ask(sock, _GETLINK, 0, struct.pack("=BxHiII", 0, 0, index, 0, 0))
    xdp = _attributes(_attributes(link[16:]).get(_IFLA_XDP, b""))
    modes = [xdp[mode] for mode in _IFLA_XDP_MODES if mode in xdp]
    return [struct.unpack("=I", number)[0] for number in modes]


def _filters(sock, index, way):
    """Ids of the programs of cls_bpf in clsact of a link."""
    parent = 0xFFFFFFF2 if way == "in" else 0xFFFFFFF3
    answers = _ask(sock, _GETTFILTER, _DUMP, struct.pack("=BxxxiIII", 0, index, 0, parent, 0))
    options = [_attributes(_attributes(answer[20:]).get(_TCA_OPTIONS, b"")) for answer in answers]
    return [struct.unpack("=I", each[_TCA_BPF_ID])[0] for each in options if _TCA_BPF_ID in each]


def programs(host, index, way):
    """Ids of all programs at the hooks of a link for what comes in, or goes out: XDP, tcx, clsact."""
    with host.enter():
        ids = _query(index, _TCX_INGRESS if way == "in" else _TCX_EGRESS)
    with host.open_socket(socket.AF_NETLINK, socket.SOCK_RAW) as sock:
        if way == "in":
            ids += _xdp(sock, index)
        return ids + _filters(sock, index, way)


def tree(path):
    """All files below a folder, relative to it, sorted; none when there is no such folder."""
    return sorted(os.path.relpath(os.path.join(top, name), path)
                  for top, _, names in os.walk(path) for name in names)


def open_pin(path):
    """A descriptor of what is pinned there."""
    name = ctypes.create_string_buffer(path.encode())
    attr = ctypes.create_string_buffer(struct.pack("=QII", ctypes.addressof(name), 0, 0), 128)
    fd = _libc.syscall(_NR_BPF, _OBJ_GET, attr, 128)
    if fd < 0:
        raise OSError(ctypes.get_errno(), path)
    return fd


def element(path, size):
    """The first element of an array that is pinned there, of that many bytes."""
    fd, key, value = open_pin(path), ctypes.c_uint32(0), ctypes.create_string_buffer(size)
    attr = ctypes.create_string_buffer(
        struct.pack("=IIQQQ", fd, 0, ctypes.addressof(key), ctypes.addressof(value), 0), 128)
    try:
        if _libc.syscall(_NR_BPF, _MAP_LOOKUP_ELEM, attr, 128):
            raise OSError(ctypes.get_errno(), path)
        return value.raw
    finally:
        os.close(fd)


def link(path):
    """The id of the bpf link that is pinned there."""
    fd = open_pin(path)
    try:
        with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("link_id"))
    finally:
        os.close(fd)


def has_link(number):
    """Whether a bpf link can be opened by its id; one that goes cannot, though it may still filter."""
    attr = ctypes.create_string_buffer(struct.pack("=I", number), 128)
    fd = _libc.syscall(_NR_BPF, _LINK_GET_FD_BY_ID, attr, 128)
    if fd >= 0:
        os.close(fd)
    return fd >= 0
