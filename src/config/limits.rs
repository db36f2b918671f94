//! Limits of callers: rates, sizes and counts.

use std::time::Duration;

use super::Variable;
use super::parse;
use super::reader::Reader;

pub(super) const VARIABLES: &[Variable] = &[
    Variable::number("RATE_LIMIT_API", "600/60s"),
    Variable::number("RATE_LIMIT_AUTH", "20/60s"),
    Variable::number("RATE_LIMIT_MESSAGES", "120/60s"),
    Variable::number("RATE_LIMIT_TYPING", "120/60s"),
    Variable::number("RATE_LIMIT_HEALTH", "600/60s"),
    Variable::number("MAX_MESSAGE_BYTES", "16384"),
    Variable::number("MAX_SOCKETS_PER_USER", "30"),
    Variable::number("MAX_GROUP_MEMBERS", "10000"),
    Variable::number("MAX_CONVERSATIONS_PER_USER", "10000"),
    Variable::text("PARTICIPANT_ADD_RULE", Some("anyone")),
];

/// Users whom a user may make members of a group or public conversation. The host may add anyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AddRule {
    /// Every user.
    #[default]
    Anyone,
    /// Users with whom they share a direct conversation or a group.
    Shared,
    /// No user: only the host adds members.
    Host,
}

/// Maximum number of events in a time window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Maximum number of events, at least 1.
    pub count: u32,
    /// Length of the window, at least one second.
    pub per: Duration,
}

/// Rates and sizes.
///
/// Rates are written `600/60s` (also `m` and `h`); `0` or `off` means no limit, here `None`.
#[derive(Debug, Clone)]
pub struct Limits {
    /// `RATE_LIMIT_API`: requests per user; default 600/60s.
    pub api: Option<RateLimit>,
    /// `RATE_LIMIT_AUTH`: failed authentications per address; default 20/60s.
    pub auth: Option<RateLimit>,
    /// `RATE_LIMIT_MESSAGES`: messages per user; default 120/60s.
    pub messages: Option<RateLimit>,
    /// `RATE_LIMIT_TYPING`: typing and recording signals per user; default 120/60s.
    pub typing: Option<RateLimit>,
    /// `RATE_LIMIT_HEALTH`: health checks and reads of metrics per address; default 600/60s.
    pub health: Option<RateLimit>,
    /// `MAX_MESSAGE_BYTES`: bytes of a message's content, 1-65536; default 16384.
    ///
    /// An event with all its parts must stay within 128 KiB.
    pub max_message_bytes: usize,
    /// `MAX_SOCKETS_PER_USER`: open sockets per user, 1-10000; default 30.
    pub max_sockets_per_user: usize,
    /// `MAX_GROUP_MEMBERS`: members of a conversation, 2-1000000; default 10000.
    pub max_group_members: usize,
    /// `MAX_CONVERSATIONS_PER_USER`: maximum number of a user's conversations, 1-1000000; default 10000.
    ///
    /// Only current memberships count.
    pub max_conversations_per_user: usize,
    /// `PARTICIPANT_ADD_RULE`: users whom a user may add: anyone, shared or host; default anyone.
    pub participant_add_rule: AddRule,
}

impl Limits {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let api = reader.read("RATE_LIMIT_API", rate);
        let auth = reader.read("RATE_LIMIT_AUTH", rate);
        let messages = reader.read("RATE_LIMIT_MESSAGES", rate);
        let typing = reader.read("RATE_LIMIT_TYPING", rate);
        let health = reader.read("RATE_LIMIT_HEALTH", rate);
        let max_message_bytes = reader.read("MAX_MESSAGE_BYTES", |text| {
            parse::size(text, 1..=65_536, "bytes")
        });
        let max_sockets_per_user = reader.read("MAX_SOCKETS_PER_USER", |text| {
            parse::size(text, 1..=10_000, "sockets")
        });
        let max_group_members = reader.read("MAX_GROUP_MEMBERS", |text| {
            parse::size(text, 2..=1_000_000, "members")
        });
        let max_conversations_per_user = reader.read("MAX_CONVERSATIONS_PER_USER", |text| {
            parse::size(text, 1..=1_000_000, "conversations")
        });
        let participant_add_rule = reader.read("PARTICIPANT_ADD_RULE", add_rule);
        Some(Self {
            api: api?,
            auth: auth?,
            messages: messages?,
            typing: typing?,
            health: health?,
            max_message_bytes: max_message_bytes?,
            max_sockets_per_user: max_sockets_per_user?,
            max_group_members: max_group_members?,
            max_conversations_per_user: max_conversations_per_user?,
            participant_add_rule: participant_add_rule?,
        })
    }
}

fn add_rule(text: &str) -> Result<AddRule, String> {
    match text {
        "anyone" => Ok(AddRule::Anyone),
        "shared" => Ok(AddRule::Shared),
        "host" => Ok(AddRule::Host),
        other => Err(format!(
            "is \"{}\"; write anyone, shared or host",
            parse::short(other)
        )),
    }
}

fn rate(text: &str) -> Result<Option<RateLimit>, String> {
    if text == "0" || text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    let parsed = text.split_once('/').and_then(|(count, per)| {
        let per = per.trim();
        let (number, unit) = per.split_at_checked(per.len().checked_sub(1)?)?;
        let factor = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => return None,
        };
        let count = count
            .trim()
            .parse()
            .ok()
            .filter(|count| (1..=1_000_000).contains(count))?;
        let seconds = number.parse::<u32>().ok().filter(|number| *number > 0)?;
        let per = Duration::from_secs(u64::from(seconds) * factor);
        (per <= Duration::from_secs(86_400)).then_some(RateLimit { count, per })
    });
    parsed.map(Some).ok_or_else(|| {
        let text = parse::short(text);
        format!("is \"{text}\"; write a count and a time, such as 600/60s (units s, m, h, at most a day), or off")
    })
}
