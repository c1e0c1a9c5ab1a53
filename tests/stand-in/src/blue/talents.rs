//! Talents: the people that the agency represents, with their measurements, socials and portfolios.
//!
//! A portfolio's id is ten times its talent's plus 1 to 4, a medium's a hundred times its portfolio's plus 1
//! to 12: so ids are unique, and others can name them without generating the talent.

use serde_json::{Value, json};

use super::Kind;
use super::dice::Dice;
use super::world::World;

const FIRST_NAMES: [&str; 16] = [
    "Ana", "Bram", "Cleo", "Dario", "Elif", "Finn", "Grete", "Hiro", "Ines", "Jonas", "Kaja", "Łucja", "Mats", "Noor",
    "Zoë", "Ørjan",
];
const LAST_NAMES: [&str; 16] = [
    "Abendroth",
    "Birkvale",
    "Casteljon",
    "Dunmarrow",
    "Eskelund",
    "Fenwater",
    "Grauhof",
    "Holmqvister",
    "Ivarden",
    "Jarnåker",
    "Kestelmann",
    "Lindvall-Roe",
    "Morrowby",
    "Nachtweide",
    "O’Tannen",
    "Pellacorte",
];
const CITIES: [&str; 6] = ["Northport", "Eastmere", "Südhafen", "Westholm", "Highmarket", "Lowbridge"];
const EYES: [&str; 5] = ["blue", "brown", "green", "grey", "hazel"];
const HAIR: [&str; 5] = ["black", "blond", "brown", "grey", "red"];
const NETWORKS: [&str; 4] = ["instagram", "tiktok", "youtube", "x"];
const TITLES: [&str; 6] = ["Polaroids", "Editorial", "Runway", "Commercial", "Beauty", "Archive"];

const STABLE: u64 = 1;
const CHANGING: u64 = 2;
const PORTFOLIOS: u64 = 3;
const MEDIA: u64 = 4;

pub fn generate(world: &World, id: u64) -> Value {
    let edition = world.edition(Kind::Talents, id);
    let mut stable = Dice::of(world.seed, STABLE, id, 0);
    let mut changing = Dice::of(world.seed, CHANGING, id, edition);
    let first = stable.pick(&FIRST_NAMES);
    let last = stable.pick(&LAST_NAMES);
    let dob = format!("{:02}/{:02}/{}", stable.between(1, 28), stable.between(1, 12), stable.between(1960, 2007));
    let dob = if stable.one_in(12) { Value::Null } else { json!(dob) };
    let socials: Vec<Value> = NETWORKS
        .iter()
        .take(usize::try_from(stable.below(NETWORKS.len() as u64 + 1)).unwrap_or(0))
        .map(|network| {
            let handle = format!("{}.{id}", first.to_lowercase());
            let url = format!("https://{network}.example.com/t{id}");
            json!({ "network": network, "handle": handle, "followers": changing.below(2_000_000), "url": url })
        })
        .collect();
    let portfolios: Vec<Value> = portfolio_ids(world.seed, id)
        .enumerate()
        .map(|(position, portfolio)| portfolio_of(world, portfolio, position, edition))
        .collect();
    json!({
        "id": id,
        "profile": {
            "displayName": format!("{first} {last}"),
            "firstName": first,
            "lastName": last,
            "dob": dob,
            "gender": stable.pick(&["f", "m", "x"]),
            "city": if changing.one_in(10) { Value::Null } else { json!(changing.pick(&CITIES)) },
            "bio": format!("Edition {edition} of {first}'s page."),
        },
        "status": changing.pick(&["active", "active", "active", "on_hold", "development"]),
        "measurements": {
            "height": stable.between(160, 205),
            "bust": changing.between(74, 110),
            "waist": changing.between(56, 95),
            "hips": if changing.one_in(8) { Value::Null } else { json!(changing.between(80, 115)) },
            "shoes": stable.between(70, 94) as f64 / 2.0,
            "eyes": stable.pick(&EYES),
            "hair": changing.pick(&HAIR),
        },
        "socials": socials,
        "portfolios": portfolios,
    })
}

/// Ids of the portfolios that a talent has, whatever its edition.
pub fn portfolio_ids(seed: u64, talent: u64) -> impl Iterator<Item = u64> {
    let count = Dice::of(seed, PORTFOLIOS, talent, 0).below(4);
    (1..=count).map(move |n| talent * 10 + n)
}

fn portfolio_of(world: &World, id: u64, position: usize, edition: u64) -> Value {
    let mut dice = Dice::of(world.seed, PORTFOLIOS, id, edition);
    let media: Vec<Value> = (1..=dice.below(6)).map(|n| medium(world, id * 100 + n)).collect();
    json!({ "id": id, "title": dice.pick(&TITLES), "position": position, "media": media })
}

fn medium(world: &World, id: u64) -> Value {
    let mut dice = Dice::of(world.seed, MEDIA, id, 0);
    let (kind, ending) = if dice.one_in(10) { ("video", "mp4") } else { ("image", "jpg") };
    let tags = world.overlay(Kind::MediaTags);
    let mut picked: Vec<u64> = (0..dice.below(4)).map(|_| 1 + dice.below(world.first_tags)).collect();
    picked.sort_unstable();
    picked.dedup();
    let picked: Vec<Value> =
        picked.into_iter().filter(|tag| tags.alive(*tag)).map(|tag| json!({ "id": tag })).collect();
    json!({
        "id": id,
        "kind": kind,
        "url": format!("https://cdn.example.com/media/{id}.{ending}"),
        "width": dice.between(8, 40) * 100,
        "height": dice.between(8, 40) * 100,
        "tags": picked,
    })
}
