//! The documents that vouch for passkeys, read.
//! In: the files that the configuration names. Out: the use cases' `DeviceSettings`.
//! Implements DESIGN §12.
//! Never judges what is in them: `app` does.

use std::collections::BTreeMap;
use std::path::Path;

use super::not_opened::OpenError;
use super::open;
use crate::app::settings::{DeviceSettings, MetadataDocuments, MetadataSource, OwnRootDocuments};
use crate::config::devices::{DeviceSettings as Typed, MetadataFiles, RootSettings};
use crate::config::read_limited;
use crate::domain::assurance::models::MAX_BLOB;

/// A document as it stands now.
///
/// # Errors
/// It cannot be read, or is too long.
pub fn document(path: &Path) -> Result<Vec<u8>, OpenError> {
    read_limited(path, MAX_BLOB).map_err(OpenError::Document)
}

/// The metadata's documents, as they stand now.
///
/// # Errors
/// A file that cannot be read.
pub fn metadata(files: &MetadataFiles) -> Result<MetadataDocuments, OpenError> {
    Ok(MetadataDocuments { blob: document(&files.blob)?, root: document(&files.root)? })
}

/// As `metadata`, where one that is fetched may not be there yet.
fn metadata_if_there(files: &MetadataFiles) -> Result<Option<MetadataDocuments>, OpenError> {
    if files.fetch.is_some() && !open::exists(&files.blob) { Ok(None) } else { metadata(files).map(Some) }
}

fn source(files: &MetadataFiles) -> Result<Option<MetadataSource>, OpenError> {
    let Some(fetch) = &files.fetch else { return Ok(None) };
    Ok(Some(MetadataSource {
        url: fetch.url.clone(),
        ca_file: fetch.ca_file.clone(),
        allow_private: fetch.allow_private,
        blob_file: files.blob.clone(),
        root: document(&files.root)?,
    }))
}

/// The lists of revoked certificates as they stand now, by the names of the roots above them.
///
/// # Errors
/// A file that cannot be read.
pub fn revoked(roots: &[RootSettings]) -> Result<BTreeMap<String, Vec<u8>>, OpenError> {
    let listed = roots.iter().filter_map(|root| Some((root, root.revocation_file.as_deref()?)));
    listed.map(|(root, file)| Ok((root.name.clone(), document(file)?))).collect()
}

/// Reads everything that vouches.
///
/// # Errors
/// A file that cannot be read.
pub fn read(typed: &Typed) -> Result<DeviceSettings, OpenError> {
    let mut own_roots = Vec::new();
    for root in &typed.roots {
        own_roots.push(OwnRootDocuments {
            name: root.name.clone(),
            format: root.format.clone(),
            aaguids: root.aaguids.clone(),
            roots: document(&root.file)?,
            revoked: root.revocation_file.as_deref().map(document).transpose()?,
        });
    }
    let mut devices = DeviceSettings {
        metadata: typed.metadata.as_ref().map(metadata_if_there).transpose()?.flatten(),
        metadata_source: typed.metadata.as_ref().map(source).transpose()?.flatten(),
        own_roots,
        trust_unattested_uv: typed.trust_unattested_uv,
        policies: typed.policies.iter().map(|(policy, _)| policy.clone()).collect(),
        enrolment: typed.enrolment.iter().cloned().collect(),
        ..DeviceSettings::default()
    };
    for (policy, groups) in &typed.policies {
        for group in groups {
            devices.groups.entry(group.clone()).or_default().push(policy.name.clone());
        }
    }
    Ok(devices)
}
