//! Boards: ordered selections of talents and portfolios.

use serde_json::{Value, json};

use super::Kind;
use super::dice::Dice;
use super::talents::portfolio_ids;
use super::world::World;

const NAMES: [&str; 8] = ["Women", "Men", "Curve", "New Faces", "Image", "Classic", "Direct", "Creators"];

const MEMBERS: u64 = 10;
const NAMING: u64 = 11;

pub fn generate(world: &World, id: u64) -> Value {
    let mut naming = Dice::of(world.seed, NAMING, id, 0);
    let mut changing = Dice::of(world.seed, NAMING, id, world.edition(Kind::Boards, id) + 1);
    let name = format!("{} {id}", naming.pick(&NAMES));
    let living = world.overlay(Kind::Talents);
    let talents: Vec<u64> = members(world, id).into_iter().filter(|talent| living.alive(*talent)).collect();
    let portfolios: Vec<u64> = talents.iter().take(5).flat_map(|talent| shown_portfolios(world, *talent)).collect();
    json!({
        "id": id,
        "name": name,
        "slug": name.to_lowercase().replace(' ', "-"),
        "kind": changing.pick(&["main", "main", "development", "package"]),
        "talents": positioned(&talents),
        "portfolios": positioned(&portfolios),
    })
}

/// Whether the board shows this talent while it lives.
pub fn lists(world: &World, board: u64, talent: u64) -> bool {
    members(world, board).contains(&talent)
}

/// Whom the board was made with, each once. An edit changes the selection.
fn members(world: &World, board: u64) -> Vec<u64> {
    let mut dice = Dice::of(world.seed, MEMBERS, board, world.edition(Kind::Boards, board));
    let mut members = Vec::new();
    for _ in 0..dice.between(3, 40) {
        let talent = 1 + dice.below(world.first_talents);
        if talent <= world.first_talents && !members.contains(&talent) {
            members.push(talent);
        }
    }
    members
}

/// A talent's portfolios as its own record shows them, which a patch may have changed.
fn shown_portfolios(world: &World, talent: u64) -> Vec<u64> {
    let patched = world.overlay(Kind::Talents).edit_of(talent).is_some_and(|edit| edit.patch.is_some());
    if !patched {
        return portfolio_ids(world.seed, talent).collect();
    }
    let record = world.record(Kind::Talents, talent).unwrap_or_default();
    let portfolios = record["portfolios"].as_array().map(Vec::as_slice).unwrap_or_default();
    portfolios.iter().filter_map(|portfolio| portfolio["id"].as_u64()).collect()
}

fn positioned(ids: &[u64]) -> Vec<Value> {
    ids.iter().enumerate().map(|(position, id)| json!({ "id": id, "position": position })).collect()
}
