//! The agency's data: three kinds of records, generated when they are looked at, with changes laid over.
//!
//! Always holds: every id that a record names exists when it is shown. A talent's deletion gives the boards
//! that listed it a newer `updatedAt`, as in a real agency; a media tag's deletion gives none to talents.

use serde_json::{Value, json};

use super::Kind;
use super::dice::Dice;
use super::overlay::{Overlay, merge};
use super::{boards, media_tags, talents};
use crate::http::rfc3339;

pub struct World {
    pub seed: u64,
    /// No generated record was updated at or after it, every change was made after it.
    pub epoch: i64,
    pub generation: u64,
    /// How many talents and tags there were at first: what others are generated to refer to.
    pub first_talents: u64,
    pub first_tags: u64,
    talents: Overlay,
    boards: Overlay,
    media_tags: Overlay,
}

const YEAR: u64 = 365 * 86_400_000;

impl World {
    pub fn new(seed: u64, epoch: i64, talents: u64, boards: u64, media_tags: u64) -> Self {
        Self {
            seed,
            epoch,
            generation: 0,
            first_talents: talents,
            first_tags: media_tags,
            talents: Overlay::new(talents),
            boards: Overlay::new(boards),
            media_tags: Overlay::new(media_tags),
        }
    }

    pub fn overlay(&self, kind: Kind) -> &Overlay {
        match kind {
            Kind::Talents => &self.talents,
            Kind::Boards => &self.boards,
            Kind::MediaTags => &self.media_tags,
        }
    }

    fn overlay_mut(&mut self, kind: Kind) -> &mut Overlay {
        match kind {
            Kind::Talents => &mut self.talents,
            Kind::Boards => &mut self.boards,
            Kind::MediaTags => &mut self.media_tags,
        }
    }

    pub fn edition(&self, kind: Kind, id: u64) -> u64 {
        self.overlay(kind).edit_of(id).map_or(0, |edit| edit.edition)
    }

    pub fn updated_at(&self, kind: Kind, id: u64) -> i64 {
        self.overlay(kind).edit_of(id).map_or_else(|| self.first_updated_at(kind, id), |edit| edit.updated_at)
    }

    fn first_updated_at(&self, kind: Kind, id: u64) -> i64 {
        let ago = Dice::of(self.seed, kind as u64 + 100, id, 0).between(1, YEAR);
        self.epoch - i64::try_from(ago).expect("a year fits")
    }

    /// The record as a listing shows it; `None` when there is none of this id.
    pub fn record(&self, kind: Kind, id: u64) -> Option<Value> {
        if !self.overlay(kind).alive(id) {
            return None;
        }
        let mut record = match kind {
            Kind::Talents => talents::generate(self, id),
            Kind::Boards => boards::generate(self, id),
            Kind::MediaTags => media_tags::generate(self, id),
        };
        if let Some(patch) = self.overlay(kind).edit_of(id).and_then(|edit| edit.patch.as_ref()) {
            merge(&mut record, patch);
        }
        record["updatedAt"] = json!(rfc3339(self.updated_at(kind, id)));
        record["generation"] = json!(self.generation);
        Some(record)
    }

    /// Living ids in order that were updated at or after `since`; all of them without it.
    pub fn changed(&self, kind: Kind, since: i64) -> Vec<u64> {
        let overlay = self.overlay(kind);
        let is_new = |id: &u64| self.updated_at(kind, *id) >= since;
        if since >= self.epoch {
            overlay.edited().filter(is_new).collect()
        } else {
            overlay.ids_from(0).filter(is_new).collect()
        }
    }

    pub fn edit(&mut self, kind: Kind, id: u64, patch: Option<&Value>, now: i64) -> bool {
        if !self.overlay(kind).alive(id) {
            return false;
        }
        let before = self.first_updated_at(kind, id);
        let now = now.max(self.epoch);
        self.overlay_mut(kind).edit(id, before, now, patch);
        true
    }

    pub fn insert(&mut self, kind: Kind, now: i64) -> u64 {
        let now = now.max(self.epoch);
        self.overlay_mut(kind).insert(now)
    }

    pub fn delete(&mut self, kind: Kind, id: u64, now: i64) -> bool {
        if !self.overlay(kind).alive(id) {
            return false;
        }
        let now = now.max(self.epoch);
        if kind == Kind::Talents {
            let boards: Vec<u64> = self.boards.ids_from(0).filter(|board| boards::lists(self, *board, id)).collect();
            for board in boards {
                let before = self.first_updated_at(Kind::Boards, board);
                self.boards.touch(board, before, now);
            }
        }
        let before = self.first_updated_at(kind, id);
        self.overlay_mut(kind).delete(id, before, now);
        true
    }
}
