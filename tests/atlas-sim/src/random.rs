//! Random values for nonces, tokens and ids. Good enough to be told apart; no secret depends on them.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

fn word() -> u64 {
    // Each `RandomState` has other keys, so that the hash of nothing differs each time.
    RandomState::new().build_hasher().finish()
}

fn bytes(count: usize) -> Vec<u8> {
    std::iter::repeat_with(word).flat_map(u64::to_be_bytes).take(count).collect()
}

/// A nonce of 32 base64 characters, as in the recorded challenges.
pub fn nonce() -> String {
    STANDARD.encode(bytes(24))
}

/// Something that looks like a JWT: three base64url parts.
pub fn token(client_id: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"ES512","typ":"JWT"}"#);
    let claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"sub":{client_id:?},"jti":"{:016x}"}}"#, word()));
    format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(bytes(64)))
}

/// A fresh id of 24 hexadecimal characters, built as MongoDB builds them: time, process, counter.
pub fn object_id() -> String {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()) & 0xffff_ffff;
    let process = PROCESS.get_or_init(word) & 0xff_ffff_ffff;
    let counter = COUNTER.fetch_add(1, Ordering::Relaxed) & 0xff_ffff;
    format!("{seconds:08x}{process:010x}{counter:06x}")
}
