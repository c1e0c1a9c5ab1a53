//! Which of two states is newer, and which rows that leaves visible.
//!
//! Every row of a generation is the newest upsert that any record ever made of it. Every record (the
//! row's *owner*) has an [`Absence`]: the newest listing of what belongs to it, and the newest word that
//! it is gone. All of these only ever grow by maximum, and an upsert stated before the generation's floor
//! is dropped before it is merged. So the state of a generation is a join: applying the same changes in
//! any order, in any batches, any number of times, gives the same bytes (P5), and a row goes only on the
//! provider's word or a complete listing (P6).
//!
//! Arrival time appears nowhere.

use serde::{Deserialize, Serialize};

use super::time::Millis;

/// The order of a state, compared from the first component to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Order {
    /// The provider's own sequence or time, where the entity declares one.
    pub provider: Option<i64>,
    /// When the source stated it: a poll's request time, or a delivery's own timestamp.
    pub stated: Millis,
    /// First eight bytes of the record's content hash, which decides between equals.
    pub hash: u64,
}

impl Order {
    /// 25 bytes whose byte order is this order; what stores compare.
    #[must_use]
    pub fn encode(&self) -> [u8; 25] {
        let mut out = [0; 25];
        if let Some(provider) = self.provider {
            out[0] = 1;
            out[1..9].copy_from_slice(&sortable(provider));
        }
        out[9..17].copy_from_slice(&sortable(self.stated.0));
        out[17..].copy_from_slice(&self.hash.to_be_bytes());
        out
    }

    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 25] = bytes.try_into().ok()?;
        let number = |at: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&bytes[at..at + 8]);
            u64::from_be_bytes(eight)
        };
        Some(Self {
            provider: (bytes[0] == 1).then(|| unsortable(number(1))),
            stated: Millis(unsortable(number(9))),
            hash: number(17),
        })
    }
}

fn sortable(value: i64) -> [u8; 8] {
    (value.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

fn unsortable(value: u64) -> i64 {
    (value ^ (1 << 63)).cast_signed()
}

/// What is known against the rows of one owner. Each member is a maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absence {
    /// Order of the newest record whose rows all came through: a row of this owner that is older than it
    /// was not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<Order>,
    /// The newest delete that carried the provider's order, with its stated time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<(i64, Millis)>,
    /// The newest delete that carried only a stated time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Millis>,
}

impl Absence {
    #[must_use]
    pub fn listed(order: Order) -> Self {
        Self { listed: Some(order), ..Self::default() }
    }

    /// A delete, filed by what it states.
    #[must_use]
    pub fn deleted(provider: Option<i64>, stated: Millis) -> Self {
        match provider {
            Some(provider) => Self { deleted: Some((provider, stated)), ..Self::default() },
            None => Self { deleted_at: Some(stated), ..Self::default() },
        }
    }

    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            listed: self.listed.max(other.listed),
            deleted: self.deleted.max(other.deleted),
            deleted_at: self.deleted_at.max(other.deleted_at),
        }
    }

    /// Whether this speaks against an upsert of the given order. An upsert without the provider's order is
    /// older than any delete that has one, as it is older than any upsert that has one.
    #[must_use]
    pub fn hides(&self, upsert: &Order) -> bool {
        let listed = self.listed.is_some_and(|listed| listed > *upsert);
        let deleted =
            self.deleted.is_some_and(|(provider, stated)| (Some(provider), stated) > (upsert.provider, upsert.stated));
        let deleted_at = self.deleted_at.is_some_and(|stated| stated > upsert.stated);
        listed || deleted || deleted_at
    }
}

/// Whether a row is visible: it has an upsert, stated no earlier than the floor, and nothing newer hides it.
#[must_use]
pub fn visible(upsert: &Order, absence: &Absence, floor: Millis) -> bool {
    upsert.stated >= floor && !absence.hides(upsert)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn orders() -> impl Strategy<Value = Order> {
        (proptest::option::of(-2i64..3), 0i64..5, 0u64..3).prop_map(|(provider, stated, hash)| Order {
            provider,
            stated: Millis(stated),
            hash,
        })
    }

    fn absences() -> impl Strategy<Value = Absence> {
        prop_oneof![
            orders().prop_map(Absence::listed),
            (proptest::option::of(-2i64..3), 0i64..5).prop_map(|(p, s)| Absence::deleted(p, Millis(s))),
        ]
    }

    proptest! {
        #[test]
        fn absence_is_a_join(a in absences(), b in absences(), c in absences()) {
            prop_assert_eq!(a.join(b), b.join(a));
            prop_assert_eq!(a.join(b).join(c), a.join(b.join(c)));
            prop_assert_eq!(a.join(a), a);
        }

        #[test]
        fn what_hides_goes_on_hiding(a in absences(), b in absences(), order in orders()) {
            if a.hides(&order) {
                prop_assert!(a.join(b).hides(&order));
            }
        }

        #[test]
        fn byte_order_of_the_encoding_is_the_order(a in orders(), b in orders()) {
            prop_assert_eq!(a.encode().cmp(&b.encode()), a.cmp(&b));
            prop_assert_eq!(Order::decode(&a.encode()), Some(a));
        }
    }

    #[test]
    fn a_delete_with_the_providers_order_beats_a_later_poll_of_an_older_state() {
        let gone = Absence::deleted(Some(7), Millis(100));
        assert!(gone.hides(&Order { provider: Some(6), stated: Millis(500), hash: 0 }));
        assert!(!gone.hides(&Order { provider: Some(8), stated: Millis(50), hash: 0 }));
    }

    #[test]
    fn a_state_from_before_the_floor_is_not_visible() {
        let order = Order { provider: Some(9), stated: Millis(99), hash: 0 };
        assert!(!visible(&order, &Absence::default(), Millis(100)));
        assert!(visible(&order, &Absence::default(), Millis(99)));
    }
}
