//! The suite's table of contents, written once: from it come the cases that [`run_all`](super::run_all) runs and
//! the tests that [`conformance_tests!`](crate::conformance_tests) writes.

use super::cases;
use super::run::{Case, Need};

/// Hands the list of all cases to another macro of this crate.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_cases {
    ($then:ident $($arguments:tt)*) => {
        $crate::$then! { [$($arguments)*]
            create {
                a_created_session_is_loaded_as_it_was_created needs Nothing;
                a_session_without_renewal_is_never_due needs Nothing;
                the_idle_deadline_begins_no_later_than_the_absolute_one needs Nothing;
                a_session_is_created_bound_to_its_user_and_device needs Nothing;
                a_taken_key_is_refused_and_its_session_left_alone needs Nothing;
                a_key_with_a_past_is_taken needs Nothing;
                creating_twice_with_one_operation_creates_once needs Nothing;
                another_operation_with_the_same_content_is_another_create needs Nothing;
                of_many_creates_under_one_key_one_wins needs Nothing;
            }
            load {
                an_unknown_key_is_missing needs Nothing;
                many_keys_are_answered_in_their_order needs Nothing;
                one_key_asked_twice_is_answered_twice_and_no_key_not_at_all needs Nothing;
                many_keys_lead_through_an_alias_like_one needs Nothing;
                a_load_does_not_wait_for_a_lease needs Nothing;
                a_load_changes_nothing needs Nothing;
                an_answer_tells_the_stores_own_time needs ManualClock;
            }
            payload {
                every_byte_value_survives needs Nothing;
                empty_data_and_empty_values_survive needs Nothing;
                awkward_keys_survive needs Nothing;
                sixty_four_kibibytes_survive needs Nothing;
                many_entries_survive_in_their_order needs Nothing;
                a_commit_replaces_the_data_as_a_whole needs Nothing;
                names_of_users_and_devices_survive needs Nothing;
                the_epoch_survives needs Nothing;
            }
            commit {
                a_commit_replaces_the_version_it_names needs Nothing;
                a_commit_over_another_version_conflicts_and_changes_nothing needs Nothing;
                a_repeated_commit_has_one_effect needs Nothing;
                a_repeated_commit_is_recognised_after_three_others needs Nothing;
                a_commit_repeated_even_later_changes_nothing needs Nothing;
                versions_are_never_reused needs Nothing;
                a_commit_in_the_background_slides_nothing needs Nothing;
                a_commit_slides_nothing_where_the_session_was_seen_a_moment_ago needs Nothing;
                a_commit_slides_forward_only_and_never_past_the_absolute_deadline needs Nothing;
                a_commit_to_nothing_is_told_what_became_of_it needs Nothing;
                the_end_is_told_before_everything_else needs Nothing;
                already_done_is_told_before_the_lease needs Nothing;
                the_lease_is_told_before_the_version needs Nothing;
                a_commit_may_give_the_lease_back needs Nothing;
                a_refused_commit_gives_no_lease_back needs Nothing;
            }
            lease {
                a_lease_comes_with_the_fresh_record_and_bumps_no_version needs Nothing;
                a_second_owner_is_told_until_when_it_is_locked needs Nothing;
                the_owner_asking_again_keeps_the_lease_for_another_length needs Nothing;
                a_write_passes_only_under_the_lease_in_force needs Nothing;
                an_earlier_hold_is_fenced_off_by_a_later_one needs Nothing;
                a_new_lease_of_another_owner_counts_its_holds_from_the_start needs Nothing;
                a_lease_is_renewed_by_its_owner_only needs Nothing;
                a_lease_is_given_back_by_its_owner_only needs Nothing;
                an_expired_lease_is_free_and_its_owner_is_refused needs Nothing;
                a_lease_on_nothing_is_told_what_became_of_it needs Nothing;
                a_lease_moves_along_with_its_record needs Nothing;
                a_copy_has_no_lease needs Nothing;
                a_rename_is_held_to_the_lease_like_a_commit needs Nothing;
                a_lease_stops_neither_reading_nor_sliding_nor_ending needs Nothing;
                a_lease_does_not_keep_a_session_alive needs Nothing;
                a_signal_comes_when_a_lease_becomes_free needs Signal;
            }
            deadline {
                an_idle_session_expires_for_every_operation needs Nothing;
                a_deadline_is_exact needs ManualClock;
                a_touch_slides_the_idle_deadline_and_nothing_else needs Nothing;
                a_touched_session_outlives_its_first_deadline needs Nothing;
                a_touch_never_slides_backwards needs Nothing;
                nothing_slides_past_the_absolute_deadline needs Nothing;
                a_touch_revives_nothing needs Nothing;
                an_absolute_deadline_holds_whatever_is_done needs Nothing;
                a_clock_that_jumps_back_takes_nothing_back needs ManualClock;
            }
            rename {
                a_renamed_session_lives_under_its_new_key_only needs Nothing;
                a_rename_keeps_the_deadlines_or_starts_them_again needs Nothing;
                a_rename_to_a_taken_key_changes_nothing needs Nothing;
                a_rename_over_another_version_conflicts_and_changes_nothing needs Nothing;
                a_rename_of_nothing_is_told_what_became_of_it needs Nothing;
                the_marker_tells_whether_the_user_changed needs Nothing;
                a_rename_without_a_user_leaves_the_user_as_it_is needs Nothing;
                a_repeated_rename_has_one_effect_and_one_answer needs Nothing;
                a_repeated_rename_revives_no_successor_that_ended needs Nothing;
                an_alias_leads_to_its_successor_during_the_grace needs Nothing;
                an_alias_dies_with_its_successor needs Nothing;
                no_alias_leads_across_a_change_of_user needs Nothing;
                an_alias_dies_with_its_successors_deadline needs Nothing;
                a_copy_goes_its_own_way_for_a_while needs Nothing;
                a_copy_never_outlives_what_it_was_copied_from needs Nothing;
            }
            end {
                an_ended_session_leaves_a_marker_that_tells_why needs Nothing;
                ending_twice_finds_nothing_alive needs Nothing;
                a_repeated_end_has_the_same_answer needs Nothing;
                an_end_follows_the_session_where_it_moved needs Nothing;
                an_end_of_a_copy_leaves_the_original needs Nothing;
                nothing_brings_an_ended_session_back needs Nothing;
                a_marker_is_forgotten_after_its_time needs Nothing;
                no_commit_is_acknowledged_after_the_end needs Nothing;
            }
            user {
                a_users_sessions_are_listed_oldest_first needs Nothing;
                a_listed_session_is_summed_up_as_it_is_now needs Nothing;
                the_list_shows_nothing_dead needs Nothing;
                a_renamed_session_is_listed_once_under_its_new_key needs Nothing;
                a_change_of_user_moves_the_session_to_the_others_list needs Nothing;
                users_are_told_apart_by_every_byte_of_their_names needs Nothing;
                one_session_is_revoked needs Nothing;
                a_session_of_somebody_else_is_not_revoked needs Nothing;
                the_other_sessions_are_revoked needs Nothing;
                all_sessions_are_revoked needs Nothing;
                a_repeated_revocation_has_the_same_answer_and_spares_a_login_since needs Nothing;
                a_repeated_revocation_that_ended_nothing_ends_nothing needs Nothing;
                a_repeated_revocation_of_many_sessions_tells_their_number_and_the_first_of_them needs Nothing;
                the_markers_of_a_revocation_are_forgotten_after_their_time needs Nothing;
            }
            cap {
                a_create_over_the_cap_ends_the_oldest needs Nothing;
                a_login_over_the_cap_ends_the_oldest_and_never_itself needs Nothing;
                a_session_within_the_cap_ends_nothing needs Nothing;
                dead_sessions_do_not_count_towards_the_cap needs Nothing;
                a_refused_login_ends_nothing needs Nothing;
                the_cap_holds_when_many_sessions_begin_at_once needs Nothing;
                the_cap_holds_when_many_sessions_log_in_at_once needs Nothing;
            }
            upkeep {
                a_scan_shows_every_live_session_once_whatever_the_page needs Nothing;
                a_scan_sums_up_and_shows_nothing_dead needs Nothing;
                a_scan_of_nothing_ends_at_once needs Nothing;
                a_purge_removes_what_is_past_its_time_and_nothing_else needs Nothing;
                a_session_that_was_touched_in_time_is_not_purged needs Nothing;
                purges_at_the_same_time_do_no_harm needs Nothing;
                the_count_of_live_sessions_is_right_once_all_is_purged needs Nothing;
            }
            concurrent {
                increments_by_compare_and_commit_are_exact needs Nothing;
                each_version_is_replaced_by_one_commit needs Nothing;
                a_parallel_rename_yields_one_successor needs Nothing;
                nothing_acknowledged_is_lost_while_the_id_changes needs Nothing;
                a_lease_has_one_holder_at_a_time needs Nothing;
                many_sessions_at_once_do_not_disturb_each_other needs Nothing;
                an_answer_that_nobody_waits_for_tears_nothing needs Nothing;
            }
            model {
                random_histories_get_the_answers_of_the_reference_store needs ManualClock;
            }
            capability {
                what_one_handle_stores_another_sees needs SecondHandle;
                everything_acknowledged_survives_reopening needs Reopen;
                a_full_store_refuses_new_sessions_and_keeps_the_old needs Bounded;
                a_store_that_is_away_says_so_and_no_secret needs Unavailable;
                a_damaged_record_is_an_error_and_its_neighbours_are_well needs Damage;
            }
        }
    };
}

/// The list as a table.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_table {
    ([] $($group:ident { $($name:ident needs $need:ident;)* })*) => {
        pub(super) const CASES: &[Case] = &[$($(
            Case {
                group: stringify!($group),
                name: stringify!($name),
                need: Need::$need,
                run: |bed| Box::pin(cases::$group::$name(bed)),
            },
        )*)*];
    };
}

__conformance_cases!(__conformance_table);

/// The list as tests.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ([$subject:expr] $($group:ident { $($name:ident needs $need:ident;)* })*) => {$($(
        #[test]
        fn $name() {
            $crate::conformance::check(stringify!($name), $subject);
        }
    )*)*};
}

/// Writes one `#[test]` for each case of the [conformance suite](crate::conformance).
///
/// Takes a function (or a closure) without arguments that makes a [`Subject`](crate::conformance::Subject), in a
/// future; it is called once for each case, and again where the machine was too busy for it, inside a tokio runtime of
/// several threads that the test brings along.
/// The tests' names are the sentences they check; give the call a module of its own.
///
/// ```
/// mod reference {
///     use std::sync::Arc;
///     use cloakroom_testing::{ReferenceStore, conformance::Subject};
///
///     cloakroom_testing::conformance_tests!(|| async { Subject::new(Arc::new(ReferenceStore::new())) });
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($subject:expr) => {
        $crate::__conformance_cases!(__conformance_tests $subject);
    };
}
