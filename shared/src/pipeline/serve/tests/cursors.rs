//! One version from the first page to the last, or a clear no (P2).

use super::*;

#[test]
fn a_listing_stays_in_its_version_over_a_switch_and_a_rollback() {
    let world = world();
    let cursor = world.cursor(&[("limit", "2")]);
    world.switch();
    let second = world.page(&[("limit", "2"), ("cursor", &cursor)]);
    assert_eq!((second["version"].as_u64(), second["data"][0]["name"].as_str()), (Some(7), Some("seven")));
    let of_eight = world.cursor(&[("limit", "2")]);
    assert_eq!(world.page(&[])["version"], 8);

    // Back to 7: both listings go on where they began.
    world.manifest(8, VersionState::Previous, &[("talents", 8), ("skills", 6)]);
    world.activate(7, &[("talents", 7), ("skills", 6)]);
    let third = world.page(&[("cursor", second["next"].as_str().unwrap())]);
    assert_eq!((third["data"][0]["id"].as_i64(), third["next"].clone()), (Some(5), Json::Null));
    assert_eq!(world.page(&[("cursor", &of_eight)])["data"][0]["name"], "eight");
}

#[test]
fn a_cursor_whose_version_is_gone_gets_a_410_and_never_another_versions_rows() {
    let retired = world();
    let cursor = retired.cursor(&[("limit", "2")]);
    retired.switch();
    for state in [VersionState::Retired, VersionState::Dropped] {
        retired.manifest(7, state, &[("talents", 7), ("skills", 6)]);
        let (status, code, detail) = problem(&retired.list(&[("cursor", &cursor)]));
        assert_eq!((status, code.as_str()), (410, "TEAL-S010"));
        assert!(detail.contains("v7") && detail.contains("without a cursor"), "{detail}");
    }

    let dropped = world();
    dropped.switch();
    dropped.drop(&talents(7));
    assert_eq!(dropped.list(&[("cursor", &cursor)]).status, 410);

    let forgotten = world();
    forgotten.switch();
    forgotten.ledger.items.lock().unwrap().remove(&ledger::version_key(Version(7)));
    assert_eq!(forgotten.list(&[("cursor", &cursor)]).status, 410);
}

#[test]
fn a_cursor_is_refused_when_it_was_changed_made_up_or_cut_short() {
    let world = world();
    let good = world.cursor(&[("limit", "2")]);
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(&good).unwrap()).unwrap();
    let forged = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        URL_SAFE_NO_PAD.encode(text.replace(from, to))
    };
    let changed = [
        forged("\"g\":7", "\"g\":6"),
        forged("\"v\":7", "\"v\":6"),
        forged("\"e\":\"talents\"", "\"e\":\"skills\""),
        good[..good.len() - 4].to_owned(),
        "x".repeat(9000),
        URL_SAFE_NO_PAD.encode("{}"),
        URL_SAFE_NO_PAD.encode("not json"),
        "***".to_owned(),
        String::new(),
    ];
    for cursor in changed {
        assert_eq!(problem(&world.list(&[("cursor", &cursor)])).1, "TEAL-S009", "{cursor}");
    }
}

#[test]
fn a_made_up_cursor_reads_nothing_that_is_not_visible() {
    let world = world();
    world.generation(talents(8), "eight");
    world.manifest(8, VersionState::Building, &[("talents", 8)]);
    let made_up = |version: u32, number: u32, key: Key| {
        let filters = Listing::read(&Query::new()).unwrap().fingerprint();
        Cursor { version: Version(version), entity: "talents".into(), generation: number, key, filters }.encode()
    };
    assert_eq!(world.list(&[("cursor", &made_up(7, 7, Key::int(1)))]).status, 200);
    for cursor in [
        made_up(8, 8, Key::int(1)),
        made_up(7, 8, Key::int(1)),
        made_up(7, 7, Key::text("1")),
        made_up(7, 7, Key::new(vec![KeyPart::Int(1), KeyPart::Int(2)]).unwrap()),
    ] {
        assert_eq!(problem(&world.list(&[("cursor", &cursor)])).1, "TEAL-S009");
    }
    assert_eq!(world.list(&[("cursor", &made_up(99, 99, Key::int(1)))]).status, 410);
}

#[test]
fn a_cursor_goes_on_with_its_own_listing_only() {
    let world = world();
    let cursor = world.cursor(&[("active", "true"), ("age[gt]", "0"), ("limit", "1")]);
    let with = |query: &[(&str, &str)]| {
        let mut query = query.to_vec();
        query.push(("cursor", &cursor));
        world.list(&query)
    };
    assert_eq!(with(&[("age[gt]", "0"), ("active[eq]", "true"), ("limit", "9")]).status, 200);
    for other in [&[][..], &[("active", "false"), ("age[gt]", "0")], &[("active", "true"), ("age[gte]", "0")]] {
        let (status, code, detail) = problem(&with(other));
        assert_eq!((status, code.as_str()), (400, "TEAL-S009"), "{other:?}");
        assert!(detail.contains("other filters"), "{detail}");
    }
    let skills = ready(world.serve.list("skills", &pairs(&[("cursor", &cursor)]), None));
    assert!(problem(&skills).2.contains("listing of talents, not of skills"), "{:?}", problem(&skills));
}
