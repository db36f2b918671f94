//! Connection of one process to the modelled database: delays and losses between them, and the [`Backend`] that the writer sees.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chat_sdk::{ConversationId, EventId, UserId};
use rand::Rng;
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{
    database::{Database, Reply},
    faults::{Fate, Mutant},
    tables::{Statement, Tables},
};
use chat_service::{
    model::{
        entry::{Entry, Owner},
        state::{Member, State, Target, TargetState},
    },
    store::log::backend::{Backend, InsertOutcome, LogPage, Run, Unavailable},
};

/// Time that a client waits for an answer, in milliseconds.
const INSERT_ANSWER_TIME: u64 = 3000;
const ANSWER_TIME: u64 = 1600;

/// Connection of one process to the database. A dead process receives no further answers.
pub struct Process {
    database: Arc<Database>,
    is_dead: AtomicBool,
}

impl Process {
    pub fn new(database: &Arc<Database>) -> Arc<Self> {
        Arc::new(Self {
            database: Arc::clone(database),
            is_dead: AtomicBool::new(false),
        })
    }

    pub fn kill(&self) {
        self.is_dead.store(true, Ordering::SeqCst);
    }

    pub fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::SeqCst)
    }

    async fn alive(&self) {
        if self.is_dead() {
            pending::<()>().await;
        }
    }

    async fn pause(&self) {
        let pause = self.database.with(|inner| {
            let slow = inner.faults.slow;
            if inner.is_quick {
                0
            } else if inner.rng.random_bool(slow) {
                inner.rng.random_range(20..800)
            } else {
                inner.rng.random_range(0..4)
            }
        });
        sleep(Duration::from_millis(pause)).await;
    }

    async fn command(
        &self,
        mut statements: Vec<Statement>,
        ordered: bool,
        answer_time: u64,
    ) -> Option<Reply> {
        self.alive().await;
        let fate = self.database.with(|inner| {
            inner.in_flight += 1;
            match inner.fates.pop_front() {
                Some(fate) => fate,
                None => inner.faults.of_command(&mut inner.rng, statements.len()),
            }
        });
        let delay = match fate {
            Fate::Answered => 0,
            Fate::Failed {
                delay,
                statements: part,
            } => {
                statements.truncate(part);
                delay
            }
        };
        self.pause().await;
        let database = Arc::clone(&self.database);
        let (sender, answer) = oneshot::channel();
        tokio::spawn(async move {
            sleep(Duration::from_millis(delay)).await;
            let reply = database.serve(statements, ordered).await;
            database.with(|inner| inner.in_flight -= 1);
            if let Some(reply) = reply {
                let _ = sender.send(reply);
            }
        });
        let reply = match fate {
            Fate::Failed { .. } => None,
            Fate::Answered => timeout(Duration::from_millis(answer_time), answer)
                .await
                .ok()
                .and_then(Result::ok),
        };
        self.pause().await;
        self.alive().await;
        reply
    }

    async fn read<T>(&self, look: impl FnOnce(&Tables) -> T) -> Result<T, Unavailable> {
        self.alive().await;
        self.pause().await;
        let seen = self.database.with(|inner| {
            let fails = inner.faults.read_fails;
            if inner.rng.random_bool(fails) {
                Err(Unavailable)
            } else if inner.mutant == Some(Mutant::ReadsDirty) {
                Ok(look(&inner.primary))
            } else {
                Ok(look(&inner.majority))
            }
        });
        self.pause().await;
        self.alive().await;
        seen
    }

    async fn update(&self, statements: Vec<Statement>) -> Result<usize, Unavailable> {
        if statements.is_empty() {
            return Ok(0);
        }
        let reply = self.command(statements, false, ANSWER_TIME).await;
        reply.map(|reply| reply.matched).ok_or(Unavailable)
    }
}

impl Backend for Process {
    async fn insert(&self, entries: &[Arc<Entry>], ordered: bool) -> InsertOutcome {
        let statements = entries.iter().cloned().map(Statement::Insert).collect();
        match self.command(statements, ordered, INSERT_ANSWER_TIME).await {
            None => InsertOutcome::Unknown,
            Some(reply) => InsertOutcome::Decided {
                not_tried_from: match reply.conflicts.first() {
                    Some((index, _)) if ordered => index + 1,
                    _ => entries.len(),
                },
                conflicts: reply.conflicts,
            },
        }
    }

    async fn read_documents(&self, owner: &Owner) -> Result<State, Unavailable> {
        let state = self.read(|tables| tables.owner_state(owner)).await?;
        Ok(match state {
            State::User(state) => State::User(state),
            State::Conversation(mut state) => {
                state.members = self.read(|tables| tables.members_of(owner)).await?;
                state.members.retain(|_, member| member.is_active());
                State::Conversation(state)
            }
        })
    }

    async fn find_members(
        &self,
        conversation: &ConversationId,
        users: &[UserId],
    ) -> Result<Vec<(UserId, Member)>, Unavailable> {
        let target = Target::Members {
            conversation: conversation.clone(),
            users: users.to_vec(),
        };
        match self
            .find_targets(std::slice::from_ref(&target))
            .await?
            .pop()
        {
            Some(TargetState::Members(members)) => Ok(members),
            _ => Err(Unavailable),
        }
    }

    async fn read_applied(&self, owners: &[Owner]) -> Result<Vec<u64>, Unavailable> {
        self.read(|tables| owners.iter().map(|owner| tables.applied(owner)).collect())
            .await
    }

    async fn read_log(
        &self,
        owner: &Owner,
        after: u64,
        limit: usize,
    ) -> Result<LogPage, Unavailable> {
        self.read(|tables| {
            let entries: Vec<_> = tables.entries(owner, after).take(limit).cloned().collect();
            LogPage {
                has_more: entries.len() >= limit,
                entries,
            }
        })
        .await
    }

    async fn find_by_id(&self, id: &EventId) -> Result<Option<Arc<Entry>>, Unavailable> {
        self.read(|tables| tables.find_by_id(id).cloned()).await
    }

    async fn find_by_client_message_id(
        &self,
        owner: &Owner,
        actor: Option<&UserId>,
        client_message_id: &str,
    ) -> Result<Option<Arc<Entry>>, Unavailable> {
        self.read(|tables| {
            tables
                .find_by_client_message_id(owner, actor, client_message_id)
                .cloned()
        })
        .await
    }

    async fn find_targets(&self, targets: &[Target]) -> Result<Vec<TargetState>, Unavailable> {
        let mutant = self.database.with(|inner| inner.mutant);
        let is_hidden = |target: &Target| {
            matches!(target, Target::Members { .. }) && mutant == Some(Mutant::HidesFormerMembers)
        };
        self.read(|tables| {
            let states = targets.iter().map(|target| {
                if is_hidden(target) {
                    TargetState::Members(Vec::new())
                } else {
                    tables.target_state(target)
                }
            });
            states.collect()
        })
        .await
    }

    async fn write(&self, runs: &[Run]) -> Result<Vec<bool>, Unavailable> {
        let mut members = Vec::new();
        let mut facets = Vec::new();
        let mut reactions = Vec::new();
        for run in runs {
            for (user, member) in &run.members {
                members.push(Statement::Member(
                    run.owner.clone(),
                    user.clone(),
                    member.clone(),
                ));
            }
            for (id, facet) in run.facets_in_order() {
                facets.push(Statement::Facet(id.clone(), facet.clone()));
            }
            reactions.extend(run.reactions.iter().cloned().map(Statement::Reaction));
        }
        self.update(members).await?;
        self.update(facets).await?;
        self.update(reactions).await?;
        let mut written = vec![false; runs.len()];
        for is_user in [false, true] {
            let part: Vec<usize> = (0..runs.len())
                .filter(|index| matches!(runs[*index].owner, Owner::User(_)) == is_user)
                .collect();
            if part.is_empty() {
                continue;
            }
            let mut statements = Vec::new();
            let mut owners = Vec::new();
            for index in &part {
                statements.push(Statement::Owner(Box::new(runs[*index].clone())));
                owners.push(runs[*index].owner.clone());
            }
            let matched = self.update(statements).await?;
            let applied = if matched == part.len() {
                None
            } else {
                Some(self.read_applied(&owners).await?)
            };
            for (position, index) in part.iter().enumerate() {
                written[*index] = applied
                    .as_ref()
                    .is_none_or(|applied| applied[position] >= runs[*index].to);
            }
        }
        Ok(written)
    }
}
