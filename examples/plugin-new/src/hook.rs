//! Hook of the plugin: it refuses a command whose text is too long, before the message is sent.

use std::sync::Arc;

use chat_sdk::plugin::{
    BoxFuture, Hook, HookData, HookFault, HookPoint, HookRequest, HookSpec, HookVerdict,
};

use crate::listener::command;

/// Check of the length of commands.
pub struct Length {
    /// Maximum length of the text after the command in characters.
    pub max_characters: u32,
}

impl Length {
    fn decide(&self, content: &str) -> HookVerdict {
        let most = usize::try_from(self.max_characters).unwrap_or(usize::MAX);
        match command(content) {
            Some(text) if text.chars().count() > most => HookVerdict::Refuse {
                code: "COMMAND_TOO_LONG".to_owned(),
                reason: format!("The text after the command has more than {most} characters."),
            },
            _ => HookVerdict::Pass,
        }
    }
}

impl Hook for Length {
    fn spec(&self) -> HookSpec {
        HookSpec::new("length", &[HookPoint::MessageBeforeSend])
    }

    fn ask(
        self: Arc<Self>,
        request: HookRequest,
    ) -> BoxFuture<'static, Result<HookVerdict, HookFault>> {
        let verdict = match &request.data {
            HookData::Message(message) => self.decide(&message.content),
            _ => HookVerdict::Pass,
        };
        Box::pin(std::future::ready(Ok(verdict)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_commands_are_refused() {
        let hook = Length { max_characters: 3 };
        assert_eq!(hook.decide("a long message"), HookVerdict::Pass);
        assert_eq!(hook.decide("!wordgame abc"), HookVerdict::Pass);
        let verdict = hook.decide("!wordgame abcd");
        assert!(matches!(verdict, HookVerdict::Refuse { .. }), "{verdict:?}");
    }
}
