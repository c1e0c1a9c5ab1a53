//! When schedules fire, in EventBridge's syntax, over time zones and clock changes.

use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Millis {
    Millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

fn next(schedule: &str, zone: &str, after: &str) -> String {
    match Schedule::parse(schedule, zone).unwrap().next_after(at(after)) {
        Some(at) => jiff::Timestamp::from_millisecond(at.0).unwrap().to_string(),
        None => "never".to_owned(),
    }
}

#[test]
fn the_next_moment_is_the_one_that_the_expression_says() {
    for (schedule, zone, after, expected) in [
        ("rate(1 hour)", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"),
        ("rate(5 minutes)", "UTC", "2026-01-01T00:04:59.999Z", "2026-01-01T00:05:00Z"),
        ("rate(1 day)", "Europe/Berlin", "1969-12-31T12:00:00Z", "1970-01-01T00:00:00Z"),
        ("cron(0 3 * * ? *)", "UTC", "2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"),
        ("cron(0 3 * * ? *)", "UTC", "2026-01-01T02:59:59.999Z", "2026-01-01T03:00:00Z"),
        ("cron(0 3 * * ? *)", "Europe/Berlin", "2026-01-01T00:00:00Z", "2026-01-01T02:00:00Z"),
        ("cron(*/15 8-9 ? * MON-FRI *)", "UTC", "2026-11-20T09:45:00Z", "2026-11-23T08:00:00Z"),
        ("cron(10/20 * * * ? *)", "UTC", "2026-01-01T00:30:00Z", "2026-01-01T00:50:00Z"),
        ("cron(0 0 L * ? *)", "UTC", "2028-02-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("cron(0 0 LW * ? *)", "UTC", "2026-01-15T00:00:00Z", "2026-01-30T00:00:00Z"),
        ("cron(0 0 1W * ? *)", "UTC", "2026-07-31T12:00:00Z", "2026-08-03T00:00:00Z"),
        ("cron(0 0 15W * ? *)", "UTC", "2026-08-01T00:00:00Z", "2026-08-14T00:00:00Z"),
        ("cron(0 0 31W * ? *)", "UTC", "2026-05-01T00:00:00Z", "2026-05-29T00:00:00Z"),
        ("cron(0 0 ? * 3#2 *)", "UTC", "2026-01-01T00:00:00Z", "2026-01-13T00:00:00Z"),
        ("cron(0 0 ? * MON#5 *)", "UTC", "2026-01-01T00:00:00Z", "2026-03-30T00:00:00Z"),
        ("cron(0 0 ? * friL *)", "UTC", "2026-01-01T00:00:00Z", "2026-01-30T00:00:00Z"),
        ("cron(0 0 ? * L *)", "UTC", "2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z"),
        ("cron(0 0 ? * 1 *)", "UTC", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
        ("cron(0 12 29 FEB ? *)", "UTC", "2096-03-01T00:00:00Z", "2104-02-29T12:00:00Z"),
        ("cron(0 0 1,15 JAN,jul ? 2027-2028)", "UTC", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("cron(0 0 1 1 ? 2199)", "UTC", "2199-01-01T00:00:00Z", "never"),
        ("cron(0 0 30 2 ? *)", "UTC", "2026-01-01T00:00:00Z", "never"),
        ("cron(0 0 1 1 ? 2020)", "UTC", "2026-01-01T00:00:00Z", "never"),
    ] {
        assert_eq!(next(schedule, zone, after), expected, "{schedule} in {zone} after {after}");
    }
}

#[test]
fn a_time_that_the_clock_jumps_over_is_skipped() {
    // Berlin, 2026-03-29: 02:00 becomes 03:00.
    let schedule = "cron(30 2 * * ? *)";
    assert_eq!(next(schedule, "Europe/Berlin", "2026-03-28T12:00:00Z"), "2026-03-30T00:30:00Z");
    assert_eq!(next("cron(30 * * * ? *)", "Europe/Berlin", "2026-03-29T00:30:00Z"), "2026-03-29T01:30:00Z");
}

#[test]
fn a_time_that_comes_twice_is_run_the_first_time_only() {
    // Berlin, 2026-10-25: 03:00 becomes 02:00.
    let schedule = "cron(30 2 * * ? *)";
    assert_eq!(next(schedule, "Europe/Berlin", "2026-10-24T12:00:00Z"), "2026-10-25T00:30:00Z");
    assert_eq!(next(schedule, "Europe/Berlin", "2026-10-25T00:30:00Z"), "2026-10-26T01:30:00Z");
    assert_eq!(next("cron(0 * * * ? *)", "Europe/Berlin", "2026-10-25T01:10:00Z"), "2026-10-25T02:00:00Z");
}

#[test]
fn what_is_no_schedule_is_refused_with_what_to_write_instead() {
    for (text, zone, message, help) in [
        ("0 3 * * *", "UTC", "Unix cron line", "write cron(0 3 * * ? *)"),
        ("0 3 * * 1-5", "UTC", "Unix cron line", "write cron(0 3 ? * MON-FRI *)"),
        ("0 3 1 * 0", "UTC", "Unix cron line", "write six fields"),
        ("cron(0 3 * * *)", "UTC", "this one has 5", "write cron(0 3 * * ? *)"),
        ("cron(0 3 * * * *)", "UTC", "exactly one", "write cron(0 3 * * ? *)"),
        ("cron(0 3 ? * ? *)", "UTC", "exactly one", "write cron(0 3 * * ? *)"),
        ("cron(0 3 * * MON *)", "UTC", "exactly one", "write cron(0 3 ? * MON *)"),
        ("cron(60 3 * * ? *)", "UTC", "minute: 60 is out of range", "from 0 to 59"),
        ("cron(0 24 * * ? *)", "UTC", "hour: 24", "from 0 to 23"),
        ("cron(0 3 0 * ? *)", "UTC", "day-of-month: 0", "L W"),
        ("cron(0 3 * XYZ ? *)", "UTC", "month: 'XYZ'", "JAN to DEC"),
        ("cron(0 3 ? * 0 *)", "UTC", "day-of-week: 0", "SUN to SAT"),
        ("cron(0 3 ? * MON#6 *)", "UTC", "#6", "#"),
        ("cron(0 3 ? * FRI-MON *)", "UTC", "goes backwards", "1 to 7"),
        ("cron(0 3 * * ? 1969)", "UTC", "year: 1969", "1970 to 2199"),
        ("cron(*/0 3 * * ? *)", "UTC", "step", "0 to 59"),
        ("cron(0,, 3 * * ? *)", "UTC", "minute: ''", "0 to 59"),
        ("cron(+1 3 * * ? *)", "UTC", "minute: '+1'", "0 to 59"),
        ("rate(1 hours)", "UTC", "does not go with 1", "write rate(1 hour)"),
        ("rate(5 minute)", "UTC", "does not go with 5", "write rate(5 minutes)"),
        ("rate(0 minutes)", "UTC", "at least 1", "rate(5 minutes)"),
        ("rate(5 seconds)", "UTC", "not a unit", "minute, minutes"),
        ("rate(5)", "UTC", "rate(value unit)", "rate(5 minutes)"),
        ("rate(99999999999999999 days)", "UTC", "ten years", "shorter"),
        ("hourly", "UTC", "not a schedule", "rate(1 hour)"),
        ("", "UTC", "not a schedule", "rate(1 hour)"),
        ("rate(1 hour)", "Europe/Berln", "not a time zone", "IANA"),
    ] {
        let error = Schedule::parse(text, zone).unwrap_err();
        assert!(error.to_string().contains(message), "{text}: {error}");
        assert!(error.help().contains(help), "{text}: {}", error.help());
    }
}

#[test]
fn a_schedule_shows_itself_as_it_was_written() {
    let schedule = Schedule::parse(" cron(0 3 * * ? *) ", "Europe/Berlin").unwrap();
    assert_eq!((schedule.to_string().as_str(), schedule.zone()), ("cron(0 3 * * ? *)", "Europe/Berlin"));
    assert_eq!(Schedule::parse("rate(1 hour)", "UTC").unwrap().zone(), "UTC");
}

proptest! {
    #[test]
    fn the_next_moment_is_later_and_matches_every_field(
        minute in "(\\*|[0-5]?[0-9]|\\*/[1-9]|[0-9]-[1-5][0-9]/7)",
        hour in "(\\*|1?[0-9]|2[0-3]|2/3)",
        days in "(\\* \\* \\?|L \\* \\?|LW [1-9] \\?|15W \\* \\?|[12]?[1-9] \\* \\?|\\? \\* [1-7]|\\? 1[0-2] MON-FRI|\\? \\* SUN#[1-5]|\\? \\* [1-7]L)",
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]),
        after in 0_i64..4_102_444_800_000,
    ) {
        let text = format!("cron({minute} {hour} {days} *)");
        let schedule = Schedule::parse(&text, zone).unwrap();
        let next = schedule.next_after(Millis(after)).unwrap();
        prop_assert!(next.0 > after);
        let When::Cron(cron) = &schedule.when else { unreachable!() };
        let local = schedule.zone.to_datetime(jiff::Timestamp::from_millisecond(next.0).unwrap());
        prop_assert!(cron.matches(local), "{text} gave {local}");
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,40}", inside in "[0-9A-Z*?,/#LW -]{0,30}") {
        let _ = Schedule::parse(&text, "UTC");
        if let Ok(schedule) = Schedule::parse(&format!("cron({inside})"), "UTC") {
            let _ = schedule.next_after(Millis(0));
        }
        let _ = Schedule::parse(&format!("rate({inside})"), &text);
    }
}
