//! Gathers notices that requests wait, where many of one project come at once.
//! In: a request of a project. Out: tell it now, or keep it for the end of its window; then what was kept.
//! Implements ATTACKS 44 (notifications coalesced).
//! Never loses a request without counting it, and never keeps more than its bounds.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::ids::RequestId;
use crate::store::requests::RequestRow;

use super::list_requests::path;

/// Requests of one project that are told one by one within a window; the others of it are gathered.
pub const TOLD_ONE_BY_ONE: usize = 5;
/// The window.
pub const GATHERED_FOR: Duration = Duration::from_mins(1);
/// Most projects that are counted one by one; beyond it requests of further projects are gathered as one.
pub const MAX_GATHERED_PROJECTS: usize = 1_000;
/// Most gathered requests of a project that are named; further ones are counted.
pub const MAX_GATHERED: usize = 200;

/// Where requests come from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    /// The issuer and its id of the project; empty for further projects.
    project: Option<(String, String)>,
    path: String,
}

impl Place {
    /// Of a request: the project whose job it is.
    pub(super) fn of(row: &RequestRow) -> Self {
        let claim = |name: &str| row.request.job_claim(name);
        let id = claim("job_project_id").or_else(|| claim("project_id")).unwrap_or("?").to_owned();
        let path = path(row).unwrap_or_else(|| format!("project {id}"));
        Self { project: Some((row.issuer.to_string(), id)), path }
    }

    fn others() -> Self {
        Self { project: None, path: "several projects".to_owned() }
    }

    /// As people call it.
    pub(super) fn words(&self) -> String {
        self.path.clone()
    }
}

/// What was kept of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gathered {
    /// Where from.
    pub(super) place: Place,
    /// The requests, oldest first.
    pub(super) held: Vec<RequestId>,
    /// How many more there were.
    pub(super) beyond: usize,
}

#[derive(Debug)]
struct Window {
    since: Duration,
    told: usize,
    held: Vec<RequestId>,
    beyond: usize,
}

impl Window {
    fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.since) >= GATHERED_FOR
    }

    fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    fn hold(&mut self, id: &RequestId) {
        if self.held.len() < MAX_GATHERED {
            self.held.push(id.clone());
        } else {
            self.beyond += 1;
        }
    }
}

/// What is told and kept, by project. A restart forgets it: the requests are on Home all the same.
#[derive(Debug, Default)]
pub(super) struct Gathering(Mutex<HashMap<Place, Window>>);

impl Gathering {
    fn windows(&self) -> MutexGuard<'_, HashMap<Place, Window>> {
        // Whole windows only, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request is to be told now; it is kept otherwise.
    pub(super) fn admit(&self, place: Place, id: &RequestId, now: Duration) -> bool {
        let mut windows = self.windows();
        if !windows.contains_key(&place) && windows.len() >= MAX_GATHERED_PROJECTS {
            windows.retain(|_, window| window.holds() || !window.is_over(now));
        }
        let known = windows.contains_key(&place);
        let place = if known || windows.len() < MAX_GATHERED_PROJECTS { place } else { Place::others() };
        let is_project = place.project.is_some();
        let fresh = || Window { since: now, told: 0, held: Vec::new(), beyond: 0 };
        let window = windows.entry(place).or_insert_with(fresh);
        if window.is_over(now) && !window.holds() {
            *window = fresh();
        }
        if is_project && window.told < TOLD_ONE_BY_ONE && !window.holds() {
            window.told += 1;
            return true;
        }
        window.hold(id);
        false
    }

    /// What was kept in windows that are over; they are forgotten.
    pub(super) fn due(&self, now: Duration) -> Vec<Gathered> {
        let mut windows = self.windows();
        let over: Vec<_> =
            windows.iter().filter(|(_, window)| window.is_over(now)).map(|(place, _)| place.clone()).collect();
        let mut due = Vec::new();
        for place in over {
            if let Some(Window { held, beyond, .. }) = windows.remove(&place)
                && !held.is_empty()
            {
                due.push(Gathered { place, held, beyond });
            }
        }
        due
    }

    /// Puts back what could not be told, for the next round.
    pub(super) fn keep(&self, gathered: Gathered) {
        let Gathered { place, held, beyond } = gathered;
        let mut windows = self.windows();
        let since = Duration::ZERO;
        let window =
            windows.entry(place).or_insert(Window { since, told: TOLD_ONE_BY_ONE, held: Vec::new(), beyond: 0 });
        window.since = since;
        window.beyond += beyond;
        for id in &held {
            window.hold(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(n: usize) -> Place {
        Place { project: Some(("gitlab".to_owned(), n.to_string())), path: format!("shop/{n}") }
    }

    fn id(n: usize) -> RequestId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        RequestId::from_random(bytes)
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_000 + seconds)
    }

    /// So long after the window began that it is over.
    fn over(began: Duration) -> Duration {
        began + GATHERED_FOR
    }

    #[test]
    fn the_first_of_a_project_are_told_and_the_others_are_gathered() {
        let gathering = Gathering::default();
        let told: Vec<_> = (0..17).filter(|n| gathering.admit(place(1), &id(*n), at(0))).collect();
        assert_eq!(told, (0..TOLD_ONE_BY_ONE).collect::<Vec<_>>());
        assert!(gathering.admit(place(2), &id(100), at(1)), "another project is not held up by it");
        assert!(gathering.due(at(GATHERED_FOR.as_secs() - 1)).is_empty());
        let due = gathering.due(over(at(0)));
        assert_eq!((due.len(), due[0].held.len(), due[0].beyond), (1, 17 - TOLD_ONE_BY_ONE, 0));
        assert!(gathering.due(over(at(0))).is_empty());
        assert!(gathering.admit(place(1), &id(0), over(at(1))), "a new window");
    }

    #[test]
    fn what_is_kept_has_bounds_and_is_counted() {
        let gathering = Gathering::default();
        for n in 0..TOLD_ONE_BY_ONE + MAX_GATHERED + 7 {
            gathering.admit(place(1), &id(n), at(0));
        }
        let due = gathering.due(over(at(0)));
        assert_eq!((due[0].held.len(), due[0].beyond), (MAX_GATHERED, 7));
        gathering.keep(due[0].clone());
        assert_eq!(gathering.due(over(at(0))), due, "what could not be told is told in the next round");
        for n in 0..MAX_GATHERED_PROJECTS {
            assert!(gathering.admit(place(n), &id(n), at(100)));
        }
        assert!(!gathering.admit(place(MAX_GATHERED_PROJECTS), &id(1), at(100)), "told with others");
        assert_eq!(gathering.due(over(at(100)))[0].place.words(), "several projects");
    }
}
