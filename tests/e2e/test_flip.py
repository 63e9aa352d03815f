#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Policies that change under traffic: nothing lost, nothing let through, flows as chosen."""

import re

from netlab import Tap
from test_traffic import BASE, HOST, PEER, expect, pair
from traffic import (ARRIVES, DENIED, Questions, Stream, ask, greeted, reasons, rules, serve, still_talks,
                     talk)

tap = Tap()

WITHOUT_WEB = BASE.replace("services: [tcp/80, udp/53]", "services: [tcp/81]")
OPEN_OUTBOUND = """\
bulkhead: 1
group: base
rules:
  - {{name: web, priority: 100, direction: inbound, access: {web},
     services: [tcp/80-81], source: any, destination: self}}
  - {{name: all, priority: 100, direction: outbound, access: allow,
     protocol: any, source: any, destination: any}}
"""


@tap
def no_datagram_is_lost_over_twenty_changes(lab):
    peer, host = pair(lab)
    for version in (4, 6):
        serve(host, HOST[version], 53)
    host.apply(BASE)
    streams = [Stream(peer, HOST[version], 53) for version in (4, 6)]
    for number in range(20):
        host.apply(BASE.replace("priority: 110", f"priority: {111 + number}"))
    for stream in streams:
        sent, answered = stream.end()
        expect(answered, sent, "answers")


@tap
def nothing_denied_gets_through_over_twenty_changes(lab):
    peer, host = pair(lab)
    serve(host, HOST[4], 123)
    host.apply(BASE)
    stream = Stream(peer, HOST[4], 123)
    for number in range(20):
        host.apply(BASE.replace("priority: 110", f"priority: {111 + number}"))
    sent, answered = stream.end()
    expect(answered, 0, "answers past a deny")


@tap
def the_same_input_again_changes_nothing(lab):
    _, host = pair(lab)
    host.apply(BASE)
    before = host.bulkhead_json("status")["generation"]
    assert host.apply(BASE, "--json").stdout.find('"changed": false') >= 0
    expect(host.bulkhead_json("status")["generation"], before, "generation")


@tap
def recheck_ends_a_flow_that_the_new_policy_denies(lab):
    peer, host = pair(lab)
    serve(host, HOST[4], 80)
    host.apply(BASE)
    held = peer.connect(HOST[4], 80)
    assert greeted(held) and still_talks(held)
    host.apply(WITHOUT_WEB)
    assert not still_talks(held, 0.7)
    expect(talk(peer, HOST[4], 80), DENIED, "a new one")


@tap
def what_recheck_ends_does_not_live_on_as_the_other_sides(lab):
    """The host may open anything, and speaks first after the change: to the stranger it is no opener."""
    peer, host = pair(lab)
    serve(host, HOST[4], 80)
    open_outbound = OPEN_OUTBOUND.format(web="allow")
    host.apply(open_outbound)
    held = peer.connect(HOST[4], 80)
    listener = host.listen(HOST[4], 81)
    pushed = peer.connect(HOST[4], 81)
    pushing, _ = listener.accept()
    assert greeted(held) and still_talks(held)
    pushing.sendall(b"before")
    expect(pushed.recv(100), b"before", "what the host says")
    host.apply(OPEN_OUTBOUND.format(web="deny"))
    pushing.sendall(b"after")
    expect(pushed.recv(100), b"after", "what the host may still send")
    pushed.sendall(b"command")
    assert not still_talks(held, 0.7)
    pushing.settimeout(0.7)
    try:
        assert False, f"the stranger is heard: {pushing.recv(100)}"
    except TimeoutError:
        pass
    states = {flow["state"] for flow in host.bulkhead_json("flows")["flows"]
              if flow["direction"] == "inbound"}
    expect(states, {"cut"}, "inbound flows")
    host.apply(open_outbound)
    pushing.settimeout(10)  # until TCP tries again
    expect(pushing.recv(100), b"command", "what the stranger says when it is allowed again")


@tap
def keep_honours_an_established_flow_and_denies_new_ones(lab):
    peer, host = pair(lab)
    serve(host, HOST[4], 80)
    serve(host, HOST[6], 80)
    host.apply(BASE)
    held = [peer.connect(HOST[version], 80) for version in (4, 6)]
    assert all(greeted(sock) and still_talks(sock) for sock in held)
    keep = WITHOUT_WEB.replace("group: base\n", "group: base\nexisting_flows: keep\n")
    host.apply(keep)
    assert all(still_talks(sock) for sock in held)
    expect(talk(peer, HOST[4], 80), DENIED, "a new one")
    assert reasons(host)[("existing-flow", "inbound")] >= 2
    # Another change of the same kind, two generations away from the one that admitted them.
    host.apply(keep.replace("tcp/81", "tcp/82"))
    assert all(still_talks(sock) for sock in held)


@tap
def the_first_apply_cuts_nothing_that_the_policy_allows(lab):
    """Connections older than the enforcement, inbound and outbound, are picked up."""
    peer, host = pair(lab)
    serve(host, HOST[4], 80)
    serve(peer, PEER[6], 5432)
    inbound = peer.connect(HOST[4], 80)
    outbound = host.connect(PEER[6], 5432)
    assert greeted(inbound) and greeted(outbound)
    host.apply(BASE)
    assert still_talks(inbound) and still_talks(outbound)


@tap
def without_pickup_a_mid_stream_packet_opens_nothing(lab):
    peer, host = pair(lab)
    serve(host, HOST[4], 80)
    held = peer.connect(HOST[4], 80)
    assert greeted(held)
    host.apply(BASE, host=host.host_yaml("tcp_pickup: false\n"))
    assert not still_talks(held, 0.7)
    expect(talk(peer, HOST[4], 80), ARRIVES, "a new one")


@tap
def a_changed_table_size_keeps_live_flows(lab):
    peer, host = pair(lab)
    serve(host, HOST[4], 80)
    serve(peer, PEER[6], 5432)
    host.apply(BASE)
    held = [peer.connect(HOST[4], 80), host.connect(PEER[6], 5432)]
    assert all(greeted(sock) for sock in held)
    done = host.apply(BASE, host=host.host_yaml(
        "tcp_pickup: false\ntables: {flows: 16384, half_open: 8192}\n"))
    expect(done.stderr, "", "words")
    assert re.search(r"^flows +2 ", done.stdout, re.M), done.stdout
    assert all(still_talks(sock) for sock in held)
    expect(host.apply(BASE).stderr, "", "words on the way back")
    assert all(still_talks(sock) for sock in held)


@tap
def no_answer_is_lost_to_a_changed_table_size(lab):
    """Flows that open at any moment of an apply, in both families and directions."""
    peer, host = pair(lab)
    host.apply(BASE)
    questions = {f"IPv{version} {way}": Questions(*ends, port) for version in (4, 6)
                 for way, *ends, port in (("out", host, peer, PEER[version], 5353),
                                          ("in", peer, host, HOST[version], 53))}
    for number in range(12):
        # The image is the same but for the tables: so is what the applies have to do.
        host.apply(BASE, host=host.host_yaml(
            "tables: {flows: 65536, half_open: 32768}\n" if number % 2 else ""))
        expect(host.bulkhead_json("status")["unused_pages"], 0, "unused pages")
    for name, asked in questions.items():
        given, came = asked.end()
        assert given > 500, f"{name}: only {given} answers"
        expect(came, given, f"{name}: answers that came")


@tap
def counters_survive_a_change_and_follow_the_rule_by_name(lab):
    peer, host = pair(lab)
    serve(host, HOST[4], 53)
    host.apply(BASE)
    for _ in range(3):
        expect(ask(peer, HOST[4], 53), ARRIVES, "udp")
    before = rules(host)["web"]["packets"]
    expect(before, 3, "before")
    # The rule moves behind another one: another id, the same name.
    host.apply(BASE.replace("rules:\n", "rules:\n  - {name: first, priority: 100, direction: "
                            "inbound, access: deny,\n     services: [tcp/9], source: any, "
                            "destination: any}\n").replace("priority: 100, direction: inbound, "
                                                           "access: allow", "priority: 105, "
                                                           "direction: inbound, access: allow"))
    expect(rules(host)["web"]["packets"], before, "after")


if __name__ == "__main__":
    tap.main()
