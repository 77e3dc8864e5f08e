//! Listens to streams until they end.
//! In: stdout and stderr of processes. Out: all that was said, and a wait for a word.
//! Implements nothing.
//! Never forgets: what was said before the wait counts from where the wait says.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest wait for a word.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Default)]
pub struct Ear(Arc<(Mutex<Vec<u8>>, Condvar)>);

impl Ear {
    /// Hears a stream to its end, on a thread of its own.
    pub fn listen(&self, mut stream: impl Read + Send + 'static) -> JoinHandle<()> {
        let ear = self.clone();
        std::thread::spawn(move || {
            let mut part = [0; 8192];
            while let Ok(read @ 1..) = stream.read(&mut part) {
                ear.hear(&part[..read]);
            }
        })
    }

    pub fn hear(&self, said: &[u8]) {
        self.0.0.lock().unwrap().extend_from_slice(said);
        self.0.1.notify_all();
    }

    /// How much was said so far.
    pub fn length(&self) -> usize {
        self.0.0.lock().unwrap().len()
    }

    /// Waits until this was said, from there on; what was said.
    pub fn until(&self, from: usize, says: &str) -> String {
        let lacks = |heard: &mut Vec<u8>| !String::from_utf8_lossy(&heard[from..]).contains(says);
        let (heard, waited) = self.0.1.wait_timeout_while(self.0.0.lock().unwrap(), PATIENCE, lacks).unwrap();
        let text = String::from_utf8_lossy(&heard[from..]).into_owned();
        assert!(!waited.timed_out(), "never said `{says}`: {text}");
        text
    }

    pub fn all(&self) -> String {
        String::from_utf8_lossy(&self.0.0.lock().unwrap()).into_owned()
    }
}
