//! Where everything of a generation lies: partitions, shards, sort keys.
//!
//! Always holds: which shard a key belongs to depends on the key alone, once the layout is known; row keys,
//! record keys and index values sort in DynamoDB as they do in `domain::key`.

use sha2::{Digest, Sha256};
use teal::domain::row::first_eight;
use teal::domain::{GenerationId, Key, Value};
use teal::ports::Fault;

use super::super::ItemId;
use crate::fault::permanent;

/// The one shard of a generation that is small; shards from 1 on are those of a large one.
pub const FIRST: u8 = 0;
/// How many shards a large generation has, besides the first.
const SPREAD: u8 = 16;
/// The most shards that a generation has.
pub const SHARDS: usize = 1 + SPREAD as usize;

pub const ROOT: &str = "root";
pub const HEAD: &str = "!";
/// Before the key of a row.
pub const ROW: &str = "r";
/// Before the key of a record that makes rows with other keys.
const RECORD: &str = "o";
const INDEX: &str = "x";
/// Before a generation's name in the list of them.
pub const LISTED: &str = "g#";
/// Sorts behind everything that an index value or a key starts with.
const END: char = '\u{10ffff}';

/// A sort key has 1024 bytes; an entry of an index holds a field's name, a value and a row's key.
const LONGEST_KEY: usize = 700;
const LONGEST_VALUE: usize = 200;

/// Which shards a generation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The first.
    Small,
    /// What was there when it became large is in the first, everything else in the others.
    Grown,
    /// Large from the beginning: the others.
    Large,
}

impl Layout {
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Grown => "grown",
            Self::Large => "large",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        [Self::Small, Self::Grown, Self::Large].into_iter().find(|layout| layout.name() == name)
    }

    pub fn shards(self) -> std::ops::RangeInclusive<u8> {
        match self {
            Self::Small => FIRST..=FIRST,
            Self::Grown => FIRST..=SPREAD,
            Self::Large => FIRST + 1..=SPREAD,
        }
    }

    /// Where something with this sort key is, if it is there: the last place is where it is made.
    pub fn places(self, sort: &str) -> impl Iterator<Item = u8> {
        let spread = 1 + (first_eight(&Sha256::digest(sort)) % u64::from(SPREAD)) as u8;
        let (first, other) = match self {
            Self::Small => (Some(FIRST), None),
            Self::Grown => (Some(FIRST), Some(spread)),
            Self::Large => (None, Some(spread)),
        };
        first.into_iter().chain(other)
    }
}

/// The partition that lists every generation of a system.
pub fn generations(system: &str) -> String {
    format!("{system}#generations")
}

pub fn generation(system: &str, id: &GenerationId) -> ItemId {
    ItemId::new(generations(system), format!("{LISTED}{}#{:08}", id.entity, id.number))
}

pub fn root(system: &str, id: &GenerationId) -> ItemId {
    ItemId::new(format!("{system}#{}#g{}", id.entity, id.number), ROOT)
}

pub fn shard(system: &str, id: &GenerationId, shard: u8) -> String {
    format!("{system}#{}#g{}#{shard:02}", id.entity, id.number)
}

pub fn row(key: &str) -> String {
    format!("{ROW}{key}")
}

pub fn record(key: &str) -> String {
    format!("{RECORD}{key}")
}

/// The encoded form, if it is short enough to be a part of every sort key.
pub fn encode(id: &GenerationId, key: &Key) -> Result<String, Fault> {
    let encoded = key.encode();
    if encoded.len() <= LONGEST_KEY {
        return Ok(encoded);
    }
    let start: String = key.to_string().chars().take(60).collect();
    let len = encoded.len();
    Err(permanent(format!(
        "the key '{start}…' of {id} has {len} bytes, and DynamoDB {LONGEST_KEY} at most; choose a shorter key"
    )))
}

/// The entries of an index that hold a value, up to the row's key; `None` for what no filter fits.
pub fn index_value(field: &str, value: &Value) -> Option<String> {
    Some(format!("{}{}\u{1}", index_field(field), index_text(value)?))
}

pub fn index_field(field: &str) -> String {
    format!("{INDEX}{field}\u{0}")
}

/// Bounds, both included, of the entries that may hold a value no greater, or no smaller, than this one.
pub fn index_range(field: &str, value: &Value, no_greater: bool) -> Option<(String, String)> {
    let (field, text) = (index_field(field), index_text(value)?);
    Some(if no_greater {
        (field.clone(), format!("{field}{text}\u{1}{END}"))
    } else {
        (format!("{field}{text}"), format!("{field}{END}"))
    })
}

/// Never sorts two values the wrong way round. Some that differ get the same text: those who look something up
/// compare again.
fn index_text(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Json(_) => None,
        Value::Bool(value) => Some(format!("b{}", u8::from(*value))),
        #[expect(clippy::cast_precision_loss, reason = "numbers that are too near get the same text")]
        Value::Int(value) => Some(index_number(*value as f64)),
        Value::Float(value) => Some(index_number(*value)),
        Value::Text(text) => {
            let end = (0..=text.len().min(LONGEST_VALUE)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            // Escapes what separates the parts of a key, which may be half of these bytes again.
            let mut encoded = Key::text(&text[..end]).encode();
            let end = (0..=encoded.len().min(LONGEST_VALUE)).rev().find(|at| encoded.is_char_boundary(*at));
            encoded.truncate(end.unwrap_or(0));
            Some(encoded)
        }
    }
}

/// Bits of a float that sort as it does: those of a negative one turned round, the sign of any other set.
fn index_number(value: f64) -> String {
    let bits = if value == 0.0 { 0 } else { value.to_bits() };
    let sortable = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    format!("n{sortable:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_entries_sort_as_their_values_do() {
        let numbers = [f64::MIN, -10.5, -1.0, 0.0, 5e-324, 0.1, 9.0, 10.0, f64::MAX].map(Value::Float);
        let texts = ["", "\u{0}", "\u{1}", " ", "A", "a", "a\u{0}", "a b", "aa", "é", "🦆"];
        let texts = texts.map(|text| Value::Text(text.to_owned()));
        for values in [&numbers[..], &texts[..], &[Value::Bool(false), Value::Bool(true)]] {
            for pair in values.windows(2) {
                let [less, more] = [&pair[0], &pair[1]].map(|value| index_value("f", value).unwrap() + "key");
                assert!(less < more, "{pair:?}");
            }
        }
        let same = |value| index_value("f", &value).unwrap();
        assert_eq!(same(Value::Float(-0.0)), same(Value::Float(0.0)));
        assert_eq!(same(Value::Int(3)), same(Value::Float(3.0)), "a whole number is a number");
    }

    #[test]
    fn a_range_holds_its_bound_and_all_on_its_side() {
        for (value, inside, outside) in [(9, vec![-1, 9], 10), (-5, vec![-5, -6], -4)] {
            let (from, to) = index_range("f", &Value::Int(value), true).unwrap();
            let within = |value| {
                let entry = index_value("f", &Value::Int(value)).unwrap() + "key";
                from <= entry && entry <= to
            };
            assert!(inside.into_iter().all(within) && !within(outside));
        }
    }

    /// Rows by shard, of a load whose generation grows after so many.
    fn load(rows: i64, grows: i64) -> Vec<i64> {
        let mut shards = vec![0; SHARDS];
        for id in 0..rows {
            let layout = match id < grows {
                true => Layout::Small,
                false if grows > 0 => Layout::Grown,
                false => Layout::Large,
            };
            shards[usize::from(layout.places(&row(&Key::int(id).encode())).last().unwrap())] += 1;
        }
        shards.retain(|count| *count > 0);
        shards
    }

    #[test]
    fn no_shard_has_twice_its_share_of_a_large_load_and_ten_rows_have_one() {
        assert_eq!(load(10, i64::MAX), [10]);
        // Pages at once may fill the first some more before it is seen to be large.
        let grows = 2 * i64::try_from(super::super::write::LARGE).unwrap();
        for (grows, shards) in [(0, 16), (grows, 17)] {
            let load = load(100_000, grows);
            assert!(load.len() == shards && load.iter().all(|rows| *rows < 2 * 100_000 / shards as i64), "{load:?}");
        }
    }
}
