//! Deliberate mistakes, each in the one place where it would be made, to prove that the simulator sees them.
//!
//! Owns the list and which of them is on. Always holds: without the feature `mutants`, which nothing that ships
//! turns on, no mistake can be made, and [`on`] costs nothing; with it, at most one is on, in one thread.

macro_rules! mutants {
    ($($(#[doc = $doc:literal])+ $mutant:ident $name:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mutant {
            $($(#[doc = $doc])+ $mutant,)*
        }

        impl Mutant {
            pub const ALL: [Self; [$(Self::$mutant),*].len()] = [$(Self::$mutant),*];

            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$mutant => $name,)* }
            }
        }
    };
}

mutants! {
    /// A webhook is thanked for though it could not be stored or queued.
    AckBeforeStore "ack-before-store",
    /// The position moves behind a page before that is in its slot.
    CursorBeforePage "cursor-before-page",
    /// The message of a page is the only word of it: a page whose message is lost is never sent again.
    PageSentOnce "page-sent-once",
    /// Conditional writes happen whatever is there.
    UnconditionalWrite "unconditional-write",
    /// Whoever lost a lease goes on writing.
    LeaseWithoutFence "lease-without-fence",
    /// A call takes over a run with whatever fence it has by then.
    ForeignFence "foreign-fence",
    /// A source that is being synced is synced once more.
    TwoRunsAtOnce "two-runs-at-once",
    /// Requests go out without waiting for their permit.
    NoPermit "no-permit",
    /// A listing that broke off counts as complete.
    IncompleteListing "incomplete-listing",
    /// A run that the source's quota stopped counts as complete.
    CompleteOnQuota "complete-on-quota",
    /// A run is settled while its last page is still being applied.
    SealedEarly "sealed-early",
    /// A page that is applied again is counted again.
    CountedTwice "counted-twice",
    /// What came last is the newest.
    LastArrivalWins "last-arrival-wins",
    /// A record that lost parts keeps their rows.
    ListingHidesNothing "listing-hides-nothing",
    /// A change is applied and not logged.
    ChangeNotLogged "change-not-logged",
    /// A change is logged after it was applied.
    LogAfterApply "log-after-apply",
    /// The pointer moves without the changes that came meanwhile.
    NoCatchUp "no-catch-up",
    /// The gates stay open while the pointer moves.
    GatesStayOpen "gates-stay-open",
    /// A dead mover's gates are left closed.
    GatesNotRepaired "gates-not-repaired",
    /// Going back leaves out what came since.
    RollbackWithoutChanges "rollback-without-changes",
    /// The guard is not heard.
    GuardIgnored "guard-ignored",
    /// What is to be switched to is read before it is sure that nobody else moves.
    ReadBeforeLease "read-before-lease",
    /// A deployment moves the pointer beside whoever else moves it.
    DeployWithoutLease "deploy-without-lease",
    /// The next page of a listing comes from whatever is active.
    CursorNotPinned "cursor-not-pinned",
    /// Rows that can't be mapped are dropped.
    RejectsForgotten "rejects-forgotten",
    /// Rejects are kept after their rows are merged.
    RejectsLate "rejects-late",
    /// Replaying rejects forgets those of other mappings.
    RejectsOfOthers "rejects-of-others",
    /// The header that a webhook's secret came in is stored with it.
    SecretStored "secret-stored",
    /// A run that a dead process held is never gone on with.
    NeverResumed "never-resumed",
    /// A sync that waited is struck out before it is sent.
    NoteStruckFirst "note-struck-first",
    /// A rebuild asks the source.
    RebuildAsks "rebuild-asks",
    /// A rebuild takes the lease of one that has not ended.
    TwoRebuilds "two-rebuilds",
    /// Raw of what readers see is let go.
    RawLetGo "raw-let-go",
    /// Somebody may switch to a build though what it built was built again since.
    OvertakenShown "overtaken-shown",
    /// A rebuild becomes visible though readers were taken to another listing than it was made from.
    AnotherListing "another-listing",
    /// Retention looks up which runs are over after it has worked out what is needed.
    RunsListedLast "runs-listed-last",
    /// A change that is older than what confirmed a generation is merged into rows that don't know how new they are.
    ConfirmedOverrun "confirmed-overrun",
    /// What confirmed a generation is never written down in its rows.
    ConfirmedForgotten "confirmed-forgotten",
    /// A generation counts as confirmed by a listing that holds nothing else, whether or not it holds all.
    ConfirmedBlindly "confirmed-blindly",
    /// What is older than a confirming listing comes back.
    ConfirmedFloor "confirmed-floor",
    /// A host deletes a message before what it asks for is done.
    DeletedFirst "deleted-first",
}

#[cfg(feature = "mutants")]
thread_local! {
    static ON: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Whether this mistake is to be made.
#[cfg(feature = "mutants")]
#[must_use]
pub fn on(mutant: Mutant) -> bool {
    ON.with(|on| on.get() == Some(mutant))
}

/// Whether this mistake is to be made: never.
#[cfg(not(feature = "mutants"))]
#[must_use]
pub const fn on(_: Mutant) -> bool {
    false
}

/// Turns one mistake on in this thread, and every other one off.
#[cfg(feature = "mutants")]
pub fn turn_on(mutant: Option<Mutant>) {
    ON.with(|on| on.set(mutant));
}
