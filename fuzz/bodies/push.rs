//! Where browsers take messages, and whom the operator talks to.

use countersign::domain::push::{SERVICES, Service, Subscription};
use serde_json::Value;

use super::text;

/// What is taken is https of a named host, read again it is the same, and it is shown without its path.
pub fn push_subscription(bytes: &[u8]) -> bool {
    let Some(typed) = text(bytes).and_then(|text| serde_json::from_str::<Value>(text).ok()) else { return false };
    let part = |name: &str| typed.get(name).and_then(Value::as_str).unwrap_or_default();
    let Ok(read) = Subscription::parse(part("endpoint"), part("p256dh"), part("auth")) else { return false };
    let url = read.endpoint();
    assert!(url.scheme() == "https" && url.username().is_empty() && url.domain().is_some());
    assert_eq!(Subscription::of(url.as_str(), read.key, read.auth).as_ref(), Ok(&read));
    assert_eq!(format!("{read:?}"), format!("Subscription({}, …)", read.host()));
    let served = |text: &&&str| Service::parse(text).unwrap().serves(&read);
    if let Some(service) = SERVICES.iter().find(served) {
        assert!(read.host().ends_with(service.trim_start_matches('*')) && read.audience().starts_with("https://"));
    }
    true
}
