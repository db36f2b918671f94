//! Settings of the plugin, from its variables and `chat.toml`.

use std::path::PathBuf;

use chat_sdk::{
    plugin::PluginSettings,
    settings::{Kind, Secret, Variable, parse},
};
use serde::Deserialize;

/// Types that are accepted by default: those whose metadata can be removed, and those that have none of a camera.
const TYPES: &str =
    "image/jpeg,image/png,image/gif,image/webp,image/svg+xml,audio/*,video/*,text/*,application/*";
/// Largest file that can be configured, in bytes: its list of pieces must fit into one document.
const MAX_FILE: u64 = 1 << 31;

/// Declarations of the variables.
pub const VARIABLES: &[Variable] = &[
    Variable::secret("ATTACHMENTS_LINK_SECRET"),
    Variable::number("ATTACHMENTS_MAX_BYTES", "104857600"),
    Variable::number("ATTACHMENTS_QUOTA_BYTES", "1073741824"),
    Variable::list("ATTACHMENTS_TYPES", Some(TYPES)),
    Variable::text("ATTACHMENTS_DIR", Some("data/attachments")),
    Variable::text("ATTACHMENTS_S3_BUCKET", None),
    Variable::uri("ATTACHMENTS_S3_ENDPOINT", Kind::Text),
    Variable::text("ATTACHMENTS_S3_REGION", Some("us-east-1")),
    Variable::text("ATTACHMENTS_S3_ACCESS_KEY_ID", None),
    Variable::secret("ATTACHMENTS_S3_SECRET_ACCESS_KEY"),
];

/// The table `[plugins.attachments]` of `chat.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Table {
    /// Seconds for which a link is valid, 10 to 3,600; default 300.
    pub link_seconds: u32,
    /// Seconds after the last piece at which an unfinished upload is removed, 1 to 2,592,000; default a day.
    pub unfinished_seconds: u32,
    /// Seconds after which a file that no message carries is removed, 1 to 2,592,000; default a day.
    pub unattached_seconds: u32,
    /// Seconds after the deletion of a message at which its files are removed, 0 to 2,592,000; default a day. A message that is restored in time keeps them.
    pub deleted_seconds: u32,
    /// Maximum size of a picture in bytes, 1 MiB to 256 MiB; default 20 MiB. It is held in memory while its metadata is removed.
    pub image_max_bytes: u32,
    /// Maximum number of pixels of a picture that gets a thumbnail, 1 to 200 million; default 50 million.
    pub image_max_pixels: u32,
    /// Number of pictures that a process decodes at once, 1 to 64; default 2.
    pub image_concurrency: u32,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            link_seconds: 300,
            unfinished_seconds: 86_400,
            unattached_seconds: 86_400,
            deleted_seconds: 86_400,
            image_max_bytes: 20 << 20,
            image_max_pixels: 50_000_000,
            image_concurrency: 2,
        }
    }
}

/// Place of the stored bytes.
#[derive(Debug, Clone)]
pub enum Place {
    /// A folder, which is created if it is missing.
    Folder(PathBuf),
    /// A bucket of an S3-compatible store.
    Bucket(Bucket),
}

/// Bucket of an S3-compatible store.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Name of the bucket.
    pub name: String,
    /// URL of the store; `None` for the one of Amazon.
    pub endpoint: Option<String>,
    /// Region of the bucket.
    pub region: String,
    /// Id and secret of the access key; `None` for the credentials of the machine's role.
    pub key: Option<(String, Secret)>,
}

/// All settings of the plugin, validated.
#[derive(Debug)]
pub struct Settings {
    /// Secret that signs links.
    pub secret: Secret,
    /// Maximum size of a file in bytes.
    pub max_bytes: i64,
    /// Maximum size of all files of a user in bytes.
    pub quota: i64,
    /// Patterns of accepted media types.
    pub types: Vec<String>,
    /// Place of the stored bytes.
    pub place: Place,
    /// Settings of the table in `chat.toml`.
    pub table: Table,
}

impl Settings {
    /// Reads and validates all settings; `None` comes with a fault.
    pub fn read(settings: &mut PluginSettings<'_>) -> Option<Self> {
        let table = read_table(settings);
        let secret = settings.optional("ATTACHMENTS_LINK_SECRET", Secret::strong);
        if secret == Some(None) {
            settings.fault(
                "ATTACHMENTS_LINK_SECRET",
                "is required; make one with: openssl rand -hex 32",
            );
        }
        let max = settings.read("ATTACHMENTS_MAX_BYTES", |text| {
            parse::number(text, 1..=MAX_FILE, "bytes")
        });
        let quota = settings.read("ATTACHMENTS_QUOTA_BYTES", |text| {
            parse::number(text, 1..=1 << 50, "bytes")
        });
        let types = settings.read("ATTACHMENTS_TYPES", types);
        let place = read_place(settings);
        Some(Self {
            secret: secret??,
            max_bytes: i64::try_from(max?).ok()?,
            quota: i64::try_from(quota?).ok()?,
            types: types?,
            place: place?,
            table: table?,
        })
    }

    /// Returns true if files of the media type `kind` are accepted.
    pub fn accepts(&self, kind: &str) -> bool {
        self.types
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(start) => kind.starts_with(start),
                None => pattern == kind,
            })
    }
}

/// Parses patterns of media types: `*`, `image/*` or `image/png`.
fn types(text: &str) -> Result<Vec<String>, String> {
    let patterns: Vec<String> = parse::list(text)
        .into_iter()
        .map(str::to_ascii_lowercase)
        .collect();
    let is_valid = |pattern: &String| {
        pattern == "*"
            || matches!(pattern.split_once('/'), Some((kind, rest)) if !kind.is_empty() && !kind.contains('*') && (rest == "*" || !rest.is_empty() && !rest.contains('*')))
    };
    match patterns.iter().find(|pattern| !is_valid(pattern)) {
        Some(wrong) => Err(format!(
            "has \"{}\"; each item must be *, a group such as image/*, or a type such as image/png",
            parse::short(wrong)
        )),
        None if patterns.is_empty() => Err("accepts no type; list at least one".to_owned()),
        None => Ok(patterns),
    }
}

fn read_place(settings: &mut PluginSettings<'_>) -> Option<Place> {
    let folder = settings.read("ATTACHMENTS_DIR", |text| Ok(PathBuf::from(text)))?;
    let Some(name) = settings.text("ATTACHMENTS_S3_BUCKET").map(str::to_owned) else {
        return Some(Place::Folder(folder));
    };
    let id = settings.text("ATTACHMENTS_S3_ACCESS_KEY_ID");
    let id = id.map(str::to_owned);
    let secret = settings.optional("ATTACHMENTS_S3_SECRET_ACCESS_KEY", |text| {
        Ok(Secret::new(text))
    })?;
    let key = match (id, secret) {
        (Some(id), Some(secret)) => Some((id, secret)),
        (None, None) => None,
        (Some(_), None) => {
            settings.fault(
                "ATTACHMENTS_S3_SECRET_ACCESS_KEY",
                "is required with ATTACHMENTS_S3_ACCESS_KEY_ID; set both or neither",
            );
            return None;
        }
        (None, Some(_)) => {
            settings.fault(
                "ATTACHMENTS_S3_ACCESS_KEY_ID",
                "is required with ATTACHMENTS_S3_SECRET_ACCESS_KEY; set both or neither",
            );
            return None;
        }
    };
    let endpoint = settings.optional("ATTACHMENTS_S3_ENDPOINT", |text| {
        if text.starts_with("http://") || text.starts_with("https://") {
            Ok(text.trim_end_matches('/').to_owned())
        } else {
            Err("must be a URL that begins with http:// or https://".to_owned())
        }
    })?;
    let region = settings.read("ATTACHMENTS_S3_REGION", |text| Ok(text.to_owned()))?;
    Some(Place::Bucket(Bucket {
        name,
        endpoint,
        region,
        key,
    }))
}

fn read_table(settings: &mut PluginSettings<'_>) -> Option<Table> {
    const MONTH: u32 = 2_592_000;
    let table: Table = settings.table()?;
    let mut is_valid = true;
    for (name, value, range) in [
        ("link_seconds", table.link_seconds, 10..=3600),
        ("unfinished_seconds", table.unfinished_seconds, 1..=MONTH),
        ("unattached_seconds", table.unattached_seconds, 1..=MONTH),
        ("deleted_seconds", table.deleted_seconds, 0..=MONTH),
        (
            "image_max_bytes",
            table.image_max_bytes,
            1 << 20..=256 << 20,
        ),
        ("image_max_pixels", table.image_max_pixels, 1..=200_000_000),
        ("image_concurrency", table.image_concurrency, 1..=64),
    ] {
        if !range.contains(&value) {
            is_valid = false;
            let (least, most) = range.into_inner();
            settings.table_fault(format!(
                "{name} is {value}; it must be from {least} to {most}"
            ));
        }
    }
    is_valid.then_some(table)
}

#[cfg(test)]
mod tests {
    use super::types;

    #[test]
    fn patterns_are_types_groups_or_everything() {
        assert_eq!(
            types("Image/PNG, audio/*"),
            Ok(vec!["image/png".to_owned(), "audio/*".to_owned()])
        );
        assert!(types("*").is_ok());
        for text in ["png", "/png", "image/", "*/png", "image/p*", "none"] {
            assert!(types(text).is_err(), "{text}");
        }
    }
}
