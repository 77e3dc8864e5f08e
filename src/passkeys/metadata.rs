//! The FIDO Metadata Service: which models there are, who vouches for them, and what is known against them.
//! In: a blob as FIDO signs it, the root that the operator pinned. Out: `Metadata`.
//! Implements FIDO Metadata Service 3.1 §3.1 and §3.2; RFC 7515 with `x5c`.
//! Never takes a value that does not lead to the pinned root; one bad entry spoils no others, and is counted; what it reports is heard.

use std::collections::BTreeSet;
use std::collections::btree_map::Entry as Slot;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use openssl::bn::BigNum;
use openssl::ecdsa::EcdsaSig;
use openssl::x509::X509;
use serde::Deserialize;
use serde_json::Value;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::OID_X509_COMMON_NAME;

use super::attestation::{Certificate, anchor, verify};
use crate::domain::assurance::evidence::{Aaguid, Certification, KeyProtection, Method, Model};
use crate::domain::assurance::models::{EVERYBODYS, Listed, MAX_BLOB, Metadata};
use crate::domain::time::Timestamp;

/// Longest header of a blob, in bytes: its certificates.
pub const MAX_HEADER: usize = 64 * 1024;
/// Most models that are read of a blob.
pub const MAX_MODELS: usize = 10_000;

/// Whose certificate signs the blob.
const SIGNER: &str = "mds.fidoalliance.org";
/// What makes a model untrusted.
const COMPROMISED: [&str; 4] =
    ["REVOKED", "ATTESTATION_KEY_COMPROMISE", "USER_KEY_REMOTE_COMPROMISE", "USER_KEY_PHYSICAL_COMPROMISE"];

#[derive(Deserialize)]
struct Header {
    alg: String,
    x5c: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dated {
    next_update: String,
}

#[derive(Deserialize)]
struct Numbered {
    no: u64,
}

#[derive(Deserialize)]
struct Payload {
    no: u64,
    entries: Vec<Value>,
}

/// What must be heard of an entry, whatever else of it cannot be read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    aaguid: String,
    #[serde(default)]
    status_reports: Value,
    #[serde(default)]
    metadata_statement: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    description: String,
    key_protection: BTreeSet<KeyProtection>,
    #[serde(default)]
    user_verification_details: Vec<Vec<Detail>>,
    #[serde(default)]
    attachment_hint: BTreeSet<String>,
    attestation_root_certificates: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    user_verification_method: Method,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    status: String,
    #[serde(default)]
    effective_date: String,
}

/// Reads a blob. Its certificates must have been good while it was the newest; whether it still is, `is_stale` says.
///
/// # Errors
/// What is wrong with it as a whole.
pub fn read(blob: &[u8], root: &[u8], now: Timestamp) -> Result<Metadata, String> {
    if blob.len() > MAX_BLOB {
        return Err(format!("it has more than {MAX_BLOB} bytes"));
    }
    let text = std::str::from_utf8(blob).map_err(|_| "it is not UTF-8")?.trim();
    let mut parts = text.split('.');
    let (Some(head), Some(body), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("it is not a signed blob of three parts".into());
    };
    if head.len() > MAX_HEADER {
        return Err(format!("its header has more than {MAX_HEADER} bytes"));
    }
    let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| "it is not base64url".to_owned());
    let header: Header = serde_json::from_slice(&decode(head)?).map_err(|_| "its header cannot be read")?;
    let decoded = header.x5c.iter().map(|der| BASE64.decode(der.as_bytes()));
    let chain: Vec<_> = decoded.collect::<Result<_, _>>().map_err(|_| "its certificates are not base64")?;
    let leaf = chain.first().ok_or("it names no certificate")?;
    let leaf = Certificate::read(leaf)?;
    let signed = [head.as_bytes(), b".", body.as_bytes()].concat();
    if !is_signed(&leaf, &header.alg, &decode(signature)?, &signed)? {
        return Err("its signature does not verify".to_owned());
    }
    // Of what anybody may have signed, the date is read and nothing kept.
    let contents = decode(body)?;
    let unread = |_| "its contents cannot be read";
    let dated: Dated = serde_json::from_slice(&contents).map_err(unread)?;
    let next_update = day_after(&dated.next_update).ok_or("its `nextUpdate` is no date")?;
    anchor(&chain, &roots(root)?, now.min(next_update)).map_err(|error| format!("whoever signed it: {error}"))?;
    if !is_fidos(&leaf)? {
        return Err(format!("it is signed by another than {SIGNER}"));
    }
    Ok(listed(serde_json::from_slice(&contents).map_err(unread)?, next_update))
}

/// The number that a blob claims for itself, whoever signed it; `None` where it is no blob.
#[must_use]
pub fn claimed_number(blob: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(blob).ok()?.trim();
    let contents = BASE64URL_NOPAD.decode(text.split('.').nth(1)?.as_bytes()).ok()?;
    serde_json::from_slice::<Numbered>(&contents).ok().map(|blob| blob.no)
}

/// Certificates of a file, PEM or DER.
///
/// # Errors
/// There is none in it.
pub fn roots(file: &[u8]) -> Result<BTreeSet<Vec<u8>>, String> {
    let read = match X509::from_der(file) {
        Ok(one) => Ok(vec![one]),
        Err(_) => X509::stack_from_pem(file),
    };
    let found: Result<BTreeSet<_>, _> = read.unwrap_or_default().iter().map(|one| one.to_der()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err("there is no certificate in it, PEM or DER".to_owned()),
    }
}

/// Serial numbers of a list of revoked certificates, as Google publishes it for Android.
///
/// # Errors
/// It is not such a list.
pub fn revoked(list: &[u8]) -> Result<BTreeSet<String>, String> {
    let list: Value = serde_json::from_slice(list).map_err(|_| "the list of revoked certificates is not JSON")?;
    let entries = list.get("entries").and_then(Value::as_object);
    let entries = entries.ok_or("the list of revoked certificates has no `entries`")?;
    Ok(entries.keys().map(|serial| serial.to_ascii_lowercase().trim_start_matches('0').to_owned()).collect())
}

fn is_signed(leaf: &Certificate, algorithm: &str, signature: &[u8], signed: &[u8]) -> Result<bool, String> {
    let key = leaf.key()?;
    match algorithm {
        "RS256" => Ok(verify(&key, -257, signature, signed)),
        "ES256" => {
            let Some((r, s)) = signature.split_at_checked(32) else { return Ok(false) };
            let number = |bytes: &[u8]| BigNum::from_slice(bytes);
            let der = number(r).and_then(|r| EcdsaSig::from_private_components(r, number(s)?)).and_then(|s| s.to_der());
            Ok(s.len() == 32 && der.is_ok_and(|der| verify(&key, -7, &der, signed)))
        }
        other => Err(format!("its algorithm `{}` is not taken", super::error::shown(other))),
    }
}

fn is_fidos(leaf: &Certificate) -> Result<bool, String> {
    let parsed = leaf.parsed()?;
    let names = parsed.subject_alternative_name().ok().flatten();
    let by_name = names
        .is_some_and(|names| names.value.general_names.iter().any(|name| matches!(name, GeneralName::DNSName(SIGNER))));
    Ok(by_name || leaf.subject(&OID_X509_COMMON_NAME)? == [SIGNER])
}

/// The blob is the newest until the end of the day on which the next is due.
fn day_after(date: &str) -> Option<Timestamp> {
    let day: jiff::civil::Date = date.parse().ok()?;
    let next = day.tomorrow().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp::from_seconds(next.timestamp().as_second()))
}

fn listed(payload: Payload, next_update: Timestamp) -> Metadata {
    let mut metadata = Metadata { number: payload.no, next_update, ..Metadata::default() };
    for entry in payload.entries {
        // U2F and UAF have other ids and no passkeys.
        if entry.get("aaguid").is_none() {
            continue;
        }
        let Some((aaguid, reports, statement)) = reported(entry) else {
            metadata.skipped += 1;
            continue;
        };
        // Whatever was ever broken stays so: nothing here tells which firmware a key has.
        let has = |status: &str| reports.iter().any(|report| report.as_ref().is_ok_and(|one| one.status == status));
        let compromised = COMPROMISED.iter().any(|status| has(status));
        let bypassed = has("USER_VERIFICATION_BYPASS");
        let known = metadata.entries.len();
        match metadata.entries.entry(aaguid) {
            // The first stands; what the second knows against the model counts all the same.
            Slot::Occupied(mut first) => {
                metadata.skipped += 1;
                let first = first.get_mut();
                first.compromised |= compromised;
                first.bypassed |= bypassed;
            }
            Slot::Vacant(_) if known >= MAX_MODELS => metadata.skipped += 1,
            Slot::Vacant(slot) => {
                let reports: Result<Vec<_>, _> = reports.into_iter().collect();
                let read = reports.ok().and_then(|reports| model(statement, &reports));
                metadata.skipped += usize::from(read.is_none());
                // One that cannot be read has no root, and so vouches for nothing.
                slot.insert(Listed { compromised, bypassed, ..read.unwrap_or_default() });
            }
        }
    }
    metadata
}

type Reported = (Aaguid, Vec<Result<Report, serde_json::Error>>, Value);

/// The model of an entry, and what is reported of it, each report by itself.
fn reported(entry: Value) -> Option<Reported> {
    let entry: Entry = serde_json::from_value(entry).ok()?;
    let aaguid = Aaguid::parse(&entry.aaguid).filter(|aaguid| *aaguid != EVERYBODYS)?;
    let reports = match entry.status_reports {
        Value::Array(reports) => reports.into_iter().map(serde_json::from_value).collect(),
        other => vec![serde_json::from_value(other)],
    };
    Some((aaguid, reports, entry.metadata_statement))
}

fn model(statement: Value, reports: &[Report]) -> Option<Listed> {
    let statement: Statement = serde_json::from_value(statement).ok()?;
    let roots = statement.attestation_root_certificates.iter().map(|text| {
        let text: String = text.split_ascii_whitespace().collect();
        BASE64.decode(text.as_bytes()).ok()
    });
    let ways = statement.user_verification_details.into_iter();
    let ways = ways.map(|all| all.into_iter().map(|detail| detail.user_verification_method).collect());
    let hint = &statement.attachment_hint;
    Some(Listed {
        model: Model {
            name: statement.description.chars().filter(|letter| !letter.is_control()).take(200).collect(),
            key_protection: statement.key_protection,
            verification: ways.collect(),
            certification: certification(reports),
            fips: fips(reports),
            roaming: hint.contains("external") && !hint.contains("internal"),
        },
        roots: roots.collect::<Option<_>>()?,
        ..Listed::default()
    })
}

/// The status of the newest report of a kind; of two of one day, the later in the list.
fn newest(reports: &[Report], is_one: impl Fn(&str) -> bool) -> Option<&str> {
    let about = reports.iter().filter(|report| is_one(&report.status));
    about.max_by(|a, b| a.effective_date.cmp(&b.effective_date)).map(|report| report.status.as_str())
}

fn certification(reports: &[Report]) -> Option<Certification> {
    let newest = newest(reports, |status| status == "NOT_FIDO_CERTIFIED" || status.starts_with("FIDO_CERTIFIED"))?;
    match newest.strip_prefix("FIDO_CERTIFIED")? {
        "" => Some(Certification::L1),
        level => Certification::parse(level.strip_prefix('_')?),
    }
}

/// The overall level of FIPS 140, which is 1 to 4.
fn fips(reports: &[Report]) -> Option<u8> {
    const VALIDATED: &str = "FIPS140_CERTIFIED_L";
    let level = newest(reports, |status| status.starts_with(VALIDATED))?.strip_prefix(VALIDATED)?;
    level.parse().ok().filter(|level| (1..=4).contains(level))
}

#[cfg(test)]
mod tests;
