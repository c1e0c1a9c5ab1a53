//! The system that the demo runs: `systems/nowrep` as it ships, built into the command, and two changes of
//! its mapping that the demo plays through.
//!
//! Always holds: a change replaces a line that is there; the tests say so for the file that ships.

use std::collections::BTreeMap;

use teal::config::Bundle;

const SYSTEM: &str = include_str!("../../../systems/nowrep/teal.yaml");
const CONNECTOR: &str = include_str!("../../../connectors/nowrep-blue.yaml");

/// Where the system's file looks for its connector.
const CONNECTOR_PATH: &str = "../../connectors/nowrep-blue.yaml";

pub const SOURCE: &str = "blue";
pub const API_KEY: &str = "blue-api-key";
pub const HOOK_SECRET: &str = "sync-secret-key";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// As it ships.
    Shipped,
    /// A required field is read from where no record has anything.
    Broken,
    /// A status is called otherwise, and a city that is missing has a name.
    Better,
}

/// What the broken mapping reads the name from.
pub const NO_SUCH_PATH: &str = "profile.stageName";
/// The status that the better mapping calls otherwise: before, after.
pub const RENAMED_STATUS: [&str; 2] = ["on_hold", "paused"];
/// What the better mapping says where there is no city.
pub const NO_CITY: &str = "unknown";

/// The system over a source at `url`.
pub fn bundle(mapping: Mapping, url: &str) -> Bundle {
    Bundle {
        files: BTreeMap::from([
            (teal::config::bundle::ROOT.to_owned(), text(mapping)),
            (CONNECTOR_PATH.to_owned(), CONNECTOR.to_owned()),
        ]),
        env: BTreeMap::from([("BLUE_URL".to_owned(), url.to_owned())]),
    }
}

fn text(mapping: Mapping) -> String {
    match mapping {
        Mapping::Shipped => SYSTEM.to_owned(),
        Mapping::Broken => SYSTEM.replace("profile.displayName", NO_SUCH_PATH),
        Mapping::Better => {
            let [before, after] = RENAMED_STATUS;
            let status = format!("one_of: [active, {before}, development]");
            let renamed =
                format!("lookup: {{ {before}: {after} }}, otherwise: keep, one_of: [active, {after}, development]");
            let city = "{ path: profile.city,";
            SYSTEM.replace(&status, &renamed).replace(city, &format!("{city} default: {NO_CITY},"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mapping_loads_and_each_is_another() {
        let mut seen = std::collections::BTreeSet::new();
        for mapping in [Mapping::Shipped, Mapping::Broken, Mapping::Better] {
            let bundle = bundle(mapping, "http://127.0.0.1:8377");
            let system = teal::config::load(&bundle).unwrap_or_else(|problems| panic!("{mapping:?}: {problems}"));
            assert!(system.sources.contains_key(&SOURCE.into()));
            assert!(seen.insert(system.hash.to_string()), "{mapping:?} changes nothing");
        }
    }

    #[test]
    fn the_better_mapping_changes_two_lines() {
        let better = text(Mapping::Better);
        let changed: Vec<&str> =
            SYSTEM.lines().zip(better.lines()).filter(|(a, b)| a != b).map(|(_, line)| line.trim()).collect();
        assert_eq!(changed.len(), 2, "{changed:#?}");
        assert!(changed[0].starts_with("city:") && changed[1].starts_with("status:"), "{changed:#?}");
    }
}
