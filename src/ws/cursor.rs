//! Resume cursors: sealed, because their format may change, and small, because every push carries one.
//!
//! A cursor means: everything that MongoDB committed until the watermark was delivered on this socket, and for the conversations that were active since,
//! every entry up to the stated seq. It is sealed for the user it was issued to: another user cannot open it.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chat_sdk::{ConversationId, UserId};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};

/// Maximum number of positions in a cursor; beyond it, a resume repeats entries with the same seq.
pub const MAX_POSITIONS: usize = 50;
/// Format version of the sealed bytes; cursors of other versions are refused, and the client reloads.
const VERSION: u8 = 1;
/// Maximum length of a cursor that is parsed, in characters.
const MAX_LENGTH: usize = 8 * 1024;

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
    epoch: [u8; 8],
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
        let epoch = digest("chat log epoch", epoch.as_bytes());
        Self {
            key: LessSafeKey::new(key),
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
            Aad::from(user.as_str()),
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

    /// Opens a cursor; `None` if it was changed or is of another user, deployment, epoch or version.
    pub fn open(&self, user: &UserId, text: &str) -> Option<Cursor> {
        const POSITION: usize = 26 + 8;
        if text.len() > MAX_LENGTH {
            return None;
        }
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        if bytes.len() < NONCE_LEN {
            return None;
        }
        let (nonce, sealed) = bytes.split_at_mut(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let aad = Aad::from(user.as_str());
        let opened: &[u8] = self.key.open_in_place(nonce, aad, sealed).ok()?;
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
