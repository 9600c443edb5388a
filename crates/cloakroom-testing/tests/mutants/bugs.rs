//! The bugs, and the cases that find each.

macro_rules! bugs {
    ($($bug:ident => [$($case:ident),* $(,)?];)*) => {
        /// What a store may do wrong.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Bug {
            None,
            $($bug,)*
        }

        /// Each with cases that must fail; others may fail as well.
        pub const BUGS: &[(Bug, &[&str])] = &[$((Bug::$bug, &[$(stringify!($case)),*]),)*];
    };
}

bugs! {
    DamageIsMissing => [a_damaged_record_is_an_error_and_its_neighbours_are_well];
    DamageIsServed => [a_damaged_record_is_an_error_and_its_neighbours_are_well];
    StepsAreNotAtomic => [each_version_is_replaced_by_one_commit, a_lease_has_one_holder_at_a_time];
    LoadWaitsForTheLease => [a_load_does_not_wait_for_a_lease];
    CommitsAreTorn => [an_answer_that_nobody_waits_for_tears_nothing, a_commit_repeated_even_later_changes_nothing];
    ValuesAreText => [every_byte_value_survives, a_created_session_is_loaded_as_it_was_created, increments_by_compare_and_commit_are_exact];
    ValuesAreCutAt32KiB => [sixty_four_kibibytes_survive];
    EntriesAreSorted => [awkward_keys_survive, empty_data_and_empty_values_survive, many_entries_survive_in_their_order];
    EmptyValuesAreDropped => [empty_data_and_empty_values_survive];
    KeysEndAtNul => [awkward_keys_survive];
    EpochHas16Bits => [the_epoch_survives];
    UsersAreLowerCased => [names_of_users_and_devices_survive, users_are_told_apart_by_every_byte_of_their_names];
    DevicesAreLost => [a_session_is_created_bound_to_its_user_and_device, names_of_users_and_devices_survive];
    LoadTouches => [a_load_changes_nothing, a_clock_that_jumps_back_takes_nothing_back];
    ExpiredIsServed => [a_deadline_is_exact, an_answer_tells_the_stores_own_time];
    DeadlineIsALittleLate => [a_deadline_is_exact, an_answer_tells_the_stores_own_time];
    CommitsSignalNothing => [a_signal_comes_when_a_lease_becomes_free];
    ReleasesSignalNothing => [a_signal_comes_when_a_lease_becomes_free];
    AliasesCrossUsers => [no_alias_leads_across_a_change_of_user];
    NowIsTheMachines => [an_answer_tells_the_stores_own_time];
    TimeIsTheMachines => [a_commit_replaces_the_data_as_a_whole, a_copy_never_outlives_what_it_was_copied_from];
    MissingIsEnded => [an_unknown_key_is_missing, a_rename_over_another_version_conflicts_and_changes_nothing];
    EndedIsMissing => [an_end_of_a_copy_leaves_the_original, ending_twice_finds_nothing_alive];
    AliasOutlivesItsSuccessor => [an_alias_dies_with_its_successors_deadline, an_alias_dies_with_its_successor];
    AliasShowsOldData => [an_alias_leads_to_its_successor_during_the_grace];
    ManyAreDeduplicated => [one_key_asked_twice_is_answered_twice_and_no_key_not_at_all];
    ManyAreSorted => [many_keys_are_answered_in_their_order];
    ManyKnowNoAlias => [many_keys_lead_through_an_alias_like_one];
    ManyLeaveOutTheMissing => [many_keys_are_answered_in_their_order];
    BoundIsIgnored => [a_full_store_refuses_new_sessions_and_keeps_the_old];
    BoundEvictsTheOldest => [a_full_store_refuses_new_sessions_and_keeps_the_old];
    ErrorsTellTheKey => [a_full_store_refuses_new_sessions_and_keeps_the_old];
    FullIsUnavailable => [a_full_store_refuses_new_sessions_and_keeps_the_old];
    CreateOverwrites => [another_operation_with_the_same_content_is_another_create, a_key_with_a_past_is_taken, a_taken_key_is_refused_and_its_session_left_alone];
    CreateOverwritesMarkers => [a_key_with_a_past_is_taken, nothing_brings_an_ended_session_back];
    CreateForgetsItsOperation => [creating_twice_with_one_operation_creates_once, a_create_over_the_cap_ends_the_oldest];
    CreateStartsAgainWhenRepeated => [creating_twice_with_one_operation_creates_once];
    CreateComparesContent => [another_operation_with_the_same_content_is_another_create, a_refused_login_ends_nothing];
    CreateForgetsTheUser => [a_session_within_the_cap_ends_nothing, a_session_is_created_bound_to_its_user_and_device];
    CreateForgetsTheRenewal => [a_created_session_is_loaded_as_it_was_created];
    IdleIsNotCappedAtFirst => [the_idle_deadline_begins_no_later_than_the_absolute_one];
    EveryIdIsDue => [a_session_without_renewal_is_never_due];
    AnswersAreNotWhatIsStored => [a_commit_in_the_background_slides_nothing, a_load_changes_nothing];
    VersionIsIgnored => [each_version_is_replaced_by_one_commit, a_refused_commit_gives_no_lease_back, nothing_acknowledged_is_lost_while_the_id_changes];
    OnlyTheCounterIsCompared => [a_commit_over_another_version_conflicts_and_changes_nothing];
    OnlyTheOperationIsCompared => [a_commit_over_another_version_conflicts_and_changes_nothing];
    OlderVersionsPass => [a_commit_over_another_version_conflicts_and_changes_nothing];
    CommitForgetsItsOperation => [a_repeated_commit_has_one_effect, an_answer_that_nobody_waits_for_tears_nothing];
    OnlyTheLastOperationIsKnown => [a_commit_repeated_even_later_changes_nothing, a_commit_over_another_version_conflicts_and_changes_nothing];
    RepeatedCommitAppliesAgain => [a_commit_repeated_even_later_changes_nothing, a_repeated_commit_is_recognised_after_three_others];
    EveryWriteSlides => [a_commit_slides_nothing_where_the_session_was_seen_a_moment_ago];
    NoWriteSlidesThatMayNotHaveTo => [a_commit_slides_nothing_where_the_session_was_seen_a_moment_ago];
    BackgroundSlides => [a_commit_in_the_background_slides_nothing];
    CommitToMissingCreates => [a_commit_to_nothing_is_told_what_became_of_it, random_histories_get_the_answers_of_the_reference_store];
    CommitRevives => [the_end_is_told_before_everything_else, no_commit_is_acknowledged_after_the_end];
    CommitFollowsTheMove => [a_commit_to_nothing_is_told_what_became_of_it];
    DoneIsToldBeforeTheEnd => [the_end_is_told_before_everything_else];
    LeaseIsToldBeforeDone => [already_done_is_told_before_the_lease, a_commit_may_give_the_lease_back];
    VersionIsToldBeforeTheLease => [the_lease_is_told_before_the_version];
    CommitNeverReleases => [a_new_lease_of_another_owner_counts_its_holds_from_the_start, a_commit_may_give_the_lease_back];
    LeaseIsIgnored => [a_refused_commit_gives_no_lease_back, the_lease_is_told_before_the_version];
    HoldIsIgnored => [an_earlier_hold_is_fenced_off_by_a_later_one, a_lease_moves_along_with_its_record];
    HoldsOutliveTheirOwner => [a_new_lease_of_another_owner_counts_its_holds_from_the_start];
    VoidLeasesPass => [a_write_passes_only_under_the_lease_in_force, an_expired_lease_is_free_and_its_owner_is_refused];
    LockedIsLeaseLost => [the_lease_is_told_before_the_version, already_done_is_told_before_the_lease];
    RefusedCommitsRelease => [a_refused_commit_gives_no_lease_back];
    SameDataKeepsItsVersion => [versions_are_never_reused];
    VersionsStartAgain => [versions_are_never_reused, a_commit_replaces_the_version_it_names];
    CommitMergesEntries => [a_commit_replaces_the_data_as_a_whole, a_commit_replaces_the_version_it_names];
    CommitSlidesBackwards => [a_commit_slides_forward_only_and_never_past_the_absolute_deadline, nothing_slides_past_the_absolute_deadline];
    SlidesPastTheAbsoluteDeadline => [a_commit_slides_forward_only_and_never_past_the_absolute_deadline, an_absolute_deadline_holds_whatever_is_done];
    SeenGoesBackwards => [a_commit_in_the_background_slides_nothing, a_clock_that_jumps_back_takes_nothing_back];
    CommitAlwaysReleases => [an_earlier_hold_is_fenced_off_by_a_later_one, a_commit_may_give_the_lease_back];
    TouchRevivesTheExpired => [a_touch_never_slides_backwards, nothing_slides_past_the_absolute_deadline];
    TouchRevivesTheEnded => [a_touch_revives_nothing, nothing_brings_an_ended_session_back];
    TouchCreates => [a_touch_revives_nothing];
    TouchRefusesUnderALease => [a_lease_stops_neither_reading_nor_sliding_nor_ending];
    TouchBumpsTheVersion => [a_touch_slides_the_idle_deadline_and_nothing_else, nothing_slides_past_the_absolute_deadline];
    TouchSlidesBackwards => [a_touch_never_slides_backwards, a_clock_that_jumps_back_takes_nothing_back];
    TouchIsNotStored => [a_touch_slides_the_idle_deadline_and_nothing_else, a_touched_session_outlives_its_first_deadline];
    TouchDropsTheLease => [a_lease_stops_neither_reading_nor_sliding_nor_ending];
    TouchIsNotSeen => [a_touch_slides_the_idle_deadline_and_nothing_else];
    AcquireSteals => [a_second_owner_is_told_until_when_it_is_locked, a_lease_has_one_holder_at_a_time];
    OwnerMayNotAskAgain => [the_owner_asking_again_keeps_the_lease_for_another_length, an_earlier_hold_is_fenced_off_by_a_later_one];
    LeasesNeverExpire => [a_lease_comes_with_the_fresh_record_and_bumps_no_version, the_owner_asking_again_keeps_the_lease_for_another_length];
    LockedTellsNoTime => [a_second_owner_is_told_until_when_it_is_locked, the_owner_asking_again_keeps_the_lease_for_another_length];
    AcquireFollowsTheMove => [a_lease_on_nothing_is_told_what_became_of_it];
    AcquireRevives => [a_lease_on_nothing_is_told_what_became_of_it, nothing_brings_an_ended_session_back];
    AcquireBumpsTheVersion => [a_copy_has_no_lease, a_new_lease_of_another_owner_counts_its_holds_from_the_start];
    HoldsAreForgotten => [an_earlier_hold_is_fenced_off_by_a_later_one];
    LeaseKeepsTheSessionAlive => [a_lease_does_not_keep_a_session_alive];
    LeaseComesWithAnOldRecord => [a_copy_has_no_lease, a_lease_comes_with_the_fresh_record_and_bumps_no_version];
    AnyoneRenews => [a_lease_is_renewed_by_its_owner_only];
    VoidLeasesAreRenewed => [an_expired_lease_is_free_and_its_owner_is_refused];
    RenewTakesAFreeLease => [a_lease_is_renewed_by_its_owner_only];
    RenewIsNotStored => [a_lease_does_not_keep_a_session_alive, a_lease_is_renewed_by_its_owner_only];
    AnyoneReleases => [a_lease_is_given_back_by_its_owner_only];
    ReleaseAlwaysSaysYes => [a_lease_is_given_back_by_its_owner_only, a_lease_moves_along_with_its_record];
    ReleaseDoesNothing => [a_lease_is_given_back_by_its_owner_only, an_expired_lease_is_free_and_its_owner_is_refused];
    RenameOverwrites => [a_rename_to_a_taken_key_changes_nothing];
    RenameOntoItselfPasses => [a_rename_to_a_taken_key_changes_nothing];
    RenameIgnoresTheVersion => [a_rename_over_another_version_conflicts_and_changes_nothing, a_refused_login_ends_nothing];
    RenameForgetsItsOperation => [a_renamed_session_lives_under_its_new_key_only, a_repeated_rename_has_one_effect_and_one_answer];
    RenameIgnoresTheLease => [a_rename_is_held_to_the_lease_like_a_commit, a_lease_moves_along_with_its_record];
    RenameLooksAtTheVersionFirst => [a_rename_is_held_to_the_lease_like_a_commit, a_repeated_rename_has_one_effect_and_one_answer];
    RenameOfTheEndedIsMissing => [a_rename_of_nothing_is_told_what_became_of_it, a_repeated_rename_has_one_effect_and_one_answer];
    KeptDeadlinesStartAgain => [an_absolute_deadline_holds_whatever_is_done, an_alias_dies_with_its_successors_deadline];
    RestartedDeadlinesAreKept => [a_rename_keeps_the_deadlines_or_starts_them_again];
    RenewalIsForgotten => [a_rename_keeps_the_deadlines_or_starts_them_again];
    AliasesLastForEver => [an_alias_leads_to_its_successor_during_the_grace, a_purge_removes_what_is_past_its_time_and_nothing_else];
    AliasesAreMarkers => [many_keys_lead_through_an_alias_like_one, a_touch_revives_nothing];
    SealsAreCut => [an_alias_leads_to_its_successor_during_the_grace];
    CopiesLastForEver => [a_copy_goes_its_own_way_for_a_while];
    RepeatedRenameRevives => [a_repeated_rename_revives_no_successor_that_ended];
    RenameLeavesTheOldAlive => [dead_sessions_do_not_count_towards_the_cap, a_scan_sums_up_and_shows_nothing_dead];
    RenameKeepsTheVersion => [a_renamed_session_lives_under_its_new_key_only];
    RenameForgetsTheUser => [a_rename_without_a_user_leaves_the_user_as_it_is, a_renamed_session_is_listed_once_under_its_new_key];
    RenameBeginsAgain => [a_rename_keeps_the_deadlines_or_starts_them_again, a_renamed_session_lives_under_its_new_key_only];
    RenameLosesTheLease => [a_lease_moves_along_with_its_record];
    CopiesKeepTheLease => [a_copy_has_no_lease];
    CopiesKeepTheirName => [a_copy_goes_its_own_way_for_a_while];
    CopiesKeepTheirVersion => [a_copy_goes_its_own_way_for_a_while, a_repeated_rename_has_one_effect_and_one_answer];
    CopiesOutliveTheOriginal => [a_copy_never_outlives_what_it_was_copied_from];
    EndsFollowCopies => [an_end_of_a_copy_leaves_the_original];
    UserChangeIsNotTold => [the_marker_tells_whether_the_user_changed];
    UserChangeIsAlwaysTold => [a_lease_on_nothing_is_told_what_became_of_it, a_repeated_rename_revives_no_successor_that_ended];
    MarkersLastForEver => [a_marker_is_forgotten_after_its_time, the_markers_of_a_revocation_are_forgotten_after_their_time];
    MarkersLastOneSecond => [a_marker_is_forgotten_after_its_time, the_markers_of_a_revocation_are_forgotten_after_their_time];
    EndLeavesNoMarker => [a_key_with_a_past_is_taken, the_end_is_told_before_everything_else];
    EndForgetsItsOperation => [a_repeated_end_has_the_same_answer];
    EndDoesNotFollow => [a_repeated_end_has_the_same_answer, an_end_follows_the_session_where_it_moved, a_parallel_rename_yields_one_successor];
    EndFollowsOneStep => [a_repeated_end_has_the_same_answer, an_end_follows_the_session_where_it_moved];
    EndIsAlwaysByTheVisitor => [a_rename_of_nothing_is_told_what_became_of_it, an_ended_session_leaves_a_marker_that_tells_why];
    EndWaitsForTheLease => [the_end_is_told_before_everything_else, nothing_brings_an_ended_session_back];
    EndingTwiceSaysEnded => [a_repeated_end_has_the_same_answer, an_end_of_a_copy_leaves_the_original];
    EndRewritesTheMarker => [ending_twice_finds_nothing_alive];
    SummariesAreOld => [a_scan_sums_up_and_shows_nothing_dead, a_listed_session_is_summed_up_as_it_is_now];
    UsersMatchByPrefix => [a_users_sessions_are_listed_oldest_first, users_are_told_apart_by_every_byte_of_their_names];
    UsersMatchWithoutCase => [names_of_users_and_devices_survive, a_users_sessions_are_listed_oldest_first];
    UsersMatchTrimmed => [a_users_sessions_are_listed_oldest_first, users_are_told_apart_by_every_byte_of_their_names];
    IndexIsLostOnRename => [a_listed_session_is_summed_up_as_it_is_now, a_renamed_session_is_listed_once_under_its_new_key];
    IndexIsLostOnCommit => [a_listed_session_is_summed_up_as_it_is_now, what_one_handle_stores_another_sees];
    ListShowsTheExpired => [the_list_shows_nothing_dead, an_idle_session_expires_for_every_operation];
    ListShowsTheDead => [a_renamed_session_is_listed_once_under_its_new_key, a_change_of_user_moves_the_session_to_the_others_list];
    ListShowsOldUsers => [the_list_shows_nothing_dead, an_idle_session_expires_for_every_operation];
    ListIsNewestFirst => [a_users_sessions_are_listed_oldest_first, a_create_over_the_cap_ends_the_oldest];
    ListIsUnordered => [a_users_sessions_are_listed_oldest_first];
    RevocationIsDestruction => [all_sessions_are_revoked, the_other_sessions_are_revoked];
    RevokeOneAsksForNoUser => [a_session_of_somebody_else_is_not_revoked];
    RevokeOneEndsAll => [a_session_of_somebody_else_is_not_revoked, one_session_is_revoked];
    RevokeOthersEndsAll => [the_other_sessions_are_revoked];
    RevokeAllMissesOne => [all_sessions_are_revoked, users_are_told_apart_by_every_byte_of_their_names];
    RevokeTellsNothing => [all_sessions_are_revoked, the_other_sessions_are_revoked];
    RevokeForgetsItRan => [
        a_repeated_revocation_has_the_same_answer_and_spares_a_login_since,
        a_repeated_revocation_that_ended_nothing_ends_nothing,
    ];
    RevokeForgetsItEndedNothing => [a_repeated_revocation_that_ended_nothing_ends_nothing];
    RevokeAnswersNothingAgain => [a_repeated_revocation_has_the_same_answer_and_spares_a_login_since];
    RevokeCountsWhatItsReceiptTells => [
        a_repeated_revocation_of_many_sessions_tells_their_number_and_the_first_of_them,
    ];
    RevokeSkipsTheLeased => [a_session_of_somebody_else_is_not_revoked, the_other_sessions_are_revoked];
    RevokeTellsTheDeadAgain => [a_change_of_user_moves_the_session_to_the_others_list, all_sessions_are_revoked];
    CapIsIgnored => [the_cap_holds_when_many_sessions_begin_at_once, the_cap_holds_when_many_sessions_log_in_at_once];
    CapIsOneLess => [a_session_within_the_cap_ends_nothing, dead_sessions_do_not_count_towards_the_cap];
    CapIsOneMore => [the_cap_holds_when_many_sessions_begin_at_once, the_cap_holds_when_many_sessions_log_in_at_once];
    CapEndsTheNewest => [a_refused_login_ends_nothing, the_cap_holds_when_many_sessions_begin_at_once];
    CapActsBeforeTheChecks => [a_refused_login_ends_nothing, the_cap_holds_when_many_sessions_begin_at_once];
    CapCountsItself => [a_refused_login_ends_nothing, a_login_over_the_cap_ends_the_oldest_and_never_itself];
    CapCountsTheDead => [a_refused_login_ends_nothing, the_cap_holds_when_many_sessions_begin_at_once];
    CapActsAgainWhenRepeated => [a_create_over_the_cap_ends_the_oldest];
    CapTellsNothing => [the_cap_holds_when_many_sessions_begin_at_once, the_cap_holds_when_many_sessions_log_in_at_once];
    CapLeavesThemDestroyed => [the_cap_holds_when_many_sessions_begin_at_once, the_cap_holds_when_many_sessions_log_in_at_once];
    PagesOverlap => [a_scan_shows_every_live_session_once_whatever_the_page, many_sessions_at_once_do_not_disturb_each_other];
    ScanShowsTheExpired => [a_scan_sums_up_and_shows_nothing_dead, an_idle_session_expires_for_every_operation];
    PagesAreTooLong => [a_scan_shows_every_live_session_once_whatever_the_page, many_sessions_at_once_do_not_disturb_each_other];
    PagesHaveGaps => [a_scan_shows_every_live_session_once_whatever_the_page, a_full_store_refuses_new_sessions_and_keeps_the_old];
    ScanEndsAfterOnePage => [a_scan_shows_every_live_session_once_whatever_the_page, many_sessions_at_once_do_not_disturb_each_other];
    ScanNeverEnds => [a_scan_of_nothing_ends_at_once, a_scan_sums_up_and_shows_nothing_dead];
    PurgeTakesMarkersEarly => [a_purge_removes_what_is_past_its_time_and_nothing_else];
    PurgeTakesTheLiving => [a_session_that_was_touched_in_time_is_not_purged, the_count_of_live_sessions_is_right_once_all_is_purged];
    PurgeForgetsTheTouch => [a_session_that_was_touched_in_time_is_not_purged];
    PurgeLeavesMarkers => [a_purge_removes_what_is_past_its_time_and_nothing_else];
    PurgeDoesNothing => [a_purge_removes_what_is_past_its_time_and_nothing_else];
    PurgeIgnoresItsLimit => [the_count_of_live_sessions_is_right_once_all_is_purged, a_purge_removes_what_is_past_its_time_and_nothing_else];
    PurgeNeverHasMore => [a_purge_removes_what_is_past_its_time_and_nothing_else];
    PurgeAlwaysHasMore => [a_session_that_was_touched_in_time_is_not_purged, the_count_of_live_sessions_is_right_once_all_is_purged];
    PurgeCountsWhatItSaw => [the_count_of_live_sessions_is_right_once_all_is_purged, purges_at_the_same_time_do_no_harm];
    StatsCountTheDead => [the_count_of_live_sessions_is_right_once_all_is_purged];
    StatsCountNothing => [the_count_of_live_sessions_is_right_once_all_is_purged];
    HandlesAreApart => [each_version_is_replaced_by_one_commit, a_lease_has_one_holder_at_a_time, of_many_creates_under_one_key_one_wins];
    ReopeningForgetsLeases => [everything_acknowledged_survives_reopening];
    ReopeningForgetsMarkers => [everything_acknowledged_survives_reopening];
    ReopeningForgetsAll => [everything_acknowledged_survives_reopening];
    AwayIsMissing => [a_store_that_is_away_says_so_and_no_secret];
}
