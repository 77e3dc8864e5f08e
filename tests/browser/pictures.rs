//! Looks at a state as people will: four pictures, nothing cut off, nothing that axe-core finds.
//! In: a page in some state, and its name. Out: `target/pictures/NAME-SIZE-THEME.png`, and `…-whole.png` of what is longer than
//! the screen; a panic with what is wrong.
//! Implements SCREENS' first rule: each state in two sizes and two themes, zero findings.
//! Never writes into the repository, unless `COUNTERSIGN_PICTURES=docs` asks for the README's pictures.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};

use crate::driver::{Browser, skip};

const AXE: &str = "axe-core@4.14.1";
/// The registry's digest of that version's archive.
const AXE_SHA512: &str = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==";

/// A size of screen.
#[derive(Clone, Copy)]
pub struct Size {
    width: u32,
    height: u32,
}

pub const PHONE: Size = Size { width: 360, height: 640 };
pub const DESK: Size = Size { width: 1280, height: 800 };
pub const SMALLEST: Size = Size { width: 320, height: 640 };

/// Makes the screen that size.
pub fn resize(browser: &Browser, size: Size) {
    sharpen(browser, size, if size.width < 700 { 2.0 } else { 1.0 });
}

fn sharpen(browser: &Browser, Size { width, height }: Size, scale: f32) {
    let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 700 });
    browser.devtools("Emulation.setDeviceMetricsOverride", &metrics);
}

fn dress(browser: &Browser, theme: &str) {
    let features = json!([{ "name": "prefers-color-scheme", "value": theme }]);
    browser.devtools("Emulation.setEmulatedMedia", &json!({ "features": features }));
}

/// Pictures a state at both sizes in both themes, and judges each size and each theme once; leaves a light phone behind.
pub fn look(browser: &Browser, name: &str) {
    // The light phone first: it is there already, scrolled to where the page scrolled it.
    let each = [(PHONE, "light", true), (PHONE, "dark", false), (DESK, "dark", true), (DESK, "light", false)];
    for (size, theme, judged) in each {
        resize(browser, size);
        dress(browser, theme);
        let picture = format!("{name}-{}x{}-{theme}", size.width, size.height);
        fits(browser, &picture);
        if judged {
            judge(browser, &picture);
        }
        keep(browser, &folder().join(format!("{picture}.png")));
        if judged {
            keep_whole(browser, &folder().join(format!("{picture}-whole.png")));
        }
    }
    resize(browser, SMALLEST);
    fits(browser, &format!("{name} at 320 px"));
    if std::env::var("COUNTERSIGN_PICTURES").as_deref() == Ok("docs")
        && let Some((_, file)) = IN_THE_README.iter().find(|(state, _)| *state == name)
    {
        sharpen(browser, PHONE, SMALL_FILE);
        keep(browser, &Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file));
    }
    resize(browser, PHONE);
}

/// Device pixels a pixel: sharp, and still a small file.
const SMALL_FILE: f32 = 1.5;

/// The pictures that the README shows: a light phone.
const IN_THE_README: [(&str, &str); 4] = [
    ("approval-waiting", "approval.png"),
    ("enrolment-welcome", "enrolment.png"),
    ("approval-denied", "denial.png"),
    ("approval-collected", "finished.png"),
];

/// Nothing scrolls sideways.
fn fits(browser: &Browser, picture: &str) {
    let over = browser.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth");
    assert_eq!(over, 0, "{picture} is too wide");
}

fn keep(browser: &Browser, path: &Path) {
    capture(browser, &json!({ "format": "png", "optimizeForSpeed": false }), path);
}

/// The page from its top to its end, where it is longer than the screen.
fn keep_whole(browser: &Browser, path: &Path) {
    // What stays at the screen's end would stand in the middle of the page.
    browser.eval("document.getElementById('bar')?.style.setProperty('position', 'static'), 0");
    let sizes = browser.devtools("Page.getLayoutMetrics", &json!({}));
    let of = |what: &str, side: &str| sizes[what][side].as_f64().expect("a size");
    let (width, height) = (of("cssContentSize", "width"), of("cssContentSize", "height"));
    // One of an earlier run, when the page was longer, would mislead.
    let _ = std::fs::remove_file(path);
    if height > of("cssLayoutViewport", "clientHeight") {
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        capture(browser, &json!({ "format": "png", "captureBeyondViewport": true, "clip": clip }), path);
    }
    browser.eval("document.getElementById('bar')?.style.removeProperty('position'), 0");
}

fn capture(browser: &Browser, parameters: &Value, path: &Path) {
    let picture = browser.devtools("Page.captureScreenshot", parameters);
    let bytes = data_encoding::BASE64.decode(picture["data"].as_str().expect("a picture").as_bytes()).expect("base64");
    std::fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn folder() -> PathBuf {
    let folder = target().join("pictures");
    std::fs::create_dir_all(&folder).expect("a folder for pictures");
    folder
}

/// Cargo's target folder, wherever it is.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder").to_owned()
}

fn judge(browser: &Browser, picture: &str) {
    let found = findings(browser).unwrap_or_default();
    assert!(found.is_empty(), "{picture}:\n{}", found.join("\n"));
}

/// What axe-core finds, with the contrast that we promise: 6 : 1 for all text. `None` where it cannot be had.
pub fn findings(browser: &Browser) -> Option<Vec<String>> {
    let axe = axe()?;
    if browser.eval("typeof axe") == "undefined" {
        browser.eval(&format!("{axe}\n0"));
        let contrast = json!({ "contrastRatio": { "normal": { "expected": 6 }, "large": { "expected": 6 } } });
        browser.eval(&format!("axe.configure({{ checks: [{{ id: 'color-contrast', options: {contrast} }}] }}), 0"));
    }
    let found = browser.eval(
        "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations.map(({ id, help, nodes }) => \
         `${id}: ${help}\\n${nodes.map(({ html, failureSummary }) => `  ${html}\\n  ${failureSummary}`).join('\\n')}`))",
    );
    Some(found.as_array()?.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// axe-core's script, from the registry by way of npm, kept under the target folder.
fn axe() -> Option<&'static str> {
    static SCRIPT: OnceLock<Option<String>> = OnceLock::new();
    SCRIPT
        .get_or_init(|| {
            let fetched = fetch_axe();
            if let Err(why) = &fetched {
                skip(&format!("accessibility: {why}"));
            }
            fetched.ok()
        })
        .as_deref()
}

fn fetch_axe() -> Result<String, String> {
    let folder = target().join("axe-core");
    let archive = folder.join(AXE.replace('@', "-") + ".tgz");
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    if !archive.is_file() {
        run("npm", &["pack", AXE, "--silent", "--pack-destination"], &folder)?;
    }
    let bytes = std::fs::read(&archive).map_err(|error| error.to_string())?;
    if data_encoding::BASE64.encode(&Sha512::digest(&bytes)) != AXE_SHA512 {
        return Err(format!("{} is not what the registry's digest says; delete it", archive.display()));
    }
    run("tar", &["-xzf", &archive.to_string_lossy(), "-C"], &folder)?;
    std::fs::read_to_string(folder.join("package/axe.min.js")).map_err(|error| error.to_string())
}

fn run(program: &str, arguments: &[&str], folder: &Path) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(arguments).arg(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} {}: {status}", arguments.join(" "))),
        Err(error) => Err(format!("{program}: {error}")),
    }
}
