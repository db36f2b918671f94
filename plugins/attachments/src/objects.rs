//! Bytes of files, as objects of at most one MiB in a folder or in an S3-compatible store.
//!
//! No object is larger than a request, so a store never needs uploads in parts, which it would have to abort. This module knows no files: only keys.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chat_sdk::plugin::BoxFuture;
use futures_util::TryStreamExt;
use object_store::{
    ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig, aws::AmazonS3Builder,
    local::LocalFileSystem, path::Path,
};
use tokio::sync::OnceCell;

use crate::settings::{Bucket, Place};

/// Time for one request to the store.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Time for all attempts of a request to the store.
const RETRY: Duration = Duration::from_secs(15);

/// Fault of the store, for the log.
#[derive(Debug)]
pub struct ObjectsError(String);

impl std::fmt::Display for ObjectsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ObjectsError {}

/// Store of objects. A key has segments between slashes.
pub trait Objects: Send + Sync {
    /// Stores an object whole or not at all.
    fn put<'a>(&'a self, key: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), ObjectsError>>;

    /// Returns an object; `None` if it does not exist.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ObjectsError>>;

    /// Removes an object; a missing one is no error.
    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), ObjectsError>>;

    /// Returns the keys of all objects below `folder`.
    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<String>, ObjectsError>>;
}

/// Returns the store at `place`. It is opened at its first use.
pub fn open(place: &Place) -> Arc<dyn Objects> {
    Arc::new(Lazy {
        place: place.clone(),
        store: OnceCell::new(),
    })
}

/// Store that is opened at its first use, because a folder is created then.
struct Lazy {
    place: Place,
    store: OnceCell<Arc<dyn ObjectStore>>,
}

fn fault(action: &str, error: &object_store::Error) -> ObjectsError {
    // The error of the crate names the key and the store's answer, never the credentials; its chain may quote whole requests, so only its kind is kept.
    let kind = match error {
        object_store::Error::NotFound { .. } => "not found",
        object_store::Error::PermissionDenied { .. } => "permission denied",
        object_store::Error::Unauthenticated { .. } => "the credentials are not accepted",
        object_store::Error::Generic { .. } => "the store did not answer as expected",
        _ => "the request was refused",
    };
    ObjectsError(format!("{action} failed: {kind}"))
}

impl Lazy {
    async fn store(&self) -> Result<&Arc<dyn ObjectStore>, ObjectsError> {
        let open = || async {
            match &self.place {
                Place::Folder(folder) => {
                    let made = tokio::fs::create_dir_all(folder).await;
                    made.map_err(|error| {
                        ObjectsError(format!("the folder cannot be created: {}", error.kind()))
                    })?;
                    let store = LocalFileSystem::new_with_prefix(folder);
                    let store = store.map_err(|error| fault("opening the folder", &error))?;
                    Ok(Arc::new(store.with_automatic_cleanup(true)) as Arc<dyn ObjectStore>)
                }
                Place::Bucket(bucket) => open_bucket(bucket),
            }
        };
        self.store.get_or_try_init(open).await
    }
}

fn open_bucket(bucket: &Bucket) -> Result<Arc<dyn ObjectStore>, ObjectsError> {
    let retry = RetryConfig {
        max_retries: 3,
        retry_timeout: RETRY,
        ..RetryConfig::default()
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&bucket.name)
        .with_region(&bucket.region)
        .with_retry(retry)
        .with_client_options(
            ClientOptions::new()
                .with_timeout(TIMEOUT)
                .with_allow_http(true),
        );
    if let Some(endpoint) = &bucket.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some((id, secret)) = &bucket.key {
        builder = builder
            .with_access_key_id(id)
            .with_secret_access_key(secret.expose_text());
    }
    let store = builder.build();
    let store = store.map_err(|error| fault("opening the bucket", &error))?;
    Ok(Arc::new(store))
}

impl Objects for Lazy {
    fn put<'a>(&'a self, key: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), ObjectsError>> {
        Box::pin(async move {
            let path = Path::from(key);
            let stored = self.store().await?.put(&path, bytes.into()).await;
            stored.map(|_| ()).map_err(|error| fault("a write", &error))
        })
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ObjectsError>> {
        Box::pin(async move {
            match self.store().await?.get(&Path::from(key)).await {
                Ok(found) => match found.bytes().await {
                    Ok(bytes) => Ok(Some(bytes)),
                    Err(object_store::Error::NotFound { .. }) => Ok(None),
                    Err(error) => Err(fault("a read", &error)),
                },
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(fault("a read", &error)),
            }
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), ObjectsError>> {
        Box::pin(async move {
            match self.store().await?.delete(&Path::from(key)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(fault("a deletion", &error)),
            }
        })
    }

    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<String>, ObjectsError>> {
        Box::pin(async move {
            let found = self.store().await?.list(Some(&Path::from(folder)));
            let found = found
                .map_ok(|object| object.location.to_string())
                .try_collect();
            match found.await {
                Ok(keys) => Ok(keys),
                Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
                Err(error) => Err(fault("a listing", &error)),
            }
        })
    }
}
