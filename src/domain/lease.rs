//! The record in a Lease that says which replica leads.

/// The record in a Lease. Its times are texts: they come from the clock of another machine, so the only thing to
/// compare is whether they changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseRecord {
    /// The replica that leads; empty if there is none.
    pub holder: String,
    /// For how many seconds after its last change other replicas leave the Lease to the holder.
    pub duration_seconds: Option<i64>,
    /// When the holder took it.
    pub acquired: Option<String>,
    /// When the holder last renewed it.
    pub renewed: Option<String>,
    /// How often the holder changed.
    pub transitions: i64,
}
