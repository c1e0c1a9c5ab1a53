//! What jq programs may do here, what is refused, and where a mistake is.

use serde_json::json;

use super::*;

fn run(program: &str, input: Json) -> Result<Vec<Json>, JqError> {
    Program::compile(program)?.run(&input, 100)
}

fn refused(program: &str) -> (usize, usize, String) {
    match Program::compile(program) {
        Err(JqError::Program { line, column, problem }) => (line, column, problem),
        other => panic!("{program}: {other:?}"),
    }
}

#[test]
fn a_program_that_nobody_is_to_run_says_so_and_is_not_looked_at() {
    let program = Program::unread("no program").unwrap();
    assert_eq!(program.source(), "no program");
    assert!(matches!(program.run(&json!(1), 1), Err(JqError::Failed(why)) if why.contains("runs no programs")));
}

#[test]
fn a_program_gives_none_one_or_many_values() {
    for (program, input, outputs) in [
        (".", json!({"b": [1, 2.5, "x", null, true]}), vec![json!({"b": [1, 2.5, "x", null, true]})]),
        ("empty", json!(1), vec![]),
        (
            ".[] | {id, n: (.n + 1)}",
            json!([{"id": 1, "n": 1}, {"id": 2, "n": 2}]),
            vec![json!({"id": 1, "n": 2}), json!({"id": 2, "n": 3})],
        ),
        ("select(.kind == \"photo\")", json!({"kind": "text"}), vec![]),
        ("def twice(f): f | f; twice(. * 2)", json!(3), vec![json!(12)]),
        ("[.. | numbers]", json!([1, [2, [3]]]), vec![json!([1, 2, 3])]),
        ("[recurse(if . < 3 then . + 1 else empty end)]", json!(0), vec![json!([0, 1, 2, 3])]),
        (
            "[limit(3; repeat(1))], [range(0; 10; 4)], [range(2)]",
            json!(null),
            vec![json!([1, 1, 1]), json!([0, 4, 8]), json!([0, 1])],
        ),
        ("until(. > 100; . * 2)", json!(1), vec![json!(128)]),
        ("[while(. < 5; . + 2)]", json!(1), vec![json!([1, 3])]),
        ("walk(if type == \"string\" then ascii_downcase else . end)", json!({"a": ["B"]}), vec![json!({"a": ["b"]})]),
        ("paths", json!({"a": [7]}), vec![json!(["a"]), json!(["a", 0])]),
        ("[splits(\", *\")]", json!("a, b,c"), vec![json!(["a", "b", "c"])]),
        ("\"2026-01-02T03:04:05Z\" | fromdate | todate", json!(null), vec![json!("2026-01-02T03:04:05Z")]),
        (".env, .now", json!({"env": 1, "now": 2}), vec![json!(1), json!(2)]),
    ] {
        assert_eq!(run(program, input).unwrap(), outputs, "{program}");
    }
}

#[test]
fn large_numbers_survive() {
    let input = json!([i64::MIN, i64::MAX, u64::MAX, 1e300, 0.1]);
    assert_eq!(run(".", input.clone()).unwrap(), [input]);
}

#[test]
fn an_error_says_line_and_column() {
    for (program, line, column, part) in [
        (".a |\n  nothing_like_it(1)", 2, 3, "nothing_like_it"),
        (".a | $x", 1, 6, "$x"),
        ("if . then 1", 1, 12, "else or end"),
        ("é | )", 1, 1, "token"),
        (".a | )", 1, 6, "token"),
        ("{a: 1", 1, 6, "closing brace"),
        ("", 1, 1, "term"),
        ("1 2", 1, 3, "'2'"),
    ] {
        let found = refused(program);
        assert_eq!((found.0, found.1), (line, column), "{program}: {found:?}");
        assert!(found.2.contains(part), "{program}: {found:?}");
    }
}

#[test]
fn what_depends_on_more_than_the_input_is_refused_by_name() {
    for (program, name) in [
        ("now", "'now'"),
        ("{a: [1 | now]}", "'now'"),
        (".x | env.HOME", "'env'"),
        ("$ENV.HOME", "'$ENV'"),
        ("[inputs]", "'inputs'"),
        ("input", "'input'"),
        ("debug", "'debug'"),
        ("debug(\"x\")", "'debug'"),
        ("\"a\\(stderr)\"", "'stderr'"),
        ("halt", "'halt'"),
        ("halt_error(3)", "'halt_error'"),
        ("localtime", "'localtime'"),
        ("strflocaltime(\"%H\")", "'strflocaltime'"),
        ("input_filename", "'input_filename'"),
        ("def f: now; f", "'now'"),
        (". as {a: $x, (env | tostring): $y} | $x", "'env'"),
        ("reduce .[] as $x (0; now)", "'now'"),
        (".[now:]", "'now'"),
        ("try now catch 1", "'now'"),
        ("include \"x\"; .", "files"),
        ("import \"x\" as x; .", "files"),
    ] {
        assert!(refused(program).2.contains(name), "{program}");
    }
}

#[test]
fn a_definition_that_calls_itself_is_refused() {
    assert!(refused("def f: 1 + f; f").2.contains("calls itself"));
    assert!(refused("def f(g): def h: f(g); h; f(.)").2.contains("calls itself"));
    assert!(Program::compile("def f: 1; def f(x): f + x; f(2)").is_ok());
}

#[test]
fn a_program_that_runs_for_ever_is_stopped() {
    for program in [
        "repeat(.)",
        "last(repeat(.))",
        "[range(1e18)] | length",
        "until(false; . + 1)",
        "last(recurse(. + 1))",
        "[while(true; . + 1)]",
        "try last(repeat(.)) catch 1",
        "[limit(3; range(1e18) | select(false))]",
        "last(range(0; 1; 0))",
    ] {
        let error = Program::compile(program).unwrap().run(&json!(1), 10).unwrap_err();
        assert!(matches!(error, JqError::TooManySteps | JqError::TooManyOutputs(10)), "{program}: {error}");
    }
}

#[test]
fn more_outputs_than_the_bound_are_an_error_and_the_bound_itself_is_not() {
    let program = Program::compile(".[]").unwrap();
    assert_eq!(program.run(&json!([1, 2]), 2).unwrap().len(), 2);
    assert_eq!(program.run(&json!([1, 2, 3]), 2), Err(JqError::TooManyOutputs(2)));
}

#[test]
fn a_failing_program_says_why() {
    let error = run("error(\"no name\")", json!({})).unwrap_err();
    assert!(error.to_string().contains("no name"), "{error}");
    assert!(matches!(run(".a", json!(5)), Err(JqError::Failed(_))));
    assert!(matches!(run("infinite", json!(5)), Err(JqError::NotJson(_))));
    assert!(matches!(run("{(1 | tostring): 1} | .[\"a\"] = 1 | {(\"b\"): nan}", json!(5)), Err(JqError::NotJson(_))));
    assert!(matches!(run("reduce range(500) as $i (0; [.])", json!(0)), Err(JqError::NotJson(_))));
}

#[test]
fn only_true_is_true() {
    for (program, expected) in [("true", true), ("false", false), ("1", false), ("empty", false), ("true, error", true)]
    {
        assert_eq!(Program::compile(program).unwrap().is_true(&json!(null)), Ok(expected), "{program}");
    }
}

#[test]
fn one_program_runs_in_many_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Program>();
    let program = Program::compile(". + 1").unwrap();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|n| {
                scope.spawn({
                    let program = &program;
                    move || program.run(&json!(n), 1)
                })
            })
            .collect();
        for (n, thread) in threads.into_iter().enumerate() {
            assert_eq!(thread.join().unwrap().unwrap(), [json!(n + 1)]);
        }
    });
}

#[test]
fn several_programs_can_share_one_input() {
    let input = Input::new(&json!({"a": 1}));
    assert_eq!(Program::compile(".a").unwrap().run_on(&input, 1), Ok(vec![json!(1)]));
    assert_eq!(Program::compile(".a == 1").unwrap().is_true_on(&input), Ok(true));
}
