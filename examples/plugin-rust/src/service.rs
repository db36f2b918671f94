//! Operations on polls. Each checks what the caller may see by reading the message and the conversation as that caller, so the rules of the core apply.

use chat_sdk::{
    Conversation, ConversationId, Message, MessageId, MessageType, Role, Timestamp, UserId,
    commands::{OfConversation, RateLimit, messages::SendMessage},
    http::ApiError,
    plugin::{Caller, ChatError, ChatRequest, Found, HostError, NewEvent, Target},
};
use serde::de::DeserializeOwned;

use crate::{PollsPlugin, UPDATED, definition::Definition, polls::Poll, shapes::PollState};

/// Poll as a member sees it.
pub struct Seen {
    /// The poll.
    pub poll: Poll,
    /// Number of votes per option.
    pub counts: Vec<u64>,
    /// Number of the option that the member voted for.
    pub my_option: Option<u32>,
    /// True if the message is held for review, so that nobody else sees the poll.
    pub is_held: bool,
}

/// Rights of a member on a poll.
struct Access {
    poll: Poll,
    role: Role,
}

/// Returns the error for a poll that does not exist, or that the caller may not see.
fn missing() -> ApiError {
    ApiError::NotFound("There is no such poll.".into())
}

fn closed() -> ApiError {
    ApiError::Conflict("This poll is closed.".into())
}

fn hidden(error: ChatError, or: fn() -> ApiError) -> ApiError {
    if error.status == 404 {
        or()
    } else {
        error.into()
    }
}

impl PollsPlugin {
    /// Creates a poll in `conversation` as `user`. Returns true if it is new, and the poll.
    ///
    /// A repetition with the same `client_id` and content returns the same poll.
    pub async fn create(
        &self,
        user: &UserId,
        conversation: &ConversationId,
        definition: Definition,
        client_id: Option<String>,
    ) -> Result<(bool, Seen), ApiError> {
        self.require_member(user, conversation, no_conversation)
            .await?;
        self.require_room(user, conversation, client_id.as_deref())
            .await?;
        let path = OfConversation {
            conversation_id: conversation.clone(),
        };
        let body = SendMessage {
            content: Some(definition.content()),
            kind: Some(MessageType::Custom),
            metadata: Some(definition.metadata()),
            client_message_id: client_id,
            ..SendMessage::default()
        };
        let chat = &self.host.chat;
        let by = Caller::User(user.clone());
        // The core checks the sender, the texts and the hooks. A hook may have changed the texts, so the poll is read from the stored message.
        let message = chat.call::<SendMessage>(by, path, body).await?;
        let stored = self.polls.get(&message.id).await?;
        if let Some(poll) = stored.filter(|_| !message.is_deleted) {
            let seen = self.see(user, poll).await?;
            return Ok((false, seen));
        }
        let Some(definition) = Definition::of(&message) else {
            return Err(self.withdraw(user, &message).await);
        };
        let poll = Poll::new(&message, definition);
        let is_new = self.polls.insert(&poll).await?;
        if is_new {
            metrics::counter!("chat_polls_created_total").increment(1);
        }
        let seen = self.see(user, poll).await?;
        let is_held = message.is_held == Some(true);
        Ok((is_new, Seen { is_held, ..seen }))
    }

    /// Deletes a message that is no poll any more, and returns the error for the sender.
    async fn withdraw(&self, user: &UserId, message: &Message) -> ApiError {
        if message.is_deleted || message.is_edited {
            return ApiError::Conflict(
                "This clientMessageId was used for a message that is no poll any more.".into(),
            );
        }
        let path = if message.is_held == Some(true) {
            format!("/api/held/{}", message.id)
        } else {
            format!("/api/messages/{}", message.id)
        };
        let request = ChatRequest {
            caller: Caller::User(user.clone()),
            method: "DELETE",
            path,
            body: Default::default(),
            limit: RateLimit::Api,
        };
        match self.host.chat.request(request).await {
            Ok(_) => ApiError::Conflict(
                "A hook changed the texts so that they are no poll any more; nothing was sent."
                    .into(),
            ),
            Err(error) => error.into(),
        }
    }

    /// Fails if the conversation has as many open polls as are allowed, unless this one is a repetition.
    async fn require_room(
        &self,
        user: &UserId,
        conversation: &ConversationId,
        client_id: Option<&str>,
    ) -> Result<(), ApiError> {
        let most = self.settings.max_open;
        if self.polls.count_open(conversation).await? < u64::from(most) {
            return Ok(());
        }
        if let Some(client_id) = client_id {
            let known = self.polls.of_client(conversation, user, client_id).await?;
            if known.is_some() {
                return Ok(());
            }
        }
        Err(ApiError::Conflict(
            format!("The conversation has {most} open polls; close one first.").into(),
        ))
    }

    /// Returns a poll as `user` sees it.
    pub async fn get(&self, user: &UserId, id: &MessageId) -> Result<Seen, ApiError> {
        let access = self.access(user, id).await?;
        self.see(user, access.poll).await
    }

    /// Returns the polls of a conversation that `user` may see, newest first, in a page of at most `limit`, and the cursor of the next page.
    pub async fn list(
        &self,
        user: &UserId,
        conversation: &ConversationId,
        before: Option<&MessageId>,
        limit: usize,
    ) -> Result<(Vec<Seen>, Option<MessageId>), ApiError> {
        self.require_member(user, conversation, no_conversation)
            .await?;
        let Found { items, has_more } = self.polls.page(conversation, before, limit).await?;
        let next = items.last().filter(|_| has_more);
        let next = next.map(|poll| poll.id.clone());
        let mut seen = Vec::with_capacity(items.len());
        for poll in items {
            match self.message(user, &poll.id).await {
                Ok(_) => seen.push(self.see(user, poll).await?),
                // Deleted, held, or sent before this member joined.
                Err(ApiError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((seen, next))
    }

    /// Sets the vote of `user`, or withdraws it.
    pub async fn vote(
        &self,
        user: &UserId,
        id: &MessageId,
        option: Option<u32>,
    ) -> Result<Seen, ApiError> {
        let access = self.access(user, id).await?;
        let last = access.poll.options.len() - 1;
        if option.is_some_and(|option| option as usize > last) {
            return Err(ApiError::invalid(
                "option",
                format!("must be the number of an option, 0 to {last}"),
            ));
        }
        let now = Timestamp::now();
        if access.poll.closed_at(now).is_some() {
            return Err(closed());
        }
        if self.votes.of_member(id, user).await? == option {
            return self.see(user, access.poll).await;
        }
        let poll = self.polls.take_version(id, now).await?;
        let poll = poll.ok_or_else(closed)?;
        self.votes.put(&poll, user, option).await?;
        metrics::counter!("chat_polls_votes_total").increment(1);
        // The vote is stored. If its results cannot be published now, the upkeep does it soon.
        let current = self.publish_next(id).await.ok().flatten();
        self.see(user, current.unwrap_or(poll)).await
    }

    /// Closes a poll; its creator, admins and owners may do so.
    pub async fn close(&self, user: &UserId, id: &MessageId) -> Result<Seen, ApiError> {
        let access = self.access(user, id).await?;
        if access.poll.created_by != *user && access.role < Role::Admin {
            return Err(ApiError::Forbidden(
                "Only the creator of a poll, admins and owners can close it.".into(),
            ));
        }
        let now = Timestamp::now().as_millis().min(access.poll.open_until);
        let poll = match self.polls.close(id, now).await? {
            Some(poll) => {
                // As for a vote, the upkeep publishes what could not be published.
                let _ = self.publish(&poll).await;
                poll
            }
            None => self.polls.get(id).await?.ok_or_else(missing)?,
        };
        self.see(user, poll).await
    }

    /// Closes a poll whose time is over, and publishes it.
    pub async fn close_due(&self, poll: &Poll) -> Result<(), HostError> {
        match self.polls.close(&poll.id, poll.open_until).await? {
            Some(closed) => self.publish(&closed).await,
            None => Ok(()),
        }
    }

    /// Publishes the results of a poll under a new version. Returns the poll; `None` if it is removed.
    pub async fn publish_next(&self, id: &MessageId) -> Result<Option<Poll>, HostError> {
        let poll = self.polls.mark(id).await?;
        if let Some(poll) = &poll {
            self.publish(poll).await?;
        }
        Ok(poll)
    }

    /// Publishes the results of this version of a poll, once.
    async fn publish(&self, poll: &Poll) -> Result<(), HostError> {
        let counts = self.votes.count(poll).await?;
        let state = PollState::new(poll, &counts, Timestamp::now());
        let target = Target::Conversation(poll.conversation_id.clone());
        let event = NewEvent::new(UPDATED, target, &state);
        let event = event.once(format!("{}:{}", poll.id, poll.version));
        match self.host.publisher.publish(event).await {
            Ok(_) => {}
            // The conversation is deleted, and its polls will be.
            Err(error) if error.status == 404 => {}
            Err(error) => return Err(HostError::Unavailable(error.to_string())),
        }
        self.polls.set_published(poll, &counts).await
    }

    /// Returns the poll `id` and the caller's role. A user who is no member now, or may not read the message, gets the error for a missing poll.
    async fn access(&self, user: &UserId, id: &MessageId) -> Result<Access, ApiError> {
        let message = self.message(user, id).await?;
        let role = self
            .require_member(user, &message.conversation_id, missing)
            .await?;
        if let Some(poll) = self.polls.get(id).await? {
            return Ok(Access { poll, role });
        }
        // The process died after it had sent the message, or the message came another way: the poll begins now.
        let definition = Definition::of(&message).ok_or_else(missing)?;
        let poll = Poll::new(&message, definition);
        if self.polls.insert(&poll).await? {
            return Ok(Access { poll, role });
        }
        let poll = self.polls.get(id).await?.ok_or_else(missing)?;
        Ok(Access { poll, role })
    }

    async fn message(&self, user: &UserId, id: &MessageId) -> Result<Message, ApiError> {
        let path = ["api", "messages", id.as_str()];
        let message: Message = self.read(user, &path, missing).await?;
        if message.is_deleted || message.is_held == Some(true) {
            return Err(missing());
        }
        Ok(message)
    }

    /// Returns the role of `user` in a conversation, or the error `or` if the user is no member.
    async fn require_member(
        &self,
        user: &UserId,
        conversation: &ConversationId,
        or: fn() -> ApiError,
    ) -> Result<Role, ApiError> {
        let path = ["api", "conversations", conversation.as_str()];
        let conversation: Conversation = self.read(user, &path, or).await?;
        // A former member can still read the conversation, without a role.
        conversation.my_role.ok_or_else(or)
    }

    async fn read<T: DeserializeOwned>(
        &self,
        user: &UserId,
        path: &[&str],
        or: fn() -> ApiError,
    ) -> Result<T, ApiError> {
        let by = Caller::User(user.clone());
        let found = self.host.chat.get(by, path, &[]).await;
        let found = found.map_err(|error| hidden(error, or))?;
        serde_json::from_value(found)
            .map_err(|_| ApiError::internal("a resource of the core has another form"))
    }

    async fn see(&self, user: &UserId, poll: Poll) -> Result<Seen, ApiError> {
        let counts = match poll.stale_since {
            Some(_) => self.votes.count(&poll).await?,
            None => poll.counts.clone(),
        };
        let my_option = self.votes.of_member(&poll.id, user).await?;
        Ok(Seen {
            poll,
            counts,
            my_option,
            is_held: false,
        })
    }
}

fn no_conversation() -> ApiError {
    ApiError::NotFound("There is no such conversation.".into())
}
