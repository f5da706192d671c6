"""Random schemas and documents for them, from a seed. Every schema has a valid document, which is built beside it."""
import copy
import random

PATTERNS = [("^[a-z]{2,5}$", "abcd"), ("^[A-Z][0-9]+$", "K12"), ("^(red|green|blue)$", "green"), ("^[^0-9]*$", "no digit"), ("-", "a-b")]
FORMATS = [("date", "2024-02-29"), ("time", "10:20:30Z"), ("ipv4", "10.0.0.1"), ("uuid", "123e4567-e89b-12d3-a456-426614174000")]
WORDS = ["name", "id", "age", "tags", "city", "na", "note", "n", "x y", "\u00e9t\u00e9"]
TEXTS = ["", "a", "ab", "red", "A1", "\u00e9", "hello world", "a\"b", "line\nend", "0123456789", "\U0001F600"]


class Schemas:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def pair(self, depth=3):
        """(schema, a document that meets it)"""
        schema, document = self.value(depth)
        return schema, document

    def value(self, depth):
        kinds = ["string", "integer", "number", "boolean", "null", "enum", "const"]
        if depth > 0:
            kinds += ["object"] * 6 + ["array"] * 4 + ["anyOf", "oneOf", "allOf"]
        return getattr(self, "make_" + self.random.choice(kinds).lower())(depth)

    def make_string(self, _):
        r = self.random
        which = r.randrange(4)
        if which == 0:
            pattern, text = r.choice(PATTERNS)
            return {"type": "string", "pattern": pattern}, text
        if which == 1:
            name, text = r.choice(FORMATS)
            return {"type": "string", "format": name}, text
        text = r.choice(TEXTS)
        schema = {"type": "string"}
        if r.random() < 0.5:
            schema["minLength"] = r.randint(0, len(text))
        if r.random() < 0.7:
            schema["maxLength"] = len(text) + r.randint(0, 4)
        return schema, text

    def make_integer(self, _):
        r = self.random
        number = r.choice([0, 1, -1, 7, 10, 99, 100, -250, 65535, 10**9])
        schema = {"type": "integer"}
        if r.random() < 0.6:
            schema["minimum"] = number - r.choice([0, 1, 13, 5000])
        if r.random() < 0.6:
            schema["maximum"] = number + r.choice([0, 1, 13, 5000])
        return schema, number

    def make_number(self, _):
        r = self.random
        number = r.choice([0, 1.5, -0.25, 3.75, 12, 1000.5])
        schema = {"type": "number"}
        if r.random() < 0.4:
            schema[r.choice(["minimum", "exclusiveMinimum"])] = number - r.choice([0.5, 1, 20])
        if r.random() < 0.4:
            schema[r.choice(["maximum", "exclusiveMaximum"])] = number + r.choice([0.5, 1, 20])
        return schema, number

    def make_boolean(self, _):
        return {"type": "boolean"}, self.random.random() < 0.5

    def make_null(self, _):
        return {"type": "null"}, None

    def make_enum(self, _):
        values = self.random.sample(["a", "ab", "abc", "other", 1, 12, -3, None, True], self.random.randint(1, 4))
        return {"enum": values}, self.random.choice(values)

    def make_const(self, _):
        value = self.random.choice(["fixed", 5, None, False, "\u00e9t\u00e9"])
        return {"const": value}, value

    def make_object(self, depth):
        r = self.random
        names = r.sample(WORDS, r.randint(0, 4))
        properties, document = {}, {}
        for name in names:
            properties[name], document[name] = self.value(depth - 1)
        required = [n for n in names if r.random() < 0.6]
        schema = {"type": "object", "properties": properties, "required": required}
        for name in names:
            if name not in required and r.random() < 0.5:
                del document[name]
        more = r.randrange(3)
        if more == 0:
            schema["additionalProperties"] = False
        elif more == 1:
            schema["additionalProperties"], value = self.value(depth - 2)
            if r.random() < 0.5:
                document["other"] = value
        return schema, document

    def make_array(self, depth):
        r = self.random
        items, value = self.value(depth - 1)
        count = r.randint(0, 3)
        schema, document = {"type": "array", "items": items}, [copy.deepcopy(value) for _ in range(count)]
        if r.random() < 0.3:
            first, head = self.value(depth - 1)
            schema["prefixItems"] = [first]
            document.insert(0, head)
        if r.random() < 0.5:
            schema["minItems"] = r.randint(0, len(document))
        if r.random() < 0.5:
            schema["maxItems"] = len(document) + r.randint(0, 2)
        return schema, document

    def make_anyof(self, depth):
        parts = [self.value(depth - 1) for _ in range(self.random.randint(2, 3))]
        return {"anyOf": [p[0] for p in parts]}, self.random.choice(parts)[1]

    def make_oneof(self, depth):
        text, inner = self.make_string(depth), self.make_object(depth)
        parts = [text, inner, self.make_boolean(depth)]
        return {"oneOf": [p[0] for p in parts]}, self.random.choice(parts)[1]

    def make_allof(self, _):
        r = self.random
        low, high = sorted([r.randint(-50, 50), r.randint(-50, 50)])
        return {"allOf": [{"type": "integer"}, {"minimum": low}, {"maximum": high}]}, r.randint(low, high)

    def mutated(self, document):
        """Something else in one place of it; possibly still valid."""
        document = copy.deepcopy(document)
        places = [(None, None)]

        def collect(value):
            keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
            for key in list(keys):
                places.append((value, key))
                collect(value[key])
        collect(document)
        holder, key = self.random.choice(places)
        old = document if holder is None else holder[key]
        new = self.other(old)
        if holder is None:
            return new
        if isinstance(holder, dict) and self.random.random() < 0.3:
            del holder[key]
        else:
            holder[key] = new
        return document

    def other(self, old):
        r = self.random
        if isinstance(old, dict) and r.random() < 0.7:
            return {**old, r.choice(WORDS + ["more"]): r.choice([1, "a", None, []])}
        if isinstance(old, list) and r.random() < 0.7:
            return [*old, r.choice([1, "a", None, {}])]
        if isinstance(old, bool) or old is None:
            return r.choice([0, "x", True, False, None])
        if isinstance(old, (int, float)):
            return r.choice([old + 1, old - 1, old * 10, -old, old + 0.5, str(old)])
        if isinstance(old, str):
            return r.choice([old + "x", old[:-1], old.upper(), old * 3, 1])
        return r.choice([1, "a", None, {}, []])


def in_order(schema, document):
    """The document with members as the schema names them, as far as one schema says so."""
    if isinstance(document, list):
        head = schema.get("prefixItems", []) if isinstance(schema, dict) else []
        rest = schema.get("items", {}) if isinstance(schema, dict) else {}
        return [in_order(head[i] if i < len(head) else rest, v) for i, v in enumerate(document)]
    if not isinstance(document, dict) or not isinstance(schema, dict):
        return document
    properties = schema.get("properties", {})
    names = [n for n in properties if n in document] + [n for n in document if n not in properties]
    return {n: in_order(properties.get(n, schema.get("additionalProperties", {})), document[n]) for n in names}
