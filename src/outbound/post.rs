//! One notice to one webhook.
//! In: a notice. Out: it was taken, or why not, without a word of the address or the answer.
//! Implements Standard Webhooks 1.0.
//! Never reads what is answered.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::agent::Agent;
use super::secret::Secret;
use super::{Notice, OutboundError};
use crate::domain::time::Timestamp;

/// Time for a whole attempt.
pub const POST_WITHIN: Duration = Duration::from_secs(10);

/// Sends to one webhook.
pub(super) struct Poster {
    agent: Agent,
    url: Url,
    secret: Arc<Secret>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Poster {
    pub(super) fn new(
        url: Url,
        secret: Arc<Secret>,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Result<Self, OutboundError> {
        let agent = Agent::new(url.scheme() == "https", POST_WITHIN)?;
        Ok(Self { agent, url, secret, now })
    }

    /// One attempt.
    ///
    /// # Errors
    /// Why it was not taken.
    pub(super) fn post(&self, notice: &Notice) -> Result<(), String> {
        let seconds = (self.now)().seconds();
        let headers = [
            ("content-type", "application/json"),
            ("webhook-id", &notice.id),
            ("webhook-timestamp", &seconds.to_string()),
            ("webhook-signature", &self.secret.sign(&notice.id, seconds, &notice.body)),
        ];
        match self.agent.post(&self.url, &headers, &notice.body)? {
            200..300 => Ok(()),
            status => Err(format!("it answered with status {status}")),
        }
    }
}
