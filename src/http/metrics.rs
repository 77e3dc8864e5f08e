//! `/metrics`: the server in numbers, as Prometheus reads them.
//! In: nothing. Out: its text format, version 0.0.4.
//! Implements Prometheus' exposition format; DESIGN §12.
//! Never has a label that a job, a person or a caller could choose.

use std::fmt::{Display, Write as _};

use actix_web::HttpResponse;
use actix_web::http::header;

use crate::app::measure::Measured;
use crate::domain::time::Timestamp;

use super::edge::Shared;

/// What the text format is called.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The numbers.
pub async fn page(edge: Shared) -> HttpResponse {
    match edge.app.measure() {
        Ok(measured) => HttpResponse::Ok()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .content_type(TEXT)
            .body(text(&measured)),
        Err(error) => edge.fail_script(error),
    }
}

/// One metric after the other.
struct Metrics(String);

impl Metrics {
    /// A metric with a sample for each label.
    fn add(&mut self, name: &str, kind: &str, help: &str, samples: impl IntoIterator<Item = (String, String)>) {
        // Writing to a text does not fail.
        let _ = writeln!(self.0, "# HELP countersign_{name} {help}\n# TYPE countersign_{name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(self.0, "countersign_{name}{labels} {value}");
        }
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.add(name, "gauge", help, [(String::new(), value.to_string())]);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.add(name, "counter", help, [(String::new(), value.to_string())]);
    }
}

fn seconds(at: Timestamp) -> String {
    format!("{}.{:03}", at.millis() / 1000, at.millis() % 1000)
}

fn text(measured: &Measured) -> String {
    let mut metrics = Metrics(String::new());
    metrics.gauge("ready", "Whether it can issue; `/readyz` says what is wrong.", u8::from(measured.ready));
    metrics.gauge("warnings", "What wants an operator and keeps it from nothing.", measured.warnings);
    metrics.gauge("log_entries", "Entries of the log.", measured.entries);
    metrics.gauge("log_newest_timestamp_seconds", "When the newest entry was made.", seconds(measured.newest));
    metrics.gauge("requests_with_waiters", "Requests that a call is held for.", measured.waiting);
    let help = "Job tokens refused before they could be logged.";
    metrics.counter("unverified_refusals_total", help, measured.unverified_refusals);
    let help = "Claims of job tokens that this version does not know.";
    metrics.counter("unknown_claims_total", help, measured.unknown_claims);
    let label = |name: &dyn Display| format!("{{issuer=\"{name}\"}}");
    let usable = measured.issuers.iter().map(|(name, usable, _)| (label(name), u8::from(*usable).to_string()));
    metrics.add("issuer_usable", "gauge", "Whether tokens of the issuer can be verified.", usable);
    let age = measured
        .issuers
        .iter()
        .filter_map(|(name, _, fetched)| Some((label(name), measured.now.since((*fetched)?).as_secs().to_string())));
    metrics.add("issuer_keys_age_seconds", "gauge", "How long ago the issuer's keys were fetched.", age);
    let age = measured.signing.iter().map(|(alg, since)| {
        (format!("{{alg=\"{}\"}}", alg.as_str()), measured.now.since(*since).as_secs().to_string())
    });
    metrics.add("signing_key_age_seconds", "gauge", "How long the key of the algorithm has signed.", age);
    if let Some(metadata) = &measured.metadata {
        metrics.gauge("metadata_number", "Serial number of FIDO's metadata in force.", metadata.number);
        metrics.gauge("metadata_models", "Models that it lists.", metadata.models);
        let help = "When it has the next one due; after that it proves no new passkey.";
        metrics.gauge("metadata_next_update_timestamp_seconds", help, seconds(metadata.next_update));
    }
    metrics.0
}

#[cfg(test)]
mod tests {
    use crate::app::measure::MeasuredMetadata;
    use crate::domain::ids::IssuerName;
    use crate::domain::rules::TokenAlg;

    use super::*;

    #[test]
    fn each_number_has_its_line() {
        let at = Timestamp::from_millis(1_795_430_400_050);
        let measured = Measured {
            ready: true,
            warnings: 2,
            entries: 18_232,
            newest: at,
            waiting: 3,
            unverified_refusals: 7,
            unknown_claims: 0,
            issuers: vec![
                (IssuerName::parse("gitlab").unwrap(), true, Some(Timestamp::from_seconds(1_795_430_390))),
                (IssuerName::parse("pinned").unwrap(), false, None),
            ],
            signing: vec![(TokenAlg::Rs256, Timestamp::from_seconds(1_795_430_300))],
            metadata: Some(MeasuredMetadata { number: 42, models: 300, next_update: at }),
            now: at,
        };
        let text = text(&measured);
        for line in [
            "# TYPE countersign_ready gauge\ncountersign_ready 1\n",
            "countersign_log_entries 18232\n",
            "countersign_log_newest_timestamp_seconds 1795430400.050\n",
            "# TYPE countersign_unverified_refusals_total counter\ncountersign_unverified_refusals_total 7\n",
            "countersign_issuer_usable{issuer=\"gitlab\"} 1\ncountersign_issuer_usable{issuer=\"pinned\"} 0\n",
            "countersign_issuer_keys_age_seconds{issuer=\"gitlab\"} 10\n# HELP",
            "countersign_signing_key_age_seconds{alg=\"RS256\"} 100\n",
            "countersign_metadata_number 42\n",
            "countersign_metadata_next_update_timestamp_seconds 1795430400.050\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(!super::text(&Measured { metadata: None, ..measured }).contains("metadata"));
    }
}
