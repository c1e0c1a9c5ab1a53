"""The cases of cases.json: what a component is given. Members of objects are in the order of the alphabet."""

REC = {"B": {"C": 1, "d": {"e": [1, {"f": 2}]}}, "a": "x", "camelCase": True, "list": [{"id": 1, "z": None}, {"id": 2}], "n": None}
T = []


def transform(component, *records):
    T.extend({"kind": "transform", "component": component, "record": record} for record in records or [REC])


def add(path, value, **more):
    own = {k: more.pop(k) for k in ("condition",) if k in more}
    transform({"type": "AddFields", **own, "fields": [{"type": "AddedFieldDefinition", "path": path, "value": value, **more}]})


add(["new"], "{{ record['a'] }}-{{ config['name'] }}")
add(["new"], "{{ 1 + 1 }}")
add(["new"], "{{ 5 }}", value_type="string")
add(["new"], "{{ 5 }}", value_type="number")
add(["new"], "{{ 5 }}", value_type="integer")
add(["new"], "{{ 5.0 }}", value_type="number")
add(["new"], "{{ 'true' }}", value_type="boolean")
add(["new"], "{{ 1 == 1 }}", value_type="boolean")
add(["new"], "12", value_type="string")
add(["deep", "er", "path"], "static")
add(["B", "new"], "static")
add(["B", "d", "e", 1, "g"], "in a list")
add(["B", "d", "e", "3"], "behind its end")
add(["fresh", "0", "x"], "a list")
add(["a", "below"], "a text is in the way")
add(["list", "x"], "no index")
add(["n", "x"], "null is in the way")
add(["new"], "{{ record.missing }}")
add(["new"], "{{ record.missing.deeper }}")
add(["new"], "{{ None }}")
add(["new"], "{{ stream_slice.owner }}/{{ stream_interval.start_time }}")
add(["new"], "{{ parameters.x }}", **{"$parameters": {"x": "p"}})
add(["new"], "v", condition="{{ record.a == 'x' }}")
add(["new"], "v", condition="{{ record.a == 'y' }}")
add(["new"], "v", condition="{{ value == 'v' and path == ['new'] }}")
add(["new"], "{{ record }}")
add(["new"], "{{ record.list }}")
transform({"type": "AddFields", "fields": [
    {"type": "AddedFieldDefinition", "path": ["one"], "value": "{{ 1 }}"},
    {"type": "AddedFieldDefinition", "path": ["two"], "value": "{{ record.one + 1 }}"}]})
for pointers in ([["a"]], [["missing"]], [["B", "C"]], [["list", 0]], [["list", 1]], [["list", "0"]], [["list", "*", "id"]], [["list", "*"]],
                 [["B", "**"]], [["B", "d", "e", "1", "f"]], [["a"], ["n"]], [["c*"]], [["list", -1]], [["**", "id"]], [["?"]], [["[ab]"]]):
    transform({"type": "RemoveFields", "field_pointers": pointers})
transform({"type": "RemoveFields", "field_pointers": [["a"]], "condition": "{{ property == 'x' }}"},
          REC, {"a": "y", "b": {"c": "x"}, "d": ["x", "z", "x"]})
transform({"type": "RemoveFields", "field_pointers": [["nope"]], "condition": "{{ property is none }}"})
transform({"type": "KeysToLower"}, REC, {"ABC": 1, "x": {"Y": 1}})
transform({"type": "KeysToSnakeCase"}, REC, {
    k: 1 for k in sorted(["camelCase", "CamelCase", "HTTPServer", "myID", "some text", "a-b", "1st", "x2y", "__lead", "trail__", "ÀccentÉ", "a.b.c",
                          "snake_case", "UPPER", "Ünïcode Name", "with  two", "", "  a", "9", "a1B2", "%", "FIELDa"])})
transform({"type": "KeysToSnakeCase"}, {"outerKey": {"innerKey": [{"leftAlone": 1}]}})
transform({"type": "KeysReplace", "old": " ", "new": "_"}, {"a b": {"c d": 1}, "e": [{"f g": 1}]})
transform({"type": "KeysReplace", "old": "{{ record.a }}", "new": "{{ config.name }}"}, {"a": "x", "x": 1, "xx": 2})
transform({"type": "FlattenFields"}, REC, {"a": {"b": 1}, "b": 2}, {"a": {"b": {"c": 1}}, "c": {"b": 2}}, {"a": [1, [2, 3]], "b": {"c": {}, "d": []}},
          {"x": {"id": 1}, "y": {"id": 2}, "z": {"id": [3]}})
transform({"type": "FlattenFields", "flatten_lists": False}, REC, {"a": [1, {"b": 2}], "c": {"d": [3]}})
for more in ({}, {"delete_origin_value": True}, {"replace_record": True}, {"delete_origin_value": True, "key_transformation": {"type": "KeyTransformation", "prefix": "p_"}},
             {"key_transformation": {"type": "KeyTransformation", "prefix": "{{ config.name }}_", "suffix": "_s"}}):
    for path in (["B"], ["B", "d"], ["list", "*"], ["missing"], ["a"], ["list", "0"]):
        transform({"type": "DpathFlattenFields", "field_path": path, **more})
transform({"type": "DpathFlattenFields", "field_path": ["a"]}, {"a": {"b": 1}, "b": 2})

BODY = '{"a*": 1, "data": {"empty": [], "items": [{"id": 1}, {"id": 2}], "map": {"x": {"id": 4}, "y": {"id": 5}}, "none": null, "one": {"id": 3}}, "list": [[1, 2], [3]]}'


def extract(path, body=BODY, **more):
    T.append({"kind": "extract", "component": {"type": "DpathExtractor", "field_path": path, **more}, "body": body})


for path in ([], ["data"], ["data", "items"], ["data", "one"], ["data", "none"], ["data", "empty"], ["data", "map", "*"], ["data", "*", "id"], ["data", "items", "*", "id"],
             ["data", "items", "0"], ["data", "items", "1", "id"], ["missing"], ["data", "missing", "x"], ["list", "*"], ["list", "*", "*"], ["list"], ["**", "id", "*"], ["data", "**", "*"],
             ["{{ config.name }}"], ["{{ parameters.p }}", "items"], ["a?"], ["data", "items", "-1"], ["data", "o*"]):
    extract(path, **({"$parameters": {"p": "data"}} if "parameters" in str(path) else {}))
for body in ('[{"id": 1}, {"id": 2, "x": [1]}]', "[]", "{}", "null", '"text"', "5", "", '[[{"id": 1}], {"id": 2}]', '[null, {"id": 1}]', "false"):
    for path in ([], ["*"], ["id"]):
        extract(path, body)
LISTS = '{"r": [{"id": 1, "l": {"d": [{"x": 1}, {"x": 2, "id": 9}]}, "t": true}, {"id": 2, "l": {"d": []}}, {"id": 3}, {"id": 4, "l": {"d": [5]}}]}'
for more in ({}, {"remain_original_record": True}, {"merge_parent": True}, {"on_no_records": "emit_parent"},
             {"parent_fields": [{"type": "ParentFieldPath", "parent_path": ["id"], "record_path": ["parent", "id"]}, {"type": "ParentFieldPath", "parent_path": ["nope"], "record_path": ["nope"]}]}):
    extract(["r"], LISTS, record_expander={"type": "RecordExpander", "expand_records_from_field": ["l", "d"], **more})
extract(["r"], '{"r": [{"s": [{"i": [1, 2]}, {"i": [3]}]}]}', record_expander={"type": "RecordExpander", "expand_records_from_field": ["s", "*", "i"]})
extract(["r"], '{"r": [{"k": 1, "s": [{"i": [{"a": 1}], "o": 1}, {"i": [{"a": 2}]}]}]}', record_expander={"type": "RecordExpander", "expand_records_from_field": ["s", "*", "i"], "merge_parent": True})
DP = lambda *path: {"type": "DpathExtractor", "field_path": list(path)}  # noqa: E731
for mode in ("union", "first_match"):
    for skip in (False, True):
        for paths in ((DP("a"), DP("b")), (DP("nope"), DP("b")), (DP("e"), DP("b"))):
            T.append({"kind": "extract", "component": {"type": "CombinedExtractor", "mode": mode, "skip_empty_records": skip, "extractors": list(paths)},
                      "body": '{"a": [{"i": 1}, null, {}], "b": [{"i": 2}], "e": [null, {}]}'})


def decode(component, body, **headers):
    T.append({"kind": "decode", "component": component, "body": body, "headers": headers})


CSV = {"type": "CsvDecoder"}
for body in ("a,b\n1,2\n3,4\n", "a,b\r\n1,2\r\n", "a,b\n1\n1,2,3,4\n", 'a,b\n"x, y","say ""hi"""\n', 'a,b\n"line\nbreak",2\n', "", "a,b\n", "a,b\n\n1,2\n\n", 'a,b\n x ,"y" \n',
             'a,b\nx"y,z\n', 'a,b\n"x"y,z\n', "a,a\n1,2\n", "é,ü\nß,☃\n", "a,b\n,\n", "a\n1\n", 'a,b\n"unclosed,1\n'):
    decode(CSV, body)
decode({**CSV, "delimiter": ";"}, "a;b\n1;2\n")
decode({**CSV, "delimiter": "\\t"}, "a\tb\n1\t2\n")
decode({**CSV, "delimiter": "|", "set_values_to_none": ["", "NA"]}, "a|b\n|NA\nx|y\n")
for body in ('<a/>', '<a>text</a>', '<a x="1"/>', '<a x="1">text</a>', '<a><b>1</b><b>2</b><c/></a>', '<a>  <b> x </b>  </a>', '<a>mixed <b>bold</b> text</a>',
             '<?xml version="1.0"?><!-- c --><r><i id="1"><n>A &amp; B</n></i><i id="2"><n><![CDATA[<x>]]></n></i></r>', '<ns:a xmlns:ns="http://example.com/ns"><ns:b ns:c="d">1</ns:b></ns:a>',
             '<a><b></b><b/>\n<b> </b></a>', '<a>&#65;&#x42;&lt;</a>', '<a b="x &quot;y&quot;&#10;z"/>', '<a><b>1</b></a><c/>', '<a><b></a>', 'no xml', '<a>é☃</a>', '<a><b><c><d>deep</d></c></b></a>'):
    decode({"type": "XmlDecoder"}, body)
for body in ('{"a": 1}\n{"a": 2}\n', '{"a": 1}\r\n[1, 2]', '\n{"a": 1}\n\n'):
    decode({"type": "JsonlDecoder"}, body)
for path, body in (("data.users", '{"x": [{"q": "]"}], "data": {"y": {}, "users": [{"id": 1}, {"id": 2.5, "n": null}]}}'), ("data.users", '{"data": {}}'), ("data", '{"data": []}'),
                   ("data", '{"data": {"a": 1}}'), ("a.item.b", '{"a": [{"b": [1, 2]}, {"b": [3]}]}'), ("data", "[1]"), ("d", '{"d": [1, "x", [2], {"y": []}, true]}')):
    decode({"type": "JsonItemsDecoder", "items_path": path}, body)
decode({"type": "IterableDecoder"}, "one\ntwo\r\nthree")
decode({"type": "IterableDecoder"}, "")


def normalize(schema, record):
    T.append({"kind": "normalize", "schema": schema, "record": record})


VALUES = ["12", "12.5", "x", "", " 7 ", "true", "No", 5, 5.7, -5.7, 1.0, 1e15, True, False, None, [], [1], {}, {"a": 1}, "1_0", "0x1", "inf"]
for kind in ("string", "number", "integer", "boolean", "array", "object", ["null", "string"], ["null", "integer"], ["string", "integer"], ["null", "number"], ["boolean"], ["null"], "null"):
    normalize({"properties": {f"f{i:02}": {"type": kind} for i in range(len(VALUES))}, "type": "object"}, {f"f{i:02}": v for i, v in enumerate(VALUES)})
normalize({"properties": {"a": {"items": {"type": ["string"]}, "type": "array"}, "b": {"items": {"type": "string"}, "type": "array"}, "c": {"type": ["null", "array"], "items": {"type": ["null", "object"]}}}},
          {"a": 5, "b": 5, "c": 5})
normalize({"properties": {"l": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "string"}}}}, "o": {"type": "object", "properties": {"x": {"type": "integer"}}}}},
          {"l": [{"n": 1}, {"n": None}, 5], "o": {"x": "3", "y": "4"}})
normalize({"definitions": {"d": {"properties": {"x": {"type": "string"}}}}, "properties": {"r": {"$ref": "#/definitions/d"}}}, {"r": {"x": 1}})
normalize({"properties": {"a": {"anyOf": [{"type": "string"}]}, "b": {}, "c": True}}, {"a": 1, "b": 1})

for text in r"""a: yes
a: [no, On, off, TRUE, y, n, True, "yes", 'no', ~, null, NULL, Null, , nil]
a: [0, 00, 01, 0777, 08, 0o17, 0x1F, 0b101, 1_000, 1__0, -5, +5, 1:30, 1:30:05, 190:20:30, 60:61, -1:30, 0_1]
a: [1.0, 1., .5, 1e3, 1.0e3, 1.0e+3, 1.5E-2, 1_0.5, 1:30.5, -.5, +.5, .inf, -.inf, .nan, "1.0", 1.2.3, 6.8523015e+5, 685_230.15]
a: [2024-01-02, 2024-1-2, 2024-01-02T03:04:05Z, 2024-01-02 03:04:05, 2024-01-02t03:04:05.5+02:00, 2024-01-02T03:04:05-5, "2024-01-02", 2024-01-02T03:04, 2024-01]
a: 2024-13-01
a: &x {b: 1, c: [1, 2]}\nd: *x
base: &b {x: 1, y: 2}\na:\n  <<: *b\n  y: 3\n  z: 4
one: &o {x: 1, w: 1}\ntwo: &t {x: 2, v: 2}\na:\n  <<: [*o, *t]\n  y: 3
one: &o {x: 1}\ntwo: &t {x: 2}\na:\n  y: 3\n  <<: *o\n  <<: *t
one: &o {x: 1}\ntwo: &t\n  <<: *o\n  y: 2\nthree:\n  <<: *t\n  x: 9
a: {"<<": 1}
a:\n  <<: 5
a: 1\na: 2
200: ok\ntrue: t\n1.5: f\n~: n\n2024-01-02: d
? [a]\n: 1
a: |\n  line one\n  line two\nb: >-\n  folded\n  text\nc: "esc \\n \\u00e9"\nd: 'it''s'
a: !!str 5\nb: !!int "7"\nc: !!float 3\nd: ! 5
a: !custom 5
a: "{{ config['x'] }}"\nb: {{ x }}
a: {b: "{{ x }}", c: [1, {d: e}]}

# only a comment
--- a
a: 1\n---\nb: 2
- 1\n- - 2\n  - 3\n- {a: b}
a:\n- 1\n- 2
a: text # comment\nb: "#no"
a: =\nb: "="
a: 12345678901234567890
a: [1,2\n
a: b: c
%YAML 1.1\n---\na: 1
a: 'multi\n  line'
a: plain\n  continued
a: @x
a: `x
key with spaces: v
"quoted key": v
a: 1e5\nb: 0.0\nc: -0.0\nd: 1e+5
a: "\\/"
a:    \nb: ''
""".split("\n")[:-1]:
    T.append({"kind": "yaml", "text": text.replace("\\\\", "\0").replace("\\n", "\n").replace("\0", "\\")})

for text, fmt in [("2024-01-02", "%Y-%m-%d"), ("2024-01-02T03:04:05Z", "%Y-%m-%dT%H:%M:%SZ"), ("2024-01-02T03:04:05Z", "%Y-%m-%dT%H:%M:%S%z"), ("2024-01-02T03:04:05+0130", "%Y-%m-%dT%H:%M:%S%z"),
                  ("2024-01-02T03:04:05-01:30", "%Y-%m-%dT%H:%M:%S%z"), ("2024-01-02T03:04:05.123456Z", "%Y-%m-%dT%H:%M:%S.%fZ"), ("2024-01-02T03:04:05.123Z", "%Y-%m-%dT%H:%M:%S.%_msZ"),
                  ("2024-01-02T03:04:05.1Z", "%Y-%m-%dT%H:%M:%S.%fZ"), ("1704164645", "%s"), ("1704164645.5", "%s"), ("1704164645.123456", "%s_as_float"), ("1704164645123", "%ms"), ("1704164645123456", "%epoch_microseconds"),
                  ("-1", "%s"), ("20240102", "%Y%m%d"), ("202412", "%Y%m%d"), ("2024112", "%Y%m%d"), ("Jan 2, 2024", "%b %d, %Y"), ("january 02 2024", "%B %d %Y"), ("Tue, 02 Jan 2024 03:04:05 GMT", "%a, %d %b %Y %H:%M:%S %Z"),
                  ("02/01/24 11:04 PM", "%d/%m/%y %I:%M %p"), ("12:00 am", "%I:%M %p"), ("12:00 PM", "%I:%M %p"), ("2024-060", "%Y-%j"), ("2024 W10 1", "%Y W%W %w"), ("2024 10 0", "%Y %U %w"), ("2024-W05-3", "%G-W%V-%u"), ("24-1-2", "%y-%m-%d"), ("68 69", "%y 69"),
                  ("69", "%y"), ("2024-01-02 ", "%Y-%m-%d"), ("2024-01-02 x", "%Y-%m-%d"), ("2024-13-02", "%Y-%m-%d"), ("2024-02-30", "%Y-%m-%d"), ("2024-01-02   03", "%Y-%m-%d %H"), ("100%", "%j%%"), ("2024", "%Q"), ("x", "%s"), ("1_000", "%s"),
                  (" 1704164645 ", "%s"), ("2024-01-02T24:00:00", "%Y-%m-%dT%H:%M:%S"), ("2024-01-02T03:04:60", "%Y-%m-%dT%H:%M:%S"), ("2024-1-2 3:4:5", "%Y-%m-%d %H:%M:%S"), ("2024-01-02t03z", "%Y-%m-%dT%HZ"), ("99999999999999", "%s"), ("2024-01-02T03:04:05+00:00:30", "%Y-%m-%dT%H:%M:%S%z"),
                  ("2024-01-02T03:04:05UTC", "%Y-%m-%dT%H:%M:%S%Z"), ("Tue Jan  2 03:04:05 2024", "%c"), ("01/02/24", "%x"), ("Feb", "%b"), ("2024-01-02", "%Y-%m-%d %H")]:
    T.append({"kind": "parse", "text": text, "format": fmt})
for moment in ("2024-01-02T03:04:05.678901+00:00", "2024-12-31T23:59:59+02:00", "1969-12-31T23:59:59.999+00:00", "0999-07-04T00:00:00+00:00"):
    for fmt in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%f%z", "%s", "%s_as_float", "%ms", "%epoch_microseconds", "%Y-%m-%dT%H:%M:%S.%_msZ", "%a %A %b %B %d %-d %e %j %U %W %V %G %u %w %y %I %p %P %Z %C %k %l %D %R %T %c %x %X %%", "%05d|%^a|%_m|%-H|%Ey|%q|%"):
        T.append({"kind": "format", "text": moment, "format": fmt})
