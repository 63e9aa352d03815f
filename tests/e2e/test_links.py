#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Links and addresses that change while a policy is in force, and which links are covered."""

import hashlib
import json
import os
import re
import shutil
import signal

from calls import Tracer, parse
from generator import mac_of
from kernel import VERSION, ifindex, tree
from netlab import TOP, Skip, Tap, bulkhead_program, drain, family_of, receive, wait_until
from test_traffic import BASE, HOST, PEER, expect, pair
from traffic import ARRIVES, DENIED, ask, greeted, rules, serve, still_talks, talk

tap = Tap()

SECOND_PEER = {4: "198.51.100.1", 6: "2001:db8:2::1"}
SECOND_HOST = {4: "198.51.100.2", 6: "2001:db8:2::2"}


def status(host):
    """(exit status, what `status --json` says, its problems)"""
    done = host.bulkhead("status", status=None)
    said = host.bulkhead_json("status", status=None)
    return done.returncode, said, [problem["words"] for problem in said["problems"]]


def covered(host):
    return sorted({link["name"] for link in status(host)[1]["links"]})


def addresses(ends):
    return tuple([f"{end[4]}/24", f"{end[6]}/64"] for end in ends)


def second_link(lab, peer, host, names=("eth1", "eth1")):
    lab.link(peer, host, names, addresses((SECOND_PEER, SECOND_HOST)))


def closed_and_open(peer, address):
    expect(talk(peer, address, 22, 0.3), DENIED, f"tcp 22 of {address}")
    expect(talk(peer, address, 80), ARRIVES, f"tcp 80 of {address}")


@tap
def a_link_made_anew_under_its_name_is_told_of_and_covered_by_the_next_apply(lab):
    peer, host = pair(lab)
    serve(host, "0.0.0.0", 22)
    serve(host, "0.0.0.0", 80)
    host.apply(BASE)
    closed_and_open(peer, HOST[4])
    host.run("ip", "link", "delete", "eth0")
    code, _, problems = status(host)
    assert code == 9 and any("eth0" in words and "gone" in words for words in problems), problems
    lab.link(peer, host, ("eth0", "eth0"), addresses((PEER, HOST)))
    # The same name is another link: status must not take it for the covered one.
    code, _, problems = status(host)
    assert code == 9 and any("eth0" in words for words in problems), problems
    host.apply(BASE)
    expect(status(host)[0], 0, "status")
    closed_and_open(peer, HOST[4])


def without_what_was_asked(host):
    """The record as a version wrote it that did not keep what was asked for."""
    path = os.path.join(host.state, "record.json")
    with open(path, encoding="utf-8") as file:
        text = file.read().rsplit("\n", 2)[0].replace('"interfaces"', '"once"')
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{text}\n{hashlib.sha256(text.encode()).hexdigest()}\n")


@tap
def a_link_that_came_and_was_asked_for_is_a_problem_until_it_is_covered(lab):
    peer, host = pair(lab)
    second_link(lab, peer, host)
    host.apply(BASE, host="bulkhead: 1\ninterfaces: ['et*', 'e*1', eth0]\n")
    expect(status(host)[::2], (0, []), "status")
    host.run("ip", "link", "delete", "eth1")
    second_link(lab, peer, host)
    lab.link(peer, host, ("other0", "other0"), (["203.0.113.1/24"], ["203.0.113.2/24"]))
    code, said, problems = status(host)
    told = [words for words in problems if "asked for" in words]
    expect((code, told), (9, ["link eth1 is asked for by 'et*' and is not covered; 'apply' covers "
                              "it"]), "status")
    assert {"words": "link eth1, kind veth"} in said["not_covered"], said
    # What was asked for last is what counts, also where it makes no new generation.
    for words, told in ((("eth0",), 0), (("eth0", "eth1"), 0), (("eth1", "et?0"), 0),
                        (("eth0", "[eo]*"), 0)):
        host.apply(BASE, *(word for name in words for word in ("--interface", name)))
        expect(status(host)[::2], (told, []), f"asked for {words}")
    host.apply(BASE, "--interface", "et*")
    host.run("ip", "link", "delete", "eth1")
    host.run("ip", "link", "add", "eth2", "type", "veth", "peer", "name", "far")
    told = [words for words in status(host)[2] if "asked for" in words]
    expect(told, ["link eth2 is asked for by 'et*' and is not covered; 'apply' covers it"], "eth2")
    without_what_was_asked(host)
    told = [words for words in status(host)[2] if "asked for" in words]
    expect(told, [], "by an old record")
    host.apply(BASE, "--interface", "et*")
    expect(status(host)[::2], (0, []), "applied")
    # One pattern that selects nothing any more keeps none of the others from being looked at.
    host.apply(BASE, "--interface", "eth2", "--interface", "et*")
    host.run("ip", "link", "delete", "eth2")
    host.run("ip", "link", "add", "eth3", "type", "veth", "peer", "name", "far")
    told = [words for words in status(host)[2] if "asked for" in words]
    expect(told, ["link eth3 is asked for by 'et*' and is not covered; 'apply' covers it"], "eth3")


@tap
def a_link_that_has_moved_away_is_told_of_and_so_is_its_successor(lab):
    _, host = pair(lab)
    host.apply(BASE)
    index = ifindex(host, "eth0")
    host.run("ip", "link", "set", "eth0", "netns", lab.host("other").netns)
    told = " ".join(status(host)[2])
    assert "moved with its link" in told and "runs before ours" not in told, told
    host.run("ip", "link", "add", "eth0", "index", str(index), "type", "veth", "peer", "name",
             "eth9")
    _, said, problems = status(host)
    told = " ".join(problems)
    for way in ("ingress", "egress"):
        assert f"link eth0 has no program of ours at {way}" in told, told
    assert any("link eth0" in remark["words"] for remark in said["not_covered"]), said
    host.apply(BASE)
    assert not any("eth0" in words for words in status(host)[2]), status(host)


def move(lab, host, to, name, taken):
    """Moves a link to where another one has its number, and that before it is the next one that is free."""
    to.run("ip", "link", "add", "first", "index", str(taken), "type", "veth", "peer", "name", "second",
           "index", "100")
    host.run("ip", "link", "set", name, "netns", to.netns)
    for address in (f"{HOST[4]}/24", f"{HOST[6]}/64"):
        to.run("ip", "address", "add", address, "dev", name, *(["nodad"] if ":" in address else []))
    to.run("ip", "link", "set", name, "up")
    wait_until(lambda: to.is_up(name), what=f"{name} up")
    return ifindex(to, name)


def shown(host):
    return [(link["name"], link["gone"]) for link in status(host)[1]["links"]]


def pins(host):
    return tree(os.path.join(host.pins, VERSION, "links"))


@tap
def a_link_that_comes_back_under_another_number_is_known_once(lab):
    peer, host = pair(lab)
    host.apply(BASE)
    old = ifindex(host, "eth0")
    other = lab.host("other")
    host.run("ip", "link", "set", "eth0", "netns", other.netns)
    new = move(lab, other, host, "eth0", old)
    assert new != old, new
    for port in (22, 80):
        serve(host, HOST[4], port)
    expect(shown(host), [("eth0", False)], "links before the apply")
    problems = status(host)[2]
    expect(problems, [f"link eth0 (ifindex {old}, now first) has no program of ours at ingress",
                      f"link eth0 (ifindex {old}, now first) has no program of ours at egress",
                      "link eth0 is asked for by 'eth0' and has come back under another ifindex; 'apply' "
                      "counts it by its name again"], "problems")
    host.apply(BASE)
    expect(status(host)[::2], (0, []), "status")
    expect(shown(host), [("eth0", False)], "links")
    names = {line["name"] for line in host.bulkhead_json("stats")["stats"] if line["by"] == "interface"}
    assert "eth0" in names and "first" not in names, names
    assert len(pins(host)) == 2 and all(name.endswith(f"-{new}") for name in pins(host)), pins(host)
    closed_and_open(peer, HOST[4])
    said = host.bulkhead("detach").stdout
    assert "2 programs taken off" in said, said


@tap
def a_link_that_has_the_number_of_another_one_elsewhere_is_told_from_that_one(lab):
    peer, host = pair(lab)
    second_link(lab, peer, host)
    host.apply(BASE)
    old = ifindex(host, "eth0")
    other = lab.host("other")
    expect(move(lab, host, other, "eth0", old), ifindex(host, "eth1"), "its number there")
    serve(other, HOST[4], 22)
    expect(shown(host), [("eth0", True), ("eth1", False)], "links")
    for way in ("ingress", "egress"):
        told = (f"what was put at {way} of ifindex {old} has moved with its link into another network "
                "namespace; 'apply' takes it off there")
        assert told in status(host)[2], status(host)
    expect(talk(peer, HOST[4], 22, 0.3), DENIED, "tcp 22 where the link is now")
    done = host.apply(BASE, "--interface", "eth1")
    expect(done.stderr, "warning: link eth0 has moved into another network namespace, and is covered no "
                        "longer: all passes there\n", "stderr")
    expect(talk(peer, HOST[4], 22), ARRIVES, "tcp 22 where the link is now")
    expect(status(host)[::2], (0, []), "status")
    expect(shown(host), [("eth1", False)], "links")
    expect(len(pins(host)), 2, "pins")


@tap
def a_link_that_has_come_back_under_the_number_of_one_that_moved_away_is_not_left_open(lab):
    """Both bpf links tell that number then, and the pin of the one elsewhere has it, too."""
    peer, host, other, third = (lab.host(name) for name in ("peer", "host", "other", "third"))
    host.run("ip", "link", "add", "before", "type", "bridge")
    number = ifindex(host, "before") + 1  # the next one that is free
    for name, index in (("eth0", number), ("eth1", number + 5)):
        host.run("ip", "link", "add", name, "index", str(index), "type", "veth", "peer", "name", name,
                 "netns", peer.netns)
        for end in (peer, host):
            end.run("ip", "link", "set", name, "up")
    peer.run("ip", "address", "add", f"{PEER[4]}/24", "dev", "eth1")
    host.run("ip", "address", "add", f"{HOST[4]}/24", "dev", "eth1")
    for port in (22, 80):
        serve(host, "0.0.0.0", port)
    both = "bulkhead: 1\ninterfaces: [eth0, eth1]\n"
    host.apply(BASE, host=both)
    host.run("ip", "link", "set", "eth0", "netns", other.netns)
    host.run("ip", "link", "set", "eth1", "netns", third.netns)
    host.run("ip", "link", "add", "taken", "index", str(number + 5), "type", "bridge")
    third.run("ip", "link", "set", "eth1", "netns", host.netns)
    expect((ifindex(other, "eth0"), ifindex(host, "eth1")), (number, number), "numbers")
    host.run("ip", "address", "add", f"{HOST[4]}/24", "dev", "eth1")
    host.run("ip", "link", "set", "eth1", "up")
    wait_until(lambda: host.is_up("eth1"), what="eth1 up")
    host.apply(BASE, host="bulkhead: 1\ninterfaces: [eth1]\n")
    closed_and_open(peer, HOST[4])
    expect(status(host)[::2], (0, []), "status")
    expect(len(pins(host)), 2, "pins")


@tap
def a_renamed_link_goes_on_enforcing_and_is_adopted_under_its_new_name(lab):
    peer, host = pair(lab)
    serve(host, HOST[4], 22)
    serve(host, HOST[4], 80)
    host.apply(BASE)
    held = peer.connect(HOST[4], 80)
    assert greeted(held)
    before = status(host)[1]["links"]
    host.run("ip", "link", "set", "eth0", "down")
    host.run("ip", "link", "set", "eth0", "name", "wan0")
    host.run("ip", "link", "set", "wan0", "up")
    wait_until(lambda: host.is_up("wan0"), what="wan0 up")
    closed_and_open(peer, HOST[4])
    host.apply(BASE, host="bulkhead: 1\ninterfaces: [eth0]\n", status=4)
    host.apply(BASE, host="bulkhead: 1\ninterfaces: [wan0]\n")
    after = status(host)[1]["links"]
    expect(covered(host), ["wan0"], "links")
    expect([[link[way]["program"] for way in ("ingress", "egress")] for link in after],
           [[link[way]["program"] for way in ("ingress", "egress")] for link in before],
           "programs")
    closed_and_open(peer, HOST[4])
    assert still_talks(held)


@tap
def status_tells_what_the_next_apply_makes_of_a_link_that_was_renamed(lab):
    """Which is a refusal, or that the link is let go: at the next boot nothing would be enforced."""
    _, host = pair(lab)
    names = iter(("eth0", "wan0", "wan1", "wan2"))
    now = [next(names)]

    def rename():
        host.run("ip", "link", "set", now[0], "down")
        host.run("ip", "link", "set", now[0], "name", name := next(names))
        host.run("ip", "link", "set", name, "up")
        now[0] = name
        return status(host)

    host.apply(BASE)
    code, _, problems = rename()
    expect((code, "no link is called 'eth0', so 'apply' is refused" in problems), (9, True), problems)
    host.apply(BASE, status=4)
    host.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far")
    problems = [words for words in status(host)[2] if "'apply'" in words and "self" not in words]
    expect(problems, ["link eth0 is asked for by 'eth0' and is not covered; 'apply' covers it",
                      "link wan0 is not asked for any more; 'apply' lets it go, and all passes there"],
           "problems")
    done = host.apply(BASE)
    expect(done.stderr, "warning: link wan0 is covered no longer: all passes there\n", "stderr")
    expect(status(host)[::2], (0, []), "status")
    host.apply(BASE, "--interface", "wan0", "--interface", "w*")
    code, _, problems = rename()
    expect((code, "no link is called 'wan0', so 'apply' is refused" in problems), (9, True), problems)
    host.apply(BASE, "--interface", "?an1")
    code, _, problems = rename()
    expect((code, "no Ethernet link matches '?an1', so 'apply' is refused" in problems), (9, True), problems)


@tap
def an_mtu_that_grows_while_native_xdp_is_attached_carries_jumbo_frames(lab):
    peer, host = pair(lab)
    for port in (53, 5353):
        serve(host, HOST[4], port)
    host.apply(BASE)
    for end in (peer, host):
        end.run("ip", "link", "set", "eth0", "mtu", "9000")
    wait_until(lambda: host.is_up("eth0") and peer.is_up("eth0"), what="eth0 up")
    with peer.udp(PEER[4], 40000) as sock:
        for port, outcome in ((53, 8000), (5353, None)):
            sock.sendto(b"j" * 8000, (HOST[4], port))
            sock.settimeout(0.5)
            try:
                got = len(sock.recv(9000))
            except TimeoutError:
                got = None
            expect(got, outcome, f"8000 bytes to port {port}")
    host.apply(BASE)
    expect(status(host)[0], 0, "status")


@tap
def a_link_that_is_gone_is_told_by_the_name_it_had_and_others_by_the_present_one(lab):
    peer, host = pair(lab)
    for names, address in ((("eth1", "eth1"), "198.51.100"), (("eth2", "eth2"), "203.0.113")):
        lab.link(peer, host, names, ([f"{address}.1/24"], [f"{address}.2/24"]))
    serve(host, HOST[4], 53)
    host.apply(BASE)
    number = ifindex(host, "eth2")
    expect(ask(peer, HOST[4], 53), ARRIVES, "udp 53")
    host.run("ip", "link", "delete", "eth1")
    host.run("ip", "link", "delete", "eth2")
    for words in (("down",), ("name", "eth1"), ("up",)):
        host.run("ip", "link", "set", "eth0" if words != ("up",) else "eth1", *words)
    told = status(host)[1]["links"]
    expect([(link["name"], link["gone"], "ingress" in link, "egress" in link) for link in told],
           [("eth1", True, True, True), ("eth2", True, True, True), ("eth1", False, True, True)],
           "links")
    text = host.bulkhead("status", status=9).stdout
    assert "eth2 (gone)  ingress  native" in text and "\neth1         egress " in text, text
    # One that was eth0, and one that had its name: counters are kept by name.
    lines = [line for line in host.bulkhead_json("stats")["stats"] if line["by"] == "interface"]
    expect(sorted((line["name"], line["direction"]) for line in lines),
           [(name, way) for name in ("eth1", "eth2") for way in ("inbound", "outbound")], "stats")
    assert next(line["packets"] for line in lines if line["name"] == "eth1") >= 1, lines
    # Where nothing tells what it was called.
    shutil.rmtree(host.state)
    told = [link["name"] for link in status(host)[1]["links"] if link["gone"]]
    expect(told[1:], [f"ifindex {number}"], "without a record")


@tap
def a_glob_covers_the_links_that_it_matches_and_later_ones_with_the_next_apply(lab):
    peer, host = pair(lab)
    second_link(lab, peer, host)
    lab.link(peer, host, ("lan0", "lan0"), (["203.0.113.1/24"], ["203.0.113.2/24"]))
    for port in (22, 80):
        serve(host, "0.0.0.0", port)
    everything = "bulkhead: 1\ninterfaces: ['eth*']\n"
    host.apply(BASE, host=everything)
    expect(covered(host), ["eth0", "eth1"], "links")
    for address in (HOST[4], SECOND_HOST[4]):
        closed_and_open(peer, address)
    expect(talk(peer, "203.0.113.2", 22), ARRIVES, "tcp 22 on a link that is not covered")
    lab.link(peer, host, ("eth2", "eth2"), (["192.0.3.1/24"], ["192.0.3.2/24"]))
    expect(talk(peer, "192.0.3.2", 22), ARRIVES, "tcp 22 on a link that came later")
    host.apply(BASE, host=everything)
    expect(covered(host), ["eth0", "eth1", "eth2"], "links")
    closed_and_open(peer, "192.0.3.2")
    # And one that leaves the list is let go, which is said; one that is gone needs no words.
    host.run("ip", "link", "delete", "eth2")
    done = host.apply(BASE, host="bulkhead: 1\ninterfaces: [eth1]\n")
    expect(done.stderr, "warning: link eth0 is covered no longer: all passes there\n", "stderr")
    expect(covered(host), ["eth1"], "links")
    expect(talk(peer, HOST[4], 22), ARRIVES, "tcp 22 on a link that is not covered any more")
    closed_and_open(peer, SECOND_HOST[4])


@tap
def a_link_that_is_let_go_with_the_same_policy_is_no_problem(lab):
    """--interface is no part of the policy: no new generation, and its counters stay."""
    peer, host = pair(lab)
    second_link(lab, peer, host)
    serve(host, HOST[4], 53)
    host.apply(BASE)
    expect(ask(peer, HOST[4], 53), ARRIVES, "udp 53")
    generation = status(host)[1]["generation"]
    for words in ("warning: link eth0 is covered no longer: all passes there\n", ""):
        expect(host.apply(BASE, "--interface", "eth1").stderr, words, "stderr")
    code, said, problems = status(host)
    expect((code, problems, said["generation"]), (0, [], generation), "status")
    expect(covered(host), ["eth1"], "links")
    counted = {line["name"]: line["packets"] for line in host.bulkhead_json("stats")["stats"]
               if line["by"] == "interface" and line["direction"] == "inbound"}
    assert counted["eth0"] >= 1, counted
    host.apply(BASE, "--interface", "eth0")
    expect(status(host)[0], 0, "status with the other link alone")
    # What a detach has opened is not opened by the apply behind it; a link is told by its name now.
    host.apply(BASE)
    host.bulkhead("detach")
    expect(host.apply(BASE, "--interface", "eth0").stderr, "", "stderr behind a detach")
    host.apply(BASE)
    host.run("ip", "link", "set", "eth1", "down")
    host.run("ip", "link", "set", "eth1", "name", "lan1")
    expect(host.apply(BASE, "--interface", "eth0").stderr,
           "warning: link lan1 is covered no longer: all passes there\n", "stderr")


@tap
def one_flow_may_come_in_by_one_link_and_be_answered_by_another(lab):
    """Flows belong to the host and not to a link."""
    peer, host = pair(lab)
    second_link(lab, peer, host)
    serve(host, HOST[4], 80)
    host.apply(BASE)
    # The peer sends to the first address by the first link, the host answers by the second.
    host.run("ip", "route", "replace", f"{PEER[4]}/32", "via", SECOND_PEER[4])
    expect(talk(peer, HOST[4], 80), ARRIVES, "tcp 80 with an answer by another link")
    crossed = {(line["name"], line["direction"]): line["packets"]
               for line in host.bulkhead_json("stats")["stats"] if line["by"] == "interface"}
    assert crossed["eth1", "outbound"] >= 3, crossed


@tap
def what_comes_in_by_the_ports_of_a_bond_is_counted_at_the_bond(lab):
    """Its driver hands the program on to the ports, where it runs."""
    peer, host = lab.host("peer"), lab.host("host")
    if host.run("ip", "link", "add", "bond0", "type", "bond", "mode", "active-backup", "miimon",
                "100", check=False).returncode:
        raise Skip("this kernel has no bond")
    peer.run("ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0")
    for host_or_peer, link, address in ((peer, "br0", PEER[4]), (host, "bond0", HOST[4])):
        host_or_peer.run("ip", "address", "add", f"{address}/24", "dev", link)
        host_or_peer.run("ip", "link", "set", link, "up")

    def add_port(number):
        peer.run("ip", "link", "add", f"port{number}", "type", "veth", "peer", "name",
                 f"eth{number}", "netns", host.netns)
        peer.run("ip", "link", "set", f"port{number}", "master", "br0", "up")
        host.run("ip", "link", "set", f"eth{number}", "master", "bond0")

    def counted():
        lines = [line for line in host.bulkhead_json("stats")["stats"]
                 if line["direction"] == "inbound" and line["by"] in ("interface", "total")]
        return [(line["name"], line["packets"]) for line in lines if line["by"] == "interface"], \
            next(line["packets"] for line in lines if line["by"] == "total")

    add_port(0)
    add_port(1)
    wait_until(lambda: host.is_up("bond0"), what="bond0 up")
    serve(host, HOST[4], 53)
    host.apply(BASE, host="bulkhead: 1\ninterfaces: [bond0]\n")
    expect(ask(peer, HOST[4], 53), ARRIVES, "udp 53")
    names, total = counted()
    assert names == [("bond0", total)] and total >= 1, (names, total)
    # One that joins later is known with the next apply, also where nothing else changes.
    add_port(2)
    host.apply(BASE, host="bulkhead: 1\ninterfaces: [bond0]\n")
    active = ("ip", "link", "set", "bond0", "type", "bond", "active_slave", "eth2")
    wait_until(lambda: not host.run(*active, check=False).returncode, what="eth2 is the active port")
    before = dict(counted()[0])["bond0"]
    wait_until(lambda: ask(peer, HOST[4], 53) == ARRIVES, what="udp 53 by the new port")
    assert dict(counted()[0])["bond0"] > before, counted()


@tap
def auto_without_a_device_behind_any_link_is_refused_with_words(lab):
    _, host = pair(lab)
    for text in ("bulkhead: 1\n", "bulkhead: 1\ninterfaces: auto\n"):
        done = host.apply(BASE, host=text, status=4)
        assert "--interface" in done.stderr, done.stderr
    expect(host.bulkhead("status", status=9).returncode, 9, "status without enforcement")
    host.apply(BASE, "--interface", "eth0", host="bulkhead: 1\ninterfaces: auto\n")
    expect(covered(host), ["eth0"], "links")


@tap
def an_address_that_comes_later_is_self_after_the_next_apply_and_stale_until_then(lab):
    peer, host = pair(lab)
    later = {4: "192.0.2.77", 6: "2001:db8::77"}
    host.apply(BASE)
    expect(status(host)[0], 0, "status")
    for version, bits in ((4, 24), (6, 64)):
        nodad = ["nodad"] if version == 6 else []
        host.run("ip", "address", "add", f"{later[version]}/{bits}", "dev", "eth0", *nodad)
        serve(host, later[version], 53)
        expect(ask(peer, later[version], 53, 0.3), DENIED, f"{later[version]} before apply")
    code, said, problems = status(host)
    assert code == 9 and any("self is stale" in words for words in problems), problems
    applied = host.apply(BASE, "--json").stdout
    assert '"changed": true' in applied and '"addresses_changed": true' in applied, applied
    expect(status(host)[1]["generation"], said["generation"] + 1, "generation")
    assert '"changed": false' in host.apply(BASE, "--json").stdout, "again"
    expect(status(host)[0], 0, "status")
    for version in (4, 6):
        expect(ask(peer, later[version], 53), ARRIVES, f"{later[version]} after apply")
    host.run("ip", "address", "del", f"{later[4]}/24", "dev", "eth0")
    expect(status(host)[0], 9, "status after an address went")


GAINED = """\
bulkhead: 1
group: base
rules:
  - {name: not-here, priority: 100, direction: inbound, access: deny, services: [udp/53],
     source: any, destination: self}
  - {name: beyond, priority: 200, direction: inbound, access: allow, services: [udp/53],
     source: any, destination: 192.0.2.0/24}
"""


@tap
def a_live_flow_is_judged_by_the_addresses_that_the_apply_has_found(lab):
    peer, host = pair(lab)
    gained = "192.0.2.77"
    host.apply(GAINED)
    peer.run("ip", "neighbour", "add", gained, "lladdr", mac_of(host, "eth0").hex(":"), "dev", "eth0")
    sender = peer.udp()

    def beyond():
        sender.sendto(b"?", (gained, 53))
        return [rule["packets"] for rule in host.bulkhead_json("rules")["rules"]
                if rule["name"] == "beyond"][0]

    wait_until(lambda: beyond() > 2, what="a flow to an address that the host has not")
    host.run("ip", "address", "add", f"{gained}/32", "dev", "eth0")
    receiver = host.udp(gained, 53)
    sender.sendto(b"?", (gained, 53))
    assert receive(receiver, 2), "the flow does not go on"
    host.apply(GAINED)
    drain(receiver)
    for _ in range(3):
        sender.sendto(b"?", (gained, 53))
    assert not receive(receiver, 0.3), "the policy denies it to the host's own addresses"


@tap
def what_local_routes_make_the_host_s_is_self_and_whole_prefixes_are_named(lab):
    peer, host = pair(lab)
    single = ("198.51.100.7", "2001:db8:7::7", "2001:db8::")  # the last by forwarding: it is anycast
    whole = {"203.0.113.0/24": "203.0.113.9", "2001:db8:8::/48": "2001:db8:8::9"}
    with host.enter():
        host.sysctl("net/ipv4/ip_forward", 1)
        host.sysctl("net/ipv6/conf/all/forwarding", 1)
    host.run("ip", "address", "add", "203.0.113.1/24", "dev", "lo")
    for prefix in (*single[:2], "2001:db8:8::/48"):
        host.run("ip", "route", "add", "local", prefix, "dev", "lo")
    host.run("ip", "route", "add", "local", "192.0.2.128/25", "dev", "lo", "table", "77")
    for address in (*single, *whole, "203.0.113.1"):
        version = 6 if ":" in address else 4
        peer.run("ip", "route", "replace", address, "via", HOST[version])
    host.apply(GAINED.replace("192.0.2.0/24", "any"))
    for address in (*single, "203.0.113.1", *whole.values()):
        with peer.udp(family=family_of(address)) as sock:
            sock.sendto(b"?", (address, 53))
    wait_until(lambda: sum(rules(host)[name]["packets"] for name in ("not-here", "beyond")) == 6,
               what="all datagrams")
    expect(rules(host)["not-here"]["packets"], 4, "datagrams to self")
    code, said, _ = status(host)
    told = [line["words"] for line in said["not_covered"] if line["words"].startswith("by self: ")]
    expect((code, told), (0, [f"by self: {', '.join(whole)}, which local routes make the host's as a "
                              "whole; name them in rules"]), "what self does not hold")
    told = [finding["words"] for finding in host.bulkhead_json("doctor", "--interface", "eth0")["findings"]
            if finding["subject"] == "self" and finding["level"] == "note"]
    assert len(told) == 1 and told[0].startswith(f"does not hold {', '.join(whole)}, "), told


@tap
def a_namespace_that_has_never_had_an_address_has_none_of_its_own(lab):
    _, host = pair(lab)
    done = host.run("unshare", "--net", bulkhead_program(), "doctor", "--json", "--interface", "lo",
                    "--pins", f"{host.pins}-bare", "--state", f"{host.state}-bare", check=False)
    told = {(finding["level"], finding["words"]) for finding in json.loads(done.stdout)["findings"]
            if finding["subject"] == "self"}
    expect(told, {("ok", "0 own addresses")}, "own addresses")


class Lost:
    """A flow to an own address, which the host has no more; the policy allows it to `self` alone."""

    POLICY = BASE.replace("udp/53]", "udp/53, udp/5000]")
    ADDRESS = "192.0.2.77"

    def __init__(self, lab):
        self.peer, self.host = pair(lab)
        self.change("add", self.ADDRESS)
        self.host.apply(self.POLICY)
        self.peer.run("ip", "neighbour", "add", self.ADDRESS, "lladdr",
                      mac_of(self.host, "eth0").hex(":"), "dev", "eth0")
        self.flow = self.peer.udp()
        expect(self.passes(self.flow), True, "a flow to an own address")

    def change(self, verb, address):
        self.host.run("ip", "address", verb, f"{address}/32", "dev", "eth0")

    def passes(self, sock):
        """Whether the policy lets what that socket sends to the address pass."""
        before = rules(self.host)["web"]["packets"]
        for _ in range(3):
            sock.sendto(b"?", (self.ADDRESS, 5000))
        passed = rules(self.host)["web"]["packets"] - before
        assert passed in (0, 3), f"{passed} of 3 passed"
        return passed == 3

    def judged_anew(self):
        """The next apply asks the policy about the flow again."""
        applied = json.loads(self.host.apply(self.POLICY, "--json").stdout)
        expect(applied["changed"], True, "changed")
        expect(self.passes(self.flow), False, "the flow to an address that is own no more")
        expect(status(self.host)[0], 0, "status")
        assert '"changed": false' in self.host.apply(self.POLICY, "--json").stdout, "again"


@tap
def a_refused_apply_changes_no_own_address_and_the_next_one_judges_flows_by_them(lab):
    lost = Lost(lab)
    lost.change("del", lost.ADDRESS)
    lost.host.run("ip", "link", "add", "br0", "type", "bridge")
    lost.host.apply(lost.POLICY, status=4,
                    host="bulkhead: 1\ninterfaces: [eth0, br0]\nhooks: {ingress: native}\n")
    problems = status(lost.host)[2]
    assert any("self is stale" in words for words in problems), problems
    expect(lost.passes(lost.peer.udp()), True, "a new flow, as before")
    expect(lost.passes(lost.flow), True, "the flow, as before")
    lost.judged_anew()


@tap
def an_apply_that_dies_right_before_its_flip_keeps_no_flow_from_being_judged_anew(lab):
    """The table of own addresses is the new one then, and says nothing of what flows were judged by."""
    lost = Lost(lab)
    tracer = Tracer(lost.host)
    # The files of host.apply: another name would be another image.
    args = ("--host", lab.write("host.host.yaml", lost.host.host_yaml()),
            lab.write("host.yaml", lost.POLICY))
    for verb in ("add", "del"):  # the first one is not as those that come after it
        lost.change(verb, "192.0.2.78")
        trace = tracer.list_with_stacks("apply", *args)
    put, = [call for call in trace if call.is_in("applying_put_self")
            and call.head() == "bpf(BPF_MAP_UPDATE_ELEM"]
    expect(lost.passes(lost.flow), True, "the flow")
    lost.change("del", lost.ADDRESS)
    generation = status(lost.host)[1]["generation"]
    # A call that is stopped is done; the store behind it is none.
    tracer.stop(put, lambda pid: os.kill(pid, signal.SIGKILL), "apply", *args,
                status=-signal.SIGKILL)
    expect(status(lost.host)[1]["generation"], generation, "generation")
    assert not any("self is stale" in words for words in status(lost.host)[2]), \
        "it was killed too early"
    expect(lost.passes(lost.flow), True, "the flow, as the policy was asked")
    lost.judged_anew()


class Counted:
    """A host with three links, of which an apply covers some; what is counted must never fall."""

    THIRD_PEER, THIRD_HOST = ({4: "203.0.113.1", 6: "2001:db8:3::1"}, {4: "203.0.113.2", 6: "2001:db8:3::2"})

    def __init__(self, lab):
        self.peer, self.host = pair(lab)
        second_link(lab, self.peer, self.host)
        lab.link(self.peer, self.host, ("eth2", "eth2"), addresses((self.THIRD_PEER, self.THIRD_HOST)))
        self.tracer = Tracer(self.host)
        self.last = {}

    def args(self, links, policy=BASE, extra=""):
        """Arguments of apply."""
        host = f"bulkhead: 1\ninterfaces: [{links}]\n{extra}"
        lab = self.host.lab
        return "--host", lab.write("host.host.yaml", host), lab.write("host.yaml", policy)

    def apply(self, *args):
        self.host.bulkhead("apply", *self.args(*args))
        self.check()

    def send(self, address, count=3):
        """Datagrams that the policy allows, and that they are counted."""
        self.check()
        before = self.last["rule"]
        with self.peer.udp() as sock:
            for _ in range(count):
                sock.sendto(b"?", (address, 53))
        self.check()
        expect(self.last["rule"], before + count, f"packets of the rule, after those to {address}")

    def check(self):
        now = {line["name"]: line["packets"] for line in self.host.bulkhead_json("stats")["stats"]
               if line["by"] == "interface" and line["direction"] == "inbound"}
        now["rule"] = rules(self.host)["web"]["packets"]
        fallen = {name: (count, now.get(name)) for name, count in self.last.items()
                  if now.get(name, 0) < count}
        assert not fallen, f"counters have fallen: {fallen}"
        self.last = now


@tap
def what_a_link_counts_until_its_programs_go_is_not_lost(lab):
    """In the generation that covers it no longer, under a number that another link may get next."""
    counted = Counted(lab)
    other = BASE.replace("priority: 110", "priority: 111")
    for _ in range(2):  # the first one is not as those that come after it
        counted.apply("eth0, eth1", BASE)
        counted.send(SECOND_HOST[4])
        trace = counted.tracer.list_with_stacks("apply", *counted.args("eth0", other))
        counted.check()
    listing = next(call for call in trace if call.is_in("applying_remove_links"))
    counted.apply("eth0, eth1", BASE)
    # Behind the flip, and with its programs.
    counted.tracer.stop(listing, lambda _: counted.send(SECOND_HOST[4]), "apply",
                        *counted.args("eth0", other))
    counted.check()
    counted.send(HOST[4])
    counted.apply("eth0, eth2", other)
    counted.send(Counted.THIRD_HOST[4])
    counted.apply("eth0, eth2", BASE)
    counted.apply("eth0, eth1, eth2", other)
    counted.send(SECOND_HOST[4])


@tap
def what_a_link_counts_in_an_apply_that_is_refused_is_not_lost(lab):
    counted = Counted(lab)
    counted.apply("eth0")
    counted.send(HOST[4])
    counted.host.run("ip", "link", "add", "br0", "type", "bridge")
    refused = counted.args("eth0, eth2, br0", BASE, "hooks: {ingress: native}\n")
    for _ in range(2):  # the first one is not as those that come after it
        expect(counted.tracer.run("apply", *refused).returncode, 4, "status")
    pin = next(call for call in parse(counted.tracer.log) if "BPF_OBJ_PIN" in call.text
               and f"out-{ifindex(counted.host, 'eth2')}" in call.text)
    counted.tracer.stop(pin, lambda _: counted.send(Counted.THIRD_HOST[4]), "apply", *refused, status=4)
    counted.check()
    counted.apply("eth0, eth2")
    counted.send(Counted.THIRD_HOST[4])


@tap
def lists_without_rows_are_lists_in_json(lab):
    _, host = pair(lab)
    expect(status(host)[1]["links"], [], "links before any apply")
    host.apply(BASE)
    expect(host.bulkhead_json("flows")["flows"], [], "flows without traffic")
    expect(status(host)[1]["problems"], [], "problems")


def keys_in(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_in(inner)


@tap
def keys_of_json_of_a_policy_in_force_are_in_the_manual(lab):
    """tests/cases/test_manual.py asks those that need no root."""
    peer, host = pair(lab)
    serve(host, HOST[4], 80)
    results = {"apply": json.loads(host.apply(BASE, "--json").stdout)}
    assert talk(peer, HOST[4], 80) == ARRIVES
    host.run("ip", "address", "add", "192.0.2.88/24", "dev", "eth0")
    for command, words in (("status", ()), ("flows", ()), ("rules", ()), ("stats", ()),
                           ("explain", f"in tcp {PEER[4]}:1 {HOST[4]}:22".split())):
        results[command] = host.bulkhead_json(command, *words, status=None)
    results["detach"] = host.bulkhead_json("detach")
    with open(os.path.join(TOP, "docs", "man", "bulkhead.8.scd"), encoding="utf-8") as file:
        text = re.search(r"^# JSON\n(.*?)^# ", file.read(), re.M | re.S).group(1)
    for command, result in results.items():
        entry = re.search(rf"^\*{command}\*\n((?:\t.*\n)+)", text, re.M).group(1)
        known = set(re.findall(r"_(\w+?)_(?!\w)", entry))
        if command == "apply":  # its links are as in status
            known |= set(keys_in(results["status"]["links"]))
        missing = set(keys_in(result)) - known - {"schema"}
        assert not missing, f"{command}: {sorted(missing)}"


if __name__ == "__main__":
    tap.main()
