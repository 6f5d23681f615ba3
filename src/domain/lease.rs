//! What a Lease says of who leads.

/// The record in a Lease. Its times are texts: they come from another machine's clock, so all that may be asked of
/// them is whether they changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseRecord {
    /// Who leads; empty: nobody.
    pub holder: String,
    /// For how many seconds others leave it to the holder after they saw it change.
    pub duration_seconds: Option<i64>,
    /// When the holder took it.
    pub acquired: Option<String>,
    /// When the holder said last that it is there.
    pub renewed: Option<String>,
    /// How often the holder changed.
    pub transitions: i64,
}
