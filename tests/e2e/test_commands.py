#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The commands on a policy in force: what each says, and every exit status of the table."""

import datetime
import glob
import hashlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import kernel
from netlab import Skip, Tap, bulkhead_program, receive, run, wait_until
from test_hooks import FOREIGN
from test_traffic import BASE, HOST, PEER, expect, pair
from traffic import ARRIVES, DENIED, ask, greeted, rules, serve, talk
from turns import untold

tap = Tap()

LOGGED = """\
bulkhead: 1
group: logged
rules:
  - {name: web, priority: 100, direction: inbound, access: allow, services: [tcp/80],
     source: any, destination: self, log: true}
  - {name: quiet, priority: 110, direction: inbound, access: allow, services: [udp/53],
     source: any, destination: self}
  - {name: closed, priority: 120, direction: inbound, access: deny, services: [udp/54],
     source: any, destination: any, log: true}
"""


def with_servers(lab, policy=BASE):
    peer, host = pair(lab)
    for version in (4, 6):
        for port in (22, 53, 80):
            serve(host, HOST[version], port)
        serve(peer, PEER[version], 5432)
    host.apply(policy)
    return peer, host


def explain(host, packet, *args, status=None):
    done = host.bulkhead("explain", "--json", *args, packet, status=status)
    return json.loads(done.stdout)["explained"][0]


# ---- output that cannot be written ----

@tap
def what_was_done_is_told_where_the_output_cannot_be_written(lab):
    """Whoever sees the exit status alone would take it for a refusal."""
    _, host = pair(lab)
    policy = lab.write("policy.yaml", BASE)
    full = ["sh", "-c", 'exec "$@" >/dev/full', "sh"]
    for command, done in ((["apply", "--host", lab.write("host.yaml", host.host_yaml()), policy],
                           "generation 1 is in force, but "),
                          (["status"], ""),
                          (["detach"], "no longer enforcing, but "), (["detach"], "")):
        for form in ([], ["--json"]):
            said = host.run(*full, *host.bulkhead_args(*command, *form), check=False)
            expect((said.returncode, said.stderr),
                   (1, f"{done}cannot write the output: No space left on device\n"),
                   f"{command[0]} {form}")
            if command[0] == "detach":
                break


@tap
def a_closed_stdout_is_told_and_no_file_is_opened_in_its_place(lab):
    """What stats waits with was open there."""
    _, host = pair(lab)
    closed = ["sh", "-c", 'exec "$@" >&-', "sh"]
    for command, done in ((["apply", "--host", lab.write("host.yaml", host.host_yaml()),
                            lab.write("policy.yaml", BASE)], "generation 1 is in force, but "),
                          (["stats", "--interval", "1", "--count", "1"], ""),
                          (["detach"], "no longer enforcing, but ")):
        said = host.run(*closed, *host.bulkhead_args(*command), check=False)
        expect((said.returncode, said.stderr),
               (1, f"{done}cannot write the output: Bad file descriptor\n"), command[0])


# ---- exit statuses -------------------------------------------------------------------------------

@tap
def status_0_and_1_done_and_failed(lab):
    _, host = pair(lab)
    host.apply(BASE, status=0)
    host.bulkhead("detach", status=0)
    for command in ("rules", "flows", "stats", "watch"):
        done = host.bulkhead(command, status=1)
        assert "bulkhead does not enforce here" in done.stderr, done.stderr
        assert host.pins in done.stderr and done.stderr.count("\n") == 1, done.stderr
        expect(done.stdout, "", f"stdout of {command}")
    done = host.bulkhead("explain", f"in tcp {PEER[4]}:1 {HOST[4]}:80", status=1)
    assert "bulkhead does not enforce here" in done.stderr, done.stderr
    missing = os.path.join(lab.folder, "missing.yaml")
    done = host.bulkhead("apply", missing, status=1)
    expect(done.stderr, f"cannot open '{missing}': No such file or directory\n", "words")


@tap
def a_journal_and_no_other_stderr_is_told_the_level_of_a_message(lab):
    missing = os.path.join(lab.folder, "missing.yaml")
    words = f"cannot open '{missing}': No such file or directory\n"
    for inode, expected in ((0, f"<3>{words}"), (1, words)):
        with open(lab.write("stderr", ""), "r+", encoding="utf-8") as err:
            at = os.fstat(err.fileno())
            env = {**os.environ, "JOURNAL_STREAM": f"{at.st_dev}:{at.st_ino + inode}"}
            subprocess.run([bulkhead_program(), "check", missing], stderr=err, env=env, check=False)
            err.seek(0)
            expect(err.read(), expected, "words")


@tap
def status_2_wrong_usage_touches_nothing(lab):
    _, host = pair(lab)
    path = lab.write("base.yaml", BASE)
    done = host.bulkhead("apply", "--nosuch", path, status=2)
    assert done.stderr.count("\n") == 1 and not done.stdout, done
    assert not os.path.exists(host.state) and not os.path.exists(host.pins)


@tap
def status_3_an_invalid_policy_leaves_the_one_in_force(lab):
    peer, host = with_servers(lab)
    before = host.bulkhead_json("status")
    done = host.apply(BASE.replace("services: [tcp/80", "services: [tpc/80"), status=3)
    assert "host.yaml:5:" in done.stderr and "did you mean 'tcp'?" in done.stderr, done.stderr
    done = host.apply("bulkhead: 1\nsets:\n  corp: [10.0.0.0/8]\n", status=3)
    assert "no file has a group" in done.stderr, done.stderr
    done = host.apply(BASE, host="bulkhead: 1\ninterfaces: [eth0]\nmode: off\n", status=3)
    assert "'mode' is 'off'; expected enforce or audit" in done.stderr, done.stderr
    expect(host.bulkhead_json("status", status=None)["generation"], before["generation"],
           "generation")
    expect(talk(peer, HOST[4], 80), ARRIVES, "tcp 80")
    expect(talk(peer, HOST[4], 22, 0.3), DENIED, "tcp 22")


@tap
def status_3_policy_files_that_others_may_write(lab):
    _, host = pair(lab)
    path = lab.write("base.yaml", BASE)
    host_yaml = lab.write("host.yaml", host.host_yaml())
    args = ["--host", host_yaml, path]
    os.chmod(path, 0o666)
    done = host.bulkhead("apply", *args, status=3)
    assert f"{path}: anybody may write this file (mode 0666)" in done.stderr, done.stderr
    os.chmod(path, 0o600)
    os.chown(path, 4321, 0)
    done = host.bulkhead("apply", *args, status=3)
    assert f"{path}: the owner (uid 4321) is neither root nor the caller" in done.stderr, done
    os.chmod(host_yaml, 0o602)
    done = host.bulkhead("apply", *args, status=3)
    assert host_yaml in done.stderr and path in done.stderr, "both are told"
    # The caller is who called sudo.
    os.chmod(host_yaml, 0o600)
    done = host.run(*host.bulkhead_args("apply", *args), check=False,
                    env={**os.environ, "SUDO_UID": "4321"})
    expect(done.returncode, 0, f"with SUDO_UID: {done.stderr}")
    host.bulkhead("detach")
    os.chmod(path, 0o646)
    host.bulkhead("apply", "--allow-writable", *args, status=0)


@tap
def status_4_a_link_that_is_missing_or_cannot_be_covered(lab):
    _, host = pair(lab)
    done = host.apply(BASE, host="bulkhead: 1\ninterfaces: [eth0, eth7]\n", status=4)
    assert "'eth7'" in done.stderr and "host.host.yaml:2:20" in done.stderr, done.stderr
    done = host.apply(BASE, host="bulkhead: 1\ninterfaces: [\"en*\"]\n", status=4)
    assert "'en*'" in done.stderr, done.stderr
    done = host.apply(BASE, "--interface", "nothere0", status=4)
    assert "'nothere0'" in done.stderr, done.stderr
    done = host.apply(BASE, host="bulkhead: 1\n", status=4)
    assert "no Ethernet link with a device behind it; name the links" in done.stderr, done.stderr
    done = host.apply(BASE, host="bulkhead: 1\ninterfaces: [lo]\n", status=4)
    assert "'lo'" in done.stderr, done.stderr
    assert not os.path.exists(host.pins) or not os.listdir(host.pins), "pins were made"
    host.apply(BASE, "--interface", "eth0", host="bulkhead: 1\ninterfaces: [nothere0]\n")
    expect([link["name"] for link in host.bulkhead_json("status")["links"]], ["eth0"], "links")


def too_many_rules(lab):
    """Eight groups of tier admin with every priority in both directions, and one on the nic."""
    paths = [lab.write("nic.yaml", "bulkhead: 1\ngroup: nic\n")]
    for number in range(8):
        lines = [f"bulkhead: 1\ngroup: g{number}\ntier: admin\norder: {number}\nrules:\n"]
        lines += [f"  - {{name: {way[0]}{i}, priority: {i}, direction: {way}, access: deny, "
                  f"services: [tcp/{i}], source: any, destination: any}}\n"
                  for way in ("inbound", "outbound") for i in range(1, 4097)]
        paths.append(lab.write(f"admin{number}.yaml", "".join(lines)))
    return paths


@tap
def a_veth_is_not_taken_for_the_card_of_the_host_that_sys_shows(lab):
    """The network namespace alone is another; /sys goes on showing the links of the host."""
    cards = sorted(glob.glob("/sys/class/net/*/device"))
    if not cards:
        raise Skip("no link of this machine has a device behind it")
    folder = os.path.dirname(cards[0])
    name = os.path.basename(folder)
    with open(f"{folder}/ifindex", encoding="ascii") as file:
        ifindex = file.read().strip()
    host = lab.host("host")
    host.run("ip", "link", "add", name, "index", ifindex, "type", "veth", "peer", "name", "bh-peer")
    links = [line["words"] for line in host.bulkhead_json("doctor", status=None)["findings"]
             if line["subject"] == "link" and ": veth, " in line["words"]]
    expect(len(links), 2, f"links: {links}")
    assert all("auto: no device behind it" in words for words in links), links
    assert any(words.startswith(f"{name}: veth, ") for words in links), links
    done = host.apply(BASE, host="bulkhead: 1\n", status=4)
    assert "no Ethernet link with a device behind it" in done.stderr, done.stderr


@tap
def what_is_refused_is_an_error_in_json(lab):
    """With the exit status, and the words that are on stderr."""
    _, host = pair(lab)

    def refused(done, meaning):
        error = json.loads(done.stdout)["error"]
        expect((error["status"], error["meaning"]), (done.returncode, meaning), "error")
        assert all(message["words"] in done.stderr for message in error["messages"]), done
        return [(message["level"], message["file"], message["line"], message["column"])
                for message in error["messages"]]

    for command in ("rules", "flows", "stats", "watch"):
        expect(refused(host.bulkhead(command, "--json", status=1), "failed"),
               [("error", "", 0, 0)], command)
    host_yaml = os.path.join(lab.folder, "host.host.yaml")
    done = host.apply(BASE, "--json", host="bulkhead: 1\ninterfaces: [eth0, eth7]\n", status=4)
    expect(refused(done, "cannot attach"), [("error", "", 0, 0), ("note", host_yaml, 2, 20)], "link")
    done = host.apply(BASE.replace("tcp/80", "tpc/80"), "--json", status=3)
    expect([line for _, _, line, _ in refused(done, "policy invalid")], [5], "lines")
    done = host.bulkhead("status", "--json", status=9)
    assert "error" not in json.loads(done.stdout), "an answer is no error"


@tap
def status_5_over_a_limit_with_the_arithmetic(lab):
    _, host = pair(lab)
    done = host.bulkhead("apply", "--host", lab.write("h.yaml", host.host_yaml()),
                         *too_many_rules(lab), status=5)
    expect(done.stderr, "65538 rules, default rules included; at most 65534 fit (the largest "
           "group, 'g0', has 8192)\n", "words")
    # More own addresses than their table holds.
    host.run("ip", "-batch", lab.write("addresses", "".join(
        f"address add 10.{i // 250}.{i % 250}.1/32 dev eth0\n" for i in range(6000))))
    done = host.apply(BASE, status=5)
    assert "6003 own addresses are too many" in done.stderr, done.stderr
    found, _ = doctor(host, host.host_yaml(), 9)
    expect(found["error", "self"], [done.stderr.rstrip("\n")], "what doctor says of it")
    assert not os.path.exists(host.pins) or not os.listdir(host.pins), "pins were made"
    host.bulkhead("status", status=9)


@tap
def an_own_address_that_is_ipv4_mapped_is_known_again(lab):
    _, host = pair(lab)
    host.run("ip", "address", "add", "::ffff:192.0.2.77/128", "dev", "eth0")
    host.apply(BASE)
    host.bulkhead("status")
    expect(json.loads(host.apply(BASE, "--json").stdout)["changed"], False, "changed")


@tap
def status_6_a_kernel_that_lacks_something_is_told_before_anything_is_attached(lab):
    """strace answers for the kernel: it knows no call, or none that makes maps."""
    if not shutil.which("strace"):
        raise Skip("strace is not installed")
    _, host = pair(lab)
    path = lab.write("base.yaml", BASE)
    host_yaml = lab.write("host.yaml", host.host_yaml())
    done = host.run("strace", "-f", "-o", "/dev/null", "-e", "trace=bpf", "-e",
                    "inject=bpf:error=ENOSYS",
                    *host.bulkhead_args("apply", "--host", host_yaml, path), check=False)
    expect(done.returncode, 6, f"status: {done.stderr}")
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("kernel "), done.stderr
    for words in ("the bpf system call", "XDP links (5.9)", "ring buffers (5.8)",
                  "bulkhead needs Linux 5.14 or later, and nothing was attached"):
        assert words in done.stderr, done.stderr
    assert "xdp" not in host.run("ip", "-d", "link", "show", "dev", "eth0").stdout
    assert not os.path.exists(host.pins) or not os.listdir(host.pins), "pins were made"


@tap
def status_9_the_answer_is_no(lab):
    _, host = pair(lab)
    host.bulkhead("status", status=9)
    path = lab.write("base.yaml", BASE)
    packet = f"in tcp {PEER[4]}:40000 {HOST[4]}:22"
    host.bulkhead("explain", "--policy", path, packet, status=9)
    table = lab.write("t.table", f"{packet} = allow web\n")
    expect(run(bulkhead_program(), "test", path, table, check=False).returncode, 9, "test")
    host.apply(BASE)
    host.bulkhead("status", status=0)
    host.bulkhead("explain", packet, status=9)
    host.bulkhead("explain", packet.replace(":22", ":80"), status=0)


# ---- apply and status ----------------------------------------------------------------------------

@tap
def without_words_files_are_those_of_etc_bulkhead(lab):
    """In a mount namespace of its own, under an /etc that has nothing else."""
    _, host = pair(lab)
    path = lab.write("policy.yaml", BASE)
    script = """
mount -t tmpfs none /etc && mkdir -p /etc/bulkhead/policy.d || exit 100
cp "$2" /etc/bulkhead/policy.d/10-base.yaml
printf 'bulkhead: 1\nmode: audit\ninterfaces: [eth0]\n' > /etc/bulkhead/host.yaml
"$1" apply --pins "$3" --state "$4" && "$1" status --json --pins "$3" --state "$4"
"""
    done = host.run("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh",
                    host.bulkhead_args("apply")[0], path, host.pins, host.state, check=False)
    expect(done.returncode, 0, f"status: {done.stdout}{done.stderr}")
    status = json.loads(done.stdout.splitlines()[-1])
    expect(([file["path"] for file in status["files"]], status["mode"]),
           (["/etc/bulkhead/host.yaml", "/etc/bulkhead/policy.d/10-base.yaml"], "audit"), "in force")


@tap
def a_host_yaml_that_comes_after_an_apply_without_one_is_told(lab):
    """In the default place; and not where the apply had one, wherever it was."""
    _, host = pair(lab)
    folder = os.path.join(lab.folder, "parts")  # of one group; the second has nothing but sets
    os.mkdir(folder, 0o700)
    lab.write("parts/a.yaml", BASE)
    lab.write("parts/b.yaml", "bulkhead: 1\ngroup: base\nsets: {unused: [192.0.2.1]}\n")
    script = """
mount -t tmpfs none /etc && mkdir -p /etc/bulkhead || exit 100
"$1" apply --interface eth0 --pins "$3" --state "$4" $5 "$2" >/dev/null || exit 101
"$1" status --pins "$3" --state "$4" >/dev/null || exit 102
printf 'bulkhead: 1\n' > /etc/bulkhead/host.yaml
"$1" status --pins "$3" --state "$4"
"""
    other = lab.write("other.yaml", "bulkhead: 1\n")
    for option, status in (("", 9), (f"--host {other}", 0)):
        done = host.run("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh",
                        bulkhead_program(), folder, host.pins, host.state,
                        option, check=False)
        said = "file '/etc/bulkhead/host.yaml' has come to where 'apply' looks" in done.stdout
        expect((done.returncode, said), (status, status == 9), done.stdout + done.stderr)


@tap
def a_host_yaml_that_cannot_be_reached_is_not_a_missing_one(lab):
    """As root without the capabilities that look over modes."""
    _, host = pair(lab)
    path = lab.write("policy.yaml", BASE)
    script = """
mount -t tmpfs none /etc && eval "$3" || exit 100
exec setpriv --bounding-set=-dac_override,-dac_read_search "$1" check "$2"
"""
    made = "mkdir /etc/bulkhead && ln -s {} /etc/bulkhead/host.yaml"
    for setup, words in (("true", None), ("mkdir /etc/bulkhead", None),
                         (made.format("nowhere"), "No such file or directory"),
                         (made.format("host.yaml"), "Too many levels of symbolic links"),
                         ("mkdir -m 0 /etc/bulkhead", "Permission denied"),
                         ("touch /etc/bulkhead", "Not a directory")):
        done = host.run("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh",
                        bulkhead_program(), path, setup, check=False)
        expect((done.returncode, done.stderr),
               (1, f"cannot open '/etc/bulkhead/host.yaml': {words}\n") if words else (0, ""),
               setup)


@tap
def a_host_yaml_by_another_name_is_said_to_be_unread(lab):
    _, host = pair(lab)
    script = """
mount -t tmpfs none /etc && mkdir /etc/bulkhead && touch "/etc/bulkhead/$3" || exit 100
exec "$1" check "$2"
"""
    for name, words in (("host.yml", True), ("host.YAML", True), ("hosts.yaml", False)):
        done = host.run("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh",
                        bulkhead_program(), lab.write("policy.yaml", BASE), name, check=False)
        expect((done.returncode, f"'/etc/bulkhead/{name}' is not read" in done.stderr), (0, words),
               name)


@tap
def what_denies_nothing_is_said_by_apply_and_status(lab):
    _, host = pair(lab)
    group = BASE.replace("group: base\n", "group: base\nmode: audit\n")
    for policy, extra, mode, words in (
            (BASE, "", "enforce", ""),
            (group, "", "enforce", ", 2 of 5 rules in AUDIT: they deny nothing"),
            (group, "mode: audit\n", "audit", ", in AUDIT: nothing is denied")):
        host_yaml = host.host_yaml(extra)
        lines = host.apply(policy, host=host_yaml).stdout.splitlines()
        assert lines[0].endswith(f"in force{words}") or lines[0].endswith(f"now on{words}"), lines
        status = host.bulkhead("status").stdout.splitlines()[0]
        assert status.endswith(words) and ("AUDIT" in status) == bool(words), status
        status, applied = host.bulkhead_json("status"), json.loads(
            host.apply(policy, "--json", host=host_yaml).stdout)
        expect([(one["mode"], one["n_audit"]) for one in (status, applied)],
               [(mode, 2 if words else 0)] * 2, "in JSON")


@tap
def apply_says_what_it_did_and_the_same_again_changes_nothing(lab):
    _, host = pair(lab)
    first = json.loads(host.apply(BASE, "--json").stdout)
    expect((first["schema"], first["changed"], first["first"], first["generation"]),
           (1, True, True, 1), "first apply")
    expect((first["n_rules"], first["n_prefixes"]), (5, 0), "rules and prefixes")
    assert first["n_addresses"] >= 2 and 0 < first["memory"] < 100 << 20, first
    expect({link["name"]: (link["ingress"]["hook"], link["egress"]["hook"])
            for link in first["links"]}, {"eth0": ("native", "tcx")}, "hooks")
    again = json.loads(host.apply(BASE, "--json").stdout)
    expect((again["changed"], again["generation"], again["image"]),
           (False, 1, first["image"]), "the same again")
    assert "nothing to change: generation 1" in host.apply(BASE).stdout
    other = json.loads(host.apply(BASE.replace("tcp/80", "tcp/81"), "--json").stdout)
    expect((other["changed"], other["first"], other["generation"]), (True, False, 2), "another")
    assert other["image"] != first["image"]
    assert "generation 3 is in force" in host.apply(BASE).stdout


@tap
def apply_warns_of_what_it_does_not_read_in_a_folder(lab):
    _, host = pair(lab)
    folder = os.path.join(lab.folder, "policy.d")
    os.makedirs(os.path.join(folder, "later"))
    lab.write("policy.d/10-base.yaml", BASE)
    lab.write("policy.d/20-more.yml", LOGGED)
    done = host.bulkhead("apply", "--json", "--host", lab.write("h.yaml", host.host_yaml()), folder,
                         status=0)
    expect(json.loads(done.stdout)["n_rules"], 5, "rules, which are those of 10-base.yaml")
    words = "is not read; of a folder, only files named *.yaml in the folder itself are"
    expect(done.stderr, "".join(f"warning: '{folder}/{name}' {words}\n"
                                for name in ("20-more.yml", "later")), "words")
    nowhere = {"file": "", "line": 0, "column": 0}
    expect(json.loads(done.stdout)["messages"],
           [{"level": "warning", **nowhere, "words": f"'{folder}/{name}' {words}"}
            for name in ("20-more.yml", "later")], "messages")
    os.unlink(os.path.join(host.state, "record.json"))
    done = host.bulkhead("detach", "--json")
    told = [(message["level"], message["words"]) for message in json.loads(done.stdout)["messages"]]
    assert len(told) == 1 and f"{told[0][0]}: {told[0][1]}\n" == done.stderr, done
    expect(json.loads(host.bulkhead("detach", "--json").stdout)["messages"], [], "no messages")


@tap
def pages_of_a_policy_in_force_are_frozen(lab):
    _, host = pair(lab)
    host.apply(BASE)
    host.apply(LOGGED)
    for name in ("bh_image", "bh_self"):
        path = glob.glob(f"{host.pins}/v*/maps/{name}")[0]
        pages = {int.from_bytes(bytes(int(byte, 16) for byte in element["value"]), "little")
                 for element in json.loads(run("bpftool", "-j", "map", "dump", "pinned",
                                               path).stdout)}
        assert pages, f"{name} has no page"
        for page in pages:
            shown = json.loads(run("bpftool", "-j", "map", "show", "id", str(page)).stdout)
            expect(shown["frozen"], 1, f"{name}: {shown}")


@tap
def a_new_address_makes_self_stale_until_the_next_apply(lab):
    peer, host = with_servers(lab)
    host.bulkhead("status", status=0)
    host.run("ip", "address", "add", "192.0.2.77/24", "dev", "eth0")
    serve(host, "192.0.2.77", 80)
    expect(talk(peer, "192.0.2.77", 80, 0.3), DENIED, "before the apply")
    done = host.bulkhead_json("status", status=9)
    expect(len(done["problems"]), 1, f"problems: {done.get('problems')}")
    assert done["problems"][0]["words"].startswith("self is stale"), done["problems"]
    again = json.loads(host.apply(BASE, "--json").stdout)
    expect((again["changed"], again["addresses_changed"]), (True, True), "apply")
    host.bulkhead("status", status=0)
    expect(talk(peer, "192.0.2.77", 80), ARRIVES, "after the apply")


@tap
def status_tells_what_is_enforced_and_what_is_not_covered(lab):
    peer, host = pair(lab)
    lab.link(peer, host, ("eth1", "eth1"), (["198.51.100.1/24"], ["198.51.100.2/24"]))
    host.apply(BASE, host="bulkhead: 1\ninterfaces: [eth0]\n")
    status = host.bulkhead_json("status")
    expect((status["schema"], status["enforcing"], status["generation"], status["mode"],
            status["n_rules"]), (1, True, 1, "enforce", 5), "head")
    assert status["applied"] >= status["since"] > 1700000000, status
    assert 0 < status["memory"] < 100 << 20, status
    expect([os.path.basename(file["path"]) for file in status["files"]],
           ["host.host.yaml", "host.yaml"], "files")
    expect({file["now"] for file in status["files"]}, {"unchanged"}, "files now")
    uncovered = [line["words"] for line in status["not_covered"]]
    assert any(line == "link eth1, kind veth" for line in uncovered), uncovered
    assert any("loopback" in line for line in uncovered), uncovered
    assert any("PACKET_QDISC_BYPASS" in line for line in uncovered), uncovered
    expect({table["name"]: table["size"] for table in status["tables"]},
           {"half-open IPv4": 65536, "half-open IPv6": 65536, "established IPv4": 131072,
            "established IPv6": 131072, "fragments": 4096}, "tables")
    text = host.bulkhead("status").stdout
    for words in ("enforcing   since 20", "generation  1, applied 20", "eth0  ingress  native",
                  "NOT COVERED", "half-open IPv4"):
        assert words in text, text
    with open(status["files"][0]["path"], "a", encoding="ascii") as file:
        file.write("# another line\n")
    os.remove(status["files"][1]["path"])
    status = host.bulkhead_json("status", status=9)
    expect([file["now"] for file in status["files"]], ["changed", "gone"], "files now")
    changed, gone = (file["path"] for file in status["files"])
    expect([line["words"] for line in status["problems"]],
           [f"file '{changed}' has changed since it was applied; 'apply' puts it in force",
            f"file '{gone}' is gone, and what it said is still in force; 'apply' puts in force "
            "what is left"], "problems")


@tap
def status_tells_files_that_came_into_a_folder_and_went_from_it(lab):
    _, host = pair(lab)
    folder = os.path.join(lab.folder, "policy.d")
    os.makedirs(folder)
    base = lab.write("policy.d/10-base.yaml", BASE)
    sets = lab.write("policy.d/20-sets.yaml", "bulkhead: 1\nsets:\n  corp: [10.0.0.0/8]\n")
    host_yaml = lab.write("h.yaml", host.host_yaml())

    def files(status=0):
        told = host.bulkhead_json("status", status=status)
        named = [file["path"] for file in told["files"] if file["now"] != "unchanged"]
        expect([line["words"].split("'")[1] for line in told["problems"]], named, "problems")
        return {file["path"]: (file["now"], bool(file["sha256"]))
                for file in told["files"] if file["path"] != host_yaml}

    # Named one by one: what else is in their folder is nobody's business.
    host.bulkhead("apply", "--host", host_yaml, base, sets)
    late = lab.write("policy.d/30-late.yaml", "bulkhead: 1\nsets:\n  late: [10.1.0.0/16]\n")
    lab.write("policy.d/40-unread.txt", "")
    both = {base: ("unchanged", True), sets: ("unchanged", True)}
    expect(files(), both, "files, named one by one")
    os.remove(late)
    host.bulkhead("apply", "--host", host_yaml, folder)  # the same image
    expect(files(), both, "a folder as it was applied")
    lab.write("policy.d/30-late.yaml", "bulkhead: 1\nsets:\n  late: [10.1.0.0/16]\n")
    os.remove(sets)
    expect(files(9), {base: ("unchanged", True), sets: ("gone", True), late: ("new", False)},
           "one gone and one new")
    text = host.bulkhead("status", status=9).stdout
    line = next(line for line in text.splitlines() if late in line)
    expect(line.split(), [late, "-", "new"], "the line of the new one")
    assert f"'{late}' has come to where 'apply' looks, which puts it in force" in text, text
    host.bulkhead("apply", "--host", host_yaml, "--interface", "nothere0", folder, status=4)
    expect(files(9)[late], ("new", False), "behind an apply that was refused")
    host.bulkhead("apply", "--host", host_yaml, folder)
    expect(files(), {base: ("unchanged", True), late: ("unchanged", True)}, "applied")
    shutil.rmtree(folder)
    expect(files(9), {base: ("gone", True), late: ("gone", True)}, "without the folder")


@tap
def a_relative_path_is_looked_for_from_where_apply_ran(lab):
    _, host = pair(lab)
    for folder in ("policy.d", "elsewhere/policy.d"):
        os.makedirs(os.path.join(lab.folder, folder))
    base = lab.write("policy.d/10-base.yaml", BASE)
    lab.write("elsewhere/policy.d/20-else.yaml", "bulkhead: 1\n")
    host.run(*host.bulkhead_args("apply", "--interface", "eth0", "policy.d"), cwd=lab.folder)

    def files(place):
        done = host.run(*host.bulkhead_args("status", "--json"), check=False,
                        cwd=os.path.join(lab.folder, place))
        told = json.loads(done.stdout)
        mended = all(file["now"] in ("unchanged", "not here") for file in told["files"])
        expect((done.returncode, not told["problems"]), (0 if mended else 9, mended), place)
        return [(file["path"], file["now"]) for file in told["files"]]

    for place in (".", "elsewhere"):
        expect(files(place), [("policy.d/10-base.yaml", "unchanged")], place)
    lab.write("policy.d/30-late.yaml", "bulkhead: 1\n")
    os.remove(base)
    for place in (".", "elsewhere"):
        expect(files(place), [("policy.d/10-base.yaml", "gone"), ("policy.d/30-late.yaml", "new")],
               f"one gone and one new, {place}")
    # A record that does not tell where: what is not found may still be where it was.
    path = os.path.join(host.state, "record.json")
    with open(path, encoding="utf-8") as file:
        text = file.read().rsplit("\n", 2)[0].replace('"from"', '"once"')
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{text}\n{hashlib.sha256(text.encode()).hexdigest()}\n")
    lab.write("policy.d/10-base.yaml", BASE)
    for place, now in ((".", "unchanged"), ("elsewhere", "not here")):
        expect(files(place), [("policy.d/10-base.yaml", now)], f"by an old record, {place}")


@tap
def status_is_9_when_a_program_or_a_link_is_gone(lab):
    peer, host = pair(lab)
    lab.link(peer, host, ("eth1", "eth1"), (["198.51.100.1/24"], ["198.51.100.2/24"]))
    host.apply(BASE)
    host.bulkhead("status", status=0)
    host.run("ip", "link", "delete", "eth1")
    words = [line["words"] for line in host.bulkhead_json("status", status=9)["problems"]]
    assert any(line.startswith("link eth1 (ifindex ") and line.endswith("is gone")
               for line in words), words
    host.apply(BASE, host="bulkhead: 1\ninterfaces: [eth0]\n")
    host.bulkhead("status", status=0)
    for name in os.listdir(f"{host.pins}/{kernel.VERSION}/links"):
        os.remove(f"{host.pins}/{kernel.VERSION}/links/{name}")
    words = [line["words"] for line in host.bulkhead_json("status", status=9)["problems"]]
    expect(words, ["link eth0 has no program of ours at ingress",
                   "link eth0 has no program of ours at egress"], "problems")


@tap
def status_tells_audit_and_the_fill_of_the_tables(lab):
    peer, host = pair(lab)
    host.apply(BASE, host=host.host_yaml("mode: audit\n"))
    expect(host.bulkhead_json("status")["mode"], "audit", "mode")
    assert "in AUDIT: nothing is denied" in host.bulkhead("status").stdout
    host.apply(BASE)
    before = {table["name"]: table["used"] for table in host.bulkhead_json("status")["tables"]}
    sink = host.udp(HOST[4], 53)
    socks = [peer.udp(PEER[4], 20000 + i) for i in range(40)]
    for sock in socks:
        sock.sendto(b"x", (HOST[4], 53))
    for _ in socks:
        assert receive(sink), "a datagram is missing"
    after = {table["name"]: table["used"] for table in host.bulkhead_json("status")["tables"]}
    expect(after["half-open IPv4"] - before["half-open IPv4"], 40, "half-open IPv4")
    expect(after["half-open IPv6"], before["half-open IPv6"], "half-open IPv6")
    for sock in socks:
        sock.close()


# ---- rules, flows, stats -------------------------------------------------------------------------

@tap
def rules_show_counters_the_unused_and_what_is_never_denied(lab):
    peer, host = with_servers(lab)
    for _ in range(3):
        expect(ask(peer, HOST[4], 53), ARRIVES, "udp")
    expect(ask(peer, HOST[4], 54, 0.2), DENIED, "udp 54")
    found = host.bulkhead_json("rules")
    expect([rule["name"] for rule in found["rules"]],
           ["web", "ping", "DenyAllInBound", "db", "DenyAllOutBound"], "in order")
    web = found["rules"][0]
    expect((web["group"], web["tier"], web["direction"], web["access"], web["priority"],
            web["default"], web["enabled"]),
           ("base", "nic", "inbound", "allow", 100, False, True), "web")
    expect((web["packets"], web["reply_packets"], web["flows"]), (3, 3, 3), "counters of web")
    assert web["last"] >= web["since"] > 1700000000, web
    expect(found["rules"][2]["packets"], 1, "denied")
    names = {(line["name"], line["direction"]) for line in found["reasons"]
             if line["kind"] == "never-denied"}
    for name in ("arp", "nd", "mld", "igmp", "dhcp", "dhcpv6", "eapol", "slow", "lldp", "stp",
                 "loopback", "icmp-errors", "platform"):
        assert {(name, "inbound"), (name, "outbound")} <= names, name
    unused = [rule["name"] for rule in host.bulkhead_json("rules", "--unused")["rules"]]
    assert "ping" in unused and "db" in unused and "web" not in unused, unused
    expect(host.bulkhead_json("rules", "--unused")["reasons"], [], "reasons of unused rules")
    text = host.bulkhead("rules").stdout
    assert "base/DenyAllInBound" in text and "never-denied" in text, text


@tap
def a_disabled_rule_has_no_id_and_of_its_access_only_the_files_know(lab):
    _, host = pair(lab)
    policy = LOGGED.replace("log: true}", "enabled: false}", 1)
    path = lab.write("disabled.yaml", policy)
    host.apply(policy)
    of_files = json.loads(run(bulkhead_program(), "rules", "--json", "--policy", path).stdout)
    for found, access in ((host.bulkhead_json("rules"), None), (of_files, "allow")):
        found = found["rules"]
        expect([(rule["name"], rule["id"], rule["access"]) for rule in found
                if not rule["enabled"]], [("web", None, access)], "disabled")
        assert all(isinstance(rule["id"], int) for rule in found if rule["enabled"]), found
    line, = (line for line in host.bulkhead("rules").stdout.splitlines() if "disabled" in line)
    expect(line.split()[3:5], ["logged/web", "-"], "as text")


@tap
def rules_that_are_off_in_host_yaml_are_marked(lab):
    _, host = pair(lab)
    host.apply(BASE, host=host.host_yaml("never_denied: {lldp: false}\n"))
    lines = {(line["name"], line["direction"]): line["off"]
             for line in host.bulkhead_json("rules")["reasons"]}
    expect((lines[("lldp", "inbound")], lines[("stp", "inbound")]), (True, False), "off")
    assert "off in host.yaml" in host.bulkhead("rules").stdout


@tap
def a_list_with_nothing_in_it_is_json_all_the_same(lab):
    _, host = pair(lab)
    host.apply("bulkhead: 1\ngroup: closed\n")
    expect(host.bulkhead_json("flows"), {"schema": 1, "flows": []}, "flows")
    expect(host.bulkhead("flows").stdout, "no flows\n", "flows as text")


@tap
def flows_show_state_ends_and_the_admitting_rule(lab):
    peer, host = with_servers(lab)
    established = peer.connect(HOST[4], 80)
    assert greeted(established)
    outbound = host.connect(PEER[6], 5432)
    assert greeted(outbound)
    closed = peer.connect(HOST[6], 80)
    assert greeted(closed)
    closed.close()
    expect(ask(peer, HOST[4], 53, source=(PEER[4], 30001)), ARRIVES, "udp")
    with host.udp(PEER[4] and HOST[4], 30002) as silent:
        silent.sendto(b"nobody answers", (PEER[4], 5353))
    here = f"{PEER[4]}:{established.getsockname()[1]}"

    def flows():
        return {(flow["protocol"], flow["direction"], flow["local"], flow["remote"]): flow
                for flow in host.bulkhead_json("flows")["flows"]}

    wait_until(lambda: any(flow["state"] == "closing" for flow in flows().values()),
               what="a closing flow")
    found = flows()
    flow = found[("tcp", "inbound", f"{HOST[4]}:80", here)]
    expect((flow["state"], flow["rule"], flow["audit"], flow["kept"], flow["picked_up"]),
           ("established", "base/web", False, False, False), "established")
    assert 7400 < flow["ends"] <= 7440 and flow["idle"] + flow["ends"] == 7440, flow
    flow = found[("tcp", "outbound", f"[{HOST[6]}]:{outbound.getsockname()[1]}",
                  f"[{PEER[6]}]:5432")]
    expect((flow["state"], flow["rule"]), ("established", "base/db"), "outbound")
    flow = found[("udp", "inbound", f"{HOST[4]}:53", f"{PEER[4]}:30001")]
    expect((flow["state"], flow["rule"]), ("replied", "base/web"), "udp")
    flow = found[("udp", "outbound", f"{HOST[4]}:30002", f"{PEER[4]}:5353")]
    assert flow["state"] in ("unreplied", "replied") and flow["ends"] <= 30, flow
    assert any(flow["local"].startswith(f"[{HOST[6]}]:80") and flow["state"] == "closing"
               and flow["ends"] <= 60 for flow in found.values()), found
    assert f"{HOST[4]}:80" in host.bulkhead("flows").stdout

    web = ("tcp", "inbound", f"{HOST[4]}:80", here)
    wait_until(lambda: flows()[web]["age"] >= 2, what="a flow of two seconds")
    established.sendall(b"more")
    wait_until(lambda: flows()[web]["idle"] < 2 <= flows()[web]["age"],
               what="its age, which no packet changes")


@tap
def stats_add_up_over_every_dimension(lab):
    peer, host = with_servers(lab)
    for version in (4, 6):
        expect(talk(peer, HOST[version], 80), ARRIVES, "tcp")
        expect(ask(peer, HOST[version], 54, 0.1), DENIED, "udp 54")
    found = host.bulkhead_json("stats")["stats"]

    def total(by, direction, name=None):
        return sum(line["packets"] for line in found if line["by"] == by
                   and line["direction"] == direction and name in (None, line["name"]))

    for direction in ("inbound", "outbound"):
        seen = total("total", direction)
        assert seen > 0, found
        expect(total("verdict", direction), seen, f"verdicts {direction}")
        expect(total("interface", direction), seen, f"interfaces {direction}")
        # Replies, too, count in the direction in which they went.
        expect(total("reason", direction), seen, f"reasons {direction}")
        expect(total("tier", direction), total("reason", direction, "rule"), f"tiers {direction}")
    expect(total("verdict", "inbound", "denied"), 2, "denied")
    assert all("packets_per_second" not in line for line in found), "rates without an interval"


@tap
def stats_with_an_interval_show_rates_an_object_a_round(lab):
    peer, host = with_servers(lab)
    sink = host.udp(HOST[4], 5300)
    started = time.time()
    with host.popen(*host.bulkhead_args("stats", "--json", "--interval", "1", "--count", "2"),
                    stdout=subprocess.PIPE, text=True) as process:
        going = threading.Event()

        def send():
            with peer.udp(PEER[4], 40000) as sock:
                while not going.wait(0.01):
                    sock.sendto(b"x", (HOST[4], 53))

        thread = threading.Thread(target=send)
        thread.start()
        lines = [json.loads(line) for line in process.stdout]
        going.set()
        thread.join()
    expect(process.returncode, 0, "status")
    expect([line["schema"] for line in lines], [1, 1], "two objects")
    began, *times, ended = [int(started), *(line["time"] for line in lines), int(time.time())]
    assert began < times[0] < times[1] <= ended, (began, times, ended)
    rates = {(line["by"], line["name"], line["direction"]): line["packets_per_second"]
             for line in lines[1]["stats"]}
    assert 10 < rates[("interface", "eth0", "inbound")] < 1000, rates
    assert rates[("tier", "nic", "inbound")] > 10, rates
    sink.close()
    text = host.bulkhead("stats", "--watch", "--count", "1").stdout
    first, heads = text.splitlines()[:2]
    assert abs(datetime.datetime.fromisoformat(first.replace("Z", "+00:00")).timestamp()
               - time.time()) < 60, first
    assert heads.startswith("BY ") and "PACKETS/S" in heads, text
    assert host.bulkhead("stats").stdout.startswith("BY "), "the one round has a time"
    assert "time" not in host.bulkhead_json("stats"), "the one round has a time"
    with host.popen(*host.bulkhead_args("stats", "--json", "--interval", "1"),
                    stdout=subprocess.PIPE, text=True) as process:
        rounds = [process.stdout.readline(), process.stdout.readline()]
        process.terminate()
    assert all(rounds), "an interval alone goes on"


# ---- watch ---------------------------------------------------------------------------------------

class Watch:
    """A running `bulkhead watch --json`; its events as they come."""

    def __init__(self, host, *args):
        self.host = host
        self.process = host.popen(*host.bulkhead_args("watch", "--json", *args),
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines = []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def events(self):
        return [line["event"] for line in self.lines if "event" in line]

    def until_ready(self, peer):
        """Sends what is denied until the first event has come: the watcher's lease holds."""
        def seen():
            with peer.udp(PEER[4], 39999) as sock:
                sock.sendto(b"ready", (HOST[4], 9999))
            return any(":9999" in event["packet"] for event in self.events())
        wait_until(seen, what="the first event")

    def end(self, number=signal.SIGTERM):
        """Its last line, which sums up."""
        self.process.send_signal(number)
        self.thread.join(10)
        expect(self.process.wait(10), 0, f"status: {self.process.stderr.read()}")
        return self.lines[-1]


@tap
def watch_shows_denied_packets_and_those_of_rules_with_log(lab):
    peer, host = with_servers(lab, LOGGED)
    watch = Watch(host)
    watch.until_ready(peer)
    expect(talk(peer, HOST[6], 80), ARRIVES, "logged allow")
    expect(ask(peer, HOST[4], 53), ARRIVES, "an allow without log")
    expect(ask(peer, HOST[4], 54, 0.1, source=(PEER[4], 30004)), DENIED, "logged deny")
    expect(talk(host, PEER[4], 80, 0.2), DENIED, "outbound")
    wait_until(lambda: any(event["direction"] == "outbound" for event in watch.events()),
               what="the outbound event")
    last = watch.end()
    found = watch.events()
    allowed = [event for event in found if event["verdict"] == "allow"]
    expect(len(allowed), 1, "one event for a connection: " + str(allowed))
    expect((allowed[0]["decider"], allowed[0]["interface"], allowed[0]["direction"]),
           ("logged/web", "eth0", "inbound"), "allowed")
    assert allowed[0]["packet"].startswith(f"in tcp [{PEER[6]}]:"), allowed
    denied = [event for event in found if event["decider"] == "logged/closed"]
    expect([event["packet"] for event in denied],
           [f"in udp {PEER[4]}:30004 {HOST[4]}:54"], "denied")
    expect((denied[0]["verdict"], denied[0]["line"], denied[0]["length"], denied[0]["generation"]),
           ("deny", 8, 45, 1), "denied")
    assert not any(event["packet"].endswith(f"{HOST[4]}:53") for event in found), found
    outbound = [event for event in found if event["direction"] == "outbound"]
    expect({event["decider"] for event in outbound}, {"logged/DenyAllOutBound"}, "outbound")
    expect((last["schema"], last["events"], last["lost"]), (1, len(found), 0), "sums")
    # What it shows can be asked about.
    expect(explain(host, denied[0]["packet"])["decider"], "logged/closed", "explain")


def first_and_later():
    """A TCP SYN to port 80, cut within its header, as two IPv4 packets of one id."""
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 7, 0, 64, 6, 0,
                       socket.inet_aton(PEER[4]), socket.inet_aton(HOST[4]))
    syn = struct.pack("!HHIIBBHHH", 30007, 80, 1, 0, 0x50, 2, 1024, 0, 0) + bytes(4)
    return [head[:6] + struct.pack("!H", flags) + head[8:] + data
            for flags, data in ((0x2000, syn), (1, syn[8:]))]


@tap
def watch_shows_later_fragments_as_what_they_are(lab):
    """Denied because the first was, because they overlap it, and in audit by the rule of the first."""
    peer, host = pair(lab)
    host.apply(LOGGED.replace("log: true}", "mode: audit}").replace("mode: audit", "log: true", 1))
    watch = Watch(host)
    watch.until_ready(peer)
    for version in (4, 6):
        with peer.udp(PEER[version], 30004) as sock:
            sock.sendto(b"f" * 2500, (HOST[version], 55))
            sock.sendto(b"f" * 2500, (HOST[version], 54))
    with peer.open_socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.sendto(struct.pack("!BBHHH", 13, 0, 0, 0, 0) + bytes(2500), (HOST[4], 0))
    with peer.open_socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        for packet in first_and_later():
            raw.sendto(packet, (HOST[4], 0))
    wait_until(lambda: any(event["decider"] == "fragment-overlap" for event in watch.events()),
               what="an overlap")
    watch.end(signal.SIGHUP)
    found = {(event["packet"], event["decider"]) for event in watch.events()}
    firsts = {(f"in udp {PEER[4]}:30004 {HOST[4]}:55", "logged/DenyAllInBound"),
              (f"in udp [{PEER[6]}]:30004 [{HOST[6]}]:55", "logged/DenyAllInBound"),
              (f"in udp {PEER[4]}:30004 {HOST[4]}:54", "logged/closed"),
              (f"in udp [{PEER[6]}]:30004 [{HOST[6]}]:54", "logged/closed"),
              (f"in icmp {PEER[4]} {HOST[4]} type 13 code 0", "logged/DenyAllInBound"),
              (f"in tcp {PEER[4]}:30007 {HOST[4]}:80", "logged/web")}
    laters = {(f"in {protocol} {PEER[version]} {HOST[version]} frag", decider)
              for protocol, version, decider in (
                  ("udp", 4, "fragment-unknown"), ("udp", 6, "fragment-unknown"),
                  ("udp", 4, "logged/closed"), ("udp", 6, "logged/closed"),
                  ("icmp", 4, "fragment-unknown"), ("tcp", 4, "fragment-overlap"))}
    expect({(packet, decider) for packet, decider in found if ":9999" not in packet
            and "fe80:" not in packet and "ff02:" not in packet}, firsts | laters, "events")
    for packet in {packet for packet, _ in laters}:
        asked = explain(host, packet, status=9)
        expect((asked["packet"], asked["decider"], asked["kernel_agrees"]),
               (packet, "fragment-unknown", True), packet)


@tap
def watch_begins_with_what_happens_from_then_on_and_has_the_events_for_itself(lab):
    peer, host = with_servers(lab, LOGGED)
    expect(ask(peer, HOST[4], 54, 0.1, source=(PEER[4], 30005)), DENIED, "before anybody watches")
    watch = Watch(host)
    watch.until_ready(peer)
    done = host.bulkhead("watch", "--count", "1", status=1)
    assert "another 'watch' reads the events" in done.stderr, done.stderr
    expect(ask(peer, HOST[4], 54, 0.1, source=(PEER[4], 30006)), DENIED, "while somebody does")
    wait_until(lambda: any(":30006" in event["packet"] for event in watch.events()),
               what="an event")
    watch.end()
    assert not any(":30005" in event["packet"] for event in watch.events()), watch.events()
    again = Watch(host)  # whoever comes later may read
    again.until_ready(peer)
    again.end()


@tap
def watch_names_the_rule_that_let_in_what_is_answered(lab):
    peer, host = pair(lab)
    host.apply(LOGGED.replace("log: true}", "mode: audit}").replace("mode: audit", "log: true", 1))
    serve(host, HOST[4], 54)
    watch = Watch(host)
    watch.until_ready(peer)
    expect(ask(peer, HOST[4], 54, source=(PEER[4], 30004)), ARRIVES, "would be denied")
    wait_until(lambda: any(event["direction"] == "outbound" for event in watch.events()),
               what="the reply's event")
    watch.end()
    found = [event for event in watch.events() if ":30004" in event["packet"]]
    expect([(event["direction"], event["verdict"], event["decider"], event["line"],
             event["by_flow"]) for event in found],
           [("inbound", "would-deny", "logged/closed", 8, False),
            ("outbound", "would-deny", "logged/closed", 8, True)], "opener and reply")


@tap
def what_goes_on_ends_when_nobody_reads_it_any_more(lab):
    _, host = pair(lab)
    host.apply(LOGGED)
    # stats writes every second; watch, which has nothing to write, is told by the pipe.
    for command in (["watch"], ["stats", "--watch"]):
        with host.popen(*host.bulkhead_args(*command), stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE, text=True) as process:
            process.stdout.close()
            try:
                expect(process.wait(10), 1, f"status of {command[0]}")
            finally:
                process.kill()
            expect(process.stderr.read(), "cannot write the output: Broken pipe\n", command[0])


@tap
def watch_counts_what_the_limit_held_back(lab):
    peer, host = pair(lab)
    host.apply(LOGGED, host=host.host_yaml("log_limit: 5\n"))
    watch = Watch(host)
    watch.until_ready(peer)
    with peer.udp(PEER[4], 30005) as sock:
        for _ in range(200):
            sock.sendto(b"x", (HOST[4], 54))
    wait_until(lambda: rules(host)["closed"]["packets"] == 200, what="200 packets")
    last = watch.end()
    shown = len([event for event in watch.events() if event["decider"] == "logged/closed"])
    assert 1 <= shown <= 20, f"{shown} events"
    assert last["limited"] >= 200 - shown, last
    expect(last["events"], len(watch.events()), "events")
    notes = {line["name"]: line for line in host.bulkhead_json("stats")["stats"]
             if line["by"] == "note"}
    assert notes["events-limited"]["packets"] >= 200 - shown, notes
    expect({line["direction"] for line in notes.values()}, {""}, "directions of notes")


@tap
def watch_names_rules_of_policies_that_come_into_force_meanwhile(lab):
    peer, host = with_servers(lab, LOGGED)
    watch = Watch(host)
    watch.until_ready(peer)
    host.apply(LOGGED.replace("closed", "shut"))
    expect(ask(peer, HOST[4], 54, 0.1, source=(PEER[4], 30006)), DENIED, "logged deny")
    wait_until(lambda: any(":30006" in event["packet"] for event in watch.events()),
               what="the event")
    watch.end()
    found = [event for event in watch.events() if ":30006" in event["packet"]]
    expect([(event["decider"], event["line"], event["generation"]) for event in found],
           [("logged/shut", 8, 2)], "by the new policy")


@tap
def watch_ends_when_enforcing_does(lab):
    peer, host = pair(lab)
    host.apply(LOGGED)
    watch = Watch(host)
    watch.until_ready(peer)
    host.bulkhead("detach")
    expect(watch.process.wait(10), 1, "status")
    assert "detach" in watch.process.stderr.read()
    watch.thread.join(10)
    assert watch.lines[-1]["events"] >= 1, watch.lines[-1]


@tap
def flows_of_an_older_policy_cost_no_more_than_those_of_the_one_in_force(lab):
    peer, host = with_servers(lab, LOGGED)
    for port in range(31000, 31400):
        with peer.udp(PEER[4], port) as sock:
            sock.sendto(b"x", (HOST[4], 53))
    wait_until(lambda: len(host.bulkhead_json("flows")["flows"]) >= 400, what="400 flows")
    host.apply(LOGGED.replace("closed", "shut"))
    # An image read once for each flow would take half a MB each time.
    args = " ".join(host.bulkhead_args("flows", "--json"))
    found = host.run("sh", "-c", f"ulimit -v 131072 && exec {args}").stdout
    flows = [flow for flow in json.loads(found)["flows"] if ":31" in flow["remote"]]
    expect((len(flows), {flow["rule"] for flow in flows}), (400, {"logged/quiet"}), "flows")


@tap
def a_look_from_another_network_namespace_is_refused(lab):
    peer, host = pair(lab)
    host.apply(LOGGED)
    for command in ("status", "rules", "flows", "stats", "watch"):
        done = peer.run(*host.bulkhead_args(command), check=False)
        expect(done.returncode, 1, command)
        assert "another network namespace" in done.stderr, done.stderr


@tap
def the_state_of_another_instance_is_refused(lab):
    peer, host = pair(lab)
    host.apply(LOGGED)
    peer.apply(BASE)
    host.state, own = peer.state, host.state
    untold(host, 1, f"state '{peer.state}' belongs to network namespace")
    host.state = own
    for command in ("rules", "flows", "stats", "watch", "explain"):
        packet = ["in udp 192.0.2.1:1 192.0.2.2:2"] if command == "explain" else []
        args = host.bulkhead_args(command, *packet)
        args[args.index("--state") + 1] = peer.state
        done = host.run(*args, check=False)
        expect(done.returncode, 1, f"{command}: {done.stdout}")
        assert f"state '{peer.state}' belongs to network namespace" in done.stderr, done.stderr


@tap
def watch_ends_by_itself_after_a_count(lab):
    peer, host = pair(lab)
    host.apply(LOGGED)
    watch = Watch(host, "--count", "1")
    watch.until_ready(peer)
    watch.thread.join(10)
    expect(watch.process.wait(10), 0, "status")
    expect((len(watch.events()), watch.lines[-1]["events"]), (1, 1), "events")


# ---- explain -------------------------------------------------------------------------------------

PACKETS = [
    # packet, allowed, decider, by_flow
    (f"in tcp {PEER[4]}:40000 {HOST[4]}:80", True, "base/web", False),
    (f"in tcp [{PEER[6]}]:40000 [{HOST[6]}]:80", True, "base/web", False),
    (f"in tcp {PEER[4]}:40000 {HOST[4]}:22", False, "base/DenyAllInBound", False),
    (f"in tcp {PEER[4]}:40000 192.0.2.99:80", False, "base/DenyAllInBound", False),
    (f"in udp {PEER[4]}:40000 {HOST[4]}:53", True, "base/web", False),
    (f"in sctp {PEER[4]}:40000 {HOST[4]}:80", False, "base/DenyAllInBound", False),
    (f"in icmp {PEER[4]} {HOST[4]}", True, "base/ping", False),
    (f"in icmp {PEER[4]} {HOST[4]} type 13", False, "base/DenyAllInBound", False),
    (f"in icmpv6 {PEER[6]} {HOST[6]}", True, "base/ping", False),
    (f"in gre {PEER[4]} {HOST[4]}", False, "base/DenyAllInBound", False),
    (f"in esp {PEER[6]} {HOST[6]}", False, "base/DenyAllInBound", False),
    (f"in 253 {PEER[4]} {HOST[4]}", False, "base/DenyAllInBound", False),
    (f"out tcp {HOST[4]}:40000 {PEER[4]}:5432", True, "base/db", False),
    (f"out tcp {HOST[4]}:40000 {PEER[4]}:80", False, "base/DenyAllOutBound", False),
    (f"out tcp {HOST[4]}:80 {PEER[4]}:40000 established", True, "base/web", True),
    (f"out tcp [{HOST[6]}]:80 [{PEER[6]}]:40000 established", True, "base/web", True),
    (f"out tcp {HOST[4]}:22 {PEER[4]}:40000 established", False, "base/DenyAllOutBound", False),
    (f"in tcp {PEER[4]}:5432 {HOST[4]}:40000 established", True, "base/db", True),
    (f"out udp {HOST[4]}:53 {PEER[4]}:40000 established", True, "base/web", True),
    (f"in udp [{PEER[6]}]:5353 [{HOST[6]}]:40000 established", True, "base/db", True),
    (f"out icmp {HOST[4]} {PEER[4]} type 0 established", True, "base/ping", True),
    (f"in tcp {PEER[4]} {HOST[4]} frag", False, "fragment-unknown", False),
    (f"in udp {PEER[6]} {HOST[6]} frag", False, "fragment-unknown", False),
    (f"in 60 {PEER[6]} {HOST[6]} frag", False, "fragment-unknown", False),
    ("in icmpv6 fe80::1 fe80::2 type 135", True, "nd", False),
    (f"in icmp {PEER[4]} {HOST[4]} type 5", False, "icmp-redirect", False),
    (f"in tcp 127.0.0.1:1 {HOST[4]}:80", False, "martian-source", False),
]


@tap
def explain_asks_the_loaded_programs_and_they_agree(lab):
    _, host = pair(lab)
    host.apply(BASE)
    for packet, allowed, decider, by_flow in PACKETS:
        found = explain(host, packet, status=0 if allowed else 9)
        assert found["kernel_agrees"], f"{packet}: {found['kernel']}"
        expect((found["verdict"], found["decider"], found["by_flow"]),
               ("allow" if allowed else "deny", decider, by_flow), packet)
        assert found["kernel"].startswith(f"{found['verdict']} by {decider}"), found["kernel"]


@tap
def explain_agrees_in_audit_and_over_every_hook(lab):
    _, host = pair(lab)
    denied = f"in tcp {PEER[4]}:40000 {HOST[4]}:22"
    host.apply(BASE, host=host.host_yaml("mode: audit\n"))
    found = explain(host, denied, status=0)
    expect((found["verdict"], found["would_deny"], found["kernel_agrees"]),
           ("allow", True, True), "audit")
    for ingress in ("tcx", "clsact", "generic"):
        host.apply(BASE, host=host.host_yaml(f"hooks: {{ingress: {ingress}}}\n"))
        assert explain(host, denied, status=9)["kernel_agrees"], ingress


# What hosts say to each other unasked, at any time; and what depends on the time of asking.
CHATTER = ("arp", "nd", "mld")
TIMES = ("last", "age", "idle", "ends")


def without_times(lines):
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def dump(host):
    """All that explain might change: counters of rules, reasons and tiers, flows, tables."""
    found = host.bulkhead_json("rules")
    return {"rules": without_times(found["rules"]),
            "reasons": without_times(line for line in found["reasons"]
                                     if line["name"] not in CHATTER),
            "tiers and notes": [line for line in host.bulkhead_json("stats")["stats"]
                                if line["by"] in ("tier", "note")],
            "flows": without_times(host.bulkhead_json("flows")["flows"]),
            "tables": host.bulkhead_json("status")["tables"]}


@tap
def explain_changes_no_counter_flow_or_event(lab):
    peer, host = with_servers(lab, LOGGED)
    held = peer.connect(HOST[4], 80)
    assert greeted(held)
    local = held.getsockname()[1]
    watch = Watch(host)
    watch.until_ready(peer)
    # Nothing is under way any more when the event of a last packet has come.
    with peer.udp(PEER[4], 39998) as sock:
        sock.sendto(b"last", (HOST[4], 9998))
    wait_until(lambda: any(":9998" in event["packet"] for event in watch.events()),
               what="the last event")
    n_events = len(watch.events())
    before = dump(host)
    pins = run("find", host.pins).stdout
    for packet in (f"in tcp {PEER[4]}:{local} {HOST[4]}:80",
                   f"out tcp {HOST[4]}:80 {PEER[4]}:{local} established",
                   f"in tcp {PEER[6]}:40000 {HOST[6]}:80".replace(PEER[6], f"[{PEER[6]}]")
                   .replace(HOST[6], f"[{HOST[6]}]"),
                   f"in udp {PEER[4]}:40000 {HOST[4]}:54",
                   f"in tcp {PEER[4]}:40000 {HOST[4]}:22",
                   f"out tcp {HOST[4]}:40000 {PEER[4]}:22"):
        assert explain(host, packet)["kernel_agrees"], packet
    after = dump(host)
    for what, one in before.items():
        expect(after[what], one, what)
    expect(run("find", host.pins).stdout, pins, "pins")
    last = watch.end()
    expect(last["events"], n_events, "events")
    held.close()


@tap
def a_disagreement_of_explain_is_loud(lab):
    """
    The state directory of another host, whose record says that it were this one's: its rules are not
    those that the programs have.
    """
    peer, host = pair(lab)
    host.apply(BASE)
    peer.apply(BASE.replace("access: allow", "access: deny"))
    record = os.path.join(peer.state, "record.json")
    with open(record, encoding="utf-8") as file:
        text = file.read().rpartition("\n")[0].rpartition("\n")[0]
    text = json.dumps(json.loads(text) |
                      {"netns_inode": os.stat(f"/run/netns/{host.netns}").st_ino,
                       "pins": host.pins})
    with open(record, "w", encoding="utf-8") as file:
        file.write(f"{text}\n{hashlib.sha256(text.encode()).hexdigest()}\n")
    packet = f"in tcp {PEER[4]}:40000 {HOST[4]}:80"
    args = ["explain", "--pins", host.pins, "--state", peer.state, packet]
    done = host.run(bulkhead_program(), *args, check=False)
    expect(done.returncode, 1, f"status: {done}")
    assert "DISAGREES" in done.stdout, done.stdout
    assert "the loaded program disagrees with the policy" in done.stderr, done.stderr
    done = host.run(bulkhead_program(), *args, "--json", check=False)
    expect((done.returncode, json.loads(done.stdout)["explained"][0]["kernel_agrees"]),
           (1, False), "JSON")
    assert explain(host, packet, status=0)["kernel_agrees"], "by its own state"


@tap
def explain_while_policies_come_into_force_one_after_the_other(lab):
    """It answers by one of them, or says that it could not get hold of any."""
    _, host = pair(lab)
    paths = [lab.write(f"{number}.yaml", BASE.replace("priority: 110", f"priority: {111 + number}"))
             for number in range(2)]
    host_yaml = lab.write("host.yaml", host.host_yaml())
    host.bulkhead("apply", "--host", host_yaml, paths[0])
    ended, statuses = threading.Event(), []

    def apply_on():
        while not ended.is_set():
            args = ("--host", host_yaml, "--no-prove", paths[len(statuses) % 2 - 1])
            statuses.append(host.bulkhead("apply", *args, status=None).returncode)

    thread = threading.Thread(target=apply_on)
    thread.start()
    found = []
    try:
        for _ in range(20):
            done = host.bulkhead("explain", f"in tcp {PEER[4]}:40000 {HOST[4]}:22", status=None)
            found.append((done.returncode, done.stderr))
    finally:
        ended.set()
        thread.join()
    expect(set(statuses), {0}, "statuses of apply")
    told = [words for status, words in found if status == 1]
    assert {status for status, _ in found} <= {9, 1} and len(told) < len(found), found
    assert all("try again" in words and words.count("\n") == 1 for words in told), told
    assert len(statuses) > 10, f"only {len(statuses)} applied"


# ---- detach, doctor, the rest --------------------------------------------------------------------

@tap
def detach_removes_what_is_ours_and_says_so(lab):
    peer, host = with_servers(lab)
    expect(talk(peer, HOST[4], 22, 0.3), DENIED, "before")
    done = host.bulkhead_json("detach")
    expect((done["schema"], done["was_enforcing"], done["hooks"], done["generation"]),
           (1, True, 2, 1), "detach")
    expect(talk(peer, HOST[4], 22), ARRIVES, "after")
    expect(os.path.exists(host.pins) and os.listdir(host.pins), False, "pins")
    again = host.bulkhead("detach", status=0)
    expect(again.stdout, "nothing to detach: bulkhead does not enforce here\n", "again")
    # The state stays: the next apply goes on counting generations.
    expect(json.loads(host.apply(BASE, "--json").stdout)["generation"], 2, "generation")


@tap
def doctor_tells_what_this_host_can_do(lab):
    _, host = pair(lab)
    done = host.bulkhead_json("doctor", "--interface", "eth0")
    levels = {finding["level"] for finding in done["findings"]}
    assert levels <= {"ok", "note", "warning"}, done["findings"]
    own = {line["words"] for line in done["findings"] if line["subject"] == "self"}
    expect(own, {"3 own addresses"}, "own addresses")
    words = [finding["words"] for finding in done["findings"]]
    assert any(line.startswith("Linux ") for line in words), words
    assert any(line.startswith("eth0: veth") for line in words), words
    assert any("never seen:" in line for line in words), words
    assert any(line.startswith("of a link: native XDP inbound") for line in words), words
    host.apply(BASE)
    told = [finding["words"]
            for finding in host.bulkhead_json("doctor", "--interface", "eth0")["findings"]
            if finding["words"].startswith("eth0: veth")]
    assert len(told) == 1 and ", XDP program bh_xdp" in told[0], told
    assert "so no native XDP of ours" not in told[0], told


def doctor(host, host_yaml, status):
    """{(level, subject): words} of doctor by a host.yaml, and what it wrote beside."""
    path = host.lab.write("doctor.host.yaml", host_yaml)
    done = host.bulkhead("doctor", "--host", path, "--json", status=status)
    found = {}
    for finding in json.loads(done.stdout)["findings"]:
        found.setdefault((finding["level"], finding["subject"]), []).append(finding["words"])
    return found, done.stderr


@tap
def doctor_tells_what_of_host_yaml_would_not_work_here(lab):
    _, host = pair(lab)
    found, _ = doctor(host, host.host_yaml("tables: {flows: 1024}\n"), 0)
    assert any(words.endswith("; covered") and words.startswith("eth0: veth")
               for words in found["ok", "link"]), found
    assert ("error", "host.yaml") not in found and ("note", "links") not in found, found
    found, words = doctor(host, "bulkhead: 1\ninterfaces: [eth0, nosuch, 'x*', lo]\n", 9)
    expect(found["error", "host.yaml"],
           ["no link is called 'nosuch'", "no Ethernet link matches 'x*'",
            "'lo' is the loopback link, which cannot be covered"], "links")
    assert any(line.startswith("eth0: veth") and line.endswith("; covered")
               for line in found["ok", "link"]), found
    expect(words, "", "words beside the findings")
    found, _ = doctor(host, "bulkhead: 1\ninterfaces: auto\n", 9)
    expect(len(found["error", "links"]), 1, f"errors of links: {found}")
    found, words = doctor(host, "bulkhead: 1\ninterfaces: [eth0]\ntimeouts: {upd: 3}\n", 9)
    expect(found["error", "host.yaml"], ["mistakes in it: 1; below, the defaults hold"], "mistakes")
    assert "doctor.host.yaml:3:12: unknown key 'upd' in 'timeouts'" in words, words
    done = host.bulkhead("doctor", "--host", "/nonexistent/host.yaml", status=9)
    assert "cannot open '/nonexistent/host.yaml'" in done.stdout, done.stdout
    found, _ = doctor(host, host.host_yaml("tables: {flows: 2097152, half_open: 1048576}\n"), 0)
    assert any(words.startswith("of flows and fragments: 306 MB, of ")
               for words in sum((found.get((level, "tables"), []) for level in ("ok", "warning")),
                                [])), found


@tap
def doctor_tells_which_hooks_of_host_yaml_this_kernel_has(lab):
    _, host = pair(lab)
    for hook, words in (("tcx", "tcx links"),
                        ("clsact", "the clsact queueing discipline with cls_bpf")):
        found, _ = doctor(host, host.host_yaml(f"hooks: {{ingress: {hook}, egress: {hook}}}\n"),
                          None)
        has = any(line == words for line in found["ok", "kernel"])
        expect(found["ok", "hooks"], [f"of a link: {hook} inbound; {hook} outbound"], "hooks")
        told = [line for line in found.get(("error", "host.yaml"), []) if words in line]
        expect(len(told), 0 if has else 2, f"{hook}, which the kernel has: {has}: {found}")


@tap
def doctor_tells_whose_pins_they_are(lab):
    peer, host = pair(lab)
    host.apply(BASE)
    done = peer.run(bulkhead_program(), "doctor", "--json", "--pins", host.pins, check=False)
    told = [finding["words"] for finding in json.loads(done.stdout)["findings"]
            if finding["level"] == "error" and finding["subject"] == "pins"]
    expect(done.returncode, 9, "status")
    assert len(told) == 1 and "serve another network namespace" in told[0], told


def refused_alike(host, subject, *args, host_yaml=None, within=()):
    """What apply refuses, doctor tells in the same words, as one error."""
    host_path = host.lab.write("host.host.yaml", host_yaml or host.host_yaml())
    path = host.lab.write("host.yaml", BASE)
    args = ("--host", host_path, *args)
    refused = host.run(*within, *host.bulkhead_args("apply", path, *args), check=False)
    assert refused.returncode, refused.stdout
    done = host.run(*within, *host.bulkhead_args("doctor", "--json", *args), check=False)
    expect(done.returncode, 9, f"status: {done.stderr}")
    told = [(finding["subject"], finding["words"])
            for finding in json.loads(done.stdout)["findings"] if finding["level"] == "error"]
    expect(told, [(subject, refused.stderr.rstrip("\n"))], "errors of doctor")
    return refused.stderr


@tap
def doctor_tells_of_pins_and_states_that_cannot_be_made(lab):
    _, host = pair(lab)
    right = host.pins, host.state
    found, _ = doctor(host, host.host_yaml(), 0)
    expect(found["note", "pins"], [f"'{host.pins}' is not there yet; apply makes it"], "on a bpffs")
    host.pins = os.path.join(lab.folder, "pins", "below")
    found, _ = doctor(host, host.host_yaml(), 0)
    expect(found["note", "pins"],
           [f"'{host.pins}' is not there yet; apply makes it, and mounts bpffs"], "on none")
    assert not os.path.exists(os.path.dirname(host.pins)), "doctor has made the folder"
    os.makedirs(host.pins)
    # Process 1 is the shell, and its mount namespace is another one.
    alone = ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c",
             'unshare --mount "$@"; exit $?', "sh"]
    assert "gone with this mount namespace" in refused_alike(host, "pins", within=alone)
    lab.write("pins/below/file", "mine")
    assert "would be hidden by one" in refused_alike(host, "pins")
    for host.pins in (f"/proc/bh-{lab.suffix}/a", f"/sys/bh-{lab.suffix}/a"):
        assert "cannot make folder" in refused_alike(host, "pins")
    host.pins = right[0]
    for host.state in (f"/proc/bh-{lab.suffix}/a", f"/sys/bh-{lab.suffix}/a"):
        assert "folder '/" in refused_alike(host, "state")
    host.pins, host.state = right
    os.mkdir(host.pins)
    os.chmod(host.pins, 0o777)
    assert "may be written by others" in refused_alike(host, "pins")


@tap
def doctor_tells_of_what_lies_where_apply_makes_something(lab):
    """A link to nowhere is not there, and keeps its name from what would be made."""
    _, host = pair(lab)
    right = host.pins, host.state
    os.symlink(host.pins + "-none", host.pins)
    lab.at_end.append(lambda: os.path.islink(right[0]) and os.unlink(right[0]))
    assert "cannot open folder" in refused_alike(host, "pins")
    host.pins += "/below/a"
    assert "cannot make folder" in refused_alike(host, "pins")
    host.pins = right[0]
    os.unlink(host.pins)
    os.symlink(host.state + "-none", host.state)
    for host.state in (right[1], right[1] + "/below/a"):
        assert f"cannot open folder '{host.state}'" in refused_alike(host, "state")
    host.state = right[1]
    os.unlink(host.state)
    os.mkdir(host.state, 0o700)
    for make, name, words in (
            (os.mkdir, "lock", "Is a directory"),
            (os.mkfifo, "lock", "is no regular file"),
            (lambda path: os.symlink("none", path), "lock", "Too many levels of symbolic links"),
            (lambda path: os.symlink("none", path), "images", "No such file or directory"),
            (os.mkfifo, "record.json", "is cut or was altered")):  # nobody waits for its writer
        path = os.path.join(host.state, name)
        make(path)
        said = refused_alike(host, "state")
        assert f"{path}'" in said and words in said, said
        os.rmdir(path) if os.path.isdir(path) else os.unlink(path)
    host.apply(BASE)


@tap
def doctor_tells_of_links_that_apply_would_not_cover(lab):
    _, host = pair(lab)
    words = refused_alike(host, "links", host_yaml="bulkhead: 1\n")
    assert "no Ethernet link with a device behind it" in words, words
    if not os.path.exists(FOREIGN):
        raise Skip("foreign.bpf.o is not built")
    host.run("ip", "link", "set", "dev", "eth0", "xdp", "object", FOREIGN, "section", "xdp")
    for mode in ("native", "generic"):
        words = refused_alike(host, "link", host_yaml=host.host_yaml(f"hooks: {{ingress: {mode}}}\n"))
        assert f"'eth0': {mode}: another XDP program is attached ('" in words, words
    doctor(host, host.host_yaml(), 0)
    host.run("ip", "link", "set", "dev", "eth0", "xdp", "off")
    host.apply(BASE, host=host.host_yaml("hooks: {ingress: generic}\n"))
    doctor(host, host.host_yaml("hooks: {ingress: generic}\n"), 0)
    words = refused_alike(host, "link", host_yaml=host.host_yaml("hooks: {ingress: native}\n"))
    assert "our own program is still there in the other XDP mode" in words, words


@tap
def doctor_tells_of_a_state_with_which_apply_is_refused(lab):
    peer, host = pair(lab)
    lab.link(peer, host, ("eth1", "eth1"), (["198.51.100.1/24"], ["198.51.100.2/24"]))
    found, _ = doctor(host, host.host_yaml(), 0)
    expect(found["note", "state"], [f"'{host.state}' is not there yet; apply makes it"], "none yet")
    assert not os.path.exists(host.state), "doctor has made the folder"
    host.apply(BASE, "--interface", "eth0")
    found, _ = doctor(host, host.host_yaml(), 0)
    expect(found["ok", "state"], [f"'{host.state}' can be read and written"], "whole")
    path = os.path.join(host.state, "record.json")
    with open(path, "r+b") as file:
        record = file.read()
        file.truncate(len(record) // 2)
    assert "is cut or was altered" in refused_alike(host, "state")
    with open(path, "wb") as file:
        file.write(record)
    os.chmod(host.state, 0o777)
    assert "may be written by others" in refused_alike(host, "state")
    os.chmod(host.state, 0o700)
    run("mount", "--bind", host.state, host.state)
    try:
        run("mount", "-o", "remount,bind,ro", host.state)
        assert "Read-only file system" in refused_alike(host, "state")
        right, host.state = host.state, host.state + "/below"
        assert "Read-only file system" in refused_alike(host, "state")
        host.state = right
    finally:
        run("umount", "--lazy", right)
    found, _ = doctor(host, host.host_yaml(), 0)
    assert ("ok", "state") in found, found
    host.state += "-b"
    os.mkdir(host.state, 0o700)
    found, _ = doctor(host, host.host_yaml(), 0)
    assert "knows nothing of generation 1" in found["warning", "state"][0], found
    expect(os.listdir(host.state), [], "what doctor has written")
    host.state = right
    pins, host.pins = host.pins, host.pins + "-b"
    assert "is that of another bulkhead" in refused_alike(host, "state", "--interface", "eth1")
    host.pins = pins


@tap
def doctor_tells_of_another_instance_on_a_link_that_is_to_be_covered(lab):
    peer, host = pair(lab)
    lab.link(peer, host, ("eth1", "eth1"), (["198.51.100.1/24"], ["198.51.100.2/24"]))
    for hooks in ("", "hooks: {ingress: clsact, egress: clsact}\n"):
        host.apply(BASE, "--interface", "eth0", host=host.host_yaml(hooks))
        right = host.pins, host.state
        found, _ = doctor(host, host.host_yaml(hooks), 0)
        host.pins, host.state = (path + "-b" for path in right)
        words = refused_alike(host, "link", "--interface", "eth0", host_yaml=host.host_yaml(hooks))
        assert f"namely '{right[0]}'" in words, words
        found, _ = doctor(host, host.host_yaml(hooks), 9)
        expect(len(found["error", "link"]), 1, f"{hooks}: {found['error', 'link']}")
        assert found["error", "link"][0].startswith("another bulkhead filters link 'eth0'"), found
        done = host.bulkhead_json("doctor", "--interface", "eth1")
        covered = [finding["words"] for finding in done["findings"]
                   if finding["words"].endswith("; covered")]
        expect([words.split(":")[0] for words in covered], ["eth1"], "covered by --interface")
        assert not os.path.exists(host.pins), "doctor has made pins"
        host.pins, host.state = right
        host.bulkhead("detach")
    done = host.bulkhead_json("doctor", "--interface", "nosuch", status=9)
    assert {"level": "error", "subject": "--interface",
            "words": "no link is called 'nosuch'"} in done["findings"], done


@tap
def doctor_without_root_knows_nothing_of_what_runs_on_a_link(lab):
    _, host = pair(lab)
    done = host.run("setpriv", "--reuid=65534", "--clear-groups", bulkhead_program(), "doctor",
                    "--json", "--interface", "eth0", check=False)
    if done.returncode == 126:
        raise Skip(f"nobody cannot run the program here: {done.stderr.strip()}")
    found = json.loads(done.stdout)["findings"]
    expect({finding["level"] for finding in found if finding["subject"] == "link"},
           {"ok", "unknown"}, "levels of links")


AZURE_TAG = "7783-7084-3265-9085-8269-3286-77"


def on_machine(host, tag, command, *args):
    """A run on a machine whose DMI tells that tag: in a mount namespace of its own, over what is there."""
    below = "/sys/class/dmi/id" if os.path.isdir("/sys/class/dmi/id") else "/sys/class"
    folder = "/sys/class/dmi/id"
    script = (f"mount -t tmpfs none {below} && mkdir -p {folder} &&"
              f" echo {tag} > {folder}/chassis_asset_tag && exec \"$@\"")
    return host.run("unshare", "--mount", "sh", "-c", script, "sh",
                    *host.bulkhead_args(command, *args), check=False)


@tap
def a_machine_of_azure_is_told_that_host_yaml_does_not_say_so(lab):
    _, host = pair(lab)
    policy = lab.write("dmi.yaml", BASE)
    for number, (tag, extra, warns) in enumerate(((AZURE_TAG, "", True),
                                                  (AZURE_TAG, "platform: none\n", True),
                                                  (AZURE_TAG, "platform: azure\n", False),
                                                  ("7783-7084", "", False))):
        path = lab.write(f"dmi-{number}.host.yaml", host.host_yaml(extra))
        done = on_machine(host, tag, "apply", "--host", path, policy)
        expect(done.returncode, 0, f"apply with {tag}, {extra!r}: {done.stderr}")
        expect("host.yaml has no 'platform: azure'" in done.stderr, warns,
               f"apply warns with {tag}, {extra!r}: {done.stderr!r}")
        expect(len(done.stderr.splitlines()), int(warns), f"lines of words: {done.stderr!r}")
        done = on_machine(host, tag, "doctor", "--host", path)
        expect("DMI says Azure" in done.stdout, warns, f"doctor with {tag}, {extra!r}")
        expect("platform: azure, and DMI does not" in done.stdout, False, "doctor, the other way")
    path = lab.write("dmi.host.yaml", host.host_yaml("platform: azure\n"))
    done = on_machine(host, "7783-7084", "doctor", "--host", path)
    assert "platform: azure, and DMI does not" in done.stdout, done.stdout


@tap
def doctor_knows_in_a_network_namespace_too_that_programs_are_compiled(lab):
    """The sysctl is told in the first namespace alone."""
    setting = run("cat", "/proc/sys/net/core/bpf_jit_enable", check=False).stdout
    if setting.strip() in ("", "0"):
        raise Skip("programs are not compiled here, or it is not told")
    _, host = pair(lab)
    told = [finding for finding in host.bulkhead_json("doctor", status=None)["findings"]
            if finding["subject"] == "jit"]
    expect([finding["level"] for finding in told], ["ok"], f"level of {told}")


@tap
def doctor_without_root_says_what_it_could_not_see(lab):
    _, host = pair(lab)
    done = host.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                    bulkhead_program(), "doctor", "--pins", host.pins, "--json", "--interface",
                    "eth0", check=False)
    if "setpriv" in done.stderr or "Permission denied" in done.stderr:
        raise Skip(f"nobody cannot run the program here: {done.stderr.strip()}")
    expect(done.returncode, 0, f"status: {done.stderr}")
    found = json.loads(done.stdout)["findings"]
    assert any(finding["level"] == "unknown" and finding["subject"] == "kernel"
               for finding in found), found
    assert any(finding["words"].startswith("eth0: veth") for finding in found), found


@tap
def what_root_alone_may_see_is_said_to_need_root(lab):
    _, host = pair(lab)
    host.apply(BASE)
    packet = f"in tcp {PEER[4]}:1 {HOST[4]}:80"
    for args in (["status"], ["rules"], ["flows"], ["stats"], ["watch"], ["explain", packet]):
        done = host.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                        *host.bulkhead_args(*args), check=False)
        if done.returncode == 126:
            raise Skip(f"nobody cannot run the program here: {done.stderr.strip()}")
        assert "root is needed" in done.stdout + done.stderr, f"{args}: {done}"


@tap
def pins_that_a_mount_namespace_hides_are_not_said_to_be_removed(lab):
    """As by ip netns exec, which mounts another /sys."""
    _, host = pair(lab)
    path = lab.write("base.yaml", BASE)
    host.bulkhead("apply", "--interface", "eth0", path)
    hidden = ["unshare", "--mount", "sh", "-c", 'umount --lazy /sys/fs/bpf && exec "$@"', "sh"]
    words = "'/sys/fs/bpf' is no bpffs here, and the pins may only be hidden"
    for args in (["status"], ["detach"]):
        done = host.run(*hidden, *host.bulkhead_args(*args), check=False)
        assert done.returncode and words in done.stdout + done.stderr, f"{args}: {done}"
    pins, host.pins = host.pins, host.pins + "-b"
    shown = host.bulkhead("status", status=None)
    assert words not in shown.stdout + shown.stderr, shown
    host.pins = pins


@tap
def every_command_on_a_policy_in_force_has_json_of_schema_1(lab):
    _, host = with_servers(lab)
    for args in (["status"], ["rules"], ["rules", "--unused"], ["flows"], ["stats"], ["doctor"],
                 ["explain", f"in tcp {PEER[4]}:1 {HOST[4]}:80"], ["detach"], ["status"],
                 ["detach"]):
        for option in (["--json"],) if args == ["detach"] else (["--json"], ["-o", "json"]):
            done = host.bulkhead(*args, *option, status=None)
            expect(done.stdout.count("\n"), 1, f"lines of {args}: {done}")
            expect(json.loads(done.stdout)["schema"], 1, f"schema of {args}")


if __name__ == "__main__":
    tap.main()
