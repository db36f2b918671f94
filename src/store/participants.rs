//! Reads of memberships.

use std::collections::HashSet;

use chat_sdk::{ConversationId, ConversationType, Participant, UserId};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};

use super::{
    Store, bounded,
    documents::{ParticipantDocument, UserDocument},
};
use crate::{
    model::{
        DomainError, Result,
        page::{Page, PageRequest},
    },
    store::membership::{Membership, MembershipOf, TypingRules},
};

/// Number of a user's memberships per batch.
const MEMBERSHIPS_AT_ONCE: u32 = 2000;

/// Number of users whose conversations are read at once: each may be in thousands.
const USERS_AT_ONCE: usize = 50;

impl Store {
    /// Finds the relation of `user` to `conversation`.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_membership(
        &self,
        conversation: &ConversationId,
        user: &UserId,
    ) -> Result<Membership> {
        let id = ParticipantDocument::id(conversation, user);
        let (fields, member) = tokio::try_join!(
            bounded(
                self.conversations
                    .find_one(doc! { "_id": conversation.as_str() })
                    .into_future()
            ),
            bounded(self.participants.find_one(doc! { "_id": id }).into_future()),
        )?;
        Ok(Membership {
            fields: fields.map(|document| document.fields),
            member: member.map(|document| document.member()),
        })
    }

    /// Returns all memberships of `user`, including past ones.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_memberships_of(&self, user: &UserId) -> Result<Vec<MembershipOf>> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Intervals {
            conversation_id: ConversationId,
            intervals: Vec<(i64, Option<i64>)>,
            #[serde(default)]
            former_until: i64,
        }
        let participants = self.participants.clone_with_type::<Intervals>();
        let find = participants
            .find(doc! { "userId": user.as_str() })
            .projection(doc! { "_id": 0, "conversationId": 1, "intervals": 1, "formerUntil": 1 })
            .batch_size(MEMBERSHIPS_AT_ONCE);
        // Each batch has its own time limit: a user may have many conversations.
        let mut found = bounded(find.into_future()).await?;
        let mut memberships = Vec::new();
        while let Some(of) = bounded(found.try_next()).await? {
            let intervals = of.intervals.into_iter();
            memberships.push(MembershipOf {
                conversation: of.conversation_id,
                intervals: intervals
                    .map(|(joined, left)| (joined.unsigned_abs(), left.map(i64::unsigned_abs)))
                    .collect(),
                former_until: of.former_until.unsigned_abs(),
            });
        }
        Ok(memberships)
    }

    /// Lists the members of `conversation`, by user id.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_participant_page(
        &self,
        conversation: &ConversationId,
        request: &PageRequest,
    ) -> Result<Page<Participant>> {
        let mut filter = doc! { "conversationId": conversation.as_str(), "isActive": true };
        // The list has one direction: the cursor continues it, whichever parameter carries it.
        let cursor = [&request.after, &request.before, &request.around]
            .into_iter()
            .flatten()
            .next();
        if let Some(cursor) = cursor {
            filter.insert("userId", doc! { "$gt": cursor.as_str() });
        }
        let members = self
            .read_members(filter, i64::from(request.limit) + 1)
            .await?;
        let page = Page::cut(members, request.limit, |member| member.user_id.to_string());
        Ok(Page {
            items: self.with_names(page.items).await?,
            next_cursor: page.next_cursor,
            has_more: page.has_more,
        })
    }

    /// Lists the ids of the members of `conversation`, in order.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_member_page(
        &self,
        conversation: &ConversationId,
        request: &PageRequest,
    ) -> Result<Page<UserId>> {
        let mut filter = doc! { "conversationId": conversation.as_str(), "isActive": true };
        let cursor = [&request.after, &request.before, &request.around];
        if let Some(cursor) = cursor.into_iter().flatten().next() {
            filter.insert("userId", doc! { "$gt": cursor.as_str() });
        }
        let members = self
            .read_members(filter, i64::from(request.limit) + 1)
            .await?;
        let ids = members.into_iter().map(|member| member.user_id).collect();
        Ok(Page::cut(ids, request.limit, UserId::to_string))
    }

    /// Returns the conversations of which each of `users` is a member now.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_conversations_by_user(
        &self,
        users: &[UserId],
    ) -> Result<Vec<(UserId, ConversationId)>> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Pair {
            user_id: UserId,
            conversation_id: ConversationId,
        }
        let mut pairs = Vec::new();
        for users in users.chunks(USERS_AT_ONCE) {
            let ids: Vec<&str> = users.iter().map(UserId::as_str).collect();
            let found: Vec<Pair> = bounded(async {
                self.participants
                    .clone_with_type::<Pair>()
                    .find(doc! { "userId": { "$in": ids }, "isActive": true })
                    .projection(doc! { "_id": 0, "userId": 1, "conversationId": 1 })
                    .batch_size(10_000)
                    .await?
                    .try_collect()
                    .await
            })
            .await?;
            let found = found.into_iter();
            pairs.extend(found.map(|pair| (pair.user_id, pair.conversation_id)));
        }
        Ok(pairs)
    }

    /// Returns those `conversations` that have at least `members` members.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_large_conversations(
        &self,
        conversations: &[&ConversationId],
        members: u32,
    ) -> Result<HashSet<ConversationId>> {
        #[derive(serde::Deserialize)]
        struct Id {
            #[serde(rename = "_id")]
            id: ConversationId,
        }
        let ids: Vec<&str> = conversations.iter().map(|id| id.as_str()).collect();
        let filter = doc! {
            "_id": { "$in": ids },
            "participantCount": { "$gte": i64::from(members) },
        };
        let found: Vec<Id> = bounded(async {
            self.conversations
                .clone_with_type::<Id>()
                .find(filter)
                .projection(doc! { "_id": 1 })
                .await?
                .try_collect()
                .await
        })
        .await?;
        Ok(found.into_iter().map(|found| found.id).collect())
    }

    /// Reads what a typing signal in `conversation` is checked against.
    ///
    /// # Errors
    /// [`DomainError::NotFound`] if the conversation does not exist, [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_typing_rules(&self, conversation: &ConversationId) -> Result<TypingRules> {
        let found = bounded(
            self.conversations
                .find_one(doc! { "_id": conversation.as_str(), "isDeleted": false })
                .into_future(),
        )
        .await?;
        let fields = found.ok_or_else(DomainError::no_conversation)?.fields;
        let mut blockers = Vec::new();
        if fields.kind == ConversationType::Direct {
            let filter = doc! { "conversationId": conversation.as_str(), "isActive": true };
            let members = self.read_members(filter, 2).await?;
            let blocking = members
                .into_iter()
                .filter(|member| member.member().is_blocking);
            blockers = blocking.map(|member| member.user_id).collect();
        }
        Ok(TypingRules {
            is_allowed: fields.settings.features.typing,
            participant_count: fields.participant_count,
            blockers,
        })
    }

    /// Returns those `users` who are members of `conversation` now.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_participants(
        &self,
        conversation: &ConversationId,
        users: &[UserId],
    ) -> Result<Vec<Participant>> {
        let ids: Vec<&str> = users.iter().map(UserId::as_str).collect();
        let filter = doc! {
            "conversationId": conversation.as_str(),
            "isActive": true,
            "userId": { "$in": ids },
        };
        let members = self.read_members(filter, 0).await?;
        self.with_names(members).await
    }

    /// Returns the members of a direct conversation who block the other one.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_blocking(&self, conversation: &ConversationId) -> Result<Vec<UserId>> {
        let filter = doc! {
            "conversationId": conversation.as_str(), "isActive": true, "isBlocking": true,
        };
        let members = self.read_members(filter, 2).await?;
        Ok(members.into_iter().map(|member| member.user_id).collect())
    }

    pub(super) async fn read_members(
        &self,
        filter: Document,
        limit: i64,
    ) -> Result<Vec<ParticipantDocument>> {
        Ok(bounded(async {
            self.participants
                .find(filter)
                .sort(doc! { "userId": 1 })
                .limit(limit)
                .await?
                .try_collect()
                .await
        })
        .await?)
    }

    async fn with_names(&self, members: Vec<ParticipantDocument>) -> Result<Vec<Participant>> {
        let ids: Vec<&str> = members
            .iter()
            .map(|member| member.user_id.as_str())
            .collect();
        let users: Vec<UserDocument> = bounded(async {
            self.users
                .find(doc! { "_id": { "$in": ids } })
                .await?
                .try_collect()
                .await
        })
        .await?;
        let profiles: std::collections::HashMap<UserId, _> = users
            .into_iter()
            .map(|user| (user.id.clone(), user.fields().profile))
            .collect();
        Ok(members
            .into_iter()
            .map(|document| {
                let member = document.member();
                let profile = profiles.get(&document.user_id);
                Participant {
                    user_id: document.user_id.clone(),
                    role: member.role,
                    joined_at: member.joined_at,
                    name: profile.and_then(|profile| profile.name.clone()),
                    avatar_url: profile.and_then(|profile| profile.avatar_url.clone()),
                }
            })
            .collect())
    }
}
