//! Ends everything that people gave to one client: an admin says so, or the console.
//! In: a client's id, who says so. Out: how many grants ended, each with its entry, after one that says on whose word.
//! Implements RFC 6749 §10.4, RFC 7009 §2.1, DESIGN §10, §11.
//! Never stops halfway in silence: whatever is given while it runs ends, too.

use crate::domain::ids::{ClientId, PersonId};
use crate::domain::log::entry::{Event, GrantFields};
use crate::domain::oauth::grant::GrantEnd;
use crate::store::{StoreError, Unit};

use super::grants::end;
use super::propose_change::Asker;
use super::show_client::unknown_client;
use super::use_session::{admin_actor, freshly};
use super::{AppError, Countersign};

/// Most grants that one unit of the writer ends; more take several units.
pub const ENDED_AT_ONCE: usize = 100;

impl Countersign {
    /// Ends every grant to a client. On a page an admin's fresh sign-in is needed.
    pub async fn end_client_grants(&self, id: &str, by: &Asker) -> Result<u64, AppError> {
        self.steady_now()?;
        let id = ClientId::parse(id).map_err(|_| unknown_client())?;
        // One that the configuration lost may still have what people gave it, and would find it again if it came back.
        let known = self.clients.find(&id).is_some();
        let limits = self.settings.sessions;
        let mut ended = 0;
        loop {
            let (client, by, first) = (id.clone(), by.clone(), ended == 0);
            let part = self.store.write(move |unit| -> Result<usize, AppError> {
                let who = match &by {
                    Asker::Console => None,
                    Asker::Page(session) => {
                        let me = admin_actor(unit, session.as_ref(), limits)?;
                        freshly(&me)?;
                        Some((me.person.id, me.session.entry))
                    }
                };
                let rows = unit.reader().grants_of_client(&client, unit.now(), ENDED_AT_ONCE)?;
                if first && !rows.is_empty() {
                    note(unit, &client, who)?;
                }
                for row in &rows {
                    end(unit, row, GrantEnd::ByAdmin)?;
                }
                Ok(rows.len())
            });
            let part = part.await?;
            ended += u64::try_from(part).unwrap_or(0);
            if part < ENDED_AT_ONCE {
                return if known || ended > 0 { Ok(ended) } else { Err(unknown_client()) };
            }
        }
    }
}

/// On whose word: an admin's in a session, or the console's.
fn note(unit: &mut Unit<'_>, client: &ClientId, who: Option<(PersonId, u64)>) -> Result<(), StoreError> {
    let (person, session) = who.unzip();
    unit.append(Event::Grant(GrantFields {
        person,
        session,
        why: Some(GrantEnd::ByAdmin),
        ..GrantFields::new("all_ended", client.clone())
    }))?;
    Ok(())
}
