#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""
test_output: what no expected text can say of the commands' output. JSON of every command that
needs no policy in force, colours on a terminal, large files. Prints TAP.

usage: test_output.py BULKHEAD [--unmeasured]
"""
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile

from taps import BULKHEAD, CASES, ENV, Skip, Tap, run

UNMEASURED = "--unmeasured" in sys.argv[2:]

# Those that find nothing in force: what they say then is part of the answer.
NOWHERE = ["--pins", "/sys/fs/bpf/bulkhead-nowhere", "--state", "/nonexistent"]
PACKET = ["in", "tcp", "192.0.2.1:40000", "10.0.0.4:443"]

END = b"\0"  # no output holds it

tap = Tap()


def measured(*args):
    """(completed process, its largest memory in kilobytes)"""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen([*BULKHEAD, *args], stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=err, env=ENV)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(args, process.returncode, out.read(),
                                           err.read()), usage.ru_maxrss


def on_terminal(*args, env):
    """
    What a command writes when its output is a terminal: no more than the terminal holds unread. Its
    other end stays open until all is read: a terminal that nobody holds may end with words unread.
    """
    reader, terminal = pty.openpty()
    done = subprocess.run([*BULKHEAD, *args], cwd=CASES, stdin=terminal, stdout=terminal,
                          stderr=terminal, check=False, timeout=60, env={"LC_ALL": "C", **env})
    assert done.returncode >= 0, done
    os.write(terminal, END)
    text = b""
    while not text.endswith(END):
        text += os.read(reader, 65536)
    os.close(terminal)
    os.close(reader)
    return text[:-len(END)].decode()


COMMANDS = [
    (["check", "site.yaml"], 0),
    (["check", "ok-tiers"], 0),
    (["doctor", *NOWHERE[:2]], None),
    (["explain", "--policy", "site.yaml", *PACKET], 0),
    (["explain", "--policy", "site.yaml", *PACKET[:3], "10.0.0.4:1"], 9),
    (["help"], 0),
    (["help", "explain"], 0),
    (["rules", "--policy", "site.yaml"], 0),
    (["test", "site.yaml", "site.table"], 9),
    (["test", "ok-tiers", "site-tiers.table"], 0),
    (["version"], 0),
]


@tap
def json_of_every_command_is_one_object_of_schema_1():
    for args, status in COMMANDS:
        for option in (["--json"], ["-o", "json"], ["--output=json"]):
            done = run(*args, *option)
            assert status is None or done.returncode == status, f"{args}: {done}"
            assert done.stdout.count("\n") == 1 and done.stdout.endswith("\n"), f"{args}: {done}"
            assert json.loads(done.stdout)["schema"] == 1, f"{args}: {done}"
            assert list(json.loads(done.stdout))[0] == "schema", f"{args}: {done}"


@tap
def options_may_stand_before_the_command_and_anywhere_behind_it():
    expected = run("rules", "--json", "--policy", "site.yaml").stdout
    for args in (["--json", "rules", "--policy", "site.yaml"],
                 ["--json", "--policy", "site.yaml", "rules"],
                 ["--policy=site.yaml", "rules", "--json"],
                 ["rules", "--policy", "site.yaml", "-o", "json"]):
        done = run(*args)
        assert (done.returncode, done.stdout) == (0, expected), f"{args}: {done}"
    done = run("check", "site.yaml", "--json", env={"POSIXLY_CORRECT": "1"})
    assert (done.returncode, done.stdout) == (0, run("check", "--json", "site.yaml").stdout), done


@tap
def lists_are_there_when_nothing_is_in_them():
    rules = json.loads(run("rules", "--json", "--policy", "site.yaml").stdout)
    assert rules["rules"] and rules["reasons"] == [], rules
    tested = json.loads(run("test", "--json", "ok-tiers", "site-tiers.table").stdout)
    assert tested["differences"] == tested["explained"] == [], tested
    tested = json.loads(run("test", "--json", "site.yaml", "site.table").stdout)
    packets = [each["packet"] for each in tested["differences"]]
    assert packets and [each["packet"] for each in tested["explained"]] == packets, tested


@tap
def help_says_the_same_three_ways():
    names = [command["name"] for command in json.loads(run("help", "--json").stdout)["commands"]]
    assert names == sorted(names) and "apply" in names, names
    for name in names:
        texts = {run("help", name).stdout, run(name, "--help").stdout, run(name, "-h").stdout}
        assert len(texts) == 1 and texts.pop().startswith(f"usage: bulkhead {name}"), name


@tap
def mistakes_go_to_stderr_and_results_to_stdout():
    done = run("check", "bad-keys.yaml")
    assert done.returncode == 3 and not done.stdout and done.stderr, done
    done = run("check", "--json", "bad-keys.yaml")
    result = json.loads(done.stdout)
    assert done.returncode == 3 == result["error"]["status"] and done.stderr, done
    assert set(result) == {"schema", "error"} and done.stdout.count("\n") == 1, done
    told = [f"{each['file']}:{each['line']}:{each['column']}: {each['words']}"
            for each in result["error"]["messages"]]
    words = [line for line in done.stderr.splitlines() if line.startswith("bad-keys.yaml:")]
    assert sorted(told) == sorted(words) and words, done
    done = run("check", "site.yaml")
    assert done.returncode == 0 and done.stdout and not done.stderr, done


@tap
def warnings_go_to_stderr_and_are_counted_in_the_result():
    done = run("check", "--json", "ok-overlooked")
    assert done.returncode == 0 and json.loads(done.stdout)["warnings"] == 4, done
    assert done.stderr.count("\n") == done.stderr.count("warning: ") == 4, done
    messages = json.loads(done.stdout)["messages"]
    assert [each["level"] for each in messages] == ["warning"] * 4, messages
    assert all(f"warning: {each['words']}\n" in done.stderr for each in messages), done
    assert json.loads(run("check", "--json", "site.yaml").stdout)["messages"] == [], "none"


@tap
def colours_are_for_a_terminal_without_no_color():
    args = ["explain", "--policy", "site.yaml", *PACKET[:3], "10.0.0.4:1"]
    assert "\033[" in on_terminal(*args, env={"TERM": "xterm"}), "none on a terminal"
    for env in ({"TERM": "xterm", "NO_COLOR": "1"}, {"TERM": "dumb"}, {}):
        text = on_terminal(*args, env=env)
        assert "verdict     deny by" in text and "\033" not in text, (env, text)
    assert "\033" not in on_terminal(*args, "--json", env={"TERM": "xterm"})
    assert "\033" not in run(*args, env={"TERM": "xterm"}).stdout
    coloured = on_terminal(*args, env={"TERM": "xterm"})
    plain = on_terminal(*args, env={"TERM": "xterm", "NO_COLOR": ""})
    assert coloured == plain, "an empty NO_COLOR means nothing"


# What retitles a window, clears it, and the same begun by one character of two bytes.
ESCAPES = "a\033]0;title\007\033[2J\u009b2J\n.yaml"


@tap
def paths_do_not_drive_the_terminal():
    with tempfile.TemporaryDirectory() as folder:
        good, bad = (os.path.join(folder, name + ESCAPES) for name in ("good", "bad"))
        missing = os.path.join(folder, "missing" + ESCAPES)
        os.mkdir(os.path.join(folder, "folder" + ESCAPES + ".d"))
        for case, path in (("site.yaml", good), ("bad-keys.yaml", bad)):
            shutil.copy(os.path.join(CASES, case), path)
        table = os.path.join(folder, "table" + ESCAPES)
        with open(table, "w", encoding="ascii") as file:
            file.write(f"{' '.join(PACKET)} = deny allow-web\n")
        for args in (["check", good], ["check", "--dump", good], ["check", bad],
                     ["check", missing], ["check", good, good], ["check", folder], ["check", "--json", good],
                     ["check", "--host", missing, good], ["check", "--host", bad, good],
                     ["explain", "--policy", good, *PACKET], ["rules", "--policy", good],
                     ["rules", "--json", "--policy", good], ["test", good, table],
                     ["test", "--json", good, table], ["prove", good], [ESCAPES],
                     ["check", "--" + ESCAPES], ["help", ESCAPES],
                     ["status", "--pins", missing, "--state", missing],
                     ["rules", "--pins", missing], ["doctor", "--pins", missing]):
            done = run(*args)
            words = (done.stdout + done.stderr).replace("\n", "")
            assert words.isprintable(), f"{args}: {words!r}"


@tap
def a_full_disk_is_a_failure():
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([*BULKHEAD, "check", os.path.join(CASES, "site.yaml")], stdout=full,
                              stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and "cannot write the output" in done.stderr, done


def with_closed(streams, *args):
    """A run whose standard streams of these numbers are closed; a file has its output and its words."""
    with tempfile.TemporaryFile("w+") as file:
        closing = " ".join(f"{number}>&-" for number in streams)
        done = subprocess.run(["sh", "-c", f'exec "$@" {closing}', "sh", *BULKHEAD, *args], cwd=CASES,
                              stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=ENV, check=False)
        file.seek(0)
        return done.returncode, file.read()


@tap
def a_closed_standard_stream_is_no_place_for_the_next_file():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "site.yaml")
        shutil.copy(os.path.join(CASES, "site.yaml"), path)
        open_ones = with_closed("", "check", path)
        assert open_ones[0] == 0 and open_ones[1], open_ones
        assert with_closed("0", "check", path) == open_ones
        assert with_closed("2", "check", path) == open_ones
        words = "cannot write the output: Bad file descriptor\n"
        assert with_closed("1", "check", path) == (1, words), with_closed("1", "check", path)
        assert with_closed("01", "check", path) == (1, words), with_closed("01", "check", path)
        assert with_closed("12", "check", path) == (1, ""), with_closed("12", "check", path)
        assert with_closed("012", "check", path + "-none") == (1, ""), "no such file"


@tap
def no_file_that_is_opened_gets_what_a_closed_stream_was_to_have():
    """A file that is read is written to by nobody, but would say so only if it were open for writing."""
    if not shutil.which("strace"):
        raise Skip("no strace")
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, "log")
        for args in (["check", os.path.join(CASES, "site.yaml")], ["check", "/nonexistent"], ["doctor"]):
            # Who is traced cannot be looked through for leaks.
            subprocess.run(["strace", "-o", log, "-y", "-e", "trace=write", "sh", "-c",
                            'exec "$@" <&- >&- 2>&-', "sh", *BULKHEAD, *args], check=False,
                           env={**ENV, "ASAN_OPTIONS": "detect_leaks=0"})
            with open(log, encoding="utf-8") as file:
                written = [line for line in file if line.startswith("write(")]
            assert written, f"{args}: nothing is written"
            for line in written:
                assert re.match(r"write\([12]</dev/null>", line), f"{args}: {line}"


@tap
def very_many_words_are_no_packet_and_take_no_memory():
    done, kilobytes = measured("explain", "--policy", os.path.join(CASES, "site.yaml"), *PACKET,
                               *["now"] * 15000)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done
    assert "'now' is one word too many" in done.stderr, done
    assert UNMEASURED or kilobytes <= 32_000, f"{kilobytes} KB"


# ---- large files ---------------------------------------------------------------------------------

class Numbers:
    """Numbers that look random and are the same every time."""

    def __init__(self):
        self.state = 1

    def below(self, limit):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return (self.state >> 33) % limit


def prefixes(numbers, n):
    """So many different prefixes: three quarters IPv4, mostly /24."""
    made = {}
    while len(made) < n * 3 // 4:
        bits = (24, 24, 24, 25, 26, 28, 22, 32)[numbers.below(8)]
        first = numbers.below(222) + 1
        if first in (10, 127):
            continue
        address = (first << 24 | numbers.below(1 << 24)) >> (32 - bits) << (32 - bits)
        made[".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0)) + f"/{bits}"] = 1
    while len(made) < n:
        words = [0x2000 + numbers.below(0x1fff)] + [numbers.below(65536) for _ in range(3)]
        made[f'"{":".join(f"{word:x}" for word in words)}::/64"'] = 1
    return list(made)


def write_policy(folder, n_rules, n_prefixes, n_sets):
    numbers = Numbers()
    all_prefixes = prefixes(numbers, n_prefixes)
    share = n_prefixes // n_sets
    path = os.path.join(folder, f"{n_rules}-{n_prefixes}.yaml")
    with open(path, "w", encoding="ascii") as file:
        file.write("bulkhead: 1\ngroup: large\nsets:\n")
        for i in range(n_sets):
            file.write(f"  s{i}: [{', '.join(all_prefixes[i * share:(i + 1) * share])}]\n")
        file.write("rules:\n")
        for i in range(n_rules):
            there = f"s{i % n_sets}"
            inbound = numbers.below(2)
            file.write(
                f"  - {{name: r{i}, priority: {100 + i}, "
                f"direction: {'inbound' if inbound else 'outbound'}, "
                f"access: {('allow', 'deny')[numbers.below(2)]}, "
                f"services: [tcp/{numbers.below(65535)}, udp/{numbers.below(65535)}], "
                f"source: {there if inbound else 'self'}, "
                f"destination: {'self' if inbound else there}}}\n")
    return path


@tap
def a_thousand_rules_over_175000_prefixes_take_at_most_128_mb():
    with tempfile.TemporaryDirectory() as folder:
        done, kilobytes = measured("check", "--json", write_policy(folder, 1000, 175000, 250))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # What touches is one prefix: a few of the 175,000 do.
    assert found["prefixes"] > 170000 and found["rules_inbound"] + found["rules_outbound"] == 1002
    if UNMEASURED:
        raise Skip(f"with sanitizers or in an emulator memory means nothing ({kilobytes} KB)")
    assert kilobytes <= 128_000_000 // 1024, f"{kilobytes} KB"


@tap
def fifty_rules_over_200_prefixes_take_at_most_2_mb_of_tables():
    with tempfile.TemporaryDirectory() as folder:
        done = run("check", "--json", write_policy(folder, 50, 200, 50))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert 190 <= found["prefixes"] <= 200 and found["table_bytes"] <= 2_000_000, found


RULE = ("  - {{name: {name}, priority: {priority}, direction: inbound, access: allow, "
        "services: [{service}], source: {source}, destination: self}}\n")


@tap
def very_many_mistakes_are_told_up_to_ten_thousand_and_counted():
    """By a run that is ended after a minute: a square law would not be through."""
    good = {"name": "r{i}", "priority": 100, "service": "tcp/1", "source": "any"}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "mistakes.yaml")
        for wrong in ({"source": "unknown{i}"}, {"service": "unknown{i}"},
                      {"service": "tpc/1"}, {"name": "r{j}"}):
            with open(path, "w", encoding="ascii") as file:
                file.write("bulkhead: 1\ngroup: large\nrules:\n")
                for i in range(8000):
                    words = {key: str(value).format(i=i, j=i // 2)
                             for key, value in {**good, **wrong}.items()}
                    file.write(RULE.format(**words))
            done = run("check", path)
            assert done.returncode == 3, done.returncode
            told = len(re.findall(r"^/\S+: (?!note: )", done.stderr, re.M))
            more = re.search(r"^(\d+) more messages are not shown", done.stderr, re.M)
            # Besides its own, every rule but the first has the priority of another.
            own = 4000 if "name" in wrong else 8000
            assert told <= 10000, f"{wrong}: {told} told"
            assert told + int(more.group(1)) == own + 7999, f"{wrong}: {told} told"
        with open(path, "w", encoding="ascii") as file:
            file.write("bulkhead: 1\ngroup: large\nsets:\n  s: ["
                       + ", ".join(["10.0.0.1/8"] * 60000) + "]\n")
        done = run("check", path)
        assert done.returncode == 3 and done.stderr.count("host bits") == 10000, "on one line"
        assert done.stderr.endswith("50000 more messages are not shown; expected at most 10000\n")


@tap
def rules_of_very_many_ports_are_listed_in_little_memory():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "ports.yaml")
        with open(path, "w", encoding="ascii") as file:
            file.write("bulkhead: 1\ngroup: large\nservices:\n  s: ["
                       + ", ".join(f"tcp/{port}" for port in range(0, 10000, 2)) + ", "
                       + ", ".join(f"icmp/{i // 256}/{i % 256}" for i in range(1000))
                       + "]\nrules:\n")
            for i in range(10):
                file.write(RULE.format(name=f"r{i}", priority=100 + i, service="s", source="any"))
        done, kilobytes = measured("rules", "--policy", path, "--json")
        assert done.returncode == 0, done.stderr
        protocols = [rule["protocols"] for rule in json.loads(done.stdout)["rules"]]
        assert protocols[0].startswith("tcp/0,2,4,6,8,"), protocols[0][:100]
        assert protocols[0].endswith(",9998 " + " ".join(
            f"icmp/{i // 256}/{i % 256}" for i in range(1000))), protocols[0][-100:]
        assert UNMEASURED or kilobytes <= 128_000, f"{kilobytes} KB"


@tap
def a_file_over_10_mb_is_refused_unread():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "large.yaml")
        with open(path, "w", encoding="ascii") as file:
            file.write("bulkhead: 1\ngroup: large\n")
            file.truncate(10 * 1024 * 1024 + 1)
        done = run("check", path)
        assert done.returncode == 3, done
        assert done.stderr == f"'{path}' has 10485761 bytes; expected at most 10485760\n", done


if __name__ == "__main__":
    tap.main()
