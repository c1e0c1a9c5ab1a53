//! The difference between two versions: counts per entity, then rows as examples.

use serde_json::Value as Json;

use super::{count, cut, entries, items, number, text, version};
use crate::output::Output;

/// Longest value or row on a line, in characters.
const WIDE: usize = 120;
const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "31";

pub fn diff(diff: &Json, output: &Output) -> String {
    let mut lines = vec![format!("{} -> {}", version(&diff["from"]), version(&diff["to"]))];
    let mut any = false;
    for (entity, found) in entries(&diff["entities"]) {
        any = true;
        lines.push(format!(
            "{entity}: {} added, {} changed, {} removed, {} unchanged",
            number(count(&found["added"])),
            number(count(&found["changed"])),
            number(count(&found["removed"])),
            number(count(&found["unchanged"])),
        ));
        lines.extend(items(&found["examples"]).iter().map(|example| line(example, output)));
        let told = items(&found["examples"]).len() as u64;
        let all = ["added", "changed", "removed"].iter().map(|what| count(&found[*what])).sum::<u64>();
        if all > told && told > 0 {
            lines.push(format!("  … {} more", number(all - told)));
        }
    }
    if !any {
        lines.push("both share every row".to_owned());
    }
    lines.join("\n")
}

fn line(example: &Json, output: &Output) -> String {
    let key = text(&example["key"]);
    match text(&example["what"]) {
        "added" => output.paint(GREEN, &format!("  + {key}  {}", cut(&example["row"].to_string(), WIDE))),
        "removed" => output.paint(RED, &format!("  - {key}  {}", cut(&example["row"].to_string(), WIDE))),
        _ => {
            let fields: Vec<String> = entries(&example["fields"])
                .map(|(field, values)| {
                    let (was, is) = (cut(&values[0].to_string(), WIDE / 2), cut(&values[1].to_string(), WIDE / 2));
                    format!("{field}: {was} -> {is}")
                })
                .collect();
            output.paint(YELLOW, &format!("  ~ {key}  {}", fields.join("; ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PLAIN: Output = Output { json: false, quiet: false, color: false, live: false };

    fn found() -> Json {
        json!({ "from": 2, "to": 3, "entities": { "talents": {
            "added": 1, "changed": 2, "removed": 1, "unchanged": 1200,
            "examples": [
                { "what": "added", "key": "17", "row": { "id": 17, "name": "Ada" } },
                { "what": "changed", "key": "4", "fields": { "name": ["Bo", "Bob"], "rank": [null, 2] } },
                { "what": "removed", "key": "9", "row": { "id": 9 } },
            ],
        } } })
    }

    #[test]
    fn rows_are_shown_added_changed_field_by_field_and_removed() {
        let expected = r#"v2 -> v3
talents: 1 added, 2 changed, 1 removed, 1,200 unchanged
  + 17  {"id":17,"name":"Ada"}
  ~ 4  name: "Bo" -> "Bob"; rank: null -> 2
  - 9  {"id":9}
  … 1 more"#;
        assert_eq!(diff(&found(), &PLAIN), expected);
    }

    #[test]
    fn colors_are_only_added_where_they_are_wanted() {
        let colored = diff(&found(), &Output { color: true, ..PLAIN });
        assert!(colored.contains("\u{1b}[32m  + 17"));
        assert!(!diff(&found(), &PLAIN).contains('\u{1b}'));
    }

    #[test]
    fn versions_that_share_everything_say_so() {
        assert_eq!(diff(&json!({ "from": 1, "to": 1, "entities": {} }), &PLAIN), "v1 -> v1\nboth share every row");
    }
}
