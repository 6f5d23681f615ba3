//! Randomness for jitter and for names.

/// A uniform random number, for jitter and for names only.
pub(super) fn random() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness there is no jitter, which is no reason to fail.
    let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes);
    u32::from_ne_bytes(bytes)
}
