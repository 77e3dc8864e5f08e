//! Goes on after a restore: a database that is behind the high-water mark, and an operator who says that it must be so.
//! In: a restored database. Out: a store whose newest entry says what was lost; all that was pending is void.
//! Implements DESIGN §7 (`log resume --after-restore`).
//! Never resumes a log that was not put back.

use rusqlite::params;

use crate::domain::log::entry::Event;
use crate::domain::log::high_water::{HighWater, Mark};
use crate::domain::time::Timestamp;

use super::ceremonies::CeremonyKind;
use super::columns::as_i64;
use super::logouts::MAX_LOGOUT_NOTICES;
use super::open::{Opening, lock, start};
use super::{DATABASE, Reader, Store, StoreError, Unit, connection, migrations, startup};

/// The key in `meta` under which the time of the last resumption stands, in milliseconds.
const RESUMED: &str = "resumed";

impl Store {
    /// Opens a database that was put back, records what the mark says was lost, and voids what was pending. `check`
    /// looks at the database before anything is written: the checkpoint that seals the entry would hide another key.
    ///
    /// # Errors
    /// `Invalid` where nothing was put back, everything that `open` refuses but `RolledBack`, and what `check` says.
    pub fn resume<E: From<StoreError>>(
        mut opening: Opening,
        check: impl FnOnce(&Reader<'_>) -> Result<(), E>,
    ) -> Result<(Self, u64), E> {
        let path = opening.directory.join(DATABASE);
        if !path.is_file() {
            return Err(StoreError::Missing.into());
        }
        let held = lock(&opening.directory)?;
        let mut conn = connection::writer(&path, opening.max_size)?;
        migrations::migrate(&mut conn)?;
        let lost = opening.mark.read().map_err(StoreError::Mark)?.ok_or(StoreError::NoMark)?;
        match startup::check(&Reader::new(&conn), &opening.origin, &lost) {
            Err(StoreError::RolledBack { .. }) => {}
            Err(other) => return Err(other.into()),
            Ok(_) => {
                let what = "the log agrees with its high-water mark, so nothing was put back; start it as usual";
                return Err(StoreError::Invalid(what.to_owned()).into());
            }
        }
        // A tree of nothing agrees with every log: all other checks are made as at any start.
        let nothing = Mark { size: 0, root: crate::domain::log::merkle::empty_root() };
        let (position, _) = startup::check(&Reader::new(&conn), &opening.origin, &nothing)?;
        check(&Reader::new(&conn))?;
        // The entry first, then the mark: if the process dies in between, the next start refuses as this one did.
        opening.mark = Box::new(GoingBack { mark: opening.mark, first: true });
        let store = start(opening, &path, held, conn, position)?;
        let entry = store.write_blocking(move |unit| record(unit, &lost))?;
        Ok((store, entry))
    }
}

/// A mark whose first write may go back.
struct GoingBack {
    mark: Box<dyn HighWater>,
    first: bool,
}

impl HighWater for GoingBack {
    fn read(&self) -> Result<Option<Mark>, String> {
        self.mark.read()
    }

    fn write(&mut self, mark: &Mark) -> Result<(), String> {
        if std::mem::take(&mut self.first) { self.mark.reset(mark) } else { self.mark.write(mark) }
    }

    fn reset(&mut self, mark: &Mark) -> Result<(), String> {
        self.mark.reset(mark)
    }
}

/// The entry, and the end of all that was pending: nobody knows what became of it in the part that is lost.
fn record(unit: &mut Unit<'_>, lost: &Mark) -> Result<u64, StoreError> {
    let entry = unit.append(Event::Restored { lost_size: lost.size, lost_root: lost.root })?;
    let now = unit.now().millis();
    let conn = unit.conn();
    let void = "UPDATE request SET state = 'voided', state_entry = ?1 WHERE state IN ('open', 'contested')";
    conn.prepare_cached(void)?.execute(params![as_i64(entry)?])?;
    let ceremonies = CeremonyKind::ALL.map(CeremonyKind::table);
    for begun in ceremonies.into_iter().chain(["sign_in_ceremony", "link_code", "device_request"]) {
        conn.execute(&format!("DELETE FROM {begun}"), [])?;
    }
    conn.prepare_cached("UPDATE session SET ended = ?1 WHERE ended IS NULL")?.execute(params![now])?;
    // Whoever made a session of their own of it is told, as far as is known what was given.
    let tell = "INSERT INTO logout_notice (client, person, sid, created, due)
                SELECT DISTINCT client, person, sid, ?1, ?1 FROM oauth_grant WHERE ended IS NULL AND ends >= ?1
                LIMIT max(0, ?2 - (SELECT count(*) FROM logout_notice))
                ON CONFLICT (client, sid) DO NOTHING";
    conn.prepare_cached(tell)?.execute(params![now, i64::try_from(MAX_LOGOUT_NOTICES).unwrap_or(0)])?;
    conn.prepare_cached("UPDATE oauth_grant SET ended = ?1, why = 'restored' WHERE ended IS NULL")?
        .execute(params![now])?;
    // What was taken back in the lost part would come back: people are asked once more.
    for waiting in ["authorization_request", "access_token", "consent"] {
        conn.execute(&format!("DELETE FROM {waiting}"), [])?;
    }
    let end = "UPDATE invitation SET ended = coalesce(ended, ?1), session_sha256 = NULL, session_until = NULL";
    conn.prepare_cached(end)?.execute(params![now])?;
    let void = "UPDATE change SET state = 'voided', due = NULL, ended = ?1 WHERE state IN ('open', 'admitted')";
    conn.prepare_cached(void)?.execute(params![as_i64(entry)?])?;
    // Whoever stopped one in the lost part is not told again.
    conn.prepare_cached("DELETE FROM push")?.execute([])?;
    let keep = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    conn.prepare_cached(keep)?.execute(params![RESUMED, now.to_string()])?;
    Ok(entry)
}

impl Reader<'_> {
    /// When the log last went on after a restore. Job tokens that are not younger may have been used in the lost part.
    pub fn resumed(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut select = self.conn().prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
        let mut rows = select.query(params![RESUMED])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let text: String = row.get(0)?;
        let millis = text.parse().map_err(|_| StoreError::Corrupt("`meta` holds no time".to_owned()))?;
        Ok(Some(Timestamp::from_millis(millis)))
    }
}
