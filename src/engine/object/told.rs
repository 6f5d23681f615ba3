//! The words about a failed call that fit one object.

use url::Position;

use crate::core::deletion::deletion_waits;
use crate::domain::{
    Case, CredentialsRef, Failure, Holder, Integration, KeyForm, Message, Object, ObjectKey, SecretKey, Stake,
};
use crate::engine::shared::Shared;

/// The case of an object whose call failed, for a call that changes nothing in Atlas.
pub(super) fn case<'a>(
    shared: &'a Shared,
    credentials: &'a CredentialsRef,
    form: KeyForm,
    stake: Stake,
) -> Case<'a> {
    Case {
        atlas: &shared.settings.atlas_url[Position::BeforeHost..Position::AfterPort],
        holder: match credentials {
            CredentialsRef::Secret(name) => Holder::Secret(name),
            CredentialsRef::Operator => Holder::Operator,
        },
        form,
        stake,
        landing_limit: None,
        sources: "",
    }
}

/// What is at stake for an object.
pub(super) fn stake(object: &Object) -> Stake {
    if object.deleting {
        Stake::Deletion
    } else if object.applied().is_some() || object.proven_claim().is_some() {
        Stake::Integration
    } else {
        Stake::Nothing
    }
}

/// Where the secret values of settings come from.
pub(super) fn sources(integration: &Integration<SecretKey>) -> String {
    let source = |(field, from): (&str, &SecretKey)| {
        format!("{field} comes from key {} of Secret {}", from.key, from.name)
    };
    integration.named_secrets().into_iter().map(source).collect::<Vec<_>>().join(", ")
}

/// The message of a deletion that waits because a call failed.
pub(super) fn waits(case: &Case<'_>, key: &ObjectKey, failure: &Failure) -> Message {
    deletion_waits(key, failure.reason(), &case.advice_on(failure), &failure.detail)
}
