#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Where the programs hang: native XDP, tcx, clsact, jumbo frames, a foreign program."""

import glob
import os
import shutil
import socket
import struct

import kernel
from calls import Tracer
from netlab import Skip, TOP, Tap, run
from prober import Prober
from test_traffic import BASE, HOST, PEER, expect, pair
from traffic import ARRIVES, DENIED, Stream, ask, rules, serve, talk

tap = Tap()

FOREIGN = os.path.join(TOP, "build", "tests", "e2e", "foreign.bpf.o")


def numbered(host):
    """{ifindex: number} of the links whose packets have counters of their own, see struct bh_links."""
    pin = glob.glob(os.path.join(host.pins, "v*", "maps", "bh_links"))[0]
    slots = struct.iter_unpack("=IHH", kernel.element(pin, 8 + 256 * 8)[8:])
    return {ifindex: number for ifindex, number, _ in slots if ifindex}


def hooks(host):
    """{interface: (ingress, egress)} as status names them."""
    return {link["name"]: (link["ingress"]["hook"], link["egress"]["hook"])
            for link in host.bulkhead_json("status", status=None)["links"]}


def knows_tcx(host):
    """Linux 6.6 and later."""
    findings = host.bulkhead_json("doctor", status=None)["findings"]
    return any(f["level"] == "ok" and f["words"] == "tcx links" for f in findings)


def best_egress(host):
    return "tcx" if knows_tcx(host) else "clsact"


def works(peer, host):
    """One allowed and one denied of each kind."""
    for version in (4, 6):
        expect(talk(peer, HOST[version], 80), ARRIVES, f"tcp 80 v{version}")
        expect(talk(peer, HOST[version], 22, 0.3), DENIED, f"tcp 22 v{version}")
        expect(ask(peer, HOST[version], 53), ARRIVES, f"udp 53 v{version}")
        expect(ask(peer, HOST[version], 5353, 0.2), DENIED, f"udp 5353 v{version}")
        expect(talk(host, PEER[version], 5432), ARRIVES, f"out tcp 5432 v{version}")
        expect(talk(host, PEER[version], 80, 0.3), DENIED, f"out tcp 80 v{version}")


def with_servers(lab, mtu=1500):
    peer, host = pair(lab, mtu)
    for version in (4, 6):
        for port in (22, 53, 80, 5353):
            serve(host, HOST[version], port)
        for port in (80, 5432):
            serve(peer, PEER[version], port)
    return peer, host


@tap
def native_xdp_and_tcx_are_taken_where_they_are(lab):
    peer, host = with_servers(lab)
    host.apply(BASE)
    expect(hooks(host)["eth0"], ("native", best_egress(host)), "hooks")
    works(peer, host)


def forced(lab, ingress, egress):
    peer, host = with_servers(lab)
    host.apply(BASE, host=host.host_yaml(f"hooks: {{ingress: {ingress}, egress: {egress}}}\n"))
    expect(hooks(host)["eth0"], (ingress, egress), "hooks")
    works(peer, host)
    return peer, host


@tap
def clsact_alone_does_the_same(lab):
    _, host = forced(lab, "clsact", "clsact")
    host.bulkhead("detach")
    left = host.run("tc", "filter", "show", "dev", "eth0", "ingress").stdout
    expect(left.strip(), "", "filters left behind")


@tap
def tcx_alone_does_the_same(lab):
    if knows_tcx(lab.host("asked")):
        forced(lab, "tcx", "tcx")
        return
    peer, host = with_servers(lab)
    done = host.apply(BASE, host=host.host_yaml("hooks: {ingress: tcx}\n"), status=4)
    assert "this kernel has no tcx" in done.stderr, done.stderr
    expect(talk(peer, HOST[4], 22), ARRIVES, "with nothing attached")


@tap
def generic_xdp_does_the_same_when_asked_for(lab):
    _, host = forced(lab, "generic", best_egress(lab.host("asked")))
    told = host.bulkhead_json("status")["links"][0]
    assert "costs what tcx costs" in told["ingress"]["why"], told
    expect(told["egress"]["why"], "", "why of egress")
    assert "costs what tcx costs" in host.bulkhead("status").stdout


@tap
def nothing_is_lost_and_nothing_passes_while_the_hook_changes(lab):
    """
    Each way over from each hook to each other one: the new one judges before the old one goes, and the
    clsact of which the kernel makes a gap in what is sent stays.
    """
    peer, host = pair(lab)
    host.apply(BASE, host=host.host_yaml("hooks: {ingress: clsact, egress: clsact}\n"))
    prober = Prober(peer, host, {"peer": PEER[4], "host": HOST[4]},
                    {"in": (53, 5353), "out": (5353, 53)})
    prober.since()
    ways = [("native", "tcx"), ("clsact", "clsact"), ("tcx", "tcx"), ("native", "clsact"),
            ("tcx", "clsact"), ("native", "tcx"), ("tcx", "tcx"), ("clsact", "tcx")]
    if not knows_tcx(host):
        ways = [("native", "clsact"), ("clsact", "clsact")]
    for ingress, egress in ways * 2:
        host.apply(BASE, host=host.host_yaml(
            f"hooks: {{ingress: {ingress}, egress: {egress}}}\n"))
        expect(hooks(host)["eth0"], (ingress, egress), "hooks")
        prober.check(f"on the way to {ingress} and {egress}")
    prober.end()
    assert "clsact" in host.run("tc", "qdisc", "show", "dev", "eth0").stdout
    host.bulkhead("detach")
    left = host.run("tc", "qdisc", "show", "dev", "eth0").stdout
    assert "clsact" not in left, left


@tap
def the_hook_can_change_with_an_apply(lab):
    peer, host = with_servers(lab)
    middle = ("tcx", "clsact") if knows_tcx(host) else ("clsact",)
    for ingress in ("native", *middle, "native"):
        host.apply(BASE, host=host.host_yaml(f"hooks: {{ingress: {ingress}}}\n"))
        expect(hooks(host)["eth0"][0], ingress, "hook")
        expect(talk(peer, HOST[4], 80), ARRIVES, f"tcp 80 on {ingress}")
        expect(talk(peer, HOST[4], 22, 0.3), DENIED, f"tcp 22 on {ingress}")


@tap
def jumbo_frames_are_judged_natively(lab):
    peer, host = with_servers(lab, mtu=9000)
    host.apply(BASE)
    expect(hooks(host)["eth0"][0], "native", "hook at MTU 9000")
    works(peer, host)
    done = peer.run("ping", "-n", "-c", "2", "-s", "8000", "-M", "do", "-W", "1", HOST[4],
                    check=False)
    assert "2 received" in done.stdout, done.stdout
    with peer.udp(PEER[4], 40001) as sock, host.udp(HOST[4], 54) as sink:
        sock.sendto(b"j" * 8000, (HOST[4], 54))
        sink.settimeout(0.3)
        try:
            sink.recv(9000)
            raise AssertionError("a denied jumbo datagram arrived")
        except socket.timeout:
            pass


@tap
def a_foreign_xdp_program_stays_and_ingress_goes_to_tcx(lab):
    if not os.path.exists(FOREIGN):
        raise Skip("foreign.bpf.o is not built")
    peer, host = with_servers(lab)
    host.run("ip", "link", "set", "dev", "eth0", "xdp", "object", FOREIGN, "section", "xdp")
    told = [line["words"] for line in host.bulkhead_json("doctor", status=None)["findings"]
            if line["words"].startswith("eth0:")]
    assert len(told) == 1 and "so no native XDP of ours" in told[0], told
    host.apply(BASE)
    expect(hooks(host)["eth0"][0], best_egress(host), "hook beside a foreign program")
    shown = host.bulkhead("status", status=None).stdout
    assert "foreign" in shown or "another" in shown, shown
    works(peer, host)
    host.bulkhead("detach")
    link = host.run("ip", "-d", "link", "show", "dev", "eth0").stdout
    assert "prog/xdp" in link, link


@tap
def detach_removes_exactly_what_is_ours(lab):
    peer, host = with_servers(lab)
    before = run("find", host.lab.folder, "/sys/fs/bpf", "-path", f"*bh-{lab.suffix}*").stdout
    host.apply(BASE)
    host.bulkhead("detach")
    expect(talk(peer, HOST[4], 22), ARRIVES, "tcp 22 after detach")
    after = run("find", "/sys/fs/bpf", "-path", f"*bh-{lab.suffix}*", "-type", "f").stdout
    expect(after, "", "pins left behind")
    assert before is not None
    link = host.run("ip", "-d", "link", "show", "dev", "eth0").stdout
    assert "xdp" not in link, link


# Puts a filter at ingress of eth0, before all others: of so many classic instructions, which no dump has room for.
LARGE_FILTER = """
import socket, struct
def attribute(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)
N = 4090
code = struct.pack("=HBBI", 0, 0, 0, 1) * (N - 1) + struct.pack("=HBBI", 6, 0, 0, 0xffffffff)
options = attribute(4, struct.pack("=H", N)) + attribute(5, code)
body = (struct.pack("=BxxxiIII", 0, socket.if_nametoindex("eth0"), 0, 0xfffffff2,
                    1 << 16 | socket.htons(3)) + attribute(1, b"bpf\\0") + attribute(2, options))
with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as rtnetlink:
    rtnetlink.send(struct.pack("=IHHII", 16 + len(body), 44, 0x405, 1, 0) + body)
    assert struct.unpack_from("=i", rtnetlink.recv(1 << 16), 16)[0] == 0
"""


@tap
def a_list_of_filters_that_the_kernel_cuts_off_is_not_taken_for_a_whole_one(lab):
    _, host = pair(lab)
    host.apply(BASE, host=host.host_yaml("hooks: {ingress: clsact, egress: clsact}\n"))
    host.run("python3", "-c", LARGE_FILTER)
    done = host.bulkhead("status", status=9)
    assert "cannot list the filters of link" in done.stdout, done.stdout
    done = host.bulkhead("detach", status=1)
    assert "cannot list the filters of link" in done.stderr, done.stderr
    assert os.listdir(host.pins), "the pins of what stays are gone"
    host.run("tc", "filter", "delete", "dev", "eth0", "ingress", "pref", "1")
    host.bulkhead("detach")
    expect(host.run("tc", "filter", "show", "dev", "eth0", "ingress").stdout, "", "filters")


@tap
def two_hosts_are_independent(lab):
    peer, host = with_servers(lab)
    peer.apply(BASE.replace("tcp/5432", "tcp/5433"))
    host.apply(BASE)
    expect(talk(host, PEER[4], 5432, 0.3), DENIED, "the peer's own policy denies")
    peer.bulkhead("detach")
    expect(talk(host, PEER[4], 5432), ARRIVES, "the host's still allows")
    expect(talk(peer, HOST[4], 22, 0.3), DENIED, "the host's still denies")


@tap
def a_named_link_that_is_missing_is_status_4(lab):
    _, host = pair(lab)
    done = host.apply(BASE, host="bulkhead: 1\ninterfaces: [eth0, nothere0]\n", status=4)
    assert "nothere0" in done.stderr, done.stderr
    expect(host.bulkhead("status", status=9).returncode, 9, "status without enforcement")


def refused_at_the_second_link(lab, wish):
    """The host with a second link that cannot be covered natively, after the refusal."""
    peer, host = with_servers(lab)
    lab.link(peer, host, ("eth1", "eth1"), (["198.51.100.1/24"], ["198.51.100.2/24"]))
    host.run("ip", "link", "set", "dev", "eth1", "xdp", "object", FOREIGN, "section", "xdp")
    text = f"bulkhead: 1\ninterfaces: [eth0, eth1]\nhooks: {wish}\n"
    return peer, host, text


@tap
def a_first_apply_that_cannot_cover_every_link_leaves_none_covered(lab):
    """A program without a policy denies everything: it must not stay."""
    peer, host, text = refused_at_the_second_link(lab, "{ingress: native}")
    done = host.apply(BASE, host=text, status=4)
    expect(len(done.stderr.splitlines()), 1, f"lines of {done.stderr!r}")
    expect(talk(peer, HOST[4], 22), ARRIVES, "tcp 22 after a refused first apply")
    expect(talk(host, PEER[4], 80), ARRIVES, "out tcp 80 after a refused first apply")
    link = host.run("ip", "-d", "link", "show", "dev", "eth0").stdout
    assert "xdp" not in link, link
    assert not os.path.exists(host.pins), f"pins left: {os.listdir(host.pins)}"


def of_no_file(problems):
    """Without those that tell of the files which the refused apply has read."""
    return [line["words"] for line in problems if not line["words"].startswith("file '")]


@tap
def an_apply_that_cannot_cover_every_link_leaves_the_old_policy_alone(lab):
    peer, host, text = refused_at_the_second_link(lab, "{ingress: native}")
    host.apply(BASE, host="bulkhead: 1\ninterfaces: [eth0]\n")
    before, numbers = host.bulkhead_json("status"), numbered(host)
    assert kernel.ifindex(host, "eth0") in numbers, f"no number for eth0: {numbers}"
    host.apply(BASE.replace("tcp/80, ", ""), host=text, status=4)
    after = host.bulkhead_json("status", status=None)
    expect(numbered(host), numbers, "numbers of links in the kernel")
    expect(after["image"], before["image"], "image in force")
    expect(after["links"], before["links"], "links")
    expect(of_no_file(after["problems"]), [], "problems: the old policy holds on all of its links")
    works(peer, host)


@tap
def a_refused_apply_denies_nothing_of_what_the_policy_in_force_allows(lab):
    """Native XDP is in the way of generic: refused, while a stream runs that the new one denies."""
    peer, host = with_servers(lab)
    host.apply(BASE)
    before = host.bulkhead_json("status")
    stream = Stream(peer, HOST[4], 53)
    for _ in range(10):
        host.apply(BASE.replace("udp/53", "udp/54"), status=4,
                   host=host.host_yaml("hooks: {ingress: generic}\n"))
    sent, answered = stream.end()
    expect(answered, sent, "answers")
    expect(rules(host)["DenyAllInBound"]["packets"], 0, "denied by the policy in force")
    after = host.bulkhead_json("status", status=9)
    for key in ("generation", "image", "links"):
        expect(after[key], before[key], key)
    expect(of_no_file(after["problems"]), [], "problems")


@tap
def a_new_link_has_the_policy_in_force_and_counters_until_the_flip(lab):
    """Killed right before the flip: by then the programs are attached, and the old policy judges."""
    peer, host, both = refused_at_the_second_link(lab, "{ingress: auto}")
    serve(host, "198.51.100.2", 53)
    serve(host, "198.51.100.2", 54)
    one = "bulkhead: 1\ninterfaces: [eth0]\n"
    tracer = Tracer(host)
    later = BASE.replace("udp/53", "udp/54")
    args = ("--host", lab.write("both.host.yaml", both), lab.write("later.yaml", later))
    host.apply(BASE, host=one)
    trace = tracer.list("apply", *args)
    # From the beginning: pages of counters that the link has had before would stand in for missing ones.
    host.bulkhead("detach")
    shutil.rmtree(host.state)
    host.apply(BASE, host=one)
    flip = next(call for call in trace if call.name == "mmap" and "MAP_SHARED, " in call.text
                and "PROT_WRITE" in call.text)
    assert tracer.kill(flip, "apply", *args)
    expect(hooks(host)["eth1"], ("tcx", "tcx"), "hooks of the new link")
    expect(ask(peer, "198.51.100.2", 53), ARRIVES, "udp 53 by the new link")
    expect(ask(peer, "198.51.100.2", 54, 0.2), DENIED, "udp 54 by the new link")
    stats = {(line["by"], line["name"], line["direction"]): line["packets"]
             for line in host.bulkhead_json("stats")["stats"]}
    assert stats["interface", "eth1", "inbound"] >= 2, stats
    expect([line for line in stats if "uncounted" in line], [], "uncounted packets")
    host.bulkhead("apply", *args)
    expect(ask(peer, "198.51.100.2", 54), ARRIVES, "udp 54 once it is applied")


@tap
def what_a_link_has_counted_that_is_let_go_is_counted_once(lab):
    """Its counters lie in the slot of every second generation, and are those of nobody there."""
    peer, host, both = refused_at_the_second_link(lab, "{ingress: auto}")
    serve(host, "198.51.100.2", 53)
    host.apply(BASE, host=both)
    for _ in range(5):
        expect(ask(peer, "198.51.100.2", 53), ARRIVES, "udp 53 by the second link")

    def packets():
        return {line["name"]: line["packets"] for line in host.bulkhead_json("stats")["stats"]
                if (line["by"], line["direction"]) == ("reason", "inbound")}["rule"]
    counted = packets()
    assert counted >= 5, counted
    for number in range(5):
        port = 54 + number % 2
        host.apply(BASE.replace("udp/53", f"udp/53, udp/{port}"),
                   host="bulkhead: 1\ninterfaces: [eth0]\n")
        expect(packets(), counted, f"packets after {number + 1} more generations")


@tap
def native_xdp_comes_by_way_of_tcx_where_our_generic_one_was(lab):
    peer, host = with_servers(lab)
    host.apply(BASE, host=host.host_yaml("hooks: {ingress: generic}\n"))
    done = host.apply(BASE, host=host.host_yaml("hooks: {ingress: native}\n"), status=4)
    assert "ingress: tcx" in done.stderr, done.stderr
    expect(hooks(host)["eth0"][0], "generic", "hook after a refusal")
    for hook in ("tcx", "native"):
        host.apply(BASE)
        expect(hooks(host)["eth0"][0], hook, "hook by auto")
        expect(talk(peer, HOST[4], 80), ARRIVES, f"tcp 80 on {hook}")
        expect(talk(peer, HOST[4], 22, 0.3), DENIED, f"tcp 22 on {hook}")


@tap
def sockets_that_can_send_past_egress_are_named(lab):
    _, host = with_servers(lab)
    host.apply(BASE)

    def told():
        words = [line["words"] for line in host.bulkhead_json("status")["not_covered"]]
        status = next(line for line in words if "PACKET_QDISC_BYPASS" in line)
        found = host.bulkhead_json("doctor", "--interface", "eth0")["findings"]
        doctor = next(line["words"] for line in found
                      if "PACKET_QDISC_BYPASS" in line["words"])
        assert doctor.endswith(status), f"doctor: {doctor}\nstatus: {status}"
        return status

    assert "open now" not in told()
    with (host.open_socket(socket.AF_PACKET, socket.SOCK_RAW),
          host.open_socket(44, socket.SOCK_RAW)):  # AF_XDP
        owner = f"(pid {os.getpid()}, "
        assert f"{owner}packet socket)" in told(), told()
        # Whose it is a kernel without xdp_diag does not tell.
        assert f"{owner}AF_XDP socket)" in told() or "AF_XDP socket of somebody" in told(), told()
    assert "open now" not in told()


if __name__ == "__main__":
    tap.main()
