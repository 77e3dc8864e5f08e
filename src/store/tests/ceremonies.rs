use super::scratch::Scratch;
use super::*;
use crate::store::ceremonies::{CeremonyFor, CeremonyKind, MAX_CEREMONIES};

pub(super) fn of(kind: CeremonyKind) -> CeremonyFor {
    match kind {
        CeremonyKind::Approval | CeremonyKind::Change => CeremonyFor::Id("id".to_owned()),
        _ => CeremonyFor::Secret(Digest::of(b"secret")),
    }
}

#[test]
fn a_ceremony_is_taken_once_and_by_its_own_kind_alone() {
    let scratch = Scratch::new();
    let store = scratch.create();
    for kind in CeremonyKind::ALL {
        let listed = vec![vec![7], vec![8, 9]];
        let (start, take) = (listed.clone(), |kind| store.write_blocking(move |unit| unit.take_ceremony(kind, "one")));
        store
            .write_blocking(move |unit| unit.start_ceremony(kind, ("one", &of(kind)), (b"statement", Some(&start))))
            .unwrap();
        for other in CeremonyKind::ALL.into_iter().filter(|other| *other != kind) {
            assert_eq!(take(other).unwrap(), None, "{kind:?} is not {other:?}");
        }
        let row = take(kind).unwrap().unwrap();
        assert_eq!((row.subject, row.statement, row.listed), (of(kind), b"statement".to_vec(), Some(listed)));
        assert_eq!(take(kind).unwrap(), None, "{kind:?} is gone");
    }
}

#[test]
fn one_kind_of_subject_is_not_kept_for_another() {
    let scratch = Scratch::new();
    let store = scratch.create();
    for kind in CeremonyKind::ALL {
        let wrong = match of(kind) {
            CeremonyFor::Id(_) => CeremonyFor::Secret(Digest::of(b"secret")),
            CeremonyFor::Secret(_) => CeremonyFor::Id("id".to_owned()),
        };
        let started =
            store.write_blocking(move |unit| unit.start_ceremony(kind, ("one", &wrong), (b"statement", None)));
        assert!(started.is_err(), "{kind:?}");
    }
}

#[test]
fn another_ceremony_ends_the_oldest_of_its_subject() {
    let scratch = Scratch::new();
    let store = scratch.create();
    for kind in CeremonyKind::ALL {
        let kept = store.write_blocking(move |unit| -> Result<_> {
            let ids: Vec<_> = (0..=MAX_CEREMONIES).map(|n| n.to_string()).collect();
            for id in &ids {
                unit.start_ceremony(kind, (id, &of(kind)), (b"statement", None))?;
            }
            let mut kept = Vec::new();
            for id in ids {
                kept.extend(unit.take_ceremony(kind, &id)?.map(|_| id));
            }
            Ok(kept)
        });
        let kept = kept.unwrap();
        assert_eq!(kept.len(), MAX_CEREMONIES, "{kind:?}");
        assert_eq!(kept.last(), Some(&MAX_CEREMONIES.to_string()), "the newest is kept: {kind:?}");
    }
}
