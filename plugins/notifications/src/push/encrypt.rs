//! Encryption of a push for one browser (RFC 8291 over RFC 8188): a composition of primitives of the library that signs and verifies tokens.
//!
//! The crates for it would bring OpenSSL (`ece`) or a second implementation of the curve, of AES and of HKDF with twenty crates (`web-push-native`).

use aws_lc_rs::{
    aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    agreement::{self, ECDH_P256, ParsedPublicKey, PrivateKey, UnparsedPublicKey},
    error::Unspecified,
    hkdf::{HKDF_SHA256, KeyType, Salt},
};

/// Length of a public key in bytes.
const POINT: usize = 65;
/// Size of a record in bytes; a push is one record.
const RECORD: u32 = 4096;
/// Mark after the content of the last record.
const LAST: u8 = 2;

/// Length of a derived key.
#[derive(Clone, Copy)]
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive<const N: usize>(
    salt: &[u8],
    secret: &[u8],
    info: &[&[u8]],
) -> Result<[u8; N], Unspecified> {
    let mut key = [0; N];
    let extracted = Salt::new(HKDF_SHA256, salt).extract(secret);
    extracted.expand(info, Length(N))?.fill(&mut key)?;
    Ok(key)
}

/// Returns true if `bytes` are a public key of a browser.
pub fn is_public_key(bytes: &[u8]) -> bool {
    let parsed = ParsedPublicKey::try_from(UnparsedPublicKey::new(&ECDH_P256, bytes));
    bytes.len() == POINT && parsed.is_ok()
}

/// Encrypts `plain` for the browser with this public key and secret; `None` if they cannot be used.
pub fn encrypt(plain: &[u8], public: &[u8], auth: &[u8; 16]) -> Option<Vec<u8>> {
    let own = PrivateKey::generate(&ECDH_P256).ok()?;
    encrypt_with(plain, public, auth, &own, rand::random()).ok()
}

fn encrypt_with(
    plain: &[u8],
    public: &[u8],
    auth: &[u8; 16],
    own: &PrivateKey,
    salt: [u8; 16],
) -> Result<Vec<u8>, Unspecified> {
    let own_public = own.compute_public_key()?;
    let own_public = own_public.as_ref();
    let peer = UnparsedPublicKey::new(&ECDH_P256, public);
    let secret = agreement::agree(own, peer, Unspecified, |shared| {
        derive::<32>(auth, shared, &[b"WebPush: info\0", public, own_public])
    })?;
    let key: [u8; 16] = derive(&salt, &secret, &[b"Content-Encoding: aes128gcm\0"])?;
    let nonce: [u8; 12] = derive(&salt, &secret, &[b"Content-Encoding: nonce\0"])?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key)?);
    let mut record = plain.to_vec();
    record.push(LAST);
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce, Aad::empty(), &mut record)?;
    let mut body = Vec::with_capacity(21 + POINT + record.len());
    body.extend_from_slice(&salt);
    body.extend_from_slice(&RECORD.to_be_bytes());
    body.push(POINT as u8);
    body.extend_from_slice(own_public);
    body.extend_from_slice(&record);
    Ok(body)
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        BASE64_URL_SAFE_NO_PAD.decode(text).expect("base64")
    }

    #[test]
    fn the_example_of_the_standard_is_encrypted_as_it_says() {
        let own = bytes("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw");
        let own = PrivateKey::from_private_key(&ECDH_P256, &own).expect("a key");
        let public = bytes(
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        );
        let auth = bytes("BTBZMqHH6r4Tts7J_aSIgg")
            .try_into()
            .expect("16 bytes");
        let salt = bytes("DGv6ra1nlYgDCS1FRnbzlw")
            .try_into()
            .expect("16 bytes");
        let plain = b"When I grow up, I want to be a watermelon";
        let body = encrypt_with(plain, &public, &auth, &own, salt).expect("it is encrypted");
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(BASE64_URL_SAFE_NO_PAD.encode(body), expected);
        assert!(is_public_key(&public) && !is_public_key(&public[1..]) && !is_public_key(&[4; 65]));
    }
}
