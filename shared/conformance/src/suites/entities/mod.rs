//! The entities' contract. Judged in two ways: sentence by sentence, and against the model in `memory`.
//!
//! Owns the harness and the list of guarantees; they are in `merging` (what a change does), `gates`
//! (who may write, and how generations come and go), `confirming`, `reading` and `model` (random changes). Counting
//! against the generation that readers have now is the suite in `base`: an adapter may leave it out.

mod base;
mod confirming;
mod fixtures;
mod gates;
mod merging;
mod model;
mod reading;

use std::sync::Arc;

use async_trait::async_trait;
use teal::ports::{EntityAdmin, EntityReader, EntityWriter};

pub use self::{base::*, confirming::*, gates::*, merging::*, model::*, reading::*};

/// All roles of the port together, as the adapters offer them.
pub trait EntityStore: EntityAdmin + EntityWriter + EntityReader {}

impl<S: EntityAdmin + EntityWriter + EntityReader> EntityStore for S {}

#[async_trait]
pub trait EntitiesHarness: Sync {
    /// An empty store.
    async fn fresh(&self) -> Arc<dyn EntityStore>;

    /// The store that `fresh` gave last, opened once more as another process would.
    async fn again(&self) -> Arc<dyn EntityStore>;
}

#[macro_export]
macro_rules! entities_suite {
    ($harness:expr) => {
        $crate::suite_tests!(
            entities,
            $harness,
            [
                a_new_row_is_visible_and_counted_as_new,
                a_newer_state_replaces_an_older_one,
                a_newer_state_with_the_same_values_is_unchanged,
                an_older_state_is_superseded_and_changes_nothing,
                the_providers_order_beats_the_stated_time,
                the_hash_decides_between_equals,
                the_same_slot_again_is_counted_as_the_first_time,
                what_is_new_or_changed_by_a_late_change_is_counted_as_late_too,
                the_same_state_from_another_slot_is_a_duplicate,
                a_state_from_before_the_floor_leaves_no_trace,
                a_state_from_the_very_floor_counts,
                a_row_that_a_newer_state_lacks_goes,
                a_complete_state_without_rows_takes_all_of_them,
                a_state_that_is_not_complete_hides_nothing,
                a_delete_takes_what_is_older_and_nothing_newer,
                a_delete_that_arrives_first_still_counts,
                a_delete_with_the_providers_order_is_compared_by_it,
                a_row_made_by_a_newer_record_changes_its_owner,
                of_equal_orders_the_greater_owner_wins_whoever_came_first,
                of_one_owners_equal_orders_the_greater_row_hash_wins,
                a_row_taken_over_by_a_record_that_is_gone_goes,
                a_row_that_went_comes_back_as_new,
                the_sequence_grows_with_what_is_visible_only,
                the_head_is_true_after_every_write,
                an_empty_merge_is_nothing,
                a_generation_that_is_there_stays_as_it_is,
                what_was_never_made_is_no_generation,
                live_changes_need_an_open_gate,
                a_build_needs_its_gate_and_a_fence_that_is_not_older,
                a_refused_merge_changes_nothing,
                gates_are_set_together_or_not_at_all,
                an_older_fence_sets_no_gate,
                what_is_older_than_a_confirmation_needs_to_know_of_it,
                a_build_need_not_know_what_confirmed,
                confirmations_only_grow,
                a_generation_holds_what_is_visible_and_nothing_else,
                generations_are_apart,
                from_the_first_slice_on_a_dropped_generation_is_unreadable,
                a_drop_ends_and_leaves_the_others,
                an_empty_generation_is_dropped_at_once,
                every_type_of_value_comes_back_as_it_was,
                only_visible_rows_are_read,
                rows_are_listed_in_key_order,
                keys_of_text_and_of_several_parts_keep_their_order,
                a_listing_can_be_cut_and_continued,
                filters_compare_by_the_fields_type,
                a_null_fits_no_filter,
                filters_and_pages_go_together,
                a_filter_needs_an_index,
                hashes_are_those_of_the_rows,
                dangling_values_are_found_in_slices,
                a_reference_to_a_hidden_row_dangles,
                a_relation_by_text_is_followed,
                what_was_merged_is_there_for_the_next_process,
                entities_follow_the_model,
                entities_follow_the_model_where_the_owner_is_the_key,
                any_order_gives_the_same_rows,
            ]
        );
    };
}

/// For adapters that count against the generation that readers have now.
#[macro_export]
macro_rules! entities_base_suite {
    ($harness:expr) => {
        $crate::suite_tests!(
            entities,
            $harness,
            [
                a_building_row_is_counted_against_the_base,
                what_the_generation_has_itself_counts_before_the_base,
                the_base_counts_only_while_building,
                a_base_that_is_gone_counts_as_empty,
            ]
        );
    };
}
