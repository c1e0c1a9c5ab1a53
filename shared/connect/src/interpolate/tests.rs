//! What the comparison with the reference doesn't show: errors, limits, what is borrowed and injected.

use std::sync::Arc;

use crate::value::{Value, json};

use super::*;

fn context<'a>(config: &'a Value) -> Context<'a> {
    Context::new("2026-11-25T10:20:30.123456Z".parse().unwrap()).with("config", config)
}

fn render(text: &str) -> Result<Value, TemplateError> {
    let config = json!({ "secret": "hunter2", "list": [1, 2, 3] });
    Template::compile(text)?.render(&context(&config))
}

#[test]
fn a_text_without_tags_is_plain_and_still_read_as_a_literal() {
    let plain = Template::compile("12").unwrap();
    assert!(plain.is_plain());
    assert_eq!(plain.render(&context(&json!({}))).unwrap(), json!(12));
    assert!(!Template::compile("{{ 12 }}").unwrap().is_plain());
}

#[test]
fn parameters_belong_to_the_template_and_win_over_the_context() {
    let own = Arc::new(json!({ "path": "own" }));
    let template = Template::compile("{{ parameters.path }}").unwrap();
    let other = json!({ "path": "other" });
    let config = json!({});
    let context = context(&config);
    assert_eq!(template.render(&context).unwrap(), json!(""), "every component has parameters, if only none");
    assert_eq!(template.render(&context.clone().with("parameters", &other)).unwrap(), json!("other"));
    assert_eq!(template.with_parameters(&own).render(&context.with("parameters", &other)).unwrap(), json!("own"));
}

#[test]
fn an_error_shows_the_template_and_never_a_value() {
    for (text, part) in [
        ("{{ 1 +", "can't be read"),
        ("{{ 1 | shout }}", "there is no filter 'shout'"),
        ("{{ 1 is odder }}", "there is no test 'odder'"),
        ("{% macro m() %}{% endmacro %}", "can't be read"),
        ("{{ nope }}", "nope; only config are"),
        ("{{ config.a.b }}", "into something that is missing: a.b"),
        ("{{ config.secret.__class__ }}", "not allowed to use the attribute '__class__'"),
        ("{{ stream_state.x }}", "stream_interval"),
        ("{{ [].pop() }}", "no such item"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ format_datetime('x', '%Y') }}", "ISO 8601"),
        ("{{ generate_uuid() }}", "not available here"),
        ("{{ range(10) }}", "range"),
    ] {
        let error = render(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
        assert!(!error.contains("hunter2"), "{text}: {error}");
    }
}

#[test]
fn what_is_no_use_to_python_leaves_the_template_as_it_is_written() {
    assert_eq!(render("{{ 1 + 'a' }}").unwrap(), json!("{{ 1 + 'a' }}"));
    assert_eq!(render("{{ config.list < 'a' }}").unwrap(), json!("{{ config.list < 'a' }}"));
}

#[test]
fn a_template_that_would_never_end_is_stopped() {
    let nested = "{% for a in 'x' * 2000 %}{% for b in 'x' * 2000 %}{{ b }}{% endfor %}{% endfor %}";
    let doubling = "{% set n = namespace(x='x' * 1000) %}{% for i in 'x' * 40 %}{% set n.x = n.x ~ n.x %}{% endfor %}";
    for text in [
        nested,
        doubling,
        "{{ 'x' * 99999999999 }}",
        "{{ [1] * 99999999 }}",
        "{{ '%9999999d' % 1 }}",
        "{{ 'a'.ljust(999999999) }}",
        "{{ ('a' * 50 ~ 'b') | regex_search('(a*)*\\\\1c') }}",
        "{% set a = [[[[0] * 500] * 500] * 500] %}{{ a }}",
        "{{ [[[[0] * 500] * 500] * 500] }}",
        "{{ [[[[0] * 500] * 500] * 500] == [[[[0] * 500] * 500] * 500] }}",
        "{{ [[[[0] * 500] * 500] * 500] | tojson | length }}",
        "{{ [[[[0] * 500] * 500] * 500] | map('string') | list | length }}",
        "{% set a = 'x' * 9999999 %}{% for i in 'x' * 90000 %}{% if a | wordcount %}{% endif %}{% endfor %}",
        "{% set a = 'x' * 9999999 %}{% for i in 'x' * 90000 %}{% if a is lower %}{% endif %}{% endfor %}",
        "{% set a = 'x' * 9999999 %}{% for i in 'x' * 90000 %}{% if a[i] %}{% endif %}{% endfor %}",
        "{% set a = 'x' * 9999999 %}{% for i in 'x' * 90000 %}{% if [a, a, a, a] | unique %}{% endif %}{% endfor %}",
        "{% set n = namespace(x=[]) %}{% for i in 'x' * 100000 %}{% set n.x = [n.x] %}{% endfor %}",
        "{% set l = [[]] %}{% for i in 'x' * 100000 %}{% set l = [[l]] %}{% if l[0].append(l[0][0]) %}{% endif %}{% endfor %}",
        "{% for i in 'x' * 9000 %}{% if ('a' * 900) | regex_replace('(?=a)', 'b') %}{% endif %}{% endfor %}",
    ] {
        assert!(matches!(render(text), Err(TemplateError::Stopped { .. })), "{text}: {:?}", render(text));
    }
    assert!(matches!(render("{{ 9 ** 9 ** 9 }}"), Err(TemplateError::Fails { .. })));
}

#[test]
fn what_is_long_and_does_little_is_not_stopped() {
    for (text, expected) in [
        ("{{ ('a1' * 3000) | regex_replace('(?:[0-9])', '') | length }}", json!(3000)),
        ("{{ ('1' * 90) | regex_replace('(?<=1)(?=1)', ',') | length }}", json!(179)),
        ("{{ ('ab,' * 9000).split(',') | join(';') | length }}", json!(27000)),
        (
            "{% set l = [] %}{% for c in 'x' * 9000 %}{% if l.append(c) %}{% endif %}{% endfor %}{{ l | length }}",
            json!(9000),
        ),
        (
            "{% set n = namespace(t=0) %}{% for c in 'x' * 9000 %}{% set n.t = n.t + 1 %}{% endfor %}{{ n.t }}",
            json!(9000),
        ),
    ] {
        assert_eq!(render(text).unwrap(), expected, "{text}");
    }
}

#[test]
fn a_template_too_deep_or_too_large_does_not_compile() {
    for text in [
        format!("{{{{ {}1 }}}}", "1+".repeat(50_000)),
        format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000)),
        format!("{{{{ {}1 }}}}", "not ".repeat(5000)),
        format!("{{{{ {}1 }}}}", "-".repeat(5000)),
        format!("{{{{ a{} }}}}", ".b".repeat(5000)),
        format!("{{{{ a{} }}}}", "|list".repeat(5000)),
        "{% if 1 %}".repeat(5000),
        format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(5000)),
        "x".repeat(300_000) + "{{ 1 }}",
    ] {
        assert!(Template::compile(&text).is_err(), "{}", &text[..40]);
    }
    let long = format!("{{{{ {}1 }}}}", "1 + ".repeat(90));
    assert_eq!(render(&long).unwrap(), json!(91));
}

#[test]
fn a_list_cannot_hold_itself_and_what_a_context_shows_cannot_be_changed() {
    for text in ["{% set a = [] %}{% if a.append(a) %}{% endif %}", "{% set a = {} %}{% if a.update(x=a) %}{% endif %}"]
    {
        assert!(matches!(render(text), Err(TemplateError::Fails { .. })));
    }
    assert!(render("{{ config.list.append(4) }}").unwrap_err().to_string().contains("didn't make itself"));
}

#[test]
fn now_and_randomness_come_from_the_context() {
    let config = json!({});
    let entropy = || 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128;
    let context = context(&config).with_entropy(&entropy);
    let render = |text: &str| Template::compile(text).unwrap().render(&context).unwrap();
    assert_eq!(render("{{ now_utc() }}"), json!("2026-11-25 10:20:30.123456+00:00"));
    assert_eq!(render("{{ generate_uuid() }}"), json!("01234567-89ab-4def-8123-456789abcdef"));
}

#[test]
fn headers_are_found_whatever_their_case() {
    let headers = json!({ "X-Next": "2" });
    let config = json!({});
    let context = context(&config).with("headers", Variable::Headers(&headers));
    let render = |text: &str| Template::compile(text).unwrap().render(&context).unwrap();
    assert_eq!(render("{{ headers['x-next'] }}"), json!(2));
    assert_eq!(render("{{ headers.get('X-NEXT') }}"), json!(2));
}

#[test]
fn trees_of_templates_leave_out_what_is_null_and_maps_of_them_keep_it() {
    let config = json!({ "a": 1, "k": "name" });
    let none = Arc::new(json!({}));
    let tree = json!({ "{{ config.k }}": ["{{ config.a }}", "{{ config.nope }}", true], "x": "{{ config.nope }}", "y": "", "z": null, "n": {"m": "{{ config.nope.deep }}" } });
    let rendered = Templated::compile(&tree, &none).unwrap().render(&context(&config)).unwrap();
    assert_eq!(rendered, json!({ "name": [1, null, true], "n": {} }));
    let map = json!({ "{{ config.a }}": "{{ config.a }}", "b": "", "c": 5, "d": [1] });
    let rendered = TemplatedMap::compile(map.as_object().unwrap(), &none).unwrap().render(&context(&config)).unwrap();
    let mut rendered: Vec<_> = rendered.into_iter().collect();
    rendered.sort_by(|(a, _), (b, _)| a.cmp(b));
    let expected = [("1", json!(1)), ("b", json!(null)), ("c", json!(5)), ("d", json!([1]))];
    assert_eq!(rendered, expected.map(|(name, value)| (name.to_owned(), value)));
}

#[test]
fn a_template_names_what_it_needs() {
    let template = Template::compile("{% set x = config.a %}{{ x ~ record.id ~ now_utc() ~ parameters.p }}").unwrap();
    assert_eq!(template.variables().collect::<Vec<_>>(), ["config", "parameters", "record"]);
}

#[test]
fn numbers_print_as_python_prints_them() {
    for (value, text) in [
        (json!(1.0), "1.0"),
        (json!(1e16), "1e+16"),
        (json!(1e-5), "1e-05"),
        (json!(-0.0), "-0.0"),
        (json!([true, null, "it's"]), "[True, None, \"it's\"]"),
    ] {
        assert_eq!(python_text(&value), text);
    }
}
