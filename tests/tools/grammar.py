"""grammar.py FRUGAL [MODEL]: structured output as a user runs it: `grammar check`, and answers that meet a schema."""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

FRUGAL, MODEL = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
SCHEMA = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 20},
                                           "age": {"type": "integer", "minimum": 0, "maximum": 120},
                                           "city": {"enum": ["Rome", "Paris", "Oslo"]}},
          "required": ["name", "age", "city"], "additionalProperties": False, "x-order": "schema"}


def run(*arguments, code=0, stdin=None):
    done = subprocess.run([FRUGAL, *arguments], capture_output=True, text=True, timeout=300, input=stdin)
    assert done.returncode == code, (arguments, done)
    return done


def check(folder, schema):
    documents = folder / "documents.jsonl"
    documents.write_text('{"name": "a", "age": 3, "city": "Rome"}\n{"name": "a", "age": 300, "city": "Rome"}\n\n{"name": "a"}\n')
    found = json.loads(run("grammar", "check", schema, "--validate", str(documents)).stdout)
    assert found == {"compiled": True, "refused": [], "valid": [True, False, False]}, found
    found = json.loads(run("grammar", "check", "-", stdin='{"items": {"format": "regex"}}', code=1).stdout)
    assert not found["compiled"] and found["refused"][0]["keyword"] == "format" and found["refused"][0]["path"] == "/items", found
    assert "JSON" in run("grammar", "check", "-", stdin="{", code=2).stderr


def generate(folder, schema):
    chat = folder / "chat.json"
    chat.write_text(json.dumps([{"role": "user", "content": "Give name, age and city of a person as JSON."}]))
    start = ["generate", "--model", MODEL, "--messages", str(chat), "--quiet", "--max-tokens", "80"]
    for seed in range(4):
        answer = json.loads(run(*start, "--json-schema", schema, "--temperature", "1", "--seed", str(seed), "--json").stdout)
        assert answer["finish"] == "stop", answer
        person = json.loads(answer["text"])
        assert list(person) == ["name", "age", "city"] and 0 <= person["age"] <= 120 and len(person["name"]) <= 20, person
        assert person["city"] in SCHEMA["properties"]["city"]["enum"], person
    open_ended = folder / "open.json"
    open_ended.write_text(json.dumps({"type": "object", "properties": {"story": {"type": "string"}, "tags": {"type": "array"}},
                                      "required": ["story", "tags"], "additionalProperties": False}))
    bare = start[:-2]  # without --max-tokens
    for most in ("12", "16", "40"):
        answer = json.loads(run(*bare, "--json-schema", str(open_ended), "--close-when-short", "--max-tokens", most, "--json").stdout)
        story = json.loads(answer["text"])
        assert set(story) == {"story", "tags"} and answer["document"]["complete"] and answer["document"]["closing_tokens"] > 0, answer
        assert len(answer["ids"]) <= int(most), answer
    cut = json.loads(run(*bare, "--json-schema", str(open_ended), "--max-tokens", "12", "--json").stdout)
    assert cut["finish"] == "length" and not cut["document"]["complete"], cut
    few = run(*bare, "--json-schema", str(open_ended), "--close-when-short", "--max-tokens", "3", code=2)
    assert "the answer may have 3" in few.stderr, few
    assert run(*start, "--choice", "yes", "--choice", "no").stdout.strip() in ("yes", "no")
    assert re.fullmatch(r"[0-9]{3}-[0-9]{4}", run(*start, "--regex", "[0-9]{3}-[0-9]{4}").stdout.strip())
    run(*start, "--regex", "a", "--choice", "b", code=2)


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        schema = folder / "schema.json"
        schema.write_text(json.dumps(SCHEMA))
        check(folder, str(schema))
        if MODEL:
            generate(folder, str(schema))
    print("grammar check and constrained answers: as promised")


main()
