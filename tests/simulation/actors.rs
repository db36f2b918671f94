//! Actors: clients that use every operation, a sweeper, and a task that kills processes.

use std::{sync::Arc, time::Duration};

use chat_sdk::{
    ConversationType, MessageId, Patch, Role, UserId,
    commands::{conversations::UpdateConversation, users::UpdateUser},
};
use rand::{Rng, seq::IndexedRandom};
use tokio::time::sleep;

use super::{
    cluster::{
        Cluster, IMPATIENT, PATIENT, conversation, create, delete, edit, message, pin, react,
        reply, user,
    },
    process::Process,
};
use chat_service::{
    model::{
        DomainError,
        command::{Command, Outcome, Request},
        entry::{Owner, Profile},
    },
    store::log::apply,
};

/// Number of users.
const USERS: usize = 5;

/// Amount of load in one run.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// Number of conversations.
    pub conversations: usize,
    /// Number of requests of each client.
    pub steps: usize,
    /// Maximum pause between requests, in milliseconds.
    pub pause: u64,
}

/// One client: a user that sends one request after the other.
pub async fn client(cluster: Arc<Cluster>, index: usize, workload: Workload) {
    let client = Client {
        cluster,
        user: user(index % USERS),
        workload,
    };
    for step in 0..workload.steps {
        let pause = client
            .cluster
            .random(|rng| rng.random_range(0..=workload.pause));
        sleep(Duration::from_millis(pause)).await;
        client.step(&format!("{index}-{step}")).await;
    }
}

struct Client {
    cluster: Arc<Cluster>,
    user: UserId,
    workload: Workload,
}

impl Client {
    async fn step(&self, name: &str) {
        let cluster = &self.cluster;
        let place = cluster.random(|rng| rng.random_range(0..self.workload.conversations));
        let owner = Owner::from(conversation(place));
        match cluster.random(|rng| rng.random_range(0..100)) {
            0..30 => self.send(&owner, name).await,
            30..40 => self.send_in_order(&owner, name).await,
            40..48 => {
                let other = user(cluster.random(|rng| rng.random_range(0..3)));
                self.ask_for(&Owner::from(other), None, self.user_command(name))
                    .await;
            }
            48..56 => self.change_at_once(name).await,
            _ => {
                let command = self.command(place, name);
                self.ask_for(&owner, Some(&self.user), command).await;
            }
        }
    }

    fn command(&self, place: usize, name: &str) -> Command {
        let cluster = &self.cluster;
        let other = user(cluster.random(|rng| rng.random_range(0..USERS)));
        let role = cluster.random(|rng| {
            *[Role::Member, Role::Admin, Role::Owner]
                .choose(rng)
                .expect("three")
        });
        let kind = match place {
            0 => ConversationType::Group,
            _ => ConversationType::Public,
        };
        match cluster.random(|rng| rng.random_range(0..100)) {
            0..20 => create(
                kind,
                &[(self.user.clone(), Role::Owner), (user(USERS), Role::Admin)],
            ),
            20..26 => edit(&self.some_message(), name),
            26..32 => delete(&self.some_message()),
            32..44 => {
                let is_given = self.cluster.random(|rng| rng.random_bool(0.6));
                react(&self.some_message(), "👍", is_given)
            }
            44..46 => pin(&self.some_message(), name.len().is_multiple_of(2)),
            46..48 => reply(name, &self.some_message()),
            48..60 => Command::Join {
                max_members: 10_000,
            },
            60..66 => Command::Leave,
            66..76 => Command::AddParticipants {
                following: 0,
                user_ids: vec![other],
                role,
                max_members: 5,
            },
            76..82 => Command::RemoveParticipant { user_id: other },
            82..90 => Command::ChangeRole {
                user_id: other,
                role,
            },
            90..98 => Command::UpdateConversation(UpdateConversation {
                name: Patch::Set(name.to_owned()),
                ..UpdateConversation::default()
            }),
            _ => Command::DeleteConversation,
        }
    }

    fn user_command(&self, name: &str) -> Command {
        let profile = Profile {
            name: Some(name.to_owned()),
            ..Profile::default()
        };
        match self.cluster.random(|rng| rng.random_range(0..5)) {
            0 => Command::EnsureUser(profile),
            1 | 2 => Command::SyncUser {
                profile,
                revives: None,
            },
            3 => Command::UpdateUser(UpdateUser {
                name: Patch::Set(name.to_owned()),
                ..UpdateUser::default()
            }),
            _ => Command::DeleteUser,
        }
    }

    /// Returns a message that somebody recently tried to send; it may not exist.
    fn some_message(&self) -> MessageId {
        let attempts = self.cluster.attempts.lock();
        let sent: Vec<_> = attempts
            .iter()
            .filter(|attempt| matches!(attempt.request.command, Command::SendMessage(_)))
            .map(|attempt| attempt.request.event_id.to_message_id())
            .collect();
        let late = &sent[sent.len().saturating_sub(6)..];
        let found = self.cluster.random(|rng| late.choose(rng).cloned());
        found.unwrap_or_else(|| self.cluster.event_id().to_message_id())
    }

    /// Returns the process of `owner`'s shard, or occasionally another one.
    fn process(&self, owner: &Owner) -> usize {
        let living = self.cluster.living();
        if self.cluster.chance(0.75) {
            living[usize::from(owner.shard()) % living.len()]
        } else {
            self.cluster
                .random(|rng| *living.choose(rng).expect("one lives"))
        }
    }

    fn patience(&self) -> Duration {
        if self.cluster.chance(0.4) {
            PATIENT
        } else {
            IMPATIENT
        }
    }

    /// Sends one request, occasionally to two processes, or again to another one after a timeout.
    async fn ask_for(&self, owner: &Owner, actor: Option<&UserId>, command: Command) {
        let request = self.cluster.request(owner, actor, command);
        self.hand_over(owner, request).await;
    }

    async fn hand_over(
        &self,
        owner: &Owner,
        request: Request,
    ) -> Option<Result<Outcome, DomainError>> {
        let cluster = &self.cluster;
        if cluster.chance(0.1) {
            let (_, twin) = cluster.hand_in(self.process(owner), request.clone(), self.patience());
            tokio::spawn(twin);
        }
        let process = self.process(owner);
        let answer = cluster.ask(process, request.clone(), self.patience()).await;
        if let Some(Ok(Outcome {
            entry: Some(entry), ..
        })) = &answer
            && cluster.chance(0.3)
        {
            cluster.apply_now(process, entry).await;
        }
        if matches!(answer, None | Some(Err(DomainError::Unavailable(_)))) && cluster.chance(0.5) {
            return cluster
                .ask(self.process(owner), request, self.patience())
                .await;
        }
        answer
    }

    async fn send(&self, owner: &Owner, name: &str) {
        let cluster = &self.cluster;
        let id = cluster.chance(0.6).then(|| format!("own-{name}"));
        let command = message(name, id.as_deref());
        for _ in 0..3 {
            let request = cluster.request(owner, Some(&self.user), command.clone());
            let answer = self.hand_over(owner, request).await;
            let is_unknown = matches!(answer, None | Some(Err(DomainError::Unavailable(_))));
            if id.is_none() || (!is_unknown && cluster.chance(0.7)) {
                break;
            }
            if cluster.chance(0.2) {
                let other = message("another text", id.as_deref());
                self.ask_for(owner, Some(&self.user), other).await;
            }
        }
    }

    /// Sends some messages without waiting for answers.
    async fn send_in_order(&self, owner: &Owner, name: &str) {
        let process = self.process(owner);
        let count = self.cluster.random(|rng| rng.random_range(2..5));
        let mut before = None;
        let mut answers = Vec::new();
        for index in 0..count {
            let command = message(&format!("{name}-{index}"), None);
            let request = self.cluster.request(owner, Some(&self.user), command);
            let (number, answer) = self.cluster.hand_in(process, request, PATIENT);
            // With other writers, the state in memory may be old: a message may then have to wait, and the next one overtakes it.
            if self.cluster.is_alone() {
                self.cluster
                    .in_order
                    .lock()
                    .extend(before.map(|before| (before, number)));
            }
            before = Some(number);
            answers.push(tokio::spawn(answer));
        }
        for answer in answers {
            answer.await.expect("a client does not panic");
        }
    }

    /// Edits and deletes the user's last message, all concurrently.
    async fn change_at_once(&self, name: &str) {
        let sent = self
            .cluster
            .attempts
            .lock()
            .iter()
            .rev()
            .find_map(|attempt| {
                let is_own = attempt.request.actor.as_ref() == Some(&self.user)
                    && matches!(attempt.request.command, Command::SendMessage(_))
                    && matches!(attempt.answer, Some(Ok(_)));
                is_own.then(|| attempt.request.clone())
            });
        let Some(sent) = sent else {
            return;
        };
        let message = sent.event_id.to_message_id();
        let process = self.process(&sent.owner);
        let mut answers = Vec::new();
        for command in [
            edit(&message, name),
            delete(&message),
            edit(&message, "once more"),
        ] {
            let process = if self.cluster.chance(0.8) {
                process
            } else {
                self.process(&sent.owner)
            };
            let request = self.cluster.request(&sent.owner, Some(&self.user), command);
            answers.push(tokio::spawn(
                self.cluster.hand_in(process, request, PATIENT).1,
            ));
            if self.cluster.chance(0.3) {
                sleep(Duration::from_millis(1)).await;
            }
        }
        for answer in answers {
            answer.await.expect("a client does not panic");
        }
    }
}

/// Sweeper: brings the documents up to date beside the writers.
pub async fn sweeper(cluster: Arc<Cluster>, conversations: usize) {
    let process = Process::new(&cluster.database);
    loop {
        let (pause, place) = cluster.random(|rng| {
            (
                rng.random_range(20..400),
                rng.random_range(0..conversations),
            )
        });
        sleep(Duration::from_millis(pause)).await;
        // If the database is unavailable, the next round does it.
        let _ = apply::bring_up_to_date(&*process, &Owner::from(conversation(place))).await;
    }
}

/// Kills processes, and starts others in their place.
pub async fn killer(cluster: Arc<Cluster>) {
    loop {
        let pause = cluster.random(|rng| rng.random_range(50..2000));
        sleep(Duration::from_millis(pause)).await;
        let living = cluster.living();
        let victim = cluster.random(|rng| *living.choose(rng).expect("one lives"));
        cluster.kill(victim);
        cluster.start_process();
    }
}
