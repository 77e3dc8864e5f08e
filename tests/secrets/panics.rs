//! What a panic tells, of a process that panics.

use std::process::Command;

use countersign::cli::panics::{SENTENCE, withhold_messages};

use super::built::World;

/// Where the process that panics finds the secret.
const SECRET_VARIABLE: &str = "COUNTERSIGN_TEST_SECRET";

/// Panics in every place where the product runs code: before there are diagnostics, on threads, in tasks, while caught.
fn panic_everywhere(secret: &str) {
    withhold_messages();
    let own = secret.to_owned();
    assert!(std::panic::catch_unwind(move || panic!("no diagnostics yet, and the key is {own}")).is_err());
    tracing_subscriber::fmt().json().with_max_level(tracing::Level::TRACE).with_writer(std::io::stderr).init();
    let own = secret.to_owned();
    assert!(std::thread::Builder::new().name("own".to_owned()).spawn(move || panic!("{own}")).unwrap().join().is_err());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let own = secret.to_owned();
    let failed = runtime.block_on(runtime.spawn(async move { panic!("the token {own}") }));
    assert!(failed.unwrap_err().is_panic());
    let own = secret.to_owned();
    let quoted = std::panic::catch_unwind(move || own.parse::<std::net::IpAddr>().map_err(|_| own).unwrap());
    assert!(quoted.is_err());
}

#[test]
fn attack_095_a_panic_tells_its_place_and_not_its_message() {
    if let Ok(secret) = std::env::var(SECRET_VARIABLE) {
        return panic_everywhere(&secret);
    }
    let secret = "kJ2mN8vXqR5tYw3zAb7cDe";
    let run = |backtrace: &str| {
        let name = "panics::attack_095_a_panic_tells_its_place_and_not_its_message";
        let ran = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env(SECRET_VARIABLE, secret)
            .env("RUST_BACKTRACE", backtrace)
            .output()
            .unwrap();
        let said = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert!(ran.status.success() && said.contains("1 passed"), "{said}");
        said
    };
    for (backtrace, shown) in [("0", false), ("1", true)] {
        let said = run(backtrace);
        assert_eq!(said.matches(SENTENCE).count(), 4, "{said}");
        assert!(said.matches("tests/secrets/panics.rs:").count() >= 4, "{said}");
        assert!(said.contains("\"thread\":\"own\"") && said.contains("\"level\":\"ERROR\""), "{said}");
        assert_eq!(said.contains("\"backtrace\":\""), shown, "{said}");
        assert!(!said.contains(secret) && !said.contains("panicked at"), "{said}");
    }
}

/// The built server, in want of the descriptors that its runtime needs, which the runtime answers with a panic.
#[test]
fn attack_095_a_panic_of_the_built_server_is_told_the_same_way() {
    let world = World::new("");
    let ran = Command::new("sh")
        .args(["-c", "ulimit -n 5; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_countersign"), "--config"])
        .arg(world.folder.join("countersign.toml"))
        .arg("serve")
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(4), "our fault: {said}");
    assert!(said.contains(SENTENCE) && said.contains("\"at\":\""), "{said}");
    assert!(!said.contains("panicked at"), "{said}");
    std::fs::remove_dir_all(&world.folder).unwrap();
}
