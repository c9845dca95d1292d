//! Whose word is taken for the calls: credentials as they are found, found anew, and refused if they cannot be sent.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::identity::Identity;
use backfill_core::{Error, ErrorKind, Result};

use crate::account::Account;

/// Credentials are asked for again this long before they expire.
const RENEW_BEFORE: Duration = Duration::from_secs(10);
/// Credentials that do not say when they expire are asked for again after this long, as by the SDK.
const RENEW_AFTER: Duration = Duration::from_secs(15 * 60);

/// The credentials and whoever gives them.
#[derive(Debug)]
pub(crate) struct Source {
    provider: Option<SharedCredentialsProvider>,
    /// Finds the provider anew: this one has read the files of profiles once and for all.
    finder: Option<Finder>,
    /// It is to be found anew, since what it gave was refused.
    is_stale: bool,
    /// There were credentials before.
    were_there: bool,
    /// Whose the credentials were up to now.
    account: Account,
}

/// Finds a provider of credentials by what environment and profile say at that moment.
///
/// It is made of a closure, so that the functions, which never find one anew, have nothing of the chain of providers in them.
pub(crate) struct Finder(Box<dyn Fn() -> Finding + Send + Sync>);

type Finding = Pin<Box<dyn Future<Output = Option<SharedCredentialsProvider>> + Send>>;

impl Finder {
    pub(crate) fn new<F, Found>(find: F) -> Finder
    where
        F: Fn() -> Found + Send + Sync + 'static,
        Found: Future<Output = Option<SharedCredentialsProvider>> + Send + 'static,
    {
        Finder(Box::new(move || Box::pin(find())))
    }
}

impl fmt::Debug for Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Finder")
    }
}

/// Credentials, whose they are, and until when they are used.
pub(crate) struct Found {
    pub(crate) identity: Identity,
    pub(crate) account: Account,
    pub(crate) until: SystemTime,
}

impl Source {
    pub(crate) fn new(
        provider: Option<SharedCredentialsProvider>,
        finder: Option<Finder>,
    ) -> Source {
        Source {
            provider,
            finder,
            is_stale: false,
            were_there: false,
            account: Account::default(),
        }
    }

    /// What it gives is refused, so it is found anew before it is asked again.
    pub(crate) fn distrust(&mut self) {
        self.is_stale = true;
    }

    /// Asks for credentials, `now` by AWS's time. Those of another account than before are refused.
    ///
    /// Errors: `MissingCredentials` of ours; a [`CredentialsError`] for what becomes of the provider.
    pub(crate) async fn find(
        &mut self,
        now: SystemTime,
    ) -> std::result::Result<Found, aws_sdk_dynamodb::error::BoxError> {
        if let Some(finder) = self.finder.as_ref().filter(|_| self.is_stale) {
            let provider = (finder.0)();
            self.provider = provider.await;
        }
        let given = match self.ask().await {
            Ok(given) => given,
            // There were some before: somebody is just writing them anew, or is about to sign in. That passes.
            Err(error) if self.were_there => {
                self.is_stale = true;
                return Err(CredentialsError::provider_error(error).into());
            }
            Err(error) => return Err(error.into()),
        };
        if let Err(error) = can_be_sent(&given) {
            self.is_stale = true;
            return Err(error.into());
        }
        let identity = Identity::from(given);
        let account = Account::of(&identity);
        if account.is_another(&self.account) {
            self.is_stale = true;
            return Err(another_account(&self.account, &account).into());
        }
        self.is_stale = false;
        self.were_there = true;
        self.account = account.clone().or(&self.account);
        let until = match identity.expiration() {
            Some(end) => end - RENEW_BEFORE,
            None => now + RENEW_AFTER,
        };
        Ok(Found {
            identity,
            account,
            until,
        })
    }

    async fn ask(&self) -> std::result::Result<Credentials, CredentialsError> {
        let provider = self.provider.as_ref();
        let missing = || CredentialsError::not_loaded("no provider is set");
        provider.ok_or_else(missing)?.provide_credentials().await
    }
}

/// Key id and session token stand in headers, and the secret is part of every signature: a line break in one of them, such as
/// `export` of a file's content leaves behind, could not be sent, or would have every call refused.
fn can_be_sent(credentials: &Credentials) -> Result<()> {
    let in_headers = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
    let in_signatures = |text: &str| !text.chars().any(char::is_control) && text.trim() == text;
    let parts = [
        (
            "access key id",
            "AWS_ACCESS_KEY_ID",
            in_headers(credentials.access_key_id()),
        ),
        (
            "secret access key",
            "AWS_SECRET_ACCESS_KEY",
            in_signatures(credentials.secret_access_key()),
        ),
        (
            "session token",
            "AWS_SESSION_TOKEN",
            credentials.session_token().is_none_or(in_headers),
        ),
    ];
    match parts.into_iter().find(|(_, _, is_fit)| !is_fit) {
        None => Ok(()),
        Some((part, variable, _)) => Err(Error::new(
            ErrorKind::MissingCredentials,
            format!(
                "credentials: the {part} has a character that none has, such as a line break or a space; set it \
                 anew, in {variable} or in the profile"
            ),
        )),
    }
}

/// Going on would read and write a table of the same name in another account.
fn another_account(before: &Account, now: &Account) -> Error {
    let unknown = || "unknown".to_owned();
    Error::new(
        ErrorKind::MissingCredentials,
        format!(
            "credentials: those that are found now are of account {}, and this began with those of account {}; nothing was sent \
             with them; sign in to the account of before, and start again to go on",
            now.words().unwrap_or_else(unknown),
            before.words().unwrap_or_else(unknown)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_that_could_not_be_sent_are_refused_by_their_name() {
        let of = |id: &str, secret: &str, token: Option<&str>| {
            can_be_sent(&Credentials::new(
                id,
                secret,
                token.map(Into::into),
                None,
                "test",
            ))
        };
        of("AKIA", "se/cr+et=", Some("to/ken+==")).unwrap();
        of("local", "with a space", None).unwrap();
        for (refused, part) in [
            (of("AK\nIA", "s", None), "access key id"),
            (of("AKIA ", "s", None), "access key id"),
            (of("AKIÄ", "s", None), "access key id"),
            (of("AKIA", "s\r\n", None), "secret access key"),
            (of("AKIA", "s", Some("to\nken")), "session token"),
        ] {
            let error = refused.unwrap_err();
            assert!(error.kind().is_refusal());
            let said = error.to_string();
            assert!(
                said.starts_with(&format!("credentials: the {part} has")),
                "{said}"
            );
            assert!(!said.contains("AK") && !said.contains("ken\n"), "{said}");
        }
    }
}
