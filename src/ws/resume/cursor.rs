//! Resume cursors: sealed, because their format may change, and small, because every push carries one.
//!
//! A cursor means: everything that MongoDB committed until the watermark was delivered on this socket, and for the conversations that were active since,
//! every entry up to the stated seq.
//!
//! A cursor has two parts: the position, encrypted, and the signature of its user. All readers of a conversation who are at the same position share
//! the first part, so a push to a large room is encrypted once; only the signature, a short keyed hash, is made for each reader. Without the right
//! user's signature a cursor does not open.

use std::{hash::Hasher, sync::LazyLock};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chat_sdk::{ConversationId, UserId};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};
use siphasher::sip128::{Hasher128, SipHasher24};
use subtle::ConstantTimeEq;

/// Maximum number of positions in a cursor; beyond it, a resume repeats entries with the same seq.
pub const MAX_POSITIONS: usize = 50;
/// Format version of the sealed bytes; cursors of other versions are refused, and the client reloads.
const VERSION: u8 = 2;
/// Length of a signature, in bytes: a whole number of base64 groups, so that each signature has one spelling.
const SIGNATURE_BYTES: usize = 12;
/// Length of a signature in a cursor, in characters.
const SIGNATURE_LENGTH: usize = SIGNATURE_BYTES / 3 * 4;
/// Maximum length of a cursor that is parsed, in characters.
const MAX_LENGTH: usize = 8 * 1024;

/// Returns the id that stands for the reader's own log among the positions of a cursor. No conversation has it.
pub fn own_log() -> &'static ConversationId {
    static OWN_LOG: LazyLock<ConversationId> =
        LazyLock::new(|| ConversationId::from_hash(&"0".repeat(26)).expect("26 digits are an id"));
    &OWN_LOG
}

/// Content of a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Cluster time of the last marker that was passed with no entry held back.
    pub watermark: u64,
    /// Highest delivered seq of each conversation that was active since.
    pub positions: Vec<(ConversationId, u64)>,
}

/// Seals and opens cursors. All nodes of a deployment have the same key.
pub struct Seal {
    key: LessSafeKey,
    signing_key: [u8; 16],
    epoch: [u8; 8],
}

/// Signature of a user under a position, in base64.
#[derive(Debug, Clone, Copy)]
pub struct Signature([u8; SIGNATURE_LENGTH]);

impl Signature {
    /// Returns the signature as it stands in a cursor.
    pub fn as_str(&self) -> &str {
        // Base64 is ASCII; an empty signature would only make a client reload.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

fn digest(label: &str, secret: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(label.as_bytes());
    digest.update([0]);
    digest.update(secret);
    digest.finalize().into()
}

impl Seal {
    /// Returns a seal with a key derived from a secret of the deployment and the log's epoch.
    ///
    /// Cursors of another `epoch` do not open.
    pub fn new(secret: &[u8], epoch: &str) -> Self {
        let key = digest("chat cursor key", secret);
        let key = UnboundKey::new(&AES_128_GCM, &key[..16]).expect("16 bytes are a key of AES-128");
        let signing_key = digest("chat cursor signing key", secret);
        let epoch = digest("chat log epoch", epoch.as_bytes());
        Self {
            key: LessSafeKey::new(key),
            signing_key: std::array::from_fn(|index| signing_key[index]),
            epoch: std::array::from_fn(|index| epoch[index]),
        }
    }

    /// Returns a cursor of `user` as text.
    pub fn seal<'a>(
        &self,
        user: &UserId,
        watermark: u64,
        positions: impl IntoIterator<Item = (&'a ConversationId, u64)>,
    ) -> String {
        let mut cursor = self.seal_position(watermark, positions);
        cursor.push_str(self.sign(user, &cursor).as_str());
        cursor
    }

    /// Returns the first part of a cursor, which is the same for all users at this position. It opens only with a signature.
    pub fn seal_position<'a>(
        &self,
        watermark: u64,
        positions: impl IntoIterator<Item = (&'a ConversationId, u64)>,
    ) -> String {
        let mut bytes = Vec::with_capacity(NONCE_LEN + 17 + 36 + 16);
        let nonce: [u8; NONCE_LEN] = rand::random();
        bytes.extend_from_slice(&nonce);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.epoch);
        bytes.extend_from_slice(&watermark.to_be_bytes());
        for (conversation, seq) in positions {
            bytes.extend_from_slice(conversation.suffix().as_bytes());
            bytes.extend_from_slice(&seq.to_be_bytes());
        }
        // Sealing a short text with a fresh nonce cannot fail; an empty cursor would only make a client reload.
        let sealed = self.key.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::empty(),
            &mut bytes[NONCE_LEN..],
        );
        match sealed {
            Ok(tag) => {
                bytes.extend_from_slice(tag.as_ref());
                BASE64_URL_SAFE_NO_PAD.encode(&bytes)
            }
            Err(_) => String::new(),
        }
    }

    /// Returns the signature that makes `position`, a result of [`Self::seal_position`], a cursor of `user`.
    ///
    /// It is SipHash-2-4, a keyed hash made for short texts: some tens of nanoseconds, where sealing takes several hundred.
    pub fn sign(&self, user: &UserId, position: &str) -> Signature {
        let mut text = [0; SIGNATURE_LENGTH];
        // The buffer has exactly the length of the text, so encoding cannot fail.
        let _ = BASE64_URL_SAFE_NO_PAD.encode_slice(self.mac(user, position), &mut text);
        Signature(text)
    }

    fn mac(&self, user: &UserId, position: &str) -> [u8; SIGNATURE_BYTES] {
        let mut hasher = SipHasher24::new_with_key(&self.signing_key);
        // No user id has a zero byte, so the two parts cannot be cut differently.
        hasher.write(user.as_str().as_bytes());
        hasher.write(&[0]);
        hasher.write(position.as_bytes());
        let hash = hasher.finish128().as_bytes();
        std::array::from_fn(|index| hash[index])
    }

    /// Opens a cursor; `None` if it was changed or is of another user, deployment, epoch or version.
    pub fn open(&self, user: &UserId, text: &str) -> Option<Cursor> {
        const POSITION: usize = 26 + 8;
        if text.len() > MAX_LENGTH {
            return None;
        }
        let (position, signature) =
            text.split_at_checked(text.len().checked_sub(SIGNATURE_LENGTH)?)?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        // In constant time: the time of a comparison must not tell how much of a guess was right.
        if !bool::from(signature.ct_eq(&self.mac(user, position))) {
            return None;
        }
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(position).ok()?;
        if bytes.len() < NONCE_LEN {
            return None;
        }
        let (nonce, sealed) = bytes.split_at_mut(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened: &[u8] = self.key.open_in_place(nonce, Aad::empty(), sealed).ok()?;
        let rest = opened.strip_prefix(&[VERSION])?.strip_prefix(&self.epoch)?;
        let (watermark, rest) = rest.split_at_checked(8)?;
        let positions = rest
            .chunks(POSITION)
            .map(|position| {
                let (suffix, seq) = position.split_at_checked(26)?;
                let suffix = std::str::from_utf8(suffix).ok()?;
                let conversation = ConversationId::from_hash(suffix).ok()?;
                Some((conversation, u64::from_be_bytes(seq.try_into().ok()?)))
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Cursor {
            watermark: u64::from_be_bytes(watermark.try_into().ok()?),
            positions,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_at_one_position_share_it_and_differ_in_the_signature() {
        let [alice, bob]: [UserId; 2] = ["alice", "bob"].map(|id| id.parse().expect("an id"));
        let seal = Seal::new(b"secret", "epoch one");
        let conversation = ConversationId::generate();
        let position = seal.seal_position(42, [(&conversation, 7)]);
        let cursor = |user: &UserId| format!("{position}{}", seal.sign(user, &position).as_str());
        assert!(seal.open(&alice, &cursor(&alice)).is_some());
        assert!(seal.open(&bob, &cursor(&bob)).is_some());
        assert_eq!(seal.open(&alice, &cursor(&bob)), None);
        assert_eq!(seal.open(&alice, &position), None, "without a signature");
        let other = Seal::new(b"other", "epoch one");
        let foreign = format!("{position}{}", other.sign(&alice, &position).as_str());
        assert_eq!(seal.open(&alice, &foreign), None);
    }

    #[test]
    fn cursor_opens_only_unchanged_for_its_user_and_deployment() {
        let [alice, bob]: [UserId; 2] = ["alice", "bob"].map(|id| id.parse().expect("an id"));
        let seal = Seal::new(b"secret", "epoch one");
        let conversation = ConversationId::generate();
        let text = seal.seal(&alice, 42, [(&conversation, 7)]);
        let cursor = Cursor {
            watermark: 42,
            positions: vec![(conversation, 7)],
        };
        assert_eq!(seal.open(&alice, &text), Some(cursor));
        assert_eq!(seal.open(&bob, &text), None);
        let open = |secret: &[u8], epoch: &str| Seal::new(secret, epoch).open(&alice, &text);
        assert_eq!(open(b"secret", "epoch two"), None);
        assert_eq!(open(b"other", "epoch one"), None);
        for index in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("is ASCII");
            assert_eq!(seal.open(&alice, &changed), None, "changed at {index}");
        }
        for bad in ["", "x", "not base64 %", "AAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(seal.open(&alice, bad), None, "{bad}");
        }
    }
}
