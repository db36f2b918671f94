//! E-mails by SMTP.

#[cfg(feature = "smtp")]
pub use with_smtp::{SmtpServer, is_sender};
#[cfg(not(feature = "smtp"))]
pub use without_smtp::{SmtpServer, is_sender};

/// True if this program can send e-mails by SMTP.
pub const IS_BUILT_IN: bool = cfg!(feature = "smtp");

#[cfg(feature = "smtp")]
mod with_smtp {
    use std::time::Duration;

    use chat_sdk::settings::Uri;
    use lettre::{
        Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
        message::{Mailbox, header::ContentType},
    };

    /// Returns true if a text is a sender of e-mails: an address, with or without a name.
    pub fn is_sender(text: &str) -> bool {
        text.parse::<Mailbox>().is_ok()
    }

    /// SMTP server and the sender of all e-mails.
    pub struct SmtpServer {
        server: AsyncSmtpTransport<Tokio1Executor>,
        from: Mailbox,
    }

    impl SmtpServer {
        /// Uses the server at `url`; each step of an e-mail may take `timeout`.
        ///
        /// # Errors
        /// The problem, without the URL, which may hold a password.
        pub fn new(url: &Uri, from: &str, timeout: Duration) -> Result<Self, &'static str> {
            let server = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose())
                .map_err(|_| "ACCOUNTS_MAIL_URL is not accepted")?
                .timeout(Some(timeout))
                .build();
            let from = from.parse();
            let from = from.map_err(|_| "ACCOUNTS_MAIL_FROM is not accepted")?;
            Ok(Self { server, from })
        }

        /// Sends an e-mail of plain text.
        ///
        /// # Errors
        /// The reason, without the recipient and the content.
        pub async fn send(
            &self,
            id: &str,
            to: &str,
            subject: &str,
            text: String,
        ) -> Result<(), String> {
            let to = to.parse::<Address>();
            let to = to.map_err(|_| "the address is not accepted".to_owned())?;
            let domain = self.from.email.domain();
            let message = Message::builder()
                .from(self.from.clone())
                .to(Mailbox::new(None, to))
                .message_id(Some(format!("<{id}@{domain}>")))
                .subject(subject)
                .header(ContentType::TEXT_PLAIN)
                .body(text)
                .map_err(|_| "the e-mail cannot be written".to_owned())?;
            // The error may quote the answer of the server, and with it the recipient.
            let sent = self.server.send(message).await;
            sent.map(drop).map_err(|error| match error.status() {
                Some(code) => format!("the server answered {code}"),
                None if error.is_timeout() => "the server did not answer in time".to_owned(),
                None => "the server could not be reached, or broke the connection".to_owned(),
            })
        }
    }
}

#[cfg(not(feature = "smtp"))]
mod without_smtp {
    use std::time::Duration;

    use chat_sdk::settings::Uri;

    /// Returns true if a text can be a sender of e-mails.
    pub fn is_sender(text: &str) -> bool {
        text.contains('@')
    }

    /// SMTP server, which nothing creates in this program.
    pub enum SmtpServer {}

    impl SmtpServer {
        /// Fails: the settings reject SMTP before.
        ///
        /// # Errors
        /// Always.
        pub fn new(_url: &Uri, _from: &str, _timeout: Duration) -> Result<Self, &'static str> {
            Err("this program was built without SMTP")
        }

        /// Sends nothing: there is no server.
        ///
        /// # Errors
        /// Never, because there is no server.
        pub async fn send(
            &self,
            _id: &str,
            _to: &str,
            _subject: &str,
            _text: String,
        ) -> Result<(), String> {
            match *self {}
        }
    }
}
