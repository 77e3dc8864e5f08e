//! One world under faults: its server loads them, its audit holds whatever was answered.
//! In: a configuration, jobs. Out: the same server before, during and after a fault.
//! Implements nothing.
//! Never leaves a folder behind, but where a test failed.

use std::sync::{Arc, Mutex};

use countersign::cli::demo::authenticator::SoftAuthenticator;

use crate::audit::Audit;
use crate::built::World;
use crate::load::{Job, RULES, Server, approver};
use crate::shim::Faults;
use crate::table::Row;

/// One server and all that was answered by it.
pub struct Ward {
    pub world: World,
    pub faults: Faults,
    pub audit: Audit,
    pub approver: Arc<Mutex<SoftAuthenticator>>,
    next: u64,
}

impl Ward {
    /// A world with an approver, and its server.
    pub fn new() -> (Self, Server) {
        Self::with(|_| {})
    }

    /// As `new`; the configuration can be changed before the server reads it.
    pub fn with(change: impl FnOnce(&World)) -> (Self, Server) {
        let world = World::new(RULES);
        change(&world);
        let faults = Faults::none(&world.folder);
        let server = Server::start_unready(&world, Some(&faults));
        let approver = approver(&world, &server);
        let audit = Audit::new(&world);
        (Self { world, faults, audit, approver, next: 0 }, server)
    }

    pub fn free(&mut self) -> Job {
        self.next += 1;
        Job::free(&self.world, self.next)
    }

    pub fn signed(&mut self) -> Job {
        self.next += 1;
        Job::signed(&self.world, self.next)
    }

    /// A job of each kind gets its token.
    pub fn serves(&mut self, server: &Server, row: &mut Row) {
        for mut job in [self.free(), self.signed()] {
            self.gets(server, &mut job, row);
        }
    }

    pub fn gets(&mut self, server: &Server, job: &mut Job, row: &mut Row) {
        assert!(job.get(&server.calls, &self.approver, row), "the server fell silent");
        self.audit.read(&self.world);
        self.audit.answered(job.answer.as_ref().unwrap());
    }

    /// The server lives and says that it cannot issue.
    pub fn is_red(server: &Server) -> String {
        assert_eq!(server.status("/healthz"), 200);
        let ready = server.calls.get("/readyz").unwrap();
        assert_eq!(ready.status, 503, "{}", ready.text);
        ready.text
    }

    /// Nothing was issued since.
    pub fn issued_nothing_since(&mut self, tokens: usize) {
        self.audit.read(&self.world);
        assert_eq!(self.audit.logged(), tokens, "something was issued");
    }
}

impl Drop for Ward {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.world.folder);
        }
    }
}
