"""Small templates for jinja_differential.py: a fixed list that visits every construct, and random expressions and statements."""

CONTEXT = {
    "s": "Hello World", "u": "na\u00efve \u00dftra\u00dfe \u65e5\u672c \U0001f642", "e": "", "w": "  two  words\t\n", "n": 7, "z": 0, "m": -3, "f": 2.5, "t": True,
    "no": False, "nil": None, "l": [3, 1, 2], "ls": ["b", "A", "c", "a"], "le": [], "mix": [1, "x", None, 2.5, [1], {"k": 1}],
    "d": {"b": 1, "a": 2, "C": 3}, "de": {}, "big": 2**66,
    "rows": [{"name": "ann", "age": 30, "tags": ["x"]}, {"name": "Bob", "age": 4, "tags": []}, {"name": "cy", "age": 30}],
    "nest": {"items": [1, 2], "get": "g", "deep": {"x": {"y": "z"}}, "update": 1},
}

ATOMS = ["s", "u", "e", "w", "n", "z", "m", "f", "t", "no", "nil", "l", "ls", "le", "mix", "d", "de", "rows", "nest", "missing", "1", "0",
         "-2", "3.25", "'ab'", "\"q'\"", "[1, 'a']", "{'k': 2}", "(1, 2)", "true", "none", "l[0]", "rows[0].name", "nest.deep.x", "s[1:4]",
         "d.b", "d['zz']", "range(4)", "1e3", "'\u00e9'", "[]", "l[-1]", "u[::-1]", "ls[1:]", "s.upper()", "d.items()", "d.get('a')"]
BINARY = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", ">=", "and", "or", "in", "not in", "<=", ">"]
FILTERS = ["trim", "length", "upper", "lower", "capitalize", "title", "join(',')", "list", "first", "last", "tojson", "default('D')",
           "default('D', true)", "replace('l', 'L')", "reverse", "reverse|list", "sort", "sort(reverse=true)", "unique|list", "int", "float",
           "string", "items|list", "dictsort", "indent", "indent(2, true)", "safe", "abs", "map('upper')|list", "map(attribute='name')|list",
           "selectattr('age')|list", "selectattr('age', 'gt', 10)|map(attribute='name')|join", "rejectattr('age', 'equalto', 30)|list",
           "select('string')|list", "reject('none')|list", "count", "sum", "min", "max", "round", "batch(2)|list", "tojson(indent=2)",
           "select|list", "map('string')|join('-')", "center(20)", "e", "attr('x')", "list|tojson", "dictsort(by='value')", "join"]
TESTS = ["defined", "undefined", "none", "string", "mapping", "sequence", "iterable", "number", "boolean", "true", "false", "integer",
         "float", "odd", "even", "divisibleby 3", "equalto 7", "eq('ab')", "in ['ab', 7]", "sameas none", "callable", "upper", "lower",
         "gt 2", "lessthan(3)", "ne none"]
METHODS = ["strip()", "lstrip('H ')", "rstrip()", "split()", "split(' ')", "split('l', 1)", "startswith('He')", "endswith(('d', 'x'))",
           "upper()", "lower()", "title()", "replace('o', '0')", "replace('', '-')", "capitalize()", "find('o')", "count('l')", "isdigit()",
           "isalpha()", "splitlines()", "partition(' ')", "rsplit('o', 1)", "zfill(14)", "center(15, '*')", "swapcase()", "keys()|list",
           "values()|list", "items()|list", "get('a', 9)", "get('q')", "index(1)", "removeprefix('He')", "rsplit(none, 1)", "join(['x','y'])",
           "format(1, 2)", "isupper()", "isspace()", "rfind('l')", "ljust(13, '.')", "rpartition('o')", "isalnum()", "nope()", "pop()"]

FIXED = [
    "{{ '%s is %d and %.2f' % (s, n, f) }}", "{{ '%5d|%-5d|%05d|%x|%r' % (n, n, n, 255, s) }}", "{{ '%(a)s-%(b)s' % d }}", "{{ '%s' % s }}",
    "{{ '{} {1}'.format(1, 2) }}", "{{ '{} {}'.format(s, n) }}", "{{ '{0:>8}|{0:<8}|{0:^8}|{1:05d}|{2:.1f}|{x!r}'.format('ab', 42, f, x='q') }}",
    "{{ '{:,}'.format(1234567) }} {{ '{:+}'.format(5) }} {{ '{:#x}'.format(255) }} {{ '{:%}'.format(0.25) }}", "{{ '{a.b}'.format(a=d) }}",
    "{{ '{{}}'.format() }}", "{{ 'a' 'b' \"c\" }}", "{{ 'x\\ty\\n\\x41\\u00e9\\'\\\"\\\\ \\q' }}", "{{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1.5e-3 }} {{ 1e16 }} {{ 1e15 }} {{ 1e-5 }}",
    "{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % -3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 6 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ -2 ** 2 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }}",
    "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 == true }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ (1, 2) == [1, 2] }}",
    "{{ 1 if t }}|{{ 1 if no }}|{{ 1 if no else 2 if no else 3 }}|{{ (1 if no).x }}", "{{ not t or t and no }} {{ not (t and no) }} {{ s or e }} {{ e or s }} {{ e and s }}",
    "{{ -n }} {{ +n }} {{ - f }} {{ -n|abs }} {{ (-n)|abs }} {{ -l[0] }} {{ not nil is none }}", "{{ 1 ~ none ~ true ~ 2.0 ~ [1] ~ {'a': 'b'} ~ missing }}",
    "{{ [1, 2,] }} {{ (1,) }} {{ () }} {{ {'a': 1,} }} {{ {1: 2, none: 3, (1, 2): 4} }} {{ 1, 2 }}", "{{ mix }} {{ d }} {{ u }} {{ [u, s, 'it\\'s', '\"', '\\n'] }}",
    "{{ l[1:] }} {{ l[:-1] }} {{ l[::2] }} {{ l[::-1] }} {{ l[5:] }} {{ l[-2:] }} {{ u[2:7] }} {{ s[::3] }} {{ l[3:0:-2] }} {{ l[:100] }} {{ s[-100:2] }}",
    "{{ l[0] }} {{ l.0 }} {{ l[true] }} {{ l[9] }} {{ l['x'] }} {{ s[0] }} {{ u[-1] }} {{ rows.0.name }} {{ nil[0] }} {{ n[0] }}", "{{ l[1.0] }} {{ d[l] }}",
    "{{ nest.items }}", "{{ nest['items'] }} {{ nest['get'] }} {{ nest.deep.x.y }} {{ nest.deep['x']['y'] }}", "{{ nest.update }}|{{ nest['update'] }}|{{ nest.pop }}",
    "{{ missing }}|{{ missing is defined }}|{{ missing|default('x') }}|{{ d.q|default('y') }}|{{ missing|length }}|{{ missing|list }}|{{ missing|join }}",
    "{{ missing.x }}", "{{ missing + 1 }}", "{{ missing() }}", "{{ d.q.r }}", "{{ missing == missing2 }} {{ missing == none }} {{ missing in [1] }} {{ 1 in missing }}", "{{ missing < 1 }}",
    "{% for x in missing %}a{% else %}b{% endfor %}", "{% for x in nil %}a{% endfor %}", "{% for x in 5 %}a{% endfor %}", "{% for c in u %}[{{ c }}]{% endfor %}",
    "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }},{% endfor %}",
    "{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }}{{ loop.cycle('a', 'b') }}{{ loop.changed(x > 1) }} {% endfor %}",
    "{% for x in l if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% else %}none{% endfor %}", "{% for x in l if x > 9 %}{{ x }}{% else %}none{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k, v in d|dictsort %}{{ k }}{{ v }}{% endfor %}{% for k in d %}{{ k }}{% endfor %}",
    "{% for a, (b, c) in [(1, (2, 3)), (4, (5, 6))] %}{{ a + b * c }} {% endfor %}", "{% for a, b in [(1, 2, 3)] %}{% endfor %}", "{% for a, b in ['xy', 'zw'] %}{{ b }}{{ a }}{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% else %}E{% endfor %}",
    "{% for x in l %}{% break %}{% else %}E{% endfor %}|{% for x in l %}{% continue %}{% else %}E{% endfor %}|{% for x in l %}{{ x }}{% else %}E{% endfor %}",
    "{% for x in l %}{% for y in l %}{% if y == x %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}{{ loop.index }}{% endfor %}",
    "{% set x = 1 %}{% for y in l %}{{ x }}{% set x = x + y %}{{ x }} {% endfor %}{{ x }}", "{% if t %}{% set x = 2 %}{% endif %}{{ x }}", "{% if no %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% set ns = namespace(a=1, b='x') %}{% for y in l %}{% set ns.a = ns.a + y %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c }}{{ ns.c is defined }}{{ ns['a'] }}",
    "{% set ns = namespace({'q': 1}, r=2) %}{{ ns.q + ns.r }}", "{% set d.x = 1 %}", "{% set nope.x = 1 %}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set a, b = b, a %}{{ a }}{{ b }}", "{% set a = 1, 2 %}{{ a }}",
    "{% set x %}in {{ s }}{% set y = 1 %}{% endset %}[{{ x }}{{ y }}]", "{% set x | upper | replace('H', 'J') %}h {{ s }}{% endset %}{{ x }}", "{% filter upper|trim %}  a {{ s }} {% endfilter %}",
    "{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(a=4, c=5) }}{{ m() }}{{ m(1, b=9)|upper }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}", "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}", "{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(4) }}",
    "{% macro m() %}{{ x }}{% endmacro %}{% set x = 5 %}{{ m() }}", "{% macro m() %}{% set s = 'in' %}{{ s }}{% endmacro %}{{ m() }}{{ s }}", "{% macro m(x) %}<{{ caller(x) }}>{% endmacro %}{% call(y) m(3) %}{{ y }}{{ s }}{% endcall %}",
    "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}body{% endcall %}", "{{ m is defined }}{% macro m() %}{% endmacro %}{{ m is defined }}{{ m is callable }}{{ m.name }}",
    "{% with a = 1, b = s %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with %}{% set s = 1 %}{{ s }}{% endwith %}{{ s }}", "{% generation %}{% set s = 1 %}{{ s }}{% endgeneration %}{{ s }}",
    "{% raw %}{{ x }} {% if %}{# #}{% endraw %}", "a {%- raw -%}  {{ x }}  {%- endraw -%} b", "  {% raw %}\n x\n  {% endraw %}\n y", "a {# c #} b", "a {#- c -#} b", "  {# c #}\n  b", "x\n  {# c #}\n  b", "a {#c",
    "  {% if t %}\n  a\n  {% endif %}\n  b\n", "  {%+ if t %}\n  a\n  {%- endif +%}\n  b\n", "a\n\n  {%- if t -%}\n\n  b  \n {%- endif %}\n\nc", "{{ s -}}   \n  x", "x  \n {{- s }}", "  {{ s }}\n", "a\n", "a\n\n", "\n", "",
    "{% if t %}\r\na\r\n{% endif %}\r\nb", "  \t{% set x = 1 %}  \n{{ x }}", "a{% if t %}\n  {% if t %}\n  b{% endif %}\n  {% endif %}c", "a  {% if t %}  b  {% endif %}  c", "  {% if t %}x{% endif %}  {% if t %}y{% endif %}\n",
    "{{ range(3)|list }}{{ range(1, 7, 2)|list }}{{ range(3, 0, -1)|list }}{{ range(3) }}{{ range(1, 4, 2) }}", "{{ range(100001) }}", "{{ dict(a=1, b=2) }}{{ dict([('x', 1)]) }}", "{{ raise_exception('own words') }}",
    "{% set j = joiner('|') %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}", "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.next() }}", "{{ loop is defined }}{{ strftime_now is defined }}",
    "{{ rows|map(attribute='name')|join(', ') }} {{ rows|map(attribute='tags.0', default='-')|list }} {{ rows|selectattr('tags', 'defined')|list|length }}", "{{ rows|map(attribute='q')|list }}",
    "{{ rows|sort(attribute='age,name')|map(attribute='name')|list }} {{ rows|sum(attribute='age') }} {{ rows|max(attribute='age') }} {{ rows|unique(attribute='age')|list|length }}", "{{ rows|join('/', attribute='name') }}",
    "{% set g = l|select('odd') %}{{ g|list }}{{ g|list }}{% if le|select %}true{% endif %}", "{{ (l|map('string'))|length }}", "{{ l|reverse }}"[:0] + "{{ l|reverse|first }}", "{{ d|length }} {{ d|list }} {{ d|first }} {{ d|last }}",
    "{{ ls|sort }} {{ ls|sort(case_sensitive=true) }} {{ ls|unique|list }} {{ ls|unique(true)|list }} {{ mix|sort }}", "{{ ls|min }} {{ ls|max }} {{ le|first }} {{ le|last }} {{ le|min }} {{ le|sum }}",
    "{{ '12'|int }} {{ '0x1f'|int(0, 16) }} {{ '1_0'|int }} {{ ' 5 '|int }} {{ 'a'|int }} {{ 'a'|int(-1) }} {{ '3.9'|int }} {{ 3.9|int }} {{ -3.9|int }} {{ t|int }} {{ nil|int }} {{ '1e3'|int }}",
    "{{ '1.5'|float }} {{ 'x'|float }} {{ 'x'|float(2) }} {{ n|float }} {{ '1e3'|float }} {{ 'inf'|float }} {{ 'nan'|float }}", "{{ 2.5|round }} {{ 3.5|round }} {{ 2.675|round(2) }} {{ 2.1|round(0, 'ceil') }} {{ 7|round }} {{ 1234.5|round(-2) }}",
    "{{ big }} {{ [big] }} {{ big|tojson }} {{ big == big }} {{ big is integer }}", "{{ 0.1 + 0.2 }} {{ 1.0 }} {{ 100000.0 * 1e12 }} {{ 1/3 }} {{ 1e22 }} {{ 5e-324 }} {{ -0.0 }}", "{{ 1/0 }}", "{{ 1 % 0 }}", "{{ 'a' + 1 }}", "{{ 'a' * 3 }}{{ 3 * 'b' }}{{ [1] * 2 }}{{ 'a' * -1 }}",
    "{{ d|tojson }} {{ mix|tojson(indent=1) }} {{ u|tojson }} {{ u|tojson(ensure_ascii=true) }} {{ d|tojson(sort_keys=true) }} {{ mix|tojson(separators=(',', ':')) }} {{ [[], {}]|tojson(2) }}", "{{ missing|tojson }}", "{{ {1: 2, none: 3, true: 4, 2.5: 5}|tojson }}",
    "{{ '\\x00\\x1f\\x7f\\u2028'|tojson }} {{ ['\\x00\\x7f\\u2028\\u00ad\\U0001F600'] }}", "{{ \"tab\\there\"|tojson(indent='\\t') }}", "{{ [1, [2, [3]]]|tojson(indent='--') }}",
    "{{ 'hello world-foo (bar)'|title }} {{ 'hello wOrld'|capitalize }} {{ \"they're bill's\"|title }} {{ \"they're bill's\".title() }} {{ '\u01c6 \u00dfx'|capitalize }} {{ '\u00df'.upper() }} {{ '\u0130'|lower|length }} {{ '\u0149a'.title() }}",
    "{{ 'a\\nb\\n\\nc'|indent }}|{{ 'a\\nb\\n'|indent(2, true) }}|{{ 'a\\n\\nb'|indent(1, blank=true) }}|{{ 'a\\nb'|indent('>') }}|{{ ''|indent }}", "{{ n|indent }}", "{{ '<&\"\\''|e }} {{ '<'|safe }}",
    "{{ 'a,b,c'.split(',')[1] }} {{ 'a b  c'.split() }} {{ ' a b '.split(' ') }} {{ 'aXbXc'.rsplit('X', 1) }} {{ ' a b c '.split(none, 1) }} {{ ' a b c '.rsplit(none, 1) }} {{ 'abc'.split('') }}",
    "{{ 'xxaxx'.strip('x') }} {{ 'abcba'.lstrip('ab') }} {{ '\\u3000\u00e9\\u00a0'.strip() }} {{ '\u00e9a\u00e9'.strip('\u00e9') }} {{ 'aXa'|trim('a') }}", "{{ 'a\\r\\nb\\x0bc\\u2028d\\n'.splitlines() }} {{ 'a\\nb'.splitlines(true) }}",
    "{{ l.append(4) }}", "{{ l.append }}|", "{{ d.update({'q': 1}) }}", "{{ s.__class__ }}|", "{{ s.__class__.__mro__ }}", "{{ s.nope }}|{{ s.nope is defined }}", "{{ n.nope }}", "{{ nil.x }}|", "{{ nil.x.y }}",
    "{{ 'a' in s }} {{ 'W' in s }} {{ 1 in l }} {{ 'a' in d }} {{ 'z' not in d }} {{ not 'a' in d }} {{ 'a' in nil }}", "{{ 1 in 's' }}", "{{ (1, 2) in [(1, 2)] }} {{ 3 in range(4) }} {{ 'a' in d.keys() }} {{ 2 in d.values() }}",
    "{{ d.items() }}|{{ d.keys() }}|{{ d.values() }}|{{ d.items()|list }}|{{ d.items()|length }}", "{{ d.keys()[0] }}|", "{{ d|items|list }} {{ missing|items|list }}", "{{ l|items }}"[:0] + "{{ l|items|list }}",
    "{{ n is divisibleby(7) }} {{ n is not odd }} {{ n is odd and t }} {{ s is string and n is number }} {{ n is eq 7 }} {{ 'x' is in 'xyz' }} {{ l is sequence }} {{ range(2) is sequence }} {{ d.items() is sequence }} {{ missing is sequence }}",
    "{{ t is number }} {{ t is integer }} {{ 1.0 is integer }} {{ 1.0 is float }} {{ d is iterable }} {{ n is iterable }} {{ 'upper' is filter }} {{ 'odd' is test }} {{ 'x' is test }} {{ nil is sameas(none) }}", "{{ 1 is string is none }}",
    "{% if n %}a{% elif z %}b{% else %}c{% endif %}{% if z %}a{% elif n %}b{% else %}c{% endif %}{% if z %}a{% elif e %}b{% else %}c{% endif %}{% if 1, 2 %}t{% endif %}", "{% print s %}", "{{ loop is defined }}",
    "{{ s|replace('l', 'L', 1) }} {{ s|replace('', '.') }} {{ n|replace(7, 8) }} {{ s|center(21) }} {{ s|format }} {{ '%s-%s'|format(1, 'b') }} {{ '%(x)s'|format(x=3) }}",
    "{{ l|batch(2)|list }} {{ l|batch(2, '-')|list }} {{ [1, 2, 3]|map('float')|list }} {{ ['a', 'b']|map('replace', 'a', 'z')|list }} {{ l|map('default', 5)|sum }}", "{{ s|nofilter }}", "{{ s is notest }}", "{{ s", "{% if t %}", "{% endif %}", "{% foo %}",
    "{{ 1 + }}", "{{ [1 }}", "{{ (1, 2 }}", "{{ {'a' 1} }}", "{% for x l %}{% endfor %}", "{% set %}", "{% if %}{% endif %}", "{{ 'abc }}", "{{ a b }}", "{{ 1 2 }}", "{% break %}", "{% set 1 = 2 %}", "{% set none = 2 %}", "{{ f(**1) }}", "{{ }}", "{% for loop in l %}{% endfor %}",
    "{{ dict(*[[('a', 1)]], **{'b': 2}) }}", "{{ s.split(*[' ']) }}", "{{ s.replace('l', 'x', **{}) }}", "{{ [x for x in l] }}", "{{ l|sort|reverse|list|join('')|int + 1 }}", "{{ (l|length > 2) ~ (s|upper)[0] }}", "{{ s|upper()|lower() }}", "{{ s | default }}",
]


def expression(rng, depth=0):
    pick = rng.random()
    if depth > 2 or pick < 0.25:
        return rng.choice(ATOMS)
    if pick < 0.45:
        return f"({expression(rng, depth + 1)} {rng.choice(BINARY)} {expression(rng, depth + 1)})"
    if pick < 0.65:
        return f"{rng.choice(ATOMS)}|{rng.choice(FILTERS)}"
    if pick < 0.75:
        return f"({expression(rng, depth + 1)} is {rng.choice(['', 'not '])}{rng.choice(TESTS)})"
    if pick < 0.9:
        return f"{rng.choice(ATOMS)}.{rng.choice(METHODS)}"
    if pick < 0.95:
        return f"({expression(rng, depth + 1)} if {expression(rng, depth + 1)} else {expression(rng, depth + 1)})"
    return f"[{expression(rng, depth + 1)}, {expression(rng, depth + 1)}]"


def space(rng):
    return rng.choice(["", " ", "\n", "\n  ", "  \n", "\n\n ", "\t"])


def tag(rng, text):
    return "{%" + rng.choice(["", "", "", "-", "+"]) + " " + text + " " + rng.choice(["", "", "", "-"]) + "%}"


def statement(rng, depth=0):
    inner = lambda: space(rng) + (statement(rng, depth + 1) if depth < 2 else "{{ " + expression(rng, 1) + " }}") + space(rng)
    pick = rng.randrange(7)
    if pick == 0:
        return tag(rng, f"if {expression(rng, 1)}") + inner() + tag(rng, "else") + inner() + tag(rng, "endif")
    if pick == 1:
        return tag(rng, f"for x in {rng.choice(ATOMS)}") + inner() + "{{ loop.index }}{{ x }}" + tag(rng, "endfor")
    if pick == 2:
        return tag(rng, f"set q = {expression(rng, 1)}") + inner() + "{{- q }}"
    if pick == 3:
        return tag(rng, "set r") + inner() + tag(rng, "endset") + "{{ r }}"
    if pick == 4:
        return "{#" + rng.choice(["", "-"]) + " note " + rng.choice(["", "-"]) + "#}" + inner()
    return "{{" + rng.choice(["", "-"]) + " " + expression(rng) + " " + rng.choice(["", "-"]) + "}}"


def random_snippets(rng, count):
    simple = ["{{ " + expression(rng) + " }}" for _ in range(count // 2)]
    return simple + [space(rng) + statement(rng) + space(rng) + statement(rng) for _ in range(count - len(simple))]
