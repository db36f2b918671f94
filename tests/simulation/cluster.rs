//! Several processes over one database, and a record of every request and its answer.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chat_sdk::{
    ConversationId, ConversationSettings, ConversationType, EventId, MessageId, MessageType, Patch,
    Role, UserId,
};
use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{sync::oneshot, time::timeout};

use super::{
    database::Database,
    faults::{Faults, Mutant},
    observer::Listener,
    process::Process,
};
use chat_service::{
    model::{
        DomainError,
        command::{Command, Outcome, Request, WantedEdit, WantedReaction},
        entry::{
            Body, Entry, MessageCreated, MessageEdit, MessageRemoval, MessageTarget, NewMember,
            Owner,
        },
        fold::facet_of,
        writers::Writers,
    },
    store::log::{apply, writer::Writer},
};

/// Timeout of a caller that gives up as callers of the service do.
pub const IMPATIENT: Duration = Duration::from_millis(1700);
/// Timeout of a caller that needs the outcome. A caller without an answer for this long is forgotten.
pub const PATIENT: Duration = Duration::from_secs(120);

/// One attempt of a request.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub request: Request,
    pub process: usize,
    /// Majority-committed seq at the time of the request, and at the time of the answer.
    pub asked_at: u64,
    pub answered_at: u64,
    /// Answer; `None` until it arrives.
    pub answer: Option<Result<Outcome, DomainError>>,
}

struct Running {
    writer: Writer,
    process: Arc<Process>,
}

pub struct Cluster {
    pub database: Arc<Database>,
    processes: Mutex<Vec<Running>>,
    pub attempts: Mutex<Vec<Attempt>>,
    /// Pairs of consecutive attempts, recorded while there was only one process.
    pub in_order: Mutex<Vec<(usize, usize)>>,
    pub rng: Mutex<StdRng>,
}

impl Cluster {
    pub fn new(seed: u64, faults: Faults, mutant: Option<Mutant>, processes: usize) -> Arc<Self> {
        let database = Database::new(seed ^ 0x5eed, faults, mutant);
        let cluster = Self {
            processes: Mutex::default(),
            attempts: Mutex::default(),
            in_order: Mutex::default(),
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            database,
        };
        for _ in 0..processes {
            cluster.start_process();
        }
        tokio::spawn(Arc::clone(&cluster.database).replicate());
        Arc::new(cluster)
    }

    fn start(&self) -> Running {
        let process = Process::new(&self.database);
        let listener = Arc::new(Listener(Arc::clone(&self.database)));
        let (writer, actor) = Writer::new(Arc::clone(&process), listener);
        tokio::spawn(actor);
        Running { writer, process }
    }

    /// Starts another process, and returns its index.
    pub fn start_process(&self) -> usize {
        let mut processes = self.processes.lock();
        processes.push(self.start());
        processes.len() - 1
    }

    /// Ends a process as a crash would. Commands already sent may still arrive.
    pub fn kill(&self, process: usize) {
        self.processes.lock()[process].process.kill();
    }

    pub fn living(&self) -> Vec<usize> {
        let processes = self.processes.lock();
        (0..processes.len())
            .filter(|index| !processes[*index].process.is_dead())
            .collect()
    }

    /// Returns true if there is one process and never was another.
    pub fn is_alone(&self) -> bool {
        self.processes.lock().len() == 1
    }

    pub fn random<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.rng.lock())
    }

    pub fn chance(&self, chance: f64) -> bool {
        self.random(|rng| rng.random_bool(chance))
    }

    /// Returns an id that does not depend on the clock.
    pub fn event_id(&self) -> EventId {
        let number: u64 = self.random(|rng| rng.random());
        format!("evt_{number:026}").parse().expect("a valid id")
    }

    pub fn request(&self, owner: &Owner, actor: Option<&UserId>, command: Command) -> Request {
        Request {
            owner: owner.clone(),
            event_id: self.event_id(),
            actor: actor.cloned(),
            command,
            trace: None,
        }
    }

    /// Submits `request`; returns the number of the attempt and a receiver for its outcome.
    pub fn hand_in(
        self: &Arc<Self>,
        process: usize,
        request: Request,
        patience: Duration,
    ) -> (
        usize,
        impl Future<Output = Option<Result<Outcome, DomainError>>> + use<>,
    ) {
        let asked_at = self.database.majority_seq(&request.owner);
        let index = {
            let mut attempts = self.attempts.lock();
            attempts.push(Attempt {
                request: request.clone(),
                process,
                asked_at,
                answered_at: u64::MAX,
                answer: None,
            });
            attempts.len() - 1
        };
        let (reply, answer) = oneshot::channel();
        self.processes.lock()[process].writer.submit(request, reply);
        let cluster = Arc::clone(self);
        (index, async move {
            let mut answer = answer;
            let mut waited = Duration::ZERO;
            let (answer, is_dead) = loop {
                let answer = timeout(IMPATIENT, &mut answer).await;
                waited += IMPATIENT;
                let is_dead = cluster.processes.lock()[process].process.is_dead();
                if answer.is_ok() || is_dead || waited >= patience {
                    break (answer, is_dead);
                }
            };
            match answer {
                Ok(Ok(answer)) => {
                    cluster.note(index, &answer);
                    Some(answer)
                }
                Ok(Err(_)) if !is_dead => {
                    cluster.fault(format!("attempt {index} was dropped without an answer"));
                    None
                }
                Err(_) if !is_dead && patience == PATIENT => {
                    cluster.fault(format!("attempt {index} was never answered"));
                    None
                }
                _ => None,
            }
        })
    }

    /// Submits a request and waits for the outcome.
    pub async fn ask(
        self: &Arc<Self>,
        process: usize,
        request: Request,
        patience: Duration,
    ) -> Option<Result<Outcome, DomainError>> {
        self.hand_in(process, request, patience).1.await
    }

    pub fn fault(&self, fault: String) {
        self.database
            .with(|inner| inner.observer.faults.push(fault));
    }

    /// Records an answer, and checks the invariants of this moment.
    fn note(&self, index: usize, answer: &Result<Outcome, DomainError>) {
        let mut attempts = self.attempts.lock();
        let attempt = &mut attempts[index];
        attempt.answered_at = self.database.majority_seq(&attempt.request.owner);
        attempt.answer = Some(answer.clone());
        let Ok(Outcome {
            entry: Some(entry), ..
        }) = answer
        else {
            return;
        };
        let owner = &attempt.request.owner;
        let (is_there, applied) = self.database.with(|inner| {
            let stored = inner.majority.find_by_id(&entry.id);
            (stored == Some(entry), inner.majority.applied(owner))
        });
        if !is_there {
            self.fault(format!(
                "attempt {index} was answered and no majority has its entry"
            ));
        }
        if applied < entry.seq && !is_message_alone(entry) {
            self.fault(format!(
                "attempt {index} was answered at {applied}, its entry is {}",
                entry.seq
            ));
        }
    }

    /// Reads as a client does: waits until the documents include the answered `entry`, and checks that they do.
    pub async fn apply_now(&self, process: usize, entry: &Entry) {
        let writer = self.processes.lock()[process].writer.clone();
        let Owner::Conversation(conversation) = &entry.owner else {
            return;
        };
        let conversations = [conversation.clone()];
        let confirmed = timeout(Duration::from_millis(300), writer.apply_now(&conversations)).await;
        let applied = self
            .database
            .with(|inner| inner.majority.applied(&entry.owner));
        if confirmed.is_ok() && applied < entry.seq {
            self.fault(format!(
                "documents were called up to date at {applied} after {} was answered",
                entry.seq
            ));
        }
    }

    /// Ends all faults, waits until nothing is in flight, and brings all documents up to date.
    pub async fn heal(&self) {
        self.database.with(|inner| {
            inner.faults = Faults::default();
            inner.fates.clear();
        });
        tokio::time::sleep(Duration::from_secs(8)).await;
        let owners: BTreeSet<Owner> = self.database.with(|inner| {
            inner
                .majority
                .log
                .keys()
                .map(|(owner, ..)| owner.clone())
                .collect()
        });
        let sweeper = Process::new(&self.database);
        for owner in owners {
            if apply::bring_up_to_date(&*sweeper, &owner).await.is_err() {
                self.fault(format!("{owner} cannot be brought up to date"));
            }
        }
    }

    /// Returns all violations so far.
    pub fn faults(&self) -> Vec<String> {
        self.database.with(|inner| inner.observer.faults.clone())
    }
}

pub fn user(index: usize) -> UserId {
    format!("user-{index}").parse().expect("a valid id")
}

pub fn conversation(index: usize) -> ConversationId {
    ConversationId::from_hash(&format!("{index:026}")).expect("a valid id")
}

pub fn create(kind: ConversationType, members: &[(UserId, Role)]) -> Command {
    Command::CreateConversation {
        kind,
        settings: ConversationSettings::default(),
        created_by: members[0].0.clone(),
        members: members
            .iter()
            .map(|(user_id, role)| NewMember {
                user_id: user_id.clone(),
                role: *role,
            })
            .collect(),
    }
}

pub fn message(content: &str, client_message_id: Option<&str>) -> Command {
    Command::SendMessage(Box::new(MessageCreated {
        content: content.to_owned(),
        kind: MessageType::Text,
        attachments: Vec::new(),
        reply_to: None,
        thread_id: None,
        mentions: Vec::new(),
        metadata: None,
        client_message_id: client_message_id.map(str::to_owned),
        request_hash: client_message_id.map(|_| content.to_owned()),
        thread_reply_count: None,
        is_thread_expiring: false,
        here: Vec::new(),
        silent: false,
        forwarded_from: None,
        expires_at: None,
        schedule: None,
    }))
}

pub fn reply(content: &str, root: &MessageId) -> Command {
    match message(content, None) {
        Command::SendMessage(mut draft) => {
            draft.thread_id = Some(root.clone());
            Command::SendMessage(draft)
        }
        other => other,
    }
}

pub fn react(message_id: &MessageId, emoji: &str, is_given: bool) -> Command {
    let wanted = WantedReaction {
        message_id: message_id.clone(),
        emoji: emoji.to_owned(),
    };
    if is_given {
        Command::AddReaction(wanted)
    } else {
        Command::RemoveReaction(wanted)
    }
}

pub fn pin(message_id: &MessageId, is_pinned: bool) -> Command {
    let target = MessageTarget {
        message_id: message_id.clone(),
        message_seq: None,
    };
    if is_pinned {
        Command::PinMessage(target)
    } else {
        Command::UnpinMessage(target)
    }
}

pub fn edit(message_id: &MessageId, content: &str) -> Command {
    Command::EditMessage(WantedEdit {
        edit: MessageEdit {
            message_id: message_id.clone(),
            content: content.to_owned(),
            metadata: Patch::Keep,
            message_seq: None,
        },
        read_edit_seq: 0,
        keeps_content: false,
        is_unchanged: false,
    })
}

pub fn delete(message_id: &MessageId) -> Command {
    Command::DeleteMessage(MessageRemoval {
        message_id: message_id.clone(),
        is_expired: false,
        message_seq: None,
    })
}

/// Returns true if `entry` only creates a message: its answer does not wait for the documents.
fn is_message_alone(entry: &Entry) -> bool {
    matches!(entry.body, Body::MessageCreated(_)) && facet_of(entry).is_none()
}

/// Returns true if `entry` is what `request` asks for, as far as the two can be compared.
pub fn is_of(request: &Request, body: &Body) -> bool {
    match (&request.command, body) {
        (Command::SendMessage(asked), Body::MessageCreated(stored)) => {
            // Only the writer knows the number of replies.
            let numbered = MessageCreated {
                thread_reply_count: stored.thread_reply_count,
                ..MessageCreated::clone(asked)
            };
            numbered == **stored
        }
        (Command::AddReaction(asked), Body::ReactionAdded(stored))
        | (Command::RemoveReaction(asked), Body::ReactionRemoved(stored)) => {
            asked.message_id == stored.message_id && asked.emoji == stored.emoji
        }
        (Command::PinMessage(asked), Body::MessagePinned(stored))
        | (Command::UnpinMessage(asked), Body::MessageUnpinned(stored)) => asked == stored,
        (Command::EditMessage(asked), Body::MessageUpdated(stored)) => asked.edit == *stored,
        (Command::DeleteMessage(asked), Body::MessageDeleted(stored)) => asked == stored,
        (Command::CreateConversation { .. }, Body::ConversationCreated(_))
        | (Command::UpdateConversation(_), Body::ConversationUpdated(_))
        | (Command::DeleteConversation, Body::ConversationDeleted)
        | (Command::Join { .. } | Command::AddParticipants { .. }, Body::ParticipantAdded(_))
        | (Command::Leave | Command::RemoveParticipant { .. }, Body::ParticipantRemoved(_))
        | (Command::ChangeRole { .. }, Body::ParticipantUpdated(_))
        | (Command::EnsureUser(_) | Command::SyncUser { .. }, Body::UserSynced(_))
        | (Command::UpdateUser(_), Body::UserUpdated(_))
        | (Command::DeleteUser, Body::UserDeleted) => true,
        _ => false,
    }
}
