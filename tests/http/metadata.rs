//! FIDO's metadata, fetched: what is taken, what is refused, and that a refusal changes nothing.

use std::path::PathBuf;
use std::time::Duration;

use countersign::app::console::{ConsoleAnswer, ConsoleCommand};
use countersign::app::fetch_metadata::FETCH_FAILS_FOR;
use countersign::app::settings::{DeviceSettings, MetadataDocuments, MetadataSource};
use serde_json::Value;

use crate::support::https::{Reply, TestServer};
use crate::support::maker::{Maker, Service};
use crate::support::server::{block_on, fresh_directory, until, until_reached};
use crate::support::{Options, Server, Snapshot};

/// FIDO's service, the server that fetches from it, and the file that it keeps.
struct World {
    service: Service,
    fido: TestServer,
    folder: PathBuf,
    server: Server,
}

const DUE: &str = "2026-12-24";

impl World {
    /// With this blob in the file at the start.
    fn with(first: Option<u64>) -> Self {
        let (service, fido, folder) = (Service::fido(), TestServer::start(), fresh_directory());
        let blob_file = folder.join("blob.jwt");
        let root = service.root_pem();
        let metadata = first.map(|number| {
            let blob = service.blob(number, DUE, &[]);
            std::fs::write(&blob_file, &blob).unwrap();
            MetadataDocuments { blob, root: root.clone() }
        });
        let ca_file = Some(fido.ca_file.clone());
        let metadata_source =
            Some(MetadataSource { url: fido.at("/blob"), ca_file, allow_private: true, blob_file, root });
        let devices = DeviceSettings { metadata, metadata_source, ..DeviceSettings::default() };
        let server = Server::with(Options { devices, ..Options::default() });
        Self { service, fido, folder, server }
    }

    fn publish(&self, blob: Vec<u8>) {
        self.fido.answer("/blob", Reply::typed("application/octet-stream", blob));
    }

    fn blob(&self, number: u64) -> Vec<u8> {
        self.service.blob(number, DUE, &[])
    }

    fn fetch(&self) -> Result<(u64, bool), String> {
        block_on(self.server.app.fetch_metadata()).map_err(|error| error.to_string())
    }

    fn file(&self) -> Option<Vec<u8>> {
        std::fs::read(self.folder.join("blob.jwt")).ok()
    }

    /// The number in force.
    fn number(&self) -> Option<u64> {
        self.server.app.trusted().metadata.as_ref().map(|metadata| metadata.number)
    }

    fn warnings(&self) -> Vec<String> {
        self.server.app.warnings().into_iter().filter(|line| line.starts_with("metadata: ")).collect()
    }

    /// What is published is refused, says why, and changes nothing at all.
    fn refused(&self, why: &str) {
        let (before, file, number) = (Snapshot::of(&self.server), self.file(), self.number());
        let error = self.fetch().unwrap_err();
        assert!(error.contains(why), "{error}");
        Snapshot::of(&self.server).assert_identical(&before);
        assert_eq!((self.file(), self.number()), (file, number), "{why}");
        let left: Vec<_> = std::fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| name == "blob.jwt"), "{left:?}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn metadata_entries(before: &Snapshot, server: &Server) -> Vec<Value> {
    Snapshot::of(server).since(before).to_vec()
}

#[test]
fn a_newer_blob_is_kept_logged_and_in_force() {
    let world = World::with(Some(7));
    let before = Snapshot::of(&world.server);
    let maker = Maker::of([7; 16]);
    let key = "07070707-0707-0707-0707-070707070707";
    let entries = [maker.entry(key, &["hardware"], &[&["passcode_external"]], &[]), serde_json::json!({ "aaguid": 7 })];
    let blob = world.service.blob(9, DUE, &entries);
    world.publish(blob.clone());
    assert_eq!(world.fetch(), Ok((9, true)));
    assert_eq!((world.file(), world.number()), (Some(blob), Some(9)));
    let logged = metadata_entries(&before, &world.server);
    assert_eq!(logged.len(), 1);
    assert_eq!(
        (&logged[0]["kind"], &logged[0]["number"], &logged[0]["models"]),
        (&"metadata".into(), &9.into(), &1.into())
    );
    assert_eq!(logged[0]["skipped"], 1);
    let told = world.server.console(ConsoleCommand::ShowMetadata);
    let ConsoleAnswer::Metadata { metadata, is_new: None, failure: None } = told else { panic!("{told:?}") };
    assert_eq!((metadata.number, metadata.models, metadata.skipped, metadata.next_due.as_str()), (9, 1, 1, DUE));
    assert_eq!(metadata.entry, logged[0]["seq"].as_u64());
    // The same again is no news, and no entry.
    let before = Snapshot::of(&world.server);
    assert_eq!(world.fetch(), Ok((9, false)));
    Snapshot::of(&world.server).assert_identical(&before);
    let told = world.server.console(ConsoleCommand::FetchMetadata);
    assert!(matches!(told, ConsoleAnswer::Metadata { is_new: Some(false), .. }), "{told:?}");
    assert!(world.fido.taken()[0].head.starts_with("GET /blob HTTP/1.1\r\n"));
}

#[test]
fn the_first_blob_is_fetched_where_there_is_no_file_yet() {
    let mut world = World::with(None);
    assert!(world.server.app.metadata_is_wanted());
    assert!(world.warnings()[0].contains("no key counts as proven"), "{:?}", world.warnings());
    assert!(world.warnings()[0].contains("; cure: countersign metadata fetch"));
    let refused = world.server.console_refuses(ConsoleCommand::ShowMetadata);
    assert_eq!(refused, "not_found");
    world.publish(world.blob(3));
    assert_eq!(world.fetch(), Ok((3, true)));
    assert_eq!((world.number(), world.warnings()), (Some(3), Vec::new()));
    assert!(!world.server.app.metadata_is_wanted());
    // What is in the file is taken at the next start without asking anybody; lost, it is fetched again, with no entry.
    std::fs::remove_file(world.folder.join("blob.jwt")).unwrap();
    world.server.restart();
    assert_eq!(world.number(), None);
    let before = Snapshot::of(&world.server);
    assert_eq!(world.fetch(), Ok((3, true)));
    assert_eq!(world.file(), Some(world.blob(3)));
    Snapshot::of(&world.server).assert_identical(&before);
}

#[test]
fn attack_058_what_is_fetched_must_be_fidos_and_newer() {
    let world = World::with(Some(7));
    world.publish(world.blob(6));
    world.refused("no. 6, and no. 7 was in force already");
    let other = world.service.blob(7, "2026-12-25", &[]);
    world.publish(other);
    world.refused("in force with other contents");
    world.publish(Service::fido().blob(8, DUE, &[]));
    world.refused("whoever signed it");
    // Under the pinned root, and another one's certificate.
    let mut changed = world.blob(8);
    let body = changed.iter().position(|byte| *byte == b'.').unwrap() + 60;
    changed[body] = if changed[body] == b'A' { b'B' } else { b'A' };
    world.publish(changed);
    world.refused("the FIDO metadata: its ");
    world.publish(b"<html>".to_vec());
    world.refused("not a signed blob");
    let warned = world.warnings();
    assert!(warned.is_empty(), "the blob in force is fresh: {warned:?}");
    world.publish(world.blob(8));
    assert_eq!(world.fetch(), Ok((8, true)));
}

#[test]
fn attack_058_a_certificate_of_another_name_vouches_for_no_blob() {
    let stranger = Service::new("mds.example.com", 2_208_988_800);
    let (fido, folder) = (TestServer::start(), fresh_directory());
    fido.answer("/blob", Reply::typed("application/octet-stream", stranger.blob(8, DUE, &[])));
    let metadata_source = Some(MetadataSource {
        url: fido.at("/blob"),
        ca_file: Some(fido.ca_file.clone()),
        allow_private: true,
        blob_file: folder.join("blob.jwt"),
        root: stranger.root_pem(),
    });
    let devices = DeviceSettings { metadata_source, ..DeviceSettings::default() };
    let server = Server::with(Options { devices, ..Options::default() });
    let world = World { service: stranger, fido, folder, server };
    world.refused("signed by another than mds.fidoalliance.org");
    assert_eq!(world.file(), None);
}

#[test]
fn attack_015_an_answer_has_bounds_and_leads_nowhere_else() {
    let world = World::with(Some(7));
    let too_long = vec![b'a'; 32 * 1024 * 1024 + 1];
    world.publish(too_long);
    world.refused("more than 33554432 bytes");
    world.fido.answer("/elsewhere", Reply::typed("application/octet-stream", world.blob(8)));
    world.fido.answer("/blob", Reply::status(302).with("Location", world.fido.at("/elsewhere").as_str()));
    world.refused("redirects are not followed");
    assert_eq!(world.fido.asked("/elsewhere"), 0);
    world.fido.answer("/blob", Reply::status(503));
    world.refused("status 503");
    world.fido.answer("/blob", Reply::Half(world.blob(8)));
    world.refused("cannot be fetched");
    assert_eq!(world.server.console_refuses(ConsoleCommand::FetchMetadata), "metadata_unavailable");
}

#[test]
fn attack_015_metadata_is_not_fetched_from_a_private_address() {
    let (service, fido, folder) = (Service::fido(), TestServer::start(), fresh_directory());
    fido.answer("/blob", Reply::typed("application/octet-stream", service.blob(8, DUE, &[])));
    let metadata_source = Some(MetadataSource {
        url: fido.at("/blob"),
        ca_file: Some(fido.ca_file.clone()),
        allow_private: false,
        blob_file: folder.join("blob.jwt"),
        root: service.root_pem(),
    });
    let devices = DeviceSettings { metadata_source, ..DeviceSettings::default() };
    let server = Server::with(Options { devices, ..Options::default() });
    let world = World { service, fido, folder, server };
    world.refused("loopback");
    assert_eq!(world.fido.connections(), 0);
}

#[test]
fn what_cannot_be_kept_is_not_in_force() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::with(Some(7));
    world.publish(world.blob(8));
    // Nothing can be made in a folder that is a file's name; root may write anywhere, so no mode would do.
    let aside = world.folder.with_extension("aside");
    std::fs::rename(&world.folder, &aside).unwrap();
    std::fs::write(&world.folder, b"").unwrap();
    let before = Snapshot::of(&world.server);
    let error = world.fetch().unwrap_err();
    assert!(error.contains("cannot be kept") && error.contains("blob.jwt"), "{error}");
    Snapshot::of(&world.server).assert_identical(&before);
    assert_eq!(world.number(), Some(7));
    std::fs::remove_file(&world.folder).unwrap();
    std::fs::rename(&aside, &world.folder).unwrap();
    assert_eq!(world.fetch(), Ok((8, true)));
    let mode = std::fs::metadata(world.folder.join("blob.jwt")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}

#[test]
fn a_fetch_that_fails_is_told_once_the_blob_is_overdue_or_it_fails_for_a_week() {
    let world = World::with(Some(7));
    world.fido.answer("/blob", Reply::status(500));
    assert!(world.fetch().is_err());
    assert!(world.warnings().is_empty(), "{:?}", world.warnings());
    let told = world.server.console(ConsoleCommand::ShowMetadata);
    let ConsoleAnswer::Metadata { failure: Some(failure), .. } = told else { panic!("{told:?}") };
    assert!(failure.contains("has failed since 2026-11-23T") && failure.contains("status 500"), "{failure}");
    world.server.pass(FETCH_FAILS_FOR.as_secs());
    assert!(world.fetch().is_err());
    let warned = world.warnings();
    assert!(warned.len() == 1 && warned[0].contains("next due 2026-12-24; fetching has failed since"), "{warned:?}");
    assert!(warned[0].contains("; cure: countersign metadata fetch"), "{warned:?}");
    world.publish(world.blob(8));
    assert_eq!(world.fetch(), Ok((8, true)));
    assert!(world.warnings().is_empty());
    // Overdue: at once, whether fetching fails or nobody tried.
    world.server.pass(Duration::from_hours(24 * 25).as_secs());
    assert!(world.server.app.metadata_is_wanted());
    assert!(world.warnings()[0].contains("overdue, so no new key counts as proven"));
    let ready = world.server.get("/readyz").expect(200).json();
    assert!(ready["warnings"].to_string().contains("metadata: FIDO metadata no. 8"), "{ready}");
}

#[test]
fn what_readyz_tells_of_fetching_names_neither_where_from_nor_where_to() {
    let world = World::with(Some(7));
    world.fido.answer("/blob", Reply::status(500));
    assert!(world.fetch().is_err());
    world.server.pass(FETCH_FAILS_FOR.as_secs());
    let gone = World::with(None);
    let url = gone.fido.at("/blob");
    gone.fido.answer("/blob", Reply::typed("text/plain", b"no blob".to_vec()));
    for (world, why) in [(&world, "status 500"), (&gone, "not a signed blob")] {
        let error = world.fetch().unwrap_err();
        assert!(error.contains(why), "{error}");
        let told = world.server.get("/readyz").expect(200).text();
        assert!(told.contains("fetching has failed since"), "{told}");
        let folder = world.folder.display().to_string();
        for secret in [world.fido.url(), format!(":{}", world.fido.port), "/blob".to_owned(), folder, why.to_owned()] {
            assert!(!told.contains(&secret), "{secret}: {told}");
        }
    }
    // Whoever looks after the server learns it.
    assert!(gone.server.app.examine().unwrap().iter().any(|finding| finding.text.contains("not a signed blob")));
    world.fido.answer("/blob", Reply::status(302).with("Location", url.as_str()));
    assert!(world.fetch().is_err());
    let shown = world.server.app.examine().unwrap();
    assert!(shown.iter().any(|finding| finding.text.contains(&world.fido.url())), "{shown:?}");
}

#[test]
fn a_newer_file_that_is_not_loaded_yet_is_not_replaced_by_an_older_blob() {
    let world = World::with(Some(7));
    let newest = world.blob(9);
    std::fs::write(world.folder.join("blob.jwt"), &newest).unwrap();
    world.publish(world.blob(8));
    world.refused("no. 8, and the file has no. 9, which is not loaded");
    assert_eq!(world.file(), Some(newest.clone()));
    let told = world.server.console_refuses(ConsoleCommand::FetchMetadata);
    assert_eq!(told, "metadata_refused");
    // Loaded, the file is the newest; and what comes after it takes its place.
    let documents = MetadataDocuments { blob: newest, root: world.service.root_pem() };
    assert!(matches!(block_on(world.server.app.load_metadata(&documents)), Ok(9)));
    world.publish(world.blob(10));
    assert_eq!(world.fetch(), Ok((10, true)));
    assert_eq!((world.file(), world.number()), (Some(world.blob(10)), Some(10)));
    // What is no blob is nobody's.
    std::fs::write(world.folder.join("blob.jwt"), b"half of a downl").unwrap();
    world.publish(world.blob(11));
    assert_eq!(world.fetch(), Ok((11, true)));
    assert_eq!(world.file(), Some(world.blob(11)));
}

#[test]
fn the_server_fetches_by_itself_at_its_start_where_metadata_is_wanted() {
    let world = World::with(None);
    world.publish(world.blob(5));
    let local = tokio::task::LocalSet::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    local.block_on(&runtime, async {
        let tasks = countersign::tasks::start(&world.server.app);
        until_reached("it fetches", || world.number() == Some(5)).await;
        tasks.stop();
    });
    until("the file is there", || world.file() == Some(world.blob(5)));
    // One that is fresh is not asked for at once.
    assert_eq!(world.fido.asked("/blob"), 1);
    local.block_on(&runtime, async {
        let tasks = countersign::tasks::start(&world.server.app);
        // A task that began at once has its turn before this call, which waits for it.
        tokio::task::yield_now().await;
        world.server.app.fetch_metadata().await.unwrap();
        tasks.stop();
    });
    assert_eq!(world.fido.asked("/blob"), 2, "asked by the test alone");
}
