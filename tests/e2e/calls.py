# SPDX-License-Identifier: GPL-2.0-only
"""
The system calls of one run of bulkhead, and runs that end or fail at one of them, by strace.

Only calls that change something outside the process part one state of the world from the next:
a run that dies anywhere between two of them leaves the same behind. So the calls of a run fall into
moments, each a stretch of calls that change nothing and the one behind it that does. A kill strikes
before its call takes effect.
"""

import contextlib
import os
import re
import signal
import subprocess

from netlab import LabError, wait_until

LONG = os.environ.get("BULKHEAD_LONG") == "1"

# What is known to change nothing that outlives the process. Everything else counts as a change.
_HARMLESS_NAMES = set("""
    access arch_prctl bind brk capget capset clock_gettime clock_nanosleep clone close dup3
    execve exit_group faccessat2 fcntl fstat futex getcwd getdents64 getegid geteuid getgid getpid getppid
    getrandom getsockname gettid getuid ioctl lseek madvise mprotect munmap newfstatat poll prctl pread64
    prlimit64 read readlink recvfrom recvmsg rseq rt_sigaction rt_sigprocmask set_robust_list
    set_tid_address setsockopt socket statfs sysinfo uname unshare wait4
""".split())
_HARMLESS = re.compile(
    r"mmap\((?!.*MAP_SHARED)"  # the flip is a store into shared memory, seen at the next call
    r"|openat\((?!.*(O_CREAT|O_TRUNC|O_WRONLY|O_RDWR))"
    r"|sendto\(.*NLM_F_DUMP"
    r"|bpf\(BPF_(MAP_LOOKUP_ELEM|MAP_GET_FD_BY_ID|MAP_GET_NEXT_ID|PROG_GET_FD_BY_ID|MAP_CREATE"
    r"|LINK_GET_FD_BY_ID|LINK_GET_NEXT_ID|OBJ_GET_INFO_BY_FD|OBJ_GET|PROG_LOAD|BTF_LOAD|MAP_FREEZE"
    r"|PROG_QUERY|PROG_BIND_MAP),"  # a PROG_TEST_RUN may carry flows over
    r"|bpf\(BPF_LINK_CREATE,.*target_ifindex=2147483632")  # the probe's link that cannot exist


class Call:
    """One call: its name, its number among those of the name, and what strace wrote of it."""

    def __init__(self, name, number, text):
        self.name, self.number, self.text = name, number, text
        self.stack = ()  # the frames that led to it, when they were asked for
        self.changes = not (name in _HARMLESS_NAMES or _HARMLESS.match(text))

    def __str__(self):
        return f"{self.name} #{self.number}: {self.text[:90]}"

    def is_in(self, function):
        """Whether that function has led to it; of a call whose frames were asked for."""
        return any(f"({function}+" in frame for frame in self.stack)

    def head(self):
        """What must be the same in another run: the name, and the command of bpf."""
        return re.match(r"\w+\((BPF_\w+)?", self.text).group(0)


def parse(log):
    """The calls in a log of strace."""
    count, calls = {}, []
    with open(log, encoding="utf-8", errors="replace") as file:
        for line in file:
            match = re.match(r"(?:\d+ +)?((\w+)\(.*)", line)  # a process where children are followed
            if match:
                text, name = match.groups()
                count[name] = count.get(name, 0) + 1
                calls.append(Call(name, count[name], text))
            elif line.startswith(" > "):
                calls[-1].stack += (line.split()[1],)
    return calls


def sites(calls):
    """
    The calls by where they are made: one list for each way that leads from main to a call. What the
    dynamic loader does before main is not ours.
    """
    by_site = {}
    for call in calls:
        if any("(main+" in frame for frame in call.stack):
            by_site.setdefault((call.name, call.stack), []).append(call)
    return list(by_site.values())


def moments(calls):
    """The calls, parted behind each one that changes something."""
    stretches = [[]]
    for call in calls:
        stretches[-1].append(call)
        if call.changes:
            stretches.append([])
    return [stretch for stretch in stretches if stretch]


def draw(stretches, generator):
    """One call of each moment; with BULKHEAD_LONG every call."""
    return [call for moment in stretches
            for call in (moment if LONG else [generator.choice(moment)])]


def child_of(parent):
    """The process whose parent that is."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                if int(file.read().rpartition(")")[2].split()[1]) == parent:
                    return int(name)
        except OSError:
            continue  # it has ended
    raise LabError(f"process {parent} has no child")


def _inject(call, what):
    """Options of strace: calls of that name alone are written down, the others only passed on."""
    return ["-e", f"trace={call.name}", "-e", f"inject={call.name}:{what}:when={call.number}"]


class Tracer:
    """Runs bulkhead on a host under strace."""

    def __init__(self, host):
        self.host = host
        self.log = os.path.join(host.lab.folder, f"strace-{host.name}")

    def _run(self, options, command, args, **kwargs):
        return self.host.run("strace", "-o", self.log, *options,
                             *self.host.bulkhead_args(command, *args), check=False, **kwargs)

    def list(self, command, *args):
        """The calls of a run that must succeed."""
        done = self._run([], command, args)
        assert done.returncode == 0, f"{command}: status {done.returncode}\n{done.stderr}"
        return parse(self.log)

    def run(self, command, *args):
        """A run that need not succeed; the completed process. Its calls are in the log."""
        return self._run([], command, args)

    def list_with_stacks(self, command, *args):
        """The same, each with its frames."""
        done = self._run(["-k"], command, args)
        assert done.returncode == 0, f"{command}: status {done.returncode}\n{done.stderr}"
        return parse(self.log)

    def kill(self, call, command, *args):
        """
        A run that is killed before the call. True: it was; False: it had ended by then, which
        calls at the end of a run may come to.
        """
        done = self._run(_inject(call, "signal=KILL"), command, args)
        if done.returncode == 0:
            return False
        assert done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), \
            f"{command} failed before {call}: status {done.returncode}\n{done.stderr}"
        last = parse(self.log)[-1]
        assert last.head() == call.head(), f"killed at {last}, and not at {call}"
        return True

    def stop(self, call, look, command, *args, status=0):
        """
        A run that is stopped at the call, where look(pid) is called, and that must end with that
        status then; its words.
        """
        with open(self.log, "w", encoding="ascii"):
            pass  # not that of the run before
        strace = self.host.popen(
            "strace", "-o", self.log, *_inject(call, "signal=STOP"),
            *self.host.bulkhead_args(command, *args), stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True)
        wait_until(lambda: strace.poll() is not None or "--- stopped by SIGSTOP ---" in
                   open(self.log, encoding="utf-8", errors="replace").read(), 60, f"{call}")
        assert strace.poll() is None, f"{command} was not stopped at {call}: {strace.stderr.read()}"
        stopped = [each for each in parse(self.log) if each.name == call.name]
        assert stopped and stopped[-1].head() == call.head(), \
            f"stopped at {stopped[-1:]}, and not at {call}"
        pid = child_of(strace.pid)
        look(pid)
        with contextlib.suppress(ProcessLookupError):  # it was not to go on
            os.kill(pid, signal.SIGCONT)
        _, words = strace.communicate()
        assert strace.returncode == status, \
            f"{command}, stopped at {call}: status {strace.returncode}: {words}"
        return words

    def skip(self, call, command, *args):
        """A run in which the call does nothing and says that it has; the completed process."""
        return self._run(["-e", f"inject={call.name}:retval=0:when={call.number}"], command, args,
                         timeout=60)

    def fail(self, call, error, command, *args):
        """
        A run in which the call fails with that error; the completed process. It is stopped at no call of
        another name, which strace 6.1 can only do where it sends no signal, and children are followed.
        """
        return self._run(["-f", "--seccomp-bpf"] + _inject(call, f"error={error}"), command,
                         args, timeout=60)
