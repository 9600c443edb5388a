//! The token itself: bound to the session, masked anew for every response.
//!
//! The secret behind it never leaves the server. What leaves is `mask · (mask XOR secret)`: two tokens have nothing in
//! common that an attacker could recover from the size of compressed responses (BREACH). Nothing is consumed by
//! checking, so a wrong token does not use up the right one, and many tabs can hold many tokens.

use data_encoding::BASE64URL_NOPAD;
use rand::Rng;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// Bytes of the secret that a token is made from.
pub(crate) const SECRET_LEN: usize = 32;
/// Characters of a token: 64 bytes in base64url without padding.
pub(crate) const TOKEN_LEN: usize = 86;

/// A new token for this secret.
pub(crate) fn issue(secret: &[u8; SECRET_LEN]) -> String {
    let mut raw = [0u8; 2 * SECRET_LEN];
    let (mask, masked) = raw.split_at_mut(SECRET_LEN);
    rand::rng().fill_bytes(mask);
    for ((out, mask), secret) in masked.iter_mut().zip(mask.iter()).zip(secret) {
        *out = mask ^ secret;
    }
    BASE64URL_NOPAD.encode(&raw)
}

/// Whether this is a token for this secret. The comparison takes the same time wherever the difference is.
pub(crate) fn verify(secret: &[u8; SECRET_LEN], presented: &[u8]) -> bool {
    if presented.len() != TOKEN_LEN {
        return false;
    }
    let mut raw = [0u8; 2 * SECRET_LEN];
    if BASE64URL_NOPAD.decode_mut(presented, &mut raw).is_err() {
        return false;
    }
    let (mask, masked) = raw.split_at_mut(SECRET_LEN);
    for (masked, mask) in masked.iter_mut().zip(mask.iter()) {
        *masked ^= mask;
    }
    let equal = masked.ct_eq(secret).into();
    raw.zeroize();
    equal
}
