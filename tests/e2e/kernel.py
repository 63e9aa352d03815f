# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel itself says, without bulkhead: programs at hooks, pins."""

import ctypes
import json
import os
import re
import struct

from netlab import TOP

_libc = ctypes.CDLL(None, use_errno=True)
_NR_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
_MAP_LOOKUP_ELEM, _OBJ_GET, _PROG_QUERY, _LINK_GET_FD_BY_ID = 1, 7, 16, 30
_XDP, _TCX_INGRESS, _TCX_EGRESS = 37, 46, 47


def _version():
    """The folder of the pins of this ABI version, below those of all: "v5"."""
    with open(os.path.join(TOP, "bpf", "abi.h"), encoding="utf-8") as file:
        return "v" + re.search(r"#define BH_ABI_VERSION (\d+)", file.read()).group(1)


VERSION = _version()


def ifindex(host, name):
    return json.loads(host.run("ip", "-j", "link", "show", "dev", name).stdout)[0]["ifindex"]


def _query(index, attach_type):
    """Ids of the programs at a tcx hook; none where the kernel has no tcx."""
    ids = (ctypes.c_uint32 * 64)()
    attr = ctypes.create_string_buffer(
        struct.pack("=IIIIQI", index, attach_type, 0, 0, ctypes.addressof(ids), 64), 128)
    if _libc.syscall(_NR_BPF, _PROG_QUERY, attr, 128):
        return []
    return list(ids[:struct.unpack_from("=I", attr, 24)[0]])


def programs(host, index, way):
    """Ids of all programs at the hooks of a link for what comes in, or goes out: XDP, tcx, clsact."""
    with host.enter():
        ids = _query(index, _TCX_INGRESS if way == "in" else _TCX_EGRESS)
    link = json.loads(host.run("ip", "-j", "-d", "link").stdout)
    name = next(each["ifname"] for each in link if each["ifindex"] == index)
    if way == "in":
        ids += [each["xdp"]["prog"]["id"] for each in link
                if each["ifindex"] == index and "xdp" in each]
    filters = json.loads(host.run("tc", "-j", "filter", "show", "dev", name,
                                  "ingress" if way == "in" else "egress").stdout or "[]")
    return ids + [each["options"]["prog"]["id"] for each in filters if "prog" in
                  each.get("options", {})]


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
