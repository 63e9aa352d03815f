# SPDX-License-Identifier: GPL-2.0-only
"""
Hosts for end-to-end tests and the demo: network namespaces joined by veth pairs, real
sockets in them, and bulkhead run inside them with pins and state of their own.

One process holds sockets of all hosts: a socket belongs to the namespace in which it was
opened. Everything that a Lab makes carries its suffix and is removed when it ends, on failure
and on SIGINT, SIGTERM and SIGHUP too.
"""

import atexit
import contextlib
import ctypes
import json
import os
import secrets
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BPFFS = "/sys/fs/bpf"

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class LabError(Exception):
    """Something in the laboratory itself went wrong: no verdict on bulkhead."""


class Children:
    """
    The processes that were started, so that none outlives a lab. While one is being started a
    signal has to wait: what it raised would lose the new process out of sight. And where it came
    within a finalizer Python drops what it raises: leave() raises it again.
    """

    def __init__(self):
        self.running = []
        self._starting = False
        self._came = 0  # the number of a signal that has not ended the lab yet

    def start(self, args, **options):
        self._starting = True
        try:
            process = subprocess.Popen(args, **options)
            self.running.append(process)
        finally:
            self._starting = False
        self.leave()
        return process

    def leave(self):
        """Ends the program if a signal has come."""
        if self._came:
            sys.exit(128 + self._came)

    def end_all(self):
        self._came = 0
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.running.clear()

    def interrupted(self, number, _frame):
        """The handler. One signal is enough: no second one may cut the removal short."""
        ignore_signals()
        self._came = number
        if not self._starting:
            self.leave()


CHILDREN = Children()


def run(*args, check=True, timeout=None, within=contextlib.nullcontext(), **options):
    """
    A command's completed process, output as text; killed when it takes longer than timeout. It is
    started within that context.
    """
    with within:
        process = CHILDREN.start(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                 **options)
    with process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    CHILDREN.running.remove(process)
    if -process.returncode in ENDING_SIGNALS:
        # Sent to all of the group; Python may drop one that comes while it forks ("ignored due to
        # race condition").
        CHILDREN.interrupted(-process.returncode, None)
    CHILDREN.leave()
    if check and process.returncode:
        raise LabError(f"{' '.join(args)}: status {process.returncode}\n{out}{err}")
    return subprocess.CompletedProcess(args, process.returncode, out, err)


def bulkhead_program():
    """The program under test: BULKHEAD, or the one that was built."""
    return os.environ.get("BULKHEAD", os.path.join(TOP, "build", "userspace", "cli", "bulkhead"))


def wait_until(condition, seconds=5.0, what="condition"):
    """Polls until condition() is true; its value. LabError when the time is over."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise LabError(f"{what}: not within {seconds} s")
        time.sleep(0.005)


class Host:
    """One namespace."""

    def __init__(self, lab, name):
        self.lab = lab
        self.name = name
        self.netns = f"bh-{lab.suffix}-{name}"
        self.pins = f"{BPFFS}/bh-{lab.suffix}-{name}"
        self.state = os.path.join(lab.folder, f"state-{name}")
        self._fd = None
        # Known to the lab before there is anything to remove: a signal may come at any line.
        lab.hosts[name] = self
        run("ip", "netns", "add", self.netns)
        self._fd = os.open(f"/run/netns/{self.netns}", os.O_RDONLY | os.O_CLOEXEC)
        with self.enter():
            for key in ("all", "default"):
                self.sysctl(f"net/ipv6/conf/{key}/accept_dad", 0)
                self.sysctl(f"net/ipv4/conf/{key}/rp_filter", 0)
        self.run("ip", "link", "set", "lo", "up")

    @contextlib.contextmanager
    def enter(self):
        """This thread stands in the host's namespace, and behind that at home: nothing of another host within."""
        if _libc.setns(self._fd, _CLONE_NEWNET):
            raise LabError(f"setns {self.netns}: {os.strerror(ctypes.get_errno())}")
        try:
            yield
        finally:
            if _libc.setns(self.lab.home, _CLONE_NEWNET):
                raise LabError("setns home failed")

    @staticmethod
    def sysctl(key, value):
        # /proc/sys/net shows the namespace of the opener, so this needs enter().
        with open(f"/proc/sys/{key}", "w", encoding="ascii") as file:
            file.write(str(value))

    def is_up(self, name):
        """The link has its carrier, and no address of it is still tentative."""
        link = json.loads(self.run("ip", "-j", "address", "show", "dev", name).stdout)[0]
        return link["operstate"] == "UP" and not any(
            address.get("tentative") for address in link["addr_info"])

    def run(self, *args, check=True, **options):
        """A command inside the namespace; /sys and its pins stay the outer ones."""
        return run(*args, check=check, within=self.enter(), **options)

    def popen(self, *args, **options):
        """A started command inside the namespace, ended by the lab if it still runs then."""
        with self.enter():
            return CHILDREN.start(args, **options)

    def remove(self):
        """The namespace with all that is in it, and the pins."""
        if os.path.isdir(self.pins):
            self.run(*self.bulkhead_args("detach"), check=False)
            shutil.rmtree(self.pins, ignore_errors=True)
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        if os.path.exists(f"/run/netns/{self.netns}"):
            run("ip", "netns", "delete", self.netns)

    def bulkhead_args(self, command, *args):
        places = [] if "--policy" in args else ["--pins", self.pins, "--state", self.state]
        return [bulkhead_program(), command, *places, *args]

    def bulkhead(self, command, *args, status=0):
        """Runs bulkhead here; the completed process. status None: any."""
        done = self.run(*self.bulkhead_args(command, *args), check=False)
        if status is not None and done.returncode != status:
            raise AssertionError(
                f"bulkhead {command} {' '.join(args)} on {self.name}: status {done.returncode},"
                f" expected {status}\n{done.stdout}{done.stderr}")
        return done

    def bulkhead_json(self, command, *args, status=0):
        return json.loads(self.bulkhead(command, "--json", *args, status=status).stdout)

    def apply(self, policy, *args, host=None, status=0):
        """Writes the policy text to a file of its own and applies it; the interfaces are those
        of the lab unless host.yaml text says otherwise."""
        path = self.lab.write(f"{self.name}.yaml", policy)
        host_path = self.lab.write(f"{self.name}.host.yaml", host or self.host_yaml())
        return self.bulkhead("apply", "--host", host_path, path, *args, status=status)

    def host_yaml(self, extra=""):
        names = ", ".join(sorted(self.lab.interfaces[self.name]))
        return f"bulkhead: 1\ninterfaces: [{names}]\n{extra}"

    def open_socket(self, family, kind, protocol=0):
        with self.enter():
            return socket.socket(family, kind, protocol)

    def listen(self, address, port, backlog=128):
        """A listening TCP socket."""
        family = family_of(address)
        sock = self.open_socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(backlog)
        return sock

    def udp(self, address=None, port=0, family=socket.AF_INET):
        """A UDP socket, bound when an address is given."""
        sock = self.open_socket(family_of(address) if address else family, socket.SOCK_DGRAM)
        if address:
            sock.bind((address, port))
        return sock

    def connect(self, address, port, seconds=1.0, source=None, buffers=None):
        """
        A connected TCP socket, or None when nothing answered in time or it was refused. buffers:
        bytes for both, so that no more are under way at a time.
        """
        sock = self.open_socket(family_of(address), socket.SOCK_STREAM)
        sock.settimeout(seconds)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF) if buffers else ():
            sock.setsockopt(socket.SOL_SOCKET, option, buffers)
        try:
            if source:
                sock.bind(source)
            sock.connect((address, port))
        except (TimeoutError, ConnectionError, OSError):
            sock.close()
            return None
        return sock

    def ping(self, address, count=1, seconds=1.0):
        """How many of count echo requests were answered."""
        done = self.run("ping", "-n", "-c", str(count), "-i", "0.05", "-W", str(seconds),
                        "-6" if ":" in address else "-4", address, check=False)
        for line in done.stdout.splitlines():
            if "received" in line:
                return int(line.split(",")[1].split()[0])
        return 0


class Lab:
    """All hosts of one run. Use as a context."""

    def __init__(self):
        self.suffix = f"{os.getpid():x}"
        self.hosts = {}
        self.interfaces = {}
        self.at_end = []  # functions that end what the hosts are used by
        self.folder = os.path.join(tempfile.gettempdir(),
                                   f"bh-lab-{self.suffix}-{secrets.token_hex(4)}")
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self):
        for number in ENDING_SIGNALS:
            signal.signal(number, CHILDREN.interrupted)
        # For a signal that comes between the end of the block and __exit__.
        atexit.register(self.close)
        ensure_bpffs()
        os.mkdir(self.folder, 0o700)
        return self

    def __exit__(self, *exception):
        ignore_signals()
        self.close()
        atexit.unregister(self.close)
        for number in ENDING_SIGNALS:
            signal.signal(number, signal.SIG_DFL)

    def close(self):
        """Removes all that was made; what cannot be removed is said and does not stop the rest."""
        for end in self.at_end:
            end()
        CHILDREN.end_all()
        for host in self.hosts.values():
            try:
                host.remove()
            except (LabError, OSError) as error:
                print(f"# left behind: namespace {host.netns}: {error}", file=sys.stderr)
        self.hosts.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def host(self, name):
        self.interfaces[name] = []
        return Host(self, name)

    def link(self, one, two, names, addresses, mtu=1500):
        """
        A veth pair between two hosts. names: the interface on each; addresses: for each host a
        list of address/length.
        """
        # Made under names of our own in the namespace of the first host and moved from there.
        one.run("ip", "link", "add", names[0], "mtu", str(mtu), "type", "veth", "peer", "name",
                "bh-peer", "mtu", str(mtu), "netns", two.netns)
        two.run("ip", "link", "set", "bh-peer", "name", names[1])
        for host, name, own in ((one, names[0], addresses[0]), (two, names[1], addresses[1])):
            for address in own:
                nodad = ["nodad"] if ":" in address else []
                host.run("ip", "address", "add", address, "dev", name, *nodad)
            host.run("ip", "link", "set", name, "up")
            self.interfaces[host.name].append(name)
        for host, name in ((one, names[0]), (two, names[1])):
            wait_until(lambda host=host, name=name: host.is_up(name), what=f"{name} up")

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o600)
        return path


def ignore_signals():
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def ensure_bpffs():
    """bpffs at its usual place, as bulkhead itself would mount it."""
    if not os.path.ismount(BPFFS):
        run("mount", "-t", "bpf", "bpf", BPFFS)


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def receive(sock, seconds=1.0, size=65536):
    """One datagram or piece of a stream with its sender; None when none came in time."""
    ready, _, _ = select.select([sock], [], [], seconds)
    return sock.recvfrom(size) if ready else None


def drain(sock):
    """How many datagrams wait in a socket's buffer."""
    count = 0
    while receive(sock, 0):
        count += 1
    return count


def reset(sock):
    """Closes a TCP connection by RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Tap:
    """Collects test functions and prints the Test Anything Protocol."""

    def __init__(self):
        self.tests = []

    def __call__(self, function):
        self.tests.append(function)
        return function

    def main(self):
        """Runs all, or those whose name holds a word of the command line; exits 1 on failure."""
        words = sys.argv[1:]
        chosen = [test for test in self.tests
                  if not words or any(word in test.__name__ for word in words)]
        failed = 0
        print(f"1..{len(chosen)}", flush=True)
        if os.geteuid() != 0:
            for number, test in enumerate(chosen, 1):
                print(f"ok {number} - {test.__name__} # SKIP needs root")
            return
        for number, test in enumerate(chosen, 1):
            try:
                with Lab() as lab:
                    test(lab)
                print(f"ok {number} - {test.__name__}", flush=True)
            except Skip as skip:
                print(f"ok {number} - {test.__name__} # SKIP {skip}", flush=True)
            except Exception:  # pylint: disable=broad-except
                import traceback
                failed += 1
                print(f"not ok {number} - {test.__name__}", flush=True)
                for line in traceback.format_exc().splitlines():
                    print(f"# {line}", flush=True)
        sys.exit(1 if failed else 0)


class Skip(Exception):
    """The test cannot run here; its words say why."""
