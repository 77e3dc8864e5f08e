use super::scratch::{Scratch, step};
use super::*;
use crate::domain::log::entry::{Entry, Event};

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
