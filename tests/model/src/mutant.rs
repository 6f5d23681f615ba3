//! Rules taken back, one at a time: each must be missed by some property.

macro_rules! mutants {
    ($($name:ident: $words:literal,)*) => {
        /// A rule that is not kept.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Mutant { $(#[doc = $words] $name,)* }

        impl Mutant {
            /// All of them, with what is done instead.
            pub const ALL: &[(Mutant, &str)] = &[$((Mutant::$name, $words),)*];
        }
    };
}

mutants! {
    NoClaim: "the first write is fenced by an attempt, without a claim",
    ClaimOfAnyUid: "a claim and its attempt count whosever they are",
    NoFence: "a write is sent without a write to the API server before it",
    FenceMovesNothing: "the fence is checked, but the object does not move",
    AppliedFirst: "`applied` is stored before the call",
    FinalizerFirst: "the finalizer goes before the DELETE",
    Generation: "a write is due when the generation is new, and only then",
    ConflictIgnored: "a status that lost a race is written again whatever stands there",
    ForeignApplied: "`applied` counts whosever it is (trace 10)",
    OrderWithoutApplied: "the order of conflict is claimed, older, uid",
    ProofTakenBack: "a status that lost a race against another attempt takes `applied` away (trace 1)",
    UnconfirmedIsDone: "an attempt that was not confirmed is not owed (trace 2)",
    SentIsWritten: "the value that was sent counts as written (trace 3)",
    ValueOutlivesAttempt: "the value of the own last write counts after another's (trace 3b)",
    NoFingerprint: "only the process that sent a value knows it again",
    FingerprintOfAnyAttempt: "a fingerprint counts, and stays, whatever was confirmed since",
    FingerprintOutlivesAttempt: "what the fingerprint says of the confirmed write counts after a later request",
    DeleteUnproved: "what was claimed is deleted without proof (trace 4)",
    WishInsteadOfSent: "what is there is compared with what would be sent now (trace 5a)",
    FasterIsOurs: "a 409 in the pass that claimed leaves the claim (trace 5b)",
    LostAnswerProves: "what is there after a claim is ours (trace 5c)",
    ConsentForgotten: "the status does not record consent (trace 5e)",
    ForgedClaimProves: "a claim counts although the status shows no write of the object",
    OldList: "a LIST of any time shows what landed (trace 6)",
    NoWait: "an unknown outcome is not waited for (trace 7)",
    PastBelieved: "a write that began in the past by a clock that was behind can't land any more",
    FutureWaitedFor: "a write that began in the future by a clock that was ahead is waited for until then",
    IdIsNoDrift: "another id is no drift (trace 8)",
    RepairsAtOnce: "repairs do not grow apart (trace 8b)",
    ReleasedProves: "`applied` counts after a release (trace 9)",
    RefusedCompetes: "what the adoption check refuses competes (trace 11)",
    WrongKeepsOut: "what Atlas refuses for good competes",
    OwnWritesUnseen: "own writes enter the index with the watch (trace 12)",
    SuspendedWithoutSecrets: "a suspended object does not look at Secrets (trace 13)",
    ProofNotKept: "what LIST proves ours is not recorded with the fence",
    DeletedTwice: "DELETE is sent again although it was confirmed",
}
