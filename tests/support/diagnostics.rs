//! Everything that diagnostics say, at their loudest, of every server of a test binary.
//! In: what tracing and log emit. Out: text to search for secrets.
//! Implements nothing.
//! Never prints.

use std::io::Write;
use std::sync::{LazyLock, Mutex, Once};

static HEARD: LazyLock<Mutex<Vec<u8>>> = LazyLock::new(Mutex::default);

struct Ear;

impl Write for Ear {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        HEARD.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Listens from here on, to everything down to TRACE.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loudest = countersign::cli::serve::filter("trace").unwrap();
        let built = tracing_subscriber::fmt().with_env_filter(loudest).with_writer(|| Ear).try_init();
        assert!(built.is_ok(), "somebody else listens");
    });
}

/// What was said so far.
pub fn heard() -> String {
    String::from_utf8_lossy(&HEARD.lock().unwrap()).into_owned()
}
