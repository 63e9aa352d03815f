#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""
test_manual: the manual pages and the program say the same: commands, options, exit statuses, keys
of files and of JSON. Prints TAP.

usage: test_manual.py BULKHEAD
"""
import json
import os
import re
import tempfile

from taps import TOP, Tap, run

tap = Tap()


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as file:
        return file.read()


def section(page, heading):
    """The text below a heading of a page, up to the next."""
    text = read(f"docs/man/{page}.scd")
    found = re.search(rf"^# {re.escape(heading)}\n(.*?)(?=^# |\Z)", text, re.M | re.S)
    assert found, f"{page} has no section {heading}"
    return found.group(1)


def terms(text):
    """What is set out in a section: the words in front of each indented paragraph."""
    return re.findall(r"^(\*.*)\n\t", text, re.M)


def said(*words):
    """JSON of a command."""
    return json.loads(run(*words, "--json").stdout)


def commands():
    return {command["name"]: said("help", command["name"])["commands"][0]
            for command in said("help")["commands"]}


def same(seen, wanted, what):
    seen, wanted = set(seen), set(wanted)
    assert seen == wanted, (f"{what}: not in the manual {sorted(wanted - seen)}, only there "
                            f"{sorted(seen - wanted)}")


@tap
def every_command_is_set_out_with_its_words():
    shown = {}
    for term in terms(section("bulkhead.8", "COMMANDS")):
        plain = re.sub(r"[*_]", "", term)
        name, _, words = plain.partition(" ")
        shown[name] = words
    wanted = {name: command["args"] for name, command in commands().items()}
    assert shown == wanted, f"manual: {shown}\nprogram: {wanted}"


@tap
def every_option_is_set_out():
    text = " ".join(terms(section("bulkhead.8", "OPTIONS")))
    wanted = {word.strip(",") for command in commands().values() for option in command["options"]
              for word in option["words"].split() if word.startswith("-")}
    same(re.findall(r"\*(-[\w-]*)\*", text), wanted, "options")


@tap
def exit_statuses_have_the_texts_of_the_program():
    source = read("userspace/cli/command.h")
    wanted = re.findall(r'X\(\w+, (\d+), "(.*?)"\)', source)
    shown = re.findall(r"^\*(\d+)\*\n\t(.*)$", section("bulkhead.8", "EXIT STATUS"), re.M)
    assert len(wanted) > 5 and shown == wanted, f"manual: {shown}\nprogram: {wanted}"


def keys_in(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_in(inner)


@tap
def keys_of_json_are_in_the_manual():
    policy, packet = "../../policies/web-server.yaml", "in tcp 192.0.2.1:40000 10.0.0.4:22".split()
    with tempfile.NamedTemporaryFile("w", suffix=".table") as table:
        table.write(f"{' '.join(packet)} = allow allow-ssh\n")
        table.flush()
        tested = said("test", policy, table.name)
    results = {
        "check": said("check", policy),
        "explain": said("explain", "--policy", policy, *packet),
        "help": said("help", "check"),
        "prove": said("prove", policy),
        "rules": said("rules", "--policy", policy),
        "test": tested,
        "version": said("version"),
        "doctor": said("doctor"),
        "status": said("status", "--pins", "/nonexistent", "--state", "/nonexistent"),
    }
    text = section("bulkhead.8", "JSON")
    for command, result in results.items():
        entry = re.search(rf"^\*{command}\*\n((?:\t.*\n)+)", text, re.M)
        assert entry, f"no entry for {command}"
        known = set(re.findall(r"_(\w+?)_(?!\w)", entry.group(1)))
        missing = set(keys_in(result)) - known - {"schema"}
        # What a row of test differs by is explained as explain does.
        if command == "test":
            missing -= set(keys_in(results["explain"]))
        assert not missing, f"{command}: {sorted(missing)}"


@tap
def every_key_that_json_can_have_is_in_the_manual():
    """Also those of commands that need a policy in force; no other word is taken for a key."""
    source = read("userspace/cli/view_json.c")
    wanted = set(re.findall(r'put\([^"]*?, "(\w+)"', source))
    wanted |= set(re.findall(r'append\(view, "(\w+)"', source))
    wanted |= {"problems", "not_covered", "ingress", "egress"}
    shown = set(re.findall(r"_([a-z]\w*?)_(?!\w)", section("bulkhead.8", "JSON")))
    # Parts of what prove shows of an answer, which are those of a verdict.
    same(shown, wanted - {"keep", "no_state"}, "keys of JSON")


@tap
def keys_of_policies_and_of_host_yaml_are_set_out():
    def keys_of(path, *prefixes):
        source = read(path)
        return re.findall(rf'\[(?:{"|".join(prefixes)})\w+\] = {{"(\w+)", (?:true|false)}}', source)

    def shown(heading):
        return [word for term in terms(section("bulkhead-policy.5", heading))
                for word in re.findall(r"\*(\w+)\*", term)]

    for heading, path, prefix in (
            ("KEYS OF A FILE", "userspace/policy/parse.c", "FILE_"),
            ("KEYS OF A RULE", "userspace/policy/parse.c", "RULE_"),
            ("HOST.YAML", "userspace/policy/hostconf.c", "HOST_")):
        wanted = keys_of(path, prefix)
        assert len(wanted) > 5, f"no keys found in {path}"
        same(shown(heading), wanted, heading)


@tap
def never_denied_names_every_reason_of_the_list():
    reasons = re.findall(r'X\(NEVER, \w+, "(.*?)"\)', read("bpf/abi.h"))
    text = section("bulkhead-policy.5", "HOST.YAML")
    entry = text[text.index("*never_denied*"):text.index("*log_limit*")]
    assert len(reasons) > 5
    missing = [reason for reason in reasons if f"_{reason.replace('-', '_')}_" not in entry]
    assert not missing, f"not in the manual: {missing}"


@tap
def the_guide_names_every_key_and_the_defaults_of_timeouts():
    guide = read("docs/policy.md")
    for path in ("userspace/policy/parse.c", "userspace/policy/hostconf.c"):
        keys = re.findall(r'\[[A-Z]+_\w+\] = {"(\w+)", (?:true|false)}', read(path))
        assert len(keys) > 5, path
        missing = [key for key in keys if f"`{key}`" not in guide]
        assert not missing, f"docs/policy.md: {missing}"
    defaults = re.findall(r'X\(\w+, "(\w+)", (\d+)\)', read("userspace/policy/hostconf.h"))
    assert len(defaults) > 5
    host = section("bulkhead-policy.5", "HOST.YAML")
    for name, seconds in defaults:
        assert f"`{name}` {seconds}" in guide, f"docs/policy.md: {name}"
        assert f"_{name}_ {seconds}" in host, f"manual: {name}"


@tap
def folders_of_pins_have_the_version_of_the_interface():
    wanted = re.search(r"#define BH_ABI_VERSION (\d+)", read("bpf/abi.h")).group(1)
    pages = ["README.md", "ARCHITECTURE.md"]
    pages += [os.path.relpath(os.path.join(folder, name), TOP)
              for folder, _, names in os.walk(os.path.join(TOP, "docs")) for name in sorted(names)
              if name.endswith((".md", ".scd"))]
    shown = [(page, version) for page in pages
             for version in re.findall(r"/v(\d+)(?![\w.])", read(page))]
    assert shown, "no page names the folder of the pins"
    wrong = [page for page, version in shown if version != wanted]
    assert not wrong, f"not v{wanted}: {wrong}"


if __name__ == "__main__":
    tap.main()
