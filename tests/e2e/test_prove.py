#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The proof of images: by the command, and by apply before anything is in force."""

import json
import os
import re
import signal
import subprocess

from netlab import TOP, Tap, bulkhead_program
from test_traffic import BASE, HOST, expect, pair
from traffic import ARRIVES, DENIED, serve, talk

tap = Tap()

WRONG = os.environ.get("BULKHEAD_WRONG_PROGRAM",
                       os.path.join(TOP, "build", "tests", "e2e", "bulkhead-wrong"))


def call(program, *args, status=0, mistake=None):
    """An offline command; with a mistake by the program whose builder makes it."""
    environment = {**os.environ, "BULKHEAD_WRONG": mistake} if mistake else os.environ
    done = subprocess.run([program, *args], capture_output=True, text=True, check=False,
                          env=environment)
    expect(done.returncode, status, f"status of {args}\n{done.stdout}{done.stderr}")
    return done


class mistaken:  # pylint: disable=invalid-name
    """In the block the lab's program is the one whose builder makes a mistake."""

    def __init__(self, mistake):
        self.environment = {"BULKHEAD": WRONG, "BULKHEAD_WRONG": mistake}
        self.before = os.environ.get("BULKHEAD")

    def __enter__(self):
        os.environ.update(self.environment)

    def __exit__(self, *exception):
        for name in self.environment:
            del os.environ[name]
        if self.before:
            os.environ["BULKHEAD"] = self.before


@tap
def a_policy_is_proven(lab):
    path = lab.write("base.yaml", BASE)
    shown = call(bulkhead_program(), "prove", path).stdout
    assert shown.startswith("proven: the image says of every packet what the policy says\n")
    result = json.loads(call(bulkhead_program(), "prove", "--json", path).stdout)
    assert result["proven"] is True and result["combinations"] > 0


@tap
def without_its_mistake_the_wrong_builder_is_proven_too(lab):
    call(WRONG, "prove", lab.write("base.yaml", BASE))


@tap
def a_mistake_is_shown_by_a_packet_that_explain_answers_as_the_policy_does(lab):
    path = lab.write("base.yaml", BASE)
    result = json.loads(call(WRONG, "prove", "--json", path, status=9, mistake="outcome").stdout)
    assert result["proven"] is False and result["differ"] > 0
    expect(result["expected"]["verdict"], "deny", "the policy's answer")
    expect(result["found"]["verdict"], "allow", "the image's answer")
    explained = json.loads(call(bulkhead_program(), "explain", "--json", "--policy", path, "--self",
                                result["self"], *result["packet"].split(), status=9).stdout)
    expect(explained["explained"][0]["decider"], result["expected"]["decider"], "what decides it")
    shown = call(WRONG, "prove", path, status=9, mistake="outcome").stdout
    assert shown.startswith("NOT proven: ") and result["packet"] in shown, shown


@tap
def another_setting_is_shown_by_its_key(lab):
    path = lab.write("base.yaml", BASE)
    shown = call(WRONG, "prove", path, status=9, mistake="setting").stdout
    assert "another 'tcp_pickup' than host.yaml" in shown, shown


@tap
def what_is_no_policy_is_refused_as_by_check(lab):
    path = lab.write("bad.yaml", BASE.replace("tcp/80", "tcp/80000"))
    expect(call(bulkhead_program(), "prove", path, status=3).stderr,
           call(bulkhead_program(), "check", path, status=3).stderr, "the words")


@tap
def apply_proves_before_anything_is_in_force(lab):
    _, host = pair(lab)
    assert json.loads(host.apply(BASE, "--json").stdout)["proven"] is True
    assert "proven" in host.apply(BASE, "--prove").stdout


@tap
def an_apply_that_is_not_to_be_proven_says_so(lab):
    """And takes what a proof would have refused: nothing else looked at it."""
    _, host = pair(lab)
    with mistaken("outcome"):
        done = host.apply(BASE, "--json", "--prove", "--no-prove")
        result = json.loads(done.stdout)
        expect(result["proven"], False, "proven")
        assert 0 < result["in_force_after"] <= result["milliseconds"], result
        expect(done.stderr, "warning: the image is not proven to say what the policy says"
               " (--no-prove)\n", "words")
        assert "no: --no-prove was given" in host.apply(BASE, "--no-prove").stdout
        host.apply(BASE.replace("udp/53", "udp/54"), "--no-prove", "--prove", status=9)


@tap
def a_first_apply_that_is_not_proven_attaches_nothing(lab):
    peer, host = pair(lab)
    serve(host, HOST[4], 22)
    with mistaken("outcome"):
        words = host.apply(BASE, status=9).stderr
    assert "not applied: the image is not what the policy says: of 'in " in words, words
    assert "the policy says deny by base/DenyAllInBound, and the image allow by" in words, words
    assert not host.bulkhead_json("status", status=9)["enforcing"]
    expect(talk(peer, HOST[4], 22), ARRIVES, "with nothing in force")


@tap
def an_apply_that_is_not_proven_leaves_the_policy_in_force(lab):
    peer, host = pair(lab)
    for port in (22, 80):
        serve(host, HOST[4], port)
    host.apply(BASE)
    before = host.bulkhead_json("status")["generation"]
    for mistake in ("outcome", "setting"):
        with mistaken(mistake):
            host.apply(BASE.replace("tcp/80", "tcp/81"), "--prove", status=9)
    expect(host.bulkhead_json("status", status=9)["generation"], before, "generation")
    expect(talk(peer, HOST[4], 80), ARRIVES, "what the old policy allows")
    expect(talk(peer, HOST[4], 22), DENIED, "what it denies")


def many_pairs(number):
    """Rules with a source, a destination and a port of their own each."""
    lines = ["bulkhead: 1", "group: many", "rules:"]
    for i in range(number):
        lines += [f"  - {{name: r{i}, priority: {100 + i}, direction: inbound, access: allow,",
                  f"     protocol: tcp, destination_ports: {1000 + i},",
                  f"     source: 10.1.{i >> 8}.{i & 255},",
                  f"     destination: 10.2.{i >> 8}.{i & 255}}}"]
    return "\n".join(lines) + "\n"


@tap
def what_would_take_long_is_proven_on_demand(lab):
    _, host = pair(lab)
    policy = many_pairs(2850)
    assert json.loads(host.apply(policy, "--json").stdout)["proven"] is False
    assert "--prove does it" in host.apply(policy).stdout
    done = host.apply(policy, "--json", "--prove")
    assert json.loads(done.stdout)["proven"] is True
    assert re.fullmatch(TAKES, done.stderr), done.stderr


TAKES = (r"note: the proof is estimated to take \d+ s; it may be interrupted,"
         r" and nothing is changed then\n")


@tap
def what_will_take_long_says_so_at_once_and_may_be_interrupted(lab):
    with subprocess.Popen([bulkhead_program(), "prove", lab.write("many.yaml", many_pairs(2850))],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        words = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        shown, rest = process.communicate()
    assert re.fullmatch(TAKES, words), words
    expect((process.returncode, shown, rest), (-signal.SIGINT, "", ""), "of the interrupted run")


if __name__ == "__main__":
    tap.main()
