//! Lower-case hexadecimal digits. Ids of projects and uids consist of them, and half as many bytes hold them.

/// The digits as bytes; `None` unless they are exactly `2 * N` lower-case hexadecimal digits.
pub fn pack<const N: usize>(digits: impl IntoIterator<Item = u8>) -> Option<[u8; N]> {
    let mut digits = digits.into_iter().map(value);
    let mut bytes = [0; N];
    for byte in &mut bytes {
        *byte = digits.next()?? << 4 | digits.next()??;
    }
    digits.next().is_none().then_some(bytes)
}

/// The digits of these bytes.
pub fn unpack(bytes: &[u8]) -> impl Iterator<Item = char> {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(move |byte| [digit(byte >> 4), digit(byte & 15)])
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}
