//! Operations on notifications.

use std::{sync::Arc, time::Duration};

use chat_sdk::{
    Timestamp,
    http::{ApiError, AsHost, AsUser, Fails, Json, NoContent, Query, Status, Upserted, ValidJson},
};
use poem_openapi::{OpenApi, param::Path};

use super::{
    Tag,
    shapes::{
        Notification, NotificationBatch, NotificationPage, NotificationUnreadCount,
        NotificationsRead, SendNotification,
    },
};
use crate::{
    Notifications,
    batches::{self, Accepted},
    ids,
};

/// Maximum number of unknown users that an error names.
const NAMED: usize = 20;

/// Operations on notifications.
pub struct NotificationsApi(pub Arc<Notifications>);

/// Error of an operation on one notification.
type NotFound = Fails<Status<404>>;

#[OpenApi(tag = "Tag::Notifications")]
impl NotificationsApi {
    /// Send a notification to users
    ///
    /// Stores the call and sends the notification to every recipient: at once to those who are online, to the others when they connect again, and as a push to
    /// their devices. A process that dies meanwhile loses and repeats nothing.
    ///
    /// Fails with 400 if a recipient is unknown, and with 409 if the idempotency key belongs to another call. A repeated call returns 200.
    #[oai(
        path = "/api/notifications",
        method = "post",
        operation_id = "sendNotification"
    )]
    async fn send(
        &self,
        _host: AsHost,
        body: ValidJson<SendNotification>,
    ) -> Result<Upserted<NotificationBatch>, Fails<Status<409, 413>>> {
        let plugin = &self.0;
        let keep = Duration::from_secs(u64::from(plugin.settings.table.keep_days) * 86_400);
        let call = body.0.into_call(keep)?;
        let missing = plugin
            .host
            .audience
            .missing_users(call.users.clone())
            .await?;
        if !missing.is_empty() {
            let named = missing.iter().take(NAMED);
            let faults = named.map(|user| {
                let index = call.users.iter().position(|one| one == user);
                let field = format!("userIds[{}]", index.unwrap_or_default());
                (field, format!("names {user}, who is unknown").into())
            });
            return Err(ApiError::Invalid(faults.collect()).into());
        }
        let permit = Arc::clone(&plugin.serving).try_acquire_owned().ok();
        match plugin.batches.accept(call, permit.is_some()).await? {
            Accepted::New(batch) => {
                if let Some(permit) = permit {
                    batches::begin(plugin, batch.clone(), permit);
                }
                Ok(Upserted {
                    is_new: true,
                    body: batch.into(),
                })
            }
            Accepted::Repeated(batch) => Ok(Upserted {
                is_new: false,
                body: batch.into(),
            }),
            Accepted::OtherCall => Err(ApiError::Conflict(
                "This idempotencyKey was used for another notification.".into(),
            )
            .into()),
        }
    }

    /// List notifications
    ///
    /// Returns the caller's notifications, newest first.
    #[oai(
        path = "/api/notifications",
        method = "get",
        operation_id = "listNotifications"
    )]
    async fn list(
        &self,
        user: AsUser,
        /// Maximum number of notifications, 1 to 100. Default: 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<i64>>,
        /// `nextCursor` of the previous page; returns the notifications after it.
        before: Query<Option<String>>,
        /// True for unread notifications only. Default: false.
        unread: Query<Option<bool>>,
    ) -> Result<Json<NotificationPage>, ApiError> {
        let limit = usize::try_from(limit.0.unwrap_or(50)).unwrap_or(50);
        let before = before.0.as_deref();
        if before.is_some_and(|cursor| !cursor.starts_with(ids::NOTIFICATION)) {
            return Err(ApiError::invalid("before", "is no cursor of this list"));
        }
        let is_unread_only = unread.0.unwrap_or(false);
        let items = &self.0.items;
        let found = items.page(&user.0, is_unread_only, before, limit).await?;
        let last = found.items.last().filter(|_| found.has_more);
        Ok(Json(NotificationPage {
            next_cursor: last.map(|item| item.id.clone()),
            has_more: found.has_more,
            notifications: found.items.into_iter().map(Notification::from).collect(),
        }))
    }

    /// Count unread notifications
    ///
    /// Returns the number of the caller's unread notifications.
    #[oai(
        path = "/api/notifications/unread-count",
        method = "get",
        operation_id = "countUnreadNotifications"
    )]
    async fn unread(&self, user: AsUser) -> Result<Json<NotificationUnreadCount>, ApiError> {
        let unread_count = self.0.items.unread(&user.0).await?;
        Ok(Json(NotificationUnreadCount { unread_count }))
    }

    /// Mark a notification as read
    ///
    /// Returns the notification. Its pushes that wait are not sent any more, and the caller's other devices get the event `notification.read`.
    ///
    /// Fails with 404 if the caller has no such notification.
    #[oai(
        path = "/api/notifications/:id/read",
        method = "put",
        operation_id = "readNotification"
    )]
    async fn read(
        &self,
        user: AsUser,
        /// Id of the notification.
        id: Path<String>,
    ) -> Result<Json<Notification>, NotFound> {
        let item = self.0.items.read(&user.0, &id.0).await?;
        let item = item.ok_or_else(missing)?;
        self.0.announce_read(&item).await?;
        Ok(Json(item.into()))
    }

    /// Mark all notifications as read
    ///
    /// Marks every notification of the caller that exists now as read.
    #[oai(
        path = "/api/notifications/read",
        method = "put",
        operation_id = "readAllNotifications"
    )]
    async fn read_all(&self, user: AsUser) -> Result<Json<NotificationsRead>, ApiError> {
        let until = Timestamp::now();
        let count = self.0.items.read_all(&user.0, until.as_millis()).await?;
        self.0.announce_all_read(&user.0, until).await?;
        Ok(Json(NotificationsRead { count }))
    }

    /// Delete a notification
    ///
    /// Deletes the notification for the caller. Its pushes that wait are not sent any more.
    ///
    /// Fails with 404 if the caller has no such notification.
    #[oai(
        path = "/api/notifications/:id",
        method = "delete",
        operation_id = "deleteNotification"
    )]
    async fn delete(
        &self,
        user: AsUser,
        /// Id of the notification.
        id: Path<String>,
    ) -> Result<NoContent, NotFound> {
        if self.0.items.remove(&user.0, &id.0).await? {
            Ok(NoContent)
        } else {
            Err(missing().into())
        }
    }
}

fn missing() -> ApiError {
    ApiError::NotFound("There is no such notification.".into())
}
