//! The one rule for readers of a file: its owner before a message carries it, then everyone who can read a message that carries it.

use chat_sdk::{
    UserId,
    plugin::{Caller, ChatError, HostError},
};
use serde_json::Value;

use crate::{
    Attachments,
    files::{self, State, StoredFile},
};

/// Path of the operations on a file; with its id it is the URL by which messages carry it.
pub const PATH: &str = "/api/attachments/";

/// Returns the URL by which messages carry a file.
pub fn url_of(id: &str) -> String {
    format!("{PATH}{id}")
}

/// Returns the id of the file that the URL of an attachment names: `Some("")` if it has the path of files but no id, `None` if it is another URL.
pub fn named_by(url: &str) -> Option<&str> {
    let rest = url.strip_prefix(PATH)?;
    Some(if files::is_id(rest) { rest } else { "" })
}

/// Returns the ids of the files that a message carries, by its JSON. A deleted message carries none.
pub fn carried_by(message: &Value) -> Vec<String> {
    let is_deleted = !message["deletedAt"].is_null() || message["isDeleted"] == true;
    let attachments = message["attachments"].as_array();
    let urls = attachments
        .into_iter()
        .flatten()
        .filter(|_| !is_deleted)
        .filter_map(|attachment| attachment["url"].as_str());
    urls.filter_map(named_by)
        .filter(|id| !id.is_empty())
        .map(str::to_owned)
        .collect()
}

impl Attachments {
    /// Returns true if `caller` can read the message and it carries the file.
    pub async fn carries(
        &self,
        caller: Caller,
        message: &str,
        file: &str,
    ) -> Result<bool, ChatError> {
        match self
            .host
            .chat
            .get(caller, &["api", "messages", message], &[])
            .await
        {
            Ok(message) => Ok(carried_by(&message).iter().any(|id| id == file)),
            Err(error) if error.is_temporary() => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// Returns true if `user` may read the file. `hint` is a message that is asked first, because its reference may not be stored yet.
    pub async fn may_read(
        &self,
        file: &StoredFile,
        user: &UserId,
        hint: Option<&str>,
    ) -> Result<bool, ChatError> {
        if !file.is_attached && file.owner_id == *user {
            return Ok(true);
        }
        if let Some(message) = hint
            && self
                .carries(Caller::User(user.clone()), message, &file.id)
                .await?
        {
            return Ok(true);
        }
        let references = self.references.of_file(&file.id).await.map_err(later)?;
        for reference in references {
            let caller = Caller::User(user.clone());
            if self
                .carries(caller, &reference.message_id, &file.id)
                .await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns a complete file that `user` may read; `None` if it does not exist for this user.
    pub async fn readable(
        &self,
        id: &str,
        user: &UserId,
        hint: Option<&str>,
    ) -> Result<Option<StoredFile>, ChatError> {
        if !files::is_id(id) {
            return Ok(None);
        }
        match self.files.find(id).await.map_err(later)? {
            Some(file)
                if file.state == State::Ready && self.may_read(&file, user, hint).await? =>
            {
                Ok(Some(file))
            }
            _ => Ok(None),
        }
    }
}

/// Returns the error of a call that found the database unavailable.
pub fn later(_: HostError) -> ChatError {
    ChatError::unavailable("The database did not answer in time; repeat the request.")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "att_01hzx3v7k9q2m4n6p8r0s2t4v6";

    #[test]
    fn only_the_exact_path_names_a_file() {
        assert_eq!(named_by(&url_of(ID)), Some(ID));
        for url in [
            "/api/attachments/",
            "/api/attachments/x",
            &format!("/api/attachments/{ID}/content"),
        ] {
            assert_eq!(named_by(url), Some(""), "{url}");
        }
        assert_eq!(
            named_by(&format!("https://shop.example/api/attachments/{ID}")),
            None
        );
    }

    #[test]
    fn a_deleted_message_carries_nothing() {
        let mut message = json!({ "attachments": [{ "url": url_of(ID) }, { "url": "x" }] });
        assert_eq!(carried_by(&message), [ID]);
        message["deletedAt"] = json!("2026-01-15T10:30:00.000Z");
        assert!(carried_by(&message).is_empty());
    }
}
