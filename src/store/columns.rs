//! How domain values stand in columns.
//! In: a row's raw values. Out: domain values, or `StoreError::Corrupt` with the column's name.
//! Implements DESIGN §8 (times as milliseconds, digests as 32 bytes).
//! Never guesses: a value that does not fit its type is corruption.

use rusqlite::Row;

use crate::domain::ids::Digest;
use crate::domain::time::Timestamp;

use super::StoreError;

pub(super) fn corrupt(column: &str) -> StoreError {
    StoreError::Corrupt(format!("the column `{column}` holds what its type does not allow"))
}

/// A text column through a parser.
pub(super) fn parsed<T, E>(
    row: &Row<'_>,
    column: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, StoreError> {
    let text: String = row.get(column)?;
    parse(&text).map_err(|_| corrupt(column))
}

pub(super) fn digest(row: &Row<'_>, column: &str) -> Result<Digest, StoreError> {
    let bytes: [u8; 32] = row.get(column)?;
    Ok(Digest::from_bytes(bytes))
}

pub(super) fn optional_digest(row: &Row<'_>, column: &str) -> Result<Option<Digest>, StoreError> {
    let bytes: Option<[u8; 32]> = row.get(column)?;
    Ok(bytes.map(Digest::from_bytes))
}

pub(super) fn time(row: &Row<'_>, column: &str) -> Result<Timestamp, StoreError> {
    Ok(Timestamp::from_millis(row.get(column)?))
}

pub(super) fn optional_time(row: &Row<'_>, column: &str) -> Result<Option<Timestamp>, StoreError> {
    let millis: Option<i64> = row.get(column)?;
    Ok(millis.map(Timestamp::from_millis))
}

pub(super) fn index(row: &Row<'_>, column: &str) -> Result<u64, StoreError> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| corrupt(column))
}

pub(super) fn optional_index(row: &Row<'_>, column: &str) -> Result<Option<u64>, StoreError> {
    let value: Option<i64> = row.get(column)?;
    value.map(|value| u64::try_from(value).map_err(|_| corrupt(column))).transpose()
}

/// An index as SQLite holds it.
pub(super) fn as_i64(index: u64) -> Result<i64, StoreError> {
    i64::try_from(index).map_err(|_| corrupt("entry"))
}

/// Every row of a query, each through `read`.
pub(super) fn collect<T>(
    statement: &mut rusqlite::CachedStatement<'_>,
    params: impl rusqlite::Params,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// The first row of a query, if any.
pub(super) fn first<T>(
    statement: &mut rusqlite::CachedStatement<'_>,
    params: impl rusqlite::Params,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut rows = statement.query(params)?;
    rows.next()?.map(read).transpose()
}
