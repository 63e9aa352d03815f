#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
What another version, or another boot, has left: pins of another ABI number, a bpffs that is not
mounted. The other version is this one's own pins in a folder of another number: its programs
and maps are as foreign to the next run as those of a real one.
"""

import os

from netlab import Tap, run
from test_traffic import BASE, HOST, PEER, expect, pair
from traffic import ARRIVES, DENIED, Stream, greeted, serve, still_talks, talk

tap = Tap()


def enforced_by_another_version(lab, hooks):
    peer, host = pair(lab)
    for port in (22, 53, 80, 123):
        serve(host, HOST[4], port)
    for port in (80, 5432):
        serve(peer, PEER[4], port)
    host.apply(BASE, host=host.host_yaml(f"hooks: {hooks}\n"))
    (version,) = os.listdir(host.pins)
    os.rename(f"{host.pins}/{version}", f"{host.pins}/v0")
    return peer, host, version


def programs_of_ours(host):
    """How many stand at eth0, by XDP and tc."""
    link = host.run("ip", "-d", "link", "show", "dev", "eth0").stdout
    seen = host.run("bpftool", "net", "show", "dev", "eth0").stdout
    return link.count("prog/xdp"), seen.count("bh_tc_")


def taken_over_without_a_gap(lab, hooks):
    peer, host, version = enforced_by_another_version(lab, hooks)
    held = peer.connect(HOST[4], 80)
    assert greeted(held)
    said = host.bulkhead_json("status", status=9)
    expect(said["enforcing"], False, "status of this version")
    assert any("ABI version 0" in problem["words"] for problem in said["problems"]), said
    assert "ABI version 0" in host.bulkhead("rules", status=1).stderr
    expect(talk(peer, HOST[4], 22, 0.3), DENIED, "tcp 22 under the other version")
    before = programs_of_ours(host)
    assert sum(before), "this tool does not list our programs"
    allowed, denied = Stream(peer, HOST[4], 53), Stream(peer, HOST[4], 123)
    host.apply(BASE, host=host.host_yaml(f"hooks: {hooks}\n"))
    sent, answered = allowed.end()
    expect(answered, sent, "answers")
    expect(denied.end()[1], 0, "answers past a deny")
    expect(os.listdir(host.pins), [version], "folders of pins")
    expect(programs_of_ours(host), before, "programs at the link")
    expect(host.bulkhead("status").returncode, 0, "status")
    # The other version's flows are not this one's; what the policy allows is picked up.
    assert still_talks(held)
    expect(talk(peer, HOST[4], 22, 0.3), DENIED, "tcp 22")
    expect(talk(host, PEER[4], 5432), ARRIVES, "out tcp 5432")
    expect(talk(host, PEER[4], 80, 0.3), DENIED, "out tcp 80")


@tap
def another_version_is_taken_over_without_a_gap_at_links(lab):
    taken_over_without_a_gap(lab, "{ingress: native, egress: tcx}")


@tap
def another_version_is_taken_over_without_a_gap_at_clsact(lab):
    taken_over_without_a_gap(lab, "{ingress: clsact, egress: clsact}")


@tap
def a_refused_policy_leaves_another_version_enforcing(lab):
    peer, host, _ = enforced_by_another_version(lab, "{ingress: native, egress: tcx}")
    host.apply(BASE.replace("tcp/80", "tcp/80000"), status=3)
    host.apply(BASE, host="bulkhead: 1\ninterfaces: [eth0, nothere0]\n", status=4)
    expect(talk(peer, HOST[4], 22, 0.3), DENIED, "tcp 22")
    expect(talk(peer, HOST[4], 80), ARRIVES, "tcp 80")


@tap
def detach_removes_every_version(lab):
    peer, host, _ = enforced_by_another_version(lab, "{ingress: native, egress: tcx}")
    host.bulkhead("detach")
    expect(os.path.exists(host.pins), False, "folder of pins")
    expect(programs_of_ours(host), (0, 0), "programs at the link")
    expect(talk(peer, HOST[4], 22), ARRIVES, "tcp 22 after detach")


@tap
def a_bpffs_that_is_missing_is_mounted(lab):
    """Where process 1 is, of a machine without anybody else who uses BPF, as after a boot."""
    _, host = pair(lab)
    path = lab.write("policy.yaml", BASE)
    host_path = lab.write("host.host.yaml", host.host_yaml())
    places = f"--pins {host.pins} --state {host.state}"
    program = host.bulkhead_args("apply")[0]
    script = f"""
while umount /sys/fs/bpf 2>/dev/null; do :; done
mountpoint -q /sys/fs/bpf && exit 100
{program} apply {places} --host {host_path} {path} >/dev/null || exit $?
mountpoint -q /sys/fs/bpf || exit 101
[ "$(stat -c %a {host.pins})" = 700 ] || exit 102
{program} status {places} >/dev/null || exit $?
{program} detach {places}
"""
    done = host.run("unshare", "--mount", "--propagation", "private", "--pid", "--fork",
                    "--mount-proc", "sh", "-c", script, check=False)
    expect((done.returncode, done.stderr), (0, ""), "apply, status, detach")
    expect(run("mountpoint", "-q", "/sys/fs/bpf", check=False).returncode, 0, "ours is mounted")


@tap
def an_apply_that_is_refused_leaves_no_mount_and_no_folder(lab):
    """Refused by what is on a link: before programs are loaded, and behind that."""
    _, host = pair(lab)
    host.apply(BASE)
    path = lab.write("policy.yaml", BASE)
    top = os.path.join(lab.folder, "new")
    host.run("ip", "link", "add", "bridge0", "type", "bridge")
    native = lab.write("native.yaml", "bulkhead: 1\nhooks: {ingress: native}\n")
    for pins, link, words in ((f"{top}/bpffs", "eth0", "another bulkhead filters link 'eth0'"),
                              (f"{host.pins}-new/a/b", "eth0", "another bulkhead filters"),
                              (f"{host.pins}-new/a/b", "bridge0", "cannot attach to ingress")):
        done = host.run(host.bulkhead_args("apply")[0], "apply", "--pins", pins, "--state",
                        f"{top}/state/below", "--interface", link, "--host", native, path,
                        check=False)
        expect(done.returncode, 4, f"status: {done.stderr}")
        assert words in done.stderr, done.stderr
        with open("/proc/self/mounts", encoding="ascii") as mounts:
            assert top not in mounts.read(), f"a mount is left: {done.stderr}"
        for folder in (top, f"{host.pins}-new"):
            assert not os.path.exists(folder), f"{folder} is left: {done.stderr}"
    host.bulkhead("status")


@tap
def a_bpffs_that_may_not_be_mounted_is_refused_with_the_line_to_run(lab):
    _, host = pair(lab)
    path = lab.write("policy.yaml", BASE)
    pins = os.path.join(lab.folder, "no-bpffs")
    done = host.run("setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin",
                    host.bulkhead_args("apply")[0], "apply", "--pins", pins, "--state", host.state,
                    "--interface", "eth0", path, check=False)
    expect(done.returncode, 1, "status")
    assert f"run 'mount -t bpf bpf {pins}'" in done.stderr, done.stderr
    assert "prog/xdp" not in host.run("ip", "-d", "link", "show", "dev", "eth0").stdout


@tap
def a_folder_of_pins_that_cannot_be_looked_at_is_no_reason_to_mount(lab):
    """A second bpffs above the first would hide what is in force."""
    _, host = pair(lab)
    host.apply(BASE)
    path = lab.write("policy.yaml", BASE)
    host_path = lab.write("host.host.yaml", host.host_yaml())
    script = """
mounts() { grep -c ' /sys/fs/bpf bpf ' /proc/self/mounts; }
before=$(mounts)
strace -qq -o /dev/null -P "$1" -e inject=statfs:error=EIO "$2" apply --pins "$1" --state "$3" \\
    --host "$4" "$5"
status=$?
[ "$(mounts)" = "$before" ] || exit 100
exit $status
"""
    done = host.run("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh",
                    host.pins, host.bulkhead_args("apply")[0], host.state, host_path, path,
                    check=False)
    expect(done.returncode, 1, f"status ({done.stderr.strip()})")
    assert "cannot look at folder" in done.stderr, done.stderr


if __name__ == "__main__":
    tap.main()
