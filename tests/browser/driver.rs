//! Chromium, driven: a chromedriver process, one session of it, and the commands that the tests need.
//! In: commands in Rust. Out: what the page shows; a panic with the page's text where a condition never holds.
//! Implements the client’s side of WebDriver (W3C), and of CDP over it.
//! Never sleeps: it waits for conditions, inside the page. WebDriver is JSON over HTTP and `ureq` is there already, so
//! this file builds in no time; a WebDriver crate would bring a second HTTP client and an async layer for 15 commands.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use countersign::crypto::random;
use serde_json::{Value, json};

/// How often chromedriver is started before the test gives up.
const DRIVER_STARTS: u32 = 5;
/// Longest time that a condition may take to hold.
pub const DEADLINE_MILLIS: u32 = 30_000;
/// Longest time for one answer of chromedriver.
const ANSWER: Duration = Duration::from_mins(1);
const PROGRAMS: [&str; 2] = ["chromedriver", "chromium"];
/// What Firefox is called.
const FIREFOX: [&str; 2] = ["firefox", "firefox-esr"];

/// A Chromium with one session. Dropping it ends both processes, also in a test that fails.
pub struct Browser {
    agent: ureq::Agent,
    driver: Child,
    session: String,
    profile: PathBuf,
    /// Firefox: there is no DevTools protocol.
    gecko: bool,
}

/// The keys that tests press (WebDriver §17.4.2).
pub const TAB: &str = "\u{E004}";
pub const ENTER: &str = "\u{E007}";

impl Browser {
    /// Starts Chromium. `None` where it is not installed, which only a developer's machine may be.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// As `start`, with more arguments for it; `requests` then tells what it asks servers for.
    pub fn start_with(arguments: &[&str]) -> Option<Self> {
        let missing: Vec<_> = PROGRAMS.into_iter().filter(|program| !is_installed(program)).collect();
        if !missing.is_empty() {
            skip(&format!("{} not found (apt-get install chromium chromium-driver)", missing.join(", ")));
            return None;
        }
        let name = data_encoding::HEXLOWER.encode(&random::bytes::<8>().expect("randomness"));
        let profile = std::env::temp_dir().join(format!("countersign-browser-{name}"));
        std::fs::create_dir(&profile).expect("a folder");
        let (driver, port) = (0..DRIVER_STARTS).find_map(|_| driver(&profile)).expect("chromedriver names its port");
        let session = format!("http://127.0.0.1:{port}/session");
        let browser = Self { agent: agent(), driver, session, profile, gecko: false };
        let capabilities = browser.capabilities(arguments);
        Some(browser.begin(&capabilities))
    }

    /// Starts Firefox. `None` where it or its driver is not installed: it is looked at, and never relied on.
    pub fn firefox() -> Option<Self> {
        let binary = FIREFOX.into_iter().find(|program| is_installed(program));
        let Some(binary) = binary.filter(|_| is_installed("geckodriver")) else {
            say_skipped("firefox or geckodriver not found (apt-get install firefox-esr; cargo install geckodriver)");
            return None;
        };
        let name = data_encoding::HEXLOWER.encode(&random::bytes::<8>().expect("randomness"));
        let profile = std::env::temp_dir().join(format!("countersign-firefox-{name}"));
        std::fs::create_dir(&profile).expect("a folder");
        let port = TcpListener::bind(("127.0.0.1", 0)).expect("a port").local_addr().expect("a port").port();
        let driver = Command::new("geckodriver")
            .args(["--port", &port.to_string()])
            // Whatever the two leave behind goes with the folder.
            .env("TMPDIR", &profile)
            .env("HOME", &profile)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("geckodriver starts");
        let session = format!("http://127.0.0.1:{port}/session");
        let browser = Self { agent: agent(), driver, session, profile, gecko: true };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::yield_now();
        }
        Some(browser.begin(&json!({ "capabilities": { "alwaysMatch": {
            "browserName": "firefox",
            "timeouts": { "script": 2 * DEADLINE_MILLIS },
            "webauthn:virtualAuthenticators": true,
            "moz:firefoxOptions": {
                "binary": path_of(binary),
                "args": ["-headless"],
                // Its software key alone, which the driver's extension controls; nobody is there to agree to attestation.
                "prefs": {
                    "security.webauth.webauthn_enable_softtoken": true,
                    "security.webauth.webauthn_enable_usbtoken": false,
                    "security.webauthn.always_allow_direct_attestation": true,
                },
            },
        } } })))
    }

    fn begin(mut self, capabilities: &Value) -> Self {
        let answer = self.command("POST", "", capabilities).expect("a session starts");
        let id = answer["sessionId"].as_str().expect("a session id");
        self.session = format!("{}/{id}", self.session);
        self
    }

    fn capabilities(&self, more: &[&str]) -> Value {
        let profile = format!("--user-data-dir={}", self.profile.join("profile").display());
        let args = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--force-color-profile=srgb",
            &profile,
        ];
        let args: Vec<_> = args.iter().chain(more).collect();
        let mut wanted = json!({
            "browserName": "chrome",
            "unhandledPromptBehavior": "ignore",
            "webauthn:virtualAuthenticators": true,
            "goog:chromeOptions": { "args": args },
        });
        if !more.is_empty() {
            wanted["goog:loggingPrefs"] = json!({ "performance": "ALL" });
        }
        json!({ "capabilities": { "alwaysMatch": wanted } })
    }

    /// The addresses that it asked for since it was asked last, redirections included; only after `start_with`.
    pub fn requests(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({ "type": "performance" }));
        let message = |entry: &Value| serde_json::from_str::<Value>(entry["message"].as_str()?).ok();
        let sent = entries.as_array().into_iter().flatten().filter_map(message).filter_map(|entry| {
            let event = &entry["message"];
            (event["method"] == "Network.requestWillBeSent").then(|| event["params"]["request"]["url"].clone())
        });
        sent.filter_map(|url| url.as_str().map(str::to_owned)).collect()
    }

    /// One command of the session; `Err` with WebDriver's error code and message.
    pub fn command(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let url = format!("{}{path}", self.session);
        let sent = match method {
            "POST" => self.agent.post(&url).header("content-type", "application/json").send(body.to_string()),
            "DELETE" => self.agent.delete(&url).call(),
            _ => self.agent.get(&url).call(),
        };
        let mut answer = sent.map_err(|error| format!("{method} {path}: {error}"))?;
        let text =
            answer.body_mut().with_config().limit(64 << 20).read_to_string().map_err(|error| error.to_string())?;
        let read: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        match read["value"]["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", read["value"]["message"].as_str().unwrap_or_default())),
            None => Ok(read["value"].clone()),
        }
    }

    /// A command that has to work.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.command("POST", path, body).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// A command of the DevTools protocol.
    pub fn devtools(&self, name: &str, parameters: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": name, "params": parameters }))
    }

    /// Opens an address, and waits until it is loaded.
    pub fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// The value of an expression in the page; promises are awaited. DevTools evaluates beside the page's own policy.
    pub fn eval(&self, expression: &str) -> Value {
        self.try_eval(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    fn try_eval(&self, expression: &str) -> Result<Value, String> {
        if self.gecko {
            let script = format!(
                "const done = arguments[arguments.length - 1]; \
                 (async () => ({expression}))().then((value) => done({{ value }}), (fault) => done({{ fault: String(fault) }}));"
            );
            let answer = self.command("POST", "/execute/async", &json!({ "script": script, "args": [] }))?;
            return answer["fault"].as_str().map_or(Ok(answer["value"].clone()), |fault| Err(fault.to_owned()));
        }
        let parameters = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer =
            self.command("POST", "/goog/cdp/execute", &json!({ "cmd": "Runtime.evaluate", "params": parameters }))?;
        match answer.get("exceptionDetails") {
            Some(fault) => Err(fault["exception"]["description"].as_str().unwrap_or("it threw").to_owned()),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// Waits inside the page until an expression is true, and answers with its value.
    pub fn until(&self, expression: &str) -> Value {
        let look = format!(
            "new Promise((done) => {{ const end = performance.now() + {DEADLINE_MILLIS}; (function look() {{ \
             let value = null; try {{ value = ({expression}); }} catch {{ }} \
             if (value) done(value); else if (performance.now() > end) done(null); else setTimeout(look, 15); }})(); }})"
        );
        // A page that is being replaced drops the promise; the next page is asked again.
        for _ in 0..5 {
            match self.try_eval(&look) {
                Ok(Value::Null) => break,
                Ok(value) => return value,
                Err(_) => {}
            }
        }
        panic!("it never came to be that {expression}; the page says:\n{}", self.page_text());
    }

    /// What a reader sees.
    pub fn page_text(&self) -> String {
        self.text("body")
    }

    /// The text of an element as it is seen; empty where there is none.
    pub fn text(&self, css: &str) -> String {
        let found = self.eval(&format!("document.querySelector({})?.innerText ?? ''", json!(css)));
        found.as_str().unwrap_or_default().replace('\u{a0}', " ")
    }

    /// Waits until somebody who sees it could read `words` in an element.
    pub fn until_says(&self, css: &str, words: &str) {
        // A hidden element has a text too: it must be seen.
        self.until(&format!(
            "((it) => it.checkVisibility() && it.innerText.replaceAll('\\u00a0', ' ').includes({}))(document.querySelector({}))",
            json!(words),
            json!(css)
        ));
    }

    /// Waits until an element can be pressed, then presses it as a pointer would.
    pub fn click(&self, css: &str) {
        self.until(&format!(
            "(() => {{ const it = document.querySelector({}); return it && !it.disabled && it.checkVisibility(); }})()",
            json!(css)
        ));
        let element = self.element(css);
        self.post(&format!("/element/{element}/click"), &json!({}));
    }

    /// Types into an element, in place of what stands in it.
    pub fn type_into(&self, css: &str, text: &str) {
        let element = self.element(css);
        self.post(&format!("/element/{element}/clear"), &json!({}));
        self.post(&format!("/element/{element}/value"), &json!({ "text": text }));
    }

    fn element(&self, css: &str) -> String {
        let found = self.post("/element", &json!({ "using": "css selector", "value": css }));
        found.as_object().and_then(|found| found.values().next()).and_then(Value::as_str).expect("an id").to_owned()
    }

    /// Presses and releases a key, wherever the focus is.
    pub fn press(&self, key: &str) {
        let actions = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        self.post("/actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }));
    }

    /// Opens another tab and goes there; answers with the tab that was left.
    pub fn new_tab(&self) -> String {
        let before = self.command("GET", "/window", &Value::Null).expect("a tab");
        let tab = self.post("/window/new", &json!({ "type": "tab" }));
        self.post("/window", &json!({ "handle": tab["handle"] }));
        before.as_str().expect("a handle").to_owned()
    }

    /// Goes to a tab.
    pub fn go_to_tab(&self, handle: &str) {
        self.post("/window", &json!({ "handle": handle }));
    }

    /// Where the page's first frame has come to.
    pub fn url_in_frame(&self) -> String {
        self.post("/frame", &json!({ "id": 0 }));
        let url = self.post("/execute/sync", &json!({ "script": "return location.href", "args": [] }));
        self.post("/frame", &json!({ "id": null }));
        url.as_str().expect("an address").to_owned()
    }

    /// Whether a dialog is open.
    pub fn has_dialog(&self) -> bool {
        self.command("GET", "/alert/text", &Value::Null).is_ok()
    }

    /// Cuts the network, or gives it back.
    pub fn set_offline(&self, offline: bool) {
        self.devtools("Network.enable", &json!({}));
        let conditions = json!({ "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
        self.devtools("Network.emulateNetworkConditions", &conditions);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Closing the session ends Chromium; chromedriver alone would leave it behind.
        let _ = self.command("DELETE", "", &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

/// Says loudly that something was not tested; where everything has to be, that is a failure.
pub fn skip(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    say_skipped(why);
}

fn say_skipped(why: &str) {
    // Not by a macro: the harness would keep the line to itself.
    let _ = writeln!(std::io::stderr(), "SKIPPED, nothing was tested: {why}");
}

fn path_of(program: &str) -> PathBuf {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).map(|folder| folder.join(program)).find(|path| path.exists());
    found.expect("it was found before")
}

fn is_installed(program: &str) -> bool {
    let status = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).timeout_global(Some(ANSWER));
    config.build().new_agent()
}

/// chromedriver takes a free port and says which; `None` where another program took one of its two addresses meanwhile.
fn driver(profile: &Path) -> Option<(Child, u16)> {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        // Whatever the two leave behind goes with the folder.
        .env("TMPDIR", profile)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("chromedriver starts");
    let port = port(&mut driver);
    if port.is_none() {
        let _ = driver.kill();
        let _ = driver.wait();
    }
    port.map(|port| (driver, port))
}

fn port(driver: &mut Child) -> Option<u16> {
    let lines = BufReader::new(driver.stdout.take().expect("its output")).lines();
    for line in lines.map_while(Result::ok) {
        let told = line.split("successfully on port ").nth(1);
        if let Some(port) = told.and_then(|rest| rest.trim_end_matches('.').parse().ok()) {
            return Some(port);
        }
    }
    None
}
