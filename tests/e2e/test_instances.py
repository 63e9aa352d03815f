#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
Who filters, where the pins that were asked for do not tell: another instance, or programs whose pins are
gone. Nobody is told that nothing is enforced while it is.
"""

import contextlib
import glob
import json
import os
import re
import shutil

import kernel
from netlab import Tap
from test_traffic import expect
from turns import Bench, nothing_left, settled

tap = Tap()

NOTHING = "nothing to detach: bulkhead does not enforce here\n"
CLSACT = "hooks: {ingress: clsact, egress: clsact}\n"


def started(lab, hooks=""):
    bench = Bench(lab, 0)
    bench.host_extra = hooks
    bench.apply()
    bench.prober.since()
    return bench


@contextlib.contextmanager
def second_instance(bench):
    """The places are those of another instance, whose pins go with the lab."""
    first = bench.host.pins, bench.host.state
    bench.host.pins, bench.host.state = second = tuple(path + "-b" for path in first)
    bench.host.lab.at_end.append(lambda: shutil.rmtree(second[0], ignore_errors=True))
    try:
        yield
    finally:
        bench.host.pins, bench.host.state = first


def head(bench):
    """The first line of status, what --json says of it, and the problems."""
    text = bench.host.bulkhead("status", status=9).stdout.splitlines()[0]
    told = bench.host.bulkhead_json("status", status=9)
    return (text, told["enforcing"], told["enforced_by"],
            [line["words"] for line in told["problems"]])


def are_named(bench, words):
    """The link, with both of its programs."""
    for way, name in (("in", "ingress"), ("out", "egress")):
        place = f"'eth0' ({name}, program {bench.programs()[way][0]})"
        assert place in words, f"{place}: {words}"


def refused(done, words):
    expect((done.returncode, done.stdout), (4, ""), f"status and output: {done.stderr}")
    expect(done.stderr, words + "\n", "words")


def asked_with_other_pins(lab, hooks):
    bench = started(lab, hooks)
    pins, right = bench.pins(), bench.host.pins
    expect(bench.status()["enforced_by"], "these pins", "enforced by")
    with second_instance(bench):
        text, enforcing, by, problems = head(bench)
        expect((text, enforcing, by, len(problems)),
               ("not enforcing by these pins, but another bulkhead does", False,
                "another instance", 1), "status")
        assert problems[0].startswith(f"another bulkhead, with pins '{right}' and not "
                                      f"'{bench.host.pins}', is on link 'eth0' ("), problems
        are_named(bench, problems[0])
        for command in ("rules", "flows", "stats", "watch"):
            expect(bench.host.bulkhead(command, status=1).stderr, problems[0] + "\n", command)
        refused(bench.host.bulkhead("detach", status=None), problems[0])
        done = bench.host.bulkhead("apply", *bench.write(), status=4)
        assert f"than '{bench.host.pins}', namely '{right}'; name" in done.stderr, done.stderr
    settled(bench, pins, "asked with other pins")
    bench.prober.check("asked with other pins")
    bench.host.bulkhead("detach")
    nothing_left(bench, "detached")
    expect(head(bench), ("not enforcing", False, "nobody", []), "status behind a detach")


@tap
def another_instance_on_the_links_is_told_and_not_taken_for_nothing(lab):
    asked_with_other_pins(lab, "")


@tap
def another_instance_at_clsact_is_told_and_not_taken_for_nothing(lab):
    asked_with_other_pins(lab, CLSACT)


@tap
def programs_whose_pins_were_all_removed_are_told(lab):
    """A filter at clsact needs no pin: it stays, and denies."""
    bench = started(lab, CLSACT)
    shutil.rmtree(bench.host.pins)
    text, enforcing, by, problems = head(bench)
    expect((text, enforcing, by, len(problems)),
           ("enforcing what cannot be read: programs whose pins are not to be found", False,
            "no pins", 1), "status")
    are_named(bench, problems[0])
    refused(bench.host.bulkhead("detach", status=None), problems[0])
    done = bench.host.bulkhead("apply", *bench.write(), status=4)
    assert "are not to be found" in done.stderr and "'tc filter delete'" in done.stderr, done.stderr
    bench.prober.check("all pins removed")
    # As the words say.
    for way in ("ingress", "egress"):
        bench.host.run("tc", "filter", "delete", "dev", "eth0", way)
    expect(head(bench), ("not enforcing", False, "nobody", []), "status behind it")
    bench.host.bulkhead("detach")
    bench.apply()
    expect(bench.in_force(), 0, "policy in force")


@tap
def a_detach_says_what_still_filters_where_it_cannot_tell_what_is_ours(lab):
    """Without the word of the generation and the pins of the programs, a filter is nobody's."""
    bench = started(lab, CLSACT)
    folder = os.path.join(bench.host.pins, kernel.VERSION)
    os.unlink(os.path.join(folder, "maps", "bh_active"))
    shutil.rmtree(os.path.join(folder, "programs"))
    programs = bench.programs()
    done = bench.host.bulkhead("detach", status=4)
    told = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
    expect(len(told), 1, f"lines of words: {done.stderr}")
    assert told[0].startswith("a bulkhead whose pins are not to be found"), told
    are_named(bench, told[0])
    expect((bench.programs(), os.path.exists(bench.host.pins)), (programs, False), "what is left")
    bench.prober.check("detached, as far as could be")
    expect(head(bench)[1:3], (False, "no pins"), "status")
    refused(bench.host.bulkhead("detach", status=None), told[0])
    for way in ("ingress", "egress"):
        bench.host.run("tc", "filter", "delete", "dev", "eth0", way)
    expect(bench.host.bulkhead("detach").stdout, NOTHING, "detached")


@tap
def a_detach_without_the_word_of_the_generation_takes_off_what_is_pinned(lab):
    bench = Bench(lab, 0)
    for hooks in (CLSACT, ""):
        bench.host_extra = hooks
        bench.apply()
        os.unlink(os.path.join(bench.host.pins, kernel.VERSION, "maps", "bh_active"))
        bench.host.bulkhead("detach")
        nothing_left(bench, hooks)


@tap
def programs_that_leave_their_hooks_keep_no_detach_from_its_end(lab):
    bench = started(lab)
    for _ in range(4):
        shutil.rmtree(bench.host.pins)
        bench.host.bulkhead("detach")
        nothing_left(bench, "removed")
        bench.apply()


def lost_map(lab, hooks):
    bench = started(lab, hooks)
    for name in ("bh_active", "bh_image", "bh_counters"):
        os.unlink(os.path.join(bench.host.pins, kernel.VERSION, "maps", name))
        text, enforcing, by, problems = head(bench)
        expect((text, enforcing, by),
               ("enforcing what cannot be read: pins are missing", False, "lost pins"), name)
        expect(len(problems), 1, f"{name}: problems: {problems}")
        assert "are missing" in problems[0], problems
        bench.host.bulkhead("doctor", "--interface", "eth0")  # apply mends it, so it is no error
        bench.prober.check(f"{name} lost")
        bench.apply()
        bench.prober.since()


@tap
def the_head_of_status_says_that_programs_without_a_map_s_pin_enforce(lab):
    lost_map(lab, "")


@tap
def the_head_of_status_says_so_at_clsact(lab):
    lost_map(lab, CLSACT)


def beside(lab, hooks):
    """A second instance comes to another link, and goes; then the first goes, and the second stays."""
    bench = Bench(lab, 0)
    bench.host_extra = hooks
    lab.link(bench.peer, bench.host, ("eth1", "eth1"), (["198.51.100.1/24"], ["198.51.100.2/24"]))
    bench.host.bulkhead("apply", *bench.write(), "--interface", "eth0")
    bench.prober.since()
    pins, first = bench.pins(), bench.host.pins
    other = kernel.ifindex(bench.host, "eth1")

    def on_other():
        return [kernel.programs(bench.host, other, way) for way in ("in", "out")]

    with second_instance(bench):
        done = bench.host.bulkhead("apply", *bench.write(), "--interface", "eth1")
        expect(done.stderr, "", "words of apply")
        status = bench.host.bulkhead_json("status")
        expect([link["name"] for link in status["links"]], ["eth1"], "links of the second")
        told = [line["words"] for line in status["not_covered"] if "bulkhead" in line["words"]]
        expect(len(told), 1, f"words of the first: {told}")
        assert told[0].startswith(f"another bulkhead, with pins '{first}' and not "), told
        are_named(bench, told[0])
        expect(bench.host.bulkhead("detach").stderr, "", "words of detach")
        expect(os.path.exists(bench.host.pins), False, "pins of the second")
    settled(bench, pins, "the first")
    bench.prober.check("a second instance came and went")
    with second_instance(bench):
        bench.host.bulkhead("apply", *bench.write(), "--interface", "eth1")
    before = on_other()
    # The same of what another version has put there.
    os.rename(f"{bench.host.pins}/{kernel.VERSION}", f"{bench.host.pins}/v0")
    bench.host.bulkhead("detach")
    nothing_left(bench, "the first detached")
    expect(on_other(), before, "programs of the second")
    with second_instance(bench):
        bench.host.bulkhead("detach")
    expect(on_other(), [[], []], "programs of the second, detached")


@tap
def an_instance_on_other_links_is_in_nobody_s_way(lab):
    beside(lab, "")


@tap
def an_instance_on_other_links_at_clsact_is_in_nobody_s_way(lab):
    beside(lab, CLSACT)


def by_hand(bench, pins, name, preference):
    """
    A filter of a pinned program at ingress of the link, called as ours are: tc names it after the path.
    """
    program, = glob.glob(f"{pins}/{kernel.VERSION}/programs/*/{name}")
    path = os.path.join(bench.host.lab.folder, f"bh_{name}")
    with contextlib.suppress(FileExistsError):
        os.symlink(program, path)
    bench.host.run("tc", "filter", "add", "dev", "eth0", "ingress", "pref", str(preference), "bpf",
                   "direct-action", "object-pinned", path)


@tap
def of_two_filters_of_ours_the_one_that_was_put_stays(lab):
    """The other one, with another program of the same pins, behind it and before it."""
    bench = started(lab, CLSACT)
    pins, programs = bench.pins(), bench.programs()
    for preference in (2, 1):
        by_hand(bench, bench.host.pins, "tc_out", preference)
        expect(len(bench.programs()["in"]), 2, f"preference {preference}: filters")
        bench.apply()
        expect(bench.programs(), programs, f"preference {preference}: programs")
        settled(bench, pins, f"preference {preference}")
        bench.prober.since()
        bench.prober.wait(20)
        bench.prober.check(f"preference {preference}")


@tap
def a_filter_of_another_instance_that_comes_while_an_apply_runs_is_not_replaced(lab):
    """Behind the look at what is there, and before anything is put."""
    bench = Bench(lab, 0)
    bench.host_extra = CLSACT
    lab.link(bench.peer, bench.host, ("eth1", "eth1"), (["198.51.100.1/24"], ["198.51.100.2/24"]))
    first = [*bench.write(), "--interface", "eth0"]
    bench.host.bulkhead("apply", *first)
    with second_instance(bench):
        bench.host.bulkhead("apply", *bench.write(), "--interface", "eth1")
        other = bench.host.pins
    ours = bench.programs()["in"]
    theirs = kernel.programs(bench.host, kernel.ifindex(bench.host, "eth1"), "in")
    bench.next()
    bench.write()
    last = [call for call in bench.tracer.list("apply", *first) if call.name == "capset"][-1]
    bench.next()
    bench.write()
    words = bench.tracer.stop(last, lambda _: by_hand(bench, other, "tc_in", 1), "apply", *first,
                              status=4)
    expect(words, "cannot attach to ingress of link 'eth0': clsact: another bulkhead has come there "
           "meanwhile\n", "words")
    expect(bench.programs()["in"], theirs + ours, "programs")
    bench.host.bulkhead("detach")
    expect(bench.programs(), {"in": theirs, "out": []}, "programs, the first detached")
    bench.host.run("tc", "filter", "delete", "dev", "eth0", "ingress")


UNSEEN = "not all that runs on the links could be looked at: "


def looks(bench, at, *command):
    """The calls of a run by which it looks at one link: its filters, and those programs."""
    index, ids = at
    for call in bench.tracer.list(*command):
        if call.name == "sendto" and "RTM_GETTFILTER" in call.text and \
                re.search(rf'tcm_ifindex=(if_nametoindex\("eth1"\)|{index}),', call.text):
            yield call, "ENOBUFS"
        if any(f"BPF_PROG_GET_FD_BY_ID, {{prog_id={program}," in call.text for program in ids):
            yield call, "EPERM"


@tap
def what_cannot_be_looked_at_on_one_link_keeps_nobody_from_the_others(lab):
    bench = Bench(lab, 0)
    bench.host_extra = CLSACT
    # In a folder of their own: how many calls a look takes tells on what else is beside them.
    folder = bench.host.pins
    bench.host.pins += "/first"
    lab.at_end.append(lambda: shutil.rmtree(folder, ignore_errors=True))
    lab.link(bench.peer, bench.host, ("eth1", "eth1"), (["198.51.100.1/24"], ["198.51.100.2/24"]))
    other = kernel.ifindex(bench.host, "eth1")

    def apply(link):
        bench.host.bulkhead("apply", *bench.write(), "--interface", link)

    with second_instance(bench):
        apply("eth1")
    apply("eth0")
    at = other, [program for way in ("in", "out")
                 for program in kernel.programs(bench.host, other, way)]
    chosen = list(looks(bench, at, "status"))
    assert len(chosen) > 8, chosen
    for call, error in chosen:
        done = bench.tracer.fail(call, error, "status", "--json")
        expect((done.returncode, done.stderr), (9, ""), f"{call}: status and words")
        told = json.loads(done.stdout)
        expect((told["enforcing"], [link["name"] for link in told["links"]]), (True, ["eth0"]),
               f"{call}: what is told")
        expect([line["words"].startswith(UNSEEN) for line in told["problems"]], [True],
               f"{call}: {told['problems']}")
    chosen = list(looks(bench, at, "detach"))
    assert len(chosen) > 4, chosen
    for call, error in chosen:
        apply("eth0")
        done = bench.tracer.fail(call, error, "detach")
        expect((done.returncode, len(done.stderr.splitlines())), (1, 1), f"{call}: {done.stderr}")
        expect(bench.programs(), {"in": [], "out": []}, f"{call}: programs")
        assert all(bench.arriving()), f"{call}: a port is closed"
        bench.host.bulkhead("detach")
        nothing_left(bench, str(call))
    bench.prober.end()
    with second_instance(bench):
        bench.host.bulkhead("detach")


@tap
def who_may_not_look_is_not_told_that_nobody_enforces(lab):
    """Of XDP and tcx only a program's id is told, of a filter its name: both take rights to ask about."""
    bench = Bench(lab, 0)
    bench.apply()
    with second_instance(bench):
        for names in (["cap_12", "cap_39"], []):  # CAP_NET_ADMIN, CAP_BPF
            done = bench.host.run("setpriv", "--bounding-set",
                                  ",".join(["-all", *(f"+{name}" for name in names)]),
                                  *bench.host.bulkhead_args("status", "--json"), check=False)
            expect((done.returncode, done.stderr), (9, ""), f"{names}: status and words")
            told = json.loads(done.stdout)
            expect((told["enforcing"], told["enforced_by"]), (False, "unknown"), str(names))
            assert told["problems"][0]["words"].startswith(UNSEEN), told
    bench.host.bulkhead("detach")


@tap
def a_detach_once_more_beside_another_instance_says_that_it_is_done(lab):
    """As of a service that is stopped and a package that is removed behind it."""
    bench = Bench(lab, 0)
    lab.link(bench.peer, bench.host, ("eth1", "eth1"), (["198.51.100.1/24"], ["198.51.100.2/24"]))
    bench.host.bulkhead("apply", *bench.write(), "--interface", "eth0")
    first, state = bench.host.pins, bench.host.state
    with second_instance(bench):
        refused(bench.host.bulkhead("detach", status=None), head(bench)[3][0])  # never applied
        bench.host.bulkhead("apply", *bench.write(), "--interface", "eth1")
        bench.host.bulkhead("detach")
        done = bench.host.bulkhead("detach")
        expect(done.stdout, NOTHING, "once more")
        words = f"warning: another bulkhead, with pins '{first}' and not '{bench.host.pins}', is on link "
        assert done.stderr.startswith(words), done.stderr
        expect(len(done.stderr.splitlines()), 1, "lines of words")
        are_named(bench, done.stderr)
        # A state that knows nothing of it, or that of other pins, vouches for nothing.
        right, bench.host.state = bench.host.state, f"{state}-c"
        expect(bench.host.bulkhead("detach", status=4).stdout, "", "another state")
        expect(os.path.exists(bench.host.state), False, "the folder of another state")
        bench.host.state, bench.host.pins = right, f"{first}-c"
        expect(bench.host.bulkhead("detach", status=4).stdout, "", "other pins")
    bench.host.bulkhead("detach")
    nothing_left(bench, "detached")


@tap
def a_state_that_was_detached_vouches_for_no_programs_without_pins(lab):
    bench = Bench(lab, 0)
    bench.apply()
    bench.host.bulkhead("detach")
    with second_instance(bench):
        bench.host_extra = CLSACT
        bench.apply()
        shutil.rmtree(bench.host.pins)
    refused(bench.host.bulkhead("detach", status=None), head(bench)[3][0])
    for way in ("ingress", "egress"):
        bench.host.run("tc", "filter", "delete", "dev", "eth0", way)


def opened(bench):
    """A detach is killed behind the write that lets everything pass, and has taken nothing off."""
    bench.apply()
    taken_off = next(call for call in bench.tracer.list("detach") if "BPF_LINK_DETACH" in call.text)
    bench.apply()
    assert bench.tracer.kill(taken_off, "detach")
    assert all(bench.arriving()), "a port is closed"


@tap
def an_instance_that_lets_everything_pass_is_told_as_one_that_does(lab):
    bench = Bench(lab, 0)
    opened(bench)
    with second_instance(bench):
        text, enforcing, by, problems = head(bench)
        expect((text, enforcing, by, len(problems)), ("not enforcing", False, "nobody", 1), "status")
        are_named(bench, problems[0])
        assert ") (and lets everything pass); name" in problems[0], problems
        done = bench.host.bulkhead("detach")
        expect((done.stdout, done.stderr), (NOTHING, ""), "detach with other pins")
    bench.host.bulkhead("detach")
    nothing_left(bench, "detached")


if __name__ == "__main__":
    tap.main()
