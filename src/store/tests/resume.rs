use super::scratch::{Scratch, step};
use super::*;
use crate::domain::assurance::AuthenticatorFacts;
use crate::domain::assurance::evidence::Vouched;
use crate::domain::ids::{Digest, PersonId, SessionId};
use crate::domain::log::entry::{Entry, Event};
use crate::domain::network::Network;
use crate::domain::session::SessionTimes;
use crate::domain::time::Timestamp;
use crate::store::ceremonies::CeremonyKind;
use crate::store::passkeys::PasskeyRow;
use crate::store::people::PersonRow;
use crate::store::sessions::{NewSignIn, SessionRow};

#[expect(clippy::unnecessary_wraps, reason = "has the shape of a check")]
fn unchecked(_: &Reader<'_>) -> std::result::Result<(), StoreError> {
    Ok(())
}

#[test]
fn a_log_that_was_put_back_goes_on_with_an_entry_that_says_what_was_lost() {
    let scratch = Scratch::new();
    let store = scratch.create();
    store.write_blocking(|unit| unit.append(step(1))).unwrap();
    store.close();
    let database = scratch.directory.join(DATABASE);
    let copy = std::fs::read(&database).unwrap();
    let store = scratch.open().unwrap();
    store.write_blocking(|unit| unit.append(step(2))).unwrap();
    let lost = scratch.mark.kept.lock().unwrap().unwrap();
    store.close();
    std::fs::write(&database, copy).unwrap();

    assert!(matches!(scratch.open(), Err(StoreError::RolledBack { .. })));
    let (store, entry) = Store::resume(scratch.opening(), unchecked).unwrap();
    let bytes = store.read(|reader| reader.entry(entry)).unwrap().unwrap();
    let event = Entry::from_bytes(&bytes).unwrap().event;
    assert_eq!(event, Event::Restored { lost_size: lost.size, lost_root: lost.root });
    assert!(store.read(|reader| reader.resumed()).unwrap().is_some());
    store.close();
    scratch.open().unwrap().close();
    assert!(
        matches!(Store::resume(scratch.opening(), unchecked), Err(StoreError::Invalid(_))),
        "nothing was put back now"
    );
}

#[test]
fn a_restore_ends_every_session_and_every_ceremony() {
    let scratch = Scratch::new();
    let store = scratch.create();
    let (secret, person) = (Digest::of(b"cookie"), PersonId::from_random([1; 10]));
    let (session, owner) = (secret, person.clone());
    store
        .write_blocking(move |unit| -> std::result::Result<(), StoreError> {
            let entry = unit.append(step(1))?;
            let now = unit.now();
            unit.insert_person(&PersonRow {
                id: owner.clone(),
                name: "Ada".to_owned(),
                user_handle: [1; 16],
                admin: false,
                auditor: false,
                created: now,
                suspended: None,
                email: None,
                entry,
            })?;
            let facts = AuthenticatorFacts { backup_eligible: false, backup_state: false, counter: 1 };
            let passkey = unit.insert_passkey(&PasskeyRow {
                id: 0,
                person: owner.clone(),
                credential_id: vec![1],
                public_key_sha256: Digest::of(b"key"),
                credential: "{}".to_owned(),
                registered: facts,
                aaguid: None,
                format: None,
                vouched: Vouched::default(),
                name: "Key".to_owned(),
                added: now,
                last_used: None,
                suspended: None,
                suspended_why: None,
                admitted_by: None,
                rests_until: None,
                entry,
            })?;
            let times = SessionTimes { started: now, last_used: now, ends: now, ended: None };
            let device = "Firefox".to_owned();
            let sid = SessionId::from_random([7; 16]);
            let row = SessionRow { secret_sha256: session, person: owner, passkey, facts, times, device, entry, sid };
            unit.insert_session(&row)?;
            // What was given in it, and what was given and ended before.
            let give = "INSERT INTO oauth_grant (entry, client, person, sid, session, passkey, facts, auth_time, acr,
                            scopes, resources, claims, offline, created, ends, ended)
                        SELECT ?1, client, person, sid, entry, passkey, '{}', 0, 'phr', 'openid', '[]', '{}', 0, 0, ?2, ?3
                        FROM session, (SELECT ?4 AS client)";
            let ends = 9_000_000_000_000_i64;
            unit.conn().execute(give, rusqlite::params![0, ends, None::<i64>, "grafana"])?;
            unit.conn().execute(give, rusqlite::params![1, ends, Some(0), "wiki"])?;
            unit.start_sign_in(&NewSignIn {
                id: "one".to_owned(),
                challenge: Digest::of(b"challenge"),
                listed: Some(vec![vec![7]]),
                request: None,
                network: Network::of([192, 0, 2, 1].into()),
            })?;
            for kind in CeremonyKind::ALL {
                unit.start_ceremony(kind, ("two", &super::ceremonies::of(kind)), (b"statement", None))?;
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(store.read(|reader| reader.sessions_of(&person)).unwrap().len(), 1);
    store.close();
    let database = scratch.directory.join(DATABASE);
    let copy = std::fs::read(&database).unwrap();
    let store = scratch.open().unwrap();
    store.write_blocking(|unit| unit.append(step(2))).unwrap();
    store.close();
    std::fs::write(&database, copy).unwrap();

    let (store, _) = Store::resume(scratch.opening(), unchecked).unwrap();
    assert!(store.read(|reader| reader.sessions_of(&person)).unwrap().is_empty());
    assert!(store.read(|reader| reader.session(&secret)).unwrap().unwrap().times.ended.is_some());
    let taken = store.write_blocking(|unit| -> std::result::Result<_, StoreError> {
        let sign_in = unit.take_sign_in("one")?;
        let ceremonies = CeremonyKind::ALL.into_iter().map(|kind| unit.take_ceremony(kind, "two"));
        Ok((sign_in, ceremonies.collect::<std::result::Result<Vec<_>, _>>()?))
    });
    assert_eq!(taken.unwrap(), (None, vec![None; CeremonyKind::ALL.len()]));
    let told = store.read(|reader| reader.logouts_due(Timestamp::from_millis(i64::MAX), 9, 9)).unwrap();
    assert_eq!(told.iter().map(|row| row.told.client.as_str()).collect::<Vec<_>>(), ["grafana"], "tools are told");
    let grants = store.read(|reader| reader.grants_of_person(&person)).unwrap();
    assert!(grants.is_empty(), "and have nothing any more: {grants:?}");
    store.close();
}
