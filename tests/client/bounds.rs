//! Attack 9: whoever answers in Atlas's place sends bytes as fast as they are read, or never the last one. Each call ends
//! in time, with little memory, and the next one on whatever connection gets its own answer.

use std::time::Duration;

use atlas_integration_operator::domain::{Failure, FailureKind};
use atlas_sim::{Effect, Fault, Operation, Raw};
use rstest::rstest;

use crate::{client_within, told, world};

const TOO_LARGE: &str = "is not one of Atlas: it is larger than 256 KiB";
const NO_ANSWER: &str = "gave no answer";
const TOO_MUCH: &str = "the connection failed: more than 512 KiB arrived";

/// LIST within three seconds, with that answer; then another, which must be Atlas's.
async fn list_of(effect: Effect) -> Result<usize, Failure> {
    let world = world().await;
    let client = client_within(&world.sim.url(), Duration::from_secs(3));
    let session = client.session(&crate::credential(crate::PRIVATE));
    let list = async || client.list(&session, &world.id, false).await.map(|listing| listing.len());
    world.create().await.unwrap();
    world.project.fault(Fault::new(effect).at(Operation::List));
    let first = list().await;
    assert_eq!(list().await, Ok(1), "the next answer is the project's own");
    first
}

#[rstest]
#[case::endless_interim(Raw::EndlessInterim, TOO_MUCH)]
#[case::endless_headers(Raw::EndlessHeaders, NO_ANSWER)]
#[case::endless_header(Raw::EndlessHeader, NO_ANSWER)]
#[case::drip(Raw::Drip, NO_ANSWER)]
#[case::endless_extension(Raw::EndlessExtension, NO_ANSWER)]
#[case::one_byte_chunks(Raw::OneByteChunks, TOO_MUCH)]
#[case::endless_trailers(Raw::EndlessTrailers, NO_ANSWER)]
#[case::endless_body(Raw::EndlessBody, TOO_LARGE)]
#[case::switching_protocols(Raw::SwitchingProtocols, "is not one of Atlas")]
#[tokio::test]
async fn bytes_without_an_end(#[case] answer: Raw, #[case] says: &str) {
    let failure = list_of(Effect::raw(answer)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable, "{failure:?}");
    let told = told(&failure);
    assert!(told.contains(says), "{told}");
}

/// What follows an answer is not taken for the next one.
#[rstest]
#[case::a_second_answer(Raw::SecondAnswer)]
#[case::length_and_chunks(Raw::LengthAndChunks)]
#[tokio::test]
async fn an_answer_that_nobody_asked_for(#[case] answer: Raw) {
    assert_eq!(list_of(Effect::raw(answer)).await, Ok(0));
}

/// A page has at most as many entries as Atlas puts into one.
#[rstest]
#[case::unknown(r#"{"type":"2ab"}"#)]
#[case::known(r#"{"type":"SLACK"}"#)]
#[case::nulls("null")]
#[tokio::test]
async fn a_page_of_too_many_entries(#[case] entry: &str) {
    let failure = list_of(Effect::page_full_of(entry, 200 << 10)).await.unwrap_err();
    let told = told(&failure);
    assert!(told.contains("it has more than 500 entries") && told.contains("--atlas-url"), "{told}");
    let failure = list_of(Effect::page_full_of(entry, 300 << 10)).await.unwrap_err();
    assert!(self::told(&failure).contains(TOO_LARGE), "{failure:?}");
}
