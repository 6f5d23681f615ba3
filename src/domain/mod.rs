//! Closed types: integrations, secret values, failures. There is no I/O here, and no type of Kubernetes or HTTP. The
//! decisions ([`crate::core`]) and all layers around them use these types.

mod advice;
mod characters;
mod comparison;
mod failure;
pub mod hex;
mod integration;
mod integration_type;
mod lease;
mod message;
mod object;
mod project;
mod reason;
mod redacted;
mod secret;
#[cfg(test)]
pub(crate) mod testing;
mod text;
mod uri;
mod value;

pub use advice::{Advice, Stake};
pub use characters::{is_visible, plain};
pub use comparison::{Comparison, agrees, compare, compare_values, unnamed};
pub use failure::{Failure, FailureKind};
pub use integration::{FieldValue, Integration, SecretKey, Takeover};
pub use integration_type::{ENTRY, Field, IntegrationType, Meaning, Need, TYPES, TypeRow};
pub use lease::LeaseRecord;
pub use message::{Case, Holder, KeyForm, LOOKS_AGAIN, Message};
pub use object::{
    AdoptionPolicy, Applied, AppliedSecret, Attempt, Claim, Condition, ConditionStatus, ConditionType,
    CredentialsRef, DeletionPolicy, MAX_MESSAGE, ManagementPolicy, Object, ObjectKey, SecretsSince, Spec,
    Status,
};
pub use project::ProjectId;
pub use reason::{Prospect, Reason};
pub use redacted::{FieldKind, Redacted, RedactedValue};
pub use secret::{BadSecret, Carried, Fingerprint, MemoryKey, SecretValue};
pub use text::{and, without_quotes};
