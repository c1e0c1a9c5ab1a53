//! Media tags: the words that media are labelled with.

use serde_json::{Value, json};

use super::Kind;
use super::dice::Dice;
use super::world::World;

const LABELS: [&str; 8] =
    ["Studio", "Outdoor", "Black & White", "Close-up", "Swimwear", "Runway", "Backstage", "Campaign"];

const NAMING: u64 = 20;

pub fn generate(world: &World, id: u64) -> Value {
    let edition = world.edition(Kind::MediaTags, id);
    let mut label = format!("{} {id}", Dice::of(world.seed, NAMING, id, 0).pick(&LABELS));
    let slug = label.to_lowercase().replace(" & ", "-and-").replace(' ', "-");
    if edition > 0 {
        label.push_str(&format!(" ({edition})"));
    }
    json!({ "id": id, "label": label, "slug": slug })
}
